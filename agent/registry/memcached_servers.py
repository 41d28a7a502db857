"""Where memcached is: the SRV record of its service, else its host and port, looked up again once a minute.

Looking up happens in a thread of its own, so that a name server that hangs delays the first call by some seconds and
no other. What is known stays in use until something else is.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import dns.exception
import dns.rdatatype
import dns.resolver

LOOK_EVERY = 60.0
"""Seconds between two lookups."""
RETRY_AFTER = 15.0
"""Seconds after a lookup that found nothing."""
SRV_TIMEOUT = 2.0
FIRST_WAIT = 5.0
"""Seconds that calls wait for the first lookup at most."""
MAX_SERVERS = 50

Address = tuple[str, int]
"""An IP address and a port."""


@dataclass(frozen=True, slots=True)
class MemcachedSettings:
    """Which memcached, and how long an answer may take.

    Attributes:
        hostname: Its name or address.
        port: Used where there is no SRV record.
        service: The service in the name of the SRV record, `_SERVICE._tcp.HOSTNAME`; empty where none is to be asked
            for.
        timeout: Seconds.
    """

    hostname: str
    port: int = 11211
    service: str = "memcached"
    timeout: float = 1.0


class Servers:
    """Knows the servers; safe for many threads.

    Args:
        settings: Whom to look for.
        warn: Is told when nothing can be found.
        resolver: Asks name servers; None takes the machine's own as they are at each lookup.
        clock: Seconds that never jump.
    """

    def __init__(
        self,
        settings: MemcachedSettings,
        warn: Callable[[str], None],
        resolver: dns.resolver.Resolver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._warn = warn
        self._resolver = resolver
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[Address, ...] = ()
        self._due = clock()
        self._first_until = clock() + FIRST_WAIT
        self._looked = threading.Event()
        self._looker: threading.Thread | None = None

    def current(self) -> tuple[Address, ...]:
        """The servers as far as they are known, in an order that is the same for all who look."""
        with self._lock:
            if self._looker is None and self._clock() >= self._due:
                self._looker = threading.Thread(target=self._look, name="memcached-lookup", daemon=True)
                self._looker.start()
        if not self._looked.is_set():
            self._looked.wait(max(0.0, self._first_until - self._clock()))
        with self._lock:
            return self._known

    def _look(self) -> None:
        known: tuple[Address, ...] = ()
        try:
            known = self._found()
        except (OSError, UnicodeError) as error:
            self._warn(f"memcached {self._settings.hostname} cannot be found: {_words(error)}")
        finally:
            with self._lock:
                self._known = known or self._known
                self._due = self._clock() + (LOOK_EVERY if known else RETRY_AFTER)
                self._looker = None
            self._looked.set()

    def _found(self) -> tuple[Address, ...]:
        """What names stand for now; nothing where that is not known and what was known is the better guess.

        Raises:
            OSError: The name cannot be resolved.
        """
        try:
            targets = self._srv_targets()
        except dns.exception.DNSException:
            if self._known:
                return ()
            targets = ()
        targets = targets or ((self._settings.hostname, self._settings.port),)
        return tuple(sorted({address for target in targets for address in _addresses(*target)}))[:MAX_SERVERS]

    def _srv_targets(self) -> tuple[tuple[str, int], ...]:
        """Names and ports of the SRV record; none where there is no such record.

        Raises:
            DNSException: The name servers did not say.
        """
        host, service = self._settings.hostname, self._settings.service
        if not service or _is_address(host):
            return ()
        resolver = self._resolver or dns.resolver.Resolver()
        try:
            answer = resolver.resolve(f"_{service}._tcp.{host}", dns.rdatatype.SRV, search=True, lifetime=SRV_TIMEOUT)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        found = ((record.target.to_text(omit_final_dot=True), record.port) for record in answer)
        return tuple((target, port) for target, port in found if target not in ("", "."))


def _addresses(name: str, port: int) -> set[Address]:
    """The addresses of a name: those of IPv4, or of IPv6 where there are no others."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    families = {family for family, *_ in found}
    wanted = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
    return {(str(address[0]), port) for family, *_, address in found if family == wanted}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
