"""Where the agent is: a Service, found with as few requests as can be, and the way to it through the API server.

Tried at once, because it is nearly always right: Service `flux`, port `http`, in namespace `flux`, then `default`, or
in the one namespace that was named. Only where that fails, or other labels were asked for, Services are looked up by
label. A call that meets a missing Service was never delivered, so the same call is simply sent on to the next place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from kubectl_flux.errors import PluginError, UnreachableError
from kubectl_flux.options import DEFAULT_LABELS
from kubectl_flux.replies import OK, error_of, is_forbidden, is_missing, parsed
from kubectl_flux.transport import Link, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

USUAL_NAMESPACES = ("flux", "default")
USUAL_NAME = "flux"
PORT_NAME = "http"


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


class DirectAgent:
    """The agent at an address of its own."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.where = link.where

    def send(self, request: Request, timeout: float) -> Reply:
        """Send one request; the path is the method's."""
        return self._link.send(request, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


class ProxiedAgent:
    """The agent behind the API server; found with the first request, remembered for the next ones.

    Args:
        link: To the API server.
        namespace: Where it must be; empty to look for it.
        labels: The selector of its Service.
    """

    def __init__(self, link: Link, namespace: str, labels: str) -> None:
        self._link = link
        self._namespace = namespace
        self._labels = labels
        self._service: Service | None = None

    @property
    def where(self) -> str:
        """The agent as an error sentence calls it."""
        return f"the agent behind Service {self._service}" if self._service else "the cluster's API server"

    def send(self, request: Request, timeout: float) -> Reply:
        """Send one request; the path is the method's.

        Raises:
            UnreachableError: No agent, or no single one, was found.
        """
        if self._service is not None:
            return self._send_to(self._service, request, timeout)
        refused: dict[Service, Reply] = {}
        if self._labels == DEFAULT_LABELS:
            for namespace in (self._namespace,) if self._namespace else USUAL_NAMESPACES:
                guess = Service(namespace, USUAL_NAME)
                reply = self._send_to(guess, request, timeout)
                if not is_missing(reply) and not is_forbidden(reply):
                    self._service = guess
                    return reply
                if is_forbidden(reply):
                    refused[guess] = reply
        self._service = self._look_up(refused, timeout, changes=request.body is not None)
        return self._send_to(self._service, request, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def _send_to(self, service: Service, request: Request, timeout: float) -> Reply:
        return self._link.send(request._replace(path=service.path + request.path), timeout)

    def _look_up(self, refused: Mapping[Service, Reply], timeout: float, *, changes: bool) -> Service:
        found = self._listed(timeout)
        if not found and refused:
            raise error_of(next(iter(refused.values())), self.where, changes=changes)
        service = choose(found, self._labels, self._namespace)
        if service in refused:
            raise error_of(refused[service], self.where, changes=changes)
        return service

    def _listed(self, timeout: float) -> list[Service]:
        """The Services with the labels in the namespaces that may be listed."""
        places = [self._namespace] if self._namespace else ["", *USUAL_NAMESPACES]
        found: list[Service] = []
        for place in places:
            scope = f"/namespaces/{place}" if place else ""
            path = f"/api/v1{scope}/services?labelSelector={quote(self._labels)}"
            reply = self._link.send(Request(path, {"Accept": "application/json"}), timeout)
            if reply.status == OK:
                found.extend(map(_service, parsed(reply).get("items") or ()))
                if not place:
                    break
            elif not is_forbidden(reply):
                raise error_of(reply, self._link.where, changes=False)
        return found


def choose(found: Sequence[Service], labels: str, namespace: str) -> Service:
    """The one Service that is meant: the only one in the first usual namespace that has any, else the only one.

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
        hint="Name its namespace with --k8s-fwd-ns or FLUX_FORWARD_NAMESPACE, or install it first.",
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
