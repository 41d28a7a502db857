"""Where the agent is: a Service, found with as few requests as can be.

Tried at once, because it is nearly always right: Service `flux`, port `http`, in namespace `flux`, then `default`, or
in the one namespace that was named. Only where that fails, or other labels were asked for, Services are looked up by
label: our own, then those that Flux v1's installations had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from kubectl_flux.errors import PluginError, UnreachableError
from kubectl_flux.options import DEFAULT_LABELS
from kubectl_flux.replies import OK, error_of, is_forbidden, parsed
from kubectl_flux.transport import Link, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

USUAL_NAMESPACES = ("flux", "default")
USUAL_NAME = "flux"
PORT_NAME = "http"
OLDER_LABELS = "name in (flux, fluxd, weave-flux-agent)"


class Service(NamedTuple):
    """One Service and the port to speak to."""

    namespace: str
    name: str
    port: str = PORT_NAME

    @property
    def path(self) -> str:
        """What stands before a method's path on the API server."""
        return f"/api/v1/namespaces/{self.namespace}/services/{self.name}:{self.port}/proxy"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Locator:
    """Finds the Service.

    Args:
        link: To the API server.
        namespace: Where it must be; empty to look for it.
        labels: The selector that was asked for, or the usual one.
        own_namespace: The namespace of the kubeconfig's context, for those who may look nowhere else; asked when it is
            needed.
    """

    def __init__(self, link: Link, namespace: str, labels: str, own_namespace: Callable[[], str]) -> None:
        self._link = link
        self._namespace = namespace
        self._labels = labels
        self._own_namespace = own_namespace

    def guesses(self) -> tuple[Service, ...]:
        """Where it nearly always is; nowhere, where labels of its own were asked for."""
        if self._labels != DEFAULT_LABELS:
            return ()
        places = (self._namespace,) if self._namespace else USUAL_NAMESPACES
        return tuple(Service(place, USUAL_NAME) for place in places)

    def listed(self, timeout: float) -> list[Service]:
        """The Services with the labels in the namespaces that may be listed.

        Raises:
            UnreachableError: The API server does not answer.
        """
        selectors = [DEFAULT_LABELS, OLDER_LABELS] if self._labels == DEFAULT_LABELS else [self._labels]
        for selector in selectors:
            found = self._labelled(selector, timeout)
            if found:
                return found
        return []

    def chosen(self, found: Sequence[Service]) -> Service:
        """The one Service that is meant: the only one in the first usual namespace that has any, else the only one.

        Raises:
            UnreachableError: There is none, or more than one.
        """
        return choose(found, self._labels, self._namespace)

    def _labelled(self, selector: str, timeout: float) -> list[Service]:
        if self._namespace:
            return self._in(self._namespace, selector, timeout) or []
        everywhere = self._in("", selector, timeout)
        if everywhere is not None:
            return everywhere
        places = dict.fromkeys([*USUAL_NAMESPACES, self._own_namespace()])
        return [service for place in places for service in self._in(place, selector, timeout) or ()]

    def _in(self, place: str, selector: str, timeout: float) -> list[Service] | None:
        """The Services of one namespace, of all where it is empty; None where they may not be listed."""
        scope = f"/namespaces/{place}" if place else ""
        path = f"/api/v1{scope}/services?labelSelector={quote(selector)}"
        reply = self._link.send(Request(path, {"Accept": "application/json"}), timeout)
        if is_forbidden(reply):
            return None
        if reply.status != OK:
            raise error_of(reply, self._link.where, changes=False)
        return [_service(item) for item in parsed(reply).get("items") or ()]


def choose(found: Sequence[Service], labels: str, namespace: str) -> Service:
    """The one Service that is meant; pure.

    Raises:
        UnreachableError: There is none, or more than one.
    """
    for usual in USUAL_NAMESPACES:
        there = [service for service in found if service.namespace == usual]
        if len(there) == 1:
            return there[0]
        if there:
            raise _several(there)
    if len(found) == 1:
        return found[0]
    raise _several(found) if found else _none(labels, namespace)


def _none(labels: str, namespace: str) -> PluginError:
    where = f"in namespace {namespace}" if namespace else "in namespace flux, in default, or anywhere you may look"
    return UnreachableError(
        f"no agent was found: there is no Service labelled {labels} {where}",
        hint="Install it with kubectl flux install, or name its namespace with --k8s-fwd-ns or FLUX_FORWARD_NAMESPACE.",
    )


def _several(found: Sequence[Service]) -> PluginError:
    names = ", ".join(sorted(map(str, found)))
    return UnreachableError(
        f"several agents were found: {names}",
        hint="Name one with --k8s-fwd-ns, and with --k8s-fwd-labels where one namespace has several.",
    )


def _service(item: dict[str, Any]) -> Service:
    """Read a Service from its JSON; its port is the one named `http`, else its first."""
    meta: dict[str, Any] = item.get("metadata") or {}
    ports: list[dict[str, Any]] = (item.get("spec") or {}).get("ports") or []
    named = [str(port.get("name") or port.get("port") or "") for port in ports]
    port = PORT_NAME if PORT_NAME in named or not named else named[0]
    return Service(str(meta.get("namespace", "")), str(meta.get("name", "")), port)
