"""The two ways to an agent: at an address of its own, and behind the API server.

Behind the API server a call meets three questions, each asked of a module of its own: where the agent is (`locate`),
who the caller says they are (`identity`), and which way leads there (`detour`). A call that meets a missing Service, is
refused for want of a token, or does not get through was never done, so the same call is simply sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from kubectl_flux.errors import RefusedError, SilentError, UnreachableError, hint_beside
from kubectl_flux.identity import HEADER
from kubectl_flux.output import tell
from kubectl_flux.replies import (
    error_of,
    is_another_service,
    is_cut_off,
    is_denied,
    is_forbidden,
    is_missing,
    is_not_ready,
    is_unauthenticated,
    message_of,
    status_of,
)
from kubectl_flux.transport import Link, Reply, Request

if TYPE_CHECKING:
    from kubectl_flux.detour import Detour
    from kubectl_flux.identity import Identity
    from kubectl_flux.locate import Locator, Service

FIRST_ANSWER = 8.0
"""Seconds for the first answer of an agent to a read, before another way is tried: where a firewall drops packets, the
API server itself gives up only after 30."""


class NotReadyError(UnreachableError):
    """No pod behind the Service is ready."""


class DirectAgent:
    """The agent at an address of its own.

    Args:
        link: To the address.
        token: Proves who calls; empty for none.
    """

    def __init__(self, link: Link, token: str = "") -> None:
        self._link = link
        self._token = token
        self.where = link.where

    def send(self, request: Request, timeout: float) -> Reply:
        """Send one request; the path is the method's.

        Raises:
            UnreachableError: There is no answer.
            RefusedError: The agent does not know who calls.
        """
        reply = self._link.send(request.with_header(HEADER, self._token) if self._token else request, timeout)
        if is_unauthenticated(reply):
            hint = "Is the token in FLUX_TOKEN still valid, and made for this agent?"
            if not self._token:
                hint = (
                    "Give a token with FLUX_TOKEN: "
                    "kubectl create token flux-operator -n flux --audience=flux:flux/flux --duration=10m"
                )
            message = message_of(reply)
            raise RefusedError(message, hint=hint_beside(message, hint))
        return reply

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


class ProxiedAgent:
    """The agent behind the API server; found with the first request, remembered for the next ones.

    Args:
        link: To the API server.
        locator: Finds the agent's Service.
        identity: Gives the token that proves who calls.
        detour: The way for where the API server cannot reach the agent.
        clock: A clock that never jumps, in seconds.
    """

    def __init__(
        self,
        link: Link,
        locator: Locator,
        identity: Identity,
        detour: Detour,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._locator = locator
        self._identity = identity
        self._detour = detour
        self._clock = clock
        self._service: Service | None = None
        self._proven = False

    @property
    def where(self) -> str:
        """The agent as an error sentence calls it."""
        return f"the agent behind Service {self._service}" if self._service else "the cluster's API server"

    def send(self, request: Request, timeout: float) -> Reply:
        """Send one request; the path is the method's.

        Raises:
            UnreachableError: No agent, or no single one, was found, or it cannot be reached.
            RefusedError: It does not know who calls, or does not allow the call.
        """
        if self._service is not None:
            return self._identified(self._service, request, timeout)
        refused: dict[Service, Reply] = {}
        for guess in self._locator.guesses():
            try:
                reply = self._identified(guess, request, timeout)
            except NotReadyError:
                self._service = self._with_own_port(guess, timeout)
                if self._service is None:
                    raise
                return self._identified(self._service, request, timeout)
            if is_forbidden(reply):
                refused[guess] = reply
            elif not is_missing(reply) and not is_another_service(reply):
                self._service = guess
                return reply
        self._service = self._look_up(refused, timeout, changes=request.body is not None)
        return self._identified(self._service, request, timeout)

    def close(self) -> None:
        """Close the connections."""
        self._detour.close()
        self._link.close()

    def _look_up(self, refused: Mapping[Service, Reply], timeout: float, *, changes: bool) -> Service:
        found = self._locator.listed(timeout)
        if not found and refused:
            raise error_of(next(iter(refused.values())), self.where, changes=changes)
        service = self._locator.chosen(found)
        if service in refused:
            raise error_of(refused[service], self.where, changes=changes)
        return service

    def _with_own_port(self, guess: Service, timeout: float) -> Service | None:
        """The same Service with the port that it has; the API server says `not ready` of one that it has not, too."""
        return next(
            (found for found in self._locator.listed(timeout) if found[:2] == guess[:2] and found != guess), None
        )

    def _identified(self, service: Service, request: Request, timeout: float) -> Reply:
        """Send one request with a token where the agent wants one, a new one where it does not take the old one."""
        token = self._identity.token(service, timeout)
        reply = self._deliver(service, _signed(request, token), timeout)
        if is_unauthenticated(reply):
            token = self._identity.renewed(service, timeout)
            if token:
                reply = self._deliver(service, _signed(request, token), timeout)
            if is_unauthenticated(reply):
                raise self._identity.unknown(service, reply)
        if is_denied(reply) and self._identity.may_rise(service):
            token = self._identity.renewed(service, timeout)
            reply = self._deliver(service, _signed(request, token), timeout)
        if is_denied(reply):
            raise self._identity.denied(service, reply)
        return reply

    def _deliver(self, service: Service, request: Request, timeout: float) -> Reply:
        """Send one request the way that is known, or through the API server, or else around it."""
        if self._detour.is_known(service):
            try:
                self._detour.open(service)
            except UnreachableError:
                self._detour.forget(service)
            else:
                return self._detour.send(service, request, timeout)
        patience = timeout
        if request.body is None and not self._proven:
            patience = min(timeout, FIRST_ANSWER + request.waits)
        try:
            reply = self._through(service, request, patience)
        except SilentError as error:
            if patience == timeout:
                raise
            return self._around_or_patiently(service, request, timeout - patience, error.message)
        if not self._proven and is_cut_off(reply, changes=request.body is not None):
            return self._around(service, request, timeout, message_of(reply))
        self._proven = self._proven or not status_of(reply)
        return reply

    def _through(self, service: Service, request: Request, timeout: float) -> Reply:
        """Send one request through the API server."""
        reply = self._link.send(request._replace(path=service.path + request.path), timeout)
        if is_not_ready(reply):
            raise NotReadyError(
                f"the agent in namespace {service.namespace} is not ready: {message_of(reply)}",
                hint=f"See what its pod is doing: kubectl get pods -n {service.namespace} -l app=flux",
            )
        return reply

    def _around_or_patiently(self, service: Service, request: Request, timeout: float, cause: str) -> Reply:
        """Send a read around an API server that said nothing, or once more through it: it may only have been slow."""
        try:
            return self._around(service, request, timeout, cause)
        except UnreachableError as neither:
            try:
                reply = self._through(service, request, timeout)
            except SilentError:
                raise neither from None
            if is_cut_off(reply, changes=False):
                raise
            return reply

    def _around(self, service: Service, request: Request, timeout: float, cause: str) -> Reply:
        """Send one request around the API server; remembered where that was the better way."""
        try:
            self._detour.open(service)
            began = self._clock()
            reply = self._detour.send(service, request, timeout)
        except UnreachableError as error:
            self._detour.forget(service)
            why = error.message.removeprefix("kubectl port-forward: ")
            raise UnreachableError(
                f"the API server cannot reach the agent: {cause}; and kubectl port-forward cannot either: {why}",
                hint="Check the firewall between the cluster's control plane and its nodes, and whether you may create "
                f"pods/portforward in namespace {service.namespace}.",
            ) from error
        if self._clock() - began < FIRST_ANSWER:
            self._detour.remember(service)
        tell(f"The API server cannot reach the agent ({cause}): going through kubectl port-forward")
        return reply


def _signed(request: Request, token: str) -> Request:
    return request.with_header(HEADER, token) if token else request
