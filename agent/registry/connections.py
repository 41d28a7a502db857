"""Connections to registries: kept and used again, checked by the system's authorities or not at all, and timed.

A socket's timeout begins anew with each byte, so an answer that drips would hold a thread for days. Here every answer
has an end of its own, for its headers and its body together.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

READ_TIMEOUT = 15.0
TOTAL_TIMEOUT = 60.0
"""Seconds for one answer with all of its body, however slowly it drips."""
CONNECTIONS = 10
"""Connections kept to each host."""
_HOSTS = 50


def session(*, verify: bool) -> requests.Session:
    """What requests are sent with: nothing of the environment counts, and no cookie is kept.

    Args:
        verify: Whether certificates are checked.
    """
    made = _Session()
    made.trust_env = False
    made.verify = verify
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    adapter = _Adapter(verify=verify)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Look for none: where there is one, a session reads all of the body, however large, also if it stays."""


class _Timed(io.RawIOBase):
    """The bytes of one answer, as long as they come in time."""

    def __init__(self, source: io.RawIOBase, sock: socket.socket) -> None:
        self._source = source
        self._sock = sock
        self._end = time.monotonic() + TOTAL_TIMEOUT

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(min(READ_TIMEOUT, left))
        return self._source.readinto(buffer)

    def close(self) -> None:
        self._source.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock))


class _PlainConnection(HTTPConnection):
    response_class = _Answer


class _SafeConnection(HTTPSConnection):
    response_class = _Answer


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SafePool(HTTPSConnectionPool):
    ConnectionCls = _SafeConnection


_POOLS = {"http": _PlainPool, "https": _SafePool}


class _Adapter(HTTPAdapter):
    """Checks certificates with the system's authorities, or not at all."""

    def __init__(self, *, verify: bool) -> None:
        self._context = ssl.create_default_context()
        if not verify:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        super().__init__(pool_connections=_HOSTS, pool_maxsize=CONNECTIONS)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Give the pools our context."""
        super().init_poolmanager(*args, **more, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **more: Any) -> Any:
        """Give the pools behind a proxy our context too."""
        manager = super().proxy_manager_for(*args, **more, ssl_context=self._context)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the context as it is: the base class would put certifi's authorities in its place."""
