"""The way around: `kubectl port-forward` to the agent, where the API server cannot reach its pod.

Some managed clusters keep the control plane away from pods by a firewall, while port-forward travels through the
kubelet. That a cluster is one of these is remembered in the user's cache for an hour, so that the next command goes
around at once. The port is open on loopback while the command runs; the agent asks who calls there, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from kubectl_flux.errors import UnreachableError
from kubectl_flux.identity import cache_name
from kubectl_flux.transport import Link, Reply, Request, forwarded_link

if TYPE_CHECKING:
    from kubectl_flux.cache import Cache
    from kubectl_flux.kubectl import PortForward
    from kubectl_flux.locate import Service
    from kubectl_flux.wait import Deadline

REMEMBERED = 3600
HINT = (
    "Check the firewall between the cluster's control plane and its nodes (the agent's port is 3030), or your right to "
    "create pods/portforward in the agent's namespace."
)


class Detour(Protocol):
    """A second way to the agent behind a Service."""

    def is_known(self, service: Service) -> bool:
        """Whether it is known to be needed."""

    def open(self, service: Service) -> None:
        """Make it ready, where it is not."""

    def send(self, service: Service, request: Request, timeout: float) -> Reply:
        """Send one request over it; the path is the method's."""

    def remember(self, service: Service) -> None:
        """Note that it is needed."""

    def forget(self, service: Service) -> None:
        """Note that it did not help."""

    def close(self) -> None:
        """End it."""


class ForwardDetour:
    """Port-forwards, at most one at a time.

    Args:
        start: Starts one.
        cache: Where it is remembered which agents need it.
        fingerprint: Tells this user on this cluster from any other; empty to remember nothing.
        deadline: When the command must be done.
        clock: Unix time, in seconds.
    """

    def __init__(
        self,
        start: Callable[[Service], PortForward],
        cache: Cache,
        fingerprint: str,
        deadline: Deadline,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._start = start
        self._cache = cache
        self._fingerprint = fingerprint
        self._deadline = deadline
        self._clock = clock
        self._service: Service | None = None
        self._forward: PortForward | None = None
        self._link: Link | None = None

    def is_known(self, service: Service) -> bool:
        """Whether it is in use, or an earlier command needed it less than an hour ago."""
        if self._service == service:
            return True
        if not self._fingerprint:
            return False
        until = self._cache.read(self._file(service)).strip()
        return until.isdecimal() and 0 < int(until) - self._clock() <= REMEMBERED

    def open(self, service: Service) -> None:
        """Start a port-forward and wait until it listens, unless one does.

        Raises:
            UnreachableError: It ended instead, or is not ready in time.
        """
        if self._link is not None and self._service == service:
            return
        self.close()
        self._forward = self._start(service)
        try:
            self._forward.address(self._deadline)
        except BaseException:
            self.close()
            raise
        self._service = service
        self._link = forwarded_link(self._forward, f"the agent behind Service {service}", self._deadline)

    def send(self, service: Service, request: Request, timeout: float) -> Reply:
        """Send one request; where there is no answer the port-forward is ended, so that the next one is new.

        Raises:
            UnreachableError: There was no answer; with what kubectl complained of.
        """
        self.open(service)
        if self._link is None or self._forward is None:
            raise UnreachableError("kubectl port-forward is not running")
        try:
            return self._link.send(request, timeout)
        except UnreachableError as error:
            forward = self._forward
            self._end()
            why = forward.complaint() or error.message
            raise UnreachableError(f"kubectl port-forward: {why}", hint=HINT) from error

    def remember(self, service: Service) -> None:
        """Note for an hour that this agent is reached this way only."""
        if self._fingerprint:
            self._cache.write(self._file(service), f"{int(self._clock() + REMEMBERED)}\n")

    def forget(self, service: Service) -> None:
        """Note that this way leads nowhere either, or not any more."""
        self._service = None
        self._cache.drop(self._file(service))

    def close(self) -> None:
        """End the port-forward."""
        self._end()
        self._service = None

    def _end(self) -> None:
        if self._link is not None:
            self._link.close()
        if self._forward is not None:
            self._forward.close()
        self._link = self._forward = None

    def _file(self, service: Service) -> str:
        return cache_name("forward", self._fingerprint, str(service))
