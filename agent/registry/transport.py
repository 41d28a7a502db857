"""HTTP to registries: the only module that knows requests. Bounded in time, size and redirects.

Proxies come from the environment, certificates from the system (SSL_CERT_FILE counts). Nothing else of the environment
does: a `.netrc` would send somebody's password along. A redirect to another host goes without credentials.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from agent.registry.errors import Cause, RegistryError
from agent.registry.limits import Limits, pause_of

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 15.0
TOTAL_TIMEOUT = 60.0
"""Seconds for one answer with all of its body, however slowly it drips."""
MAX_REDIRECTS = 5
CONNECTIONS = 10
"""Connections kept to each host."""
_HOSTS = 50
# Who names a host insecure knows that its certificate is not checked.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
_CHUNK = 65536
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SECRET_HEADERS = frozenset({"authorization"})


@dataclass(frozen=True, slots=True)
class Question:
    """One request.

    Attributes:
        url: Whole.
        kind: What it is for, for metrics and traces: `tags`, `digest`, `manifest`, `config` or `token`.
        method: `GET`, `HEAD` or `POST`.
        headers: Beside the usual ones.
        form: Sent as a form where there is one.
        limit: Bytes of the unpacked body at most.
        direct: Whether no proxy may come between, as with the metadata of a cloud's machine: a proxy has its own.
    """

    url: str
    kind: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    limit: int = 4 << 20
    direct: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the body is empty for HEAD. Headers are found whatever their case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


Observer = Callable[[str, str, int, float], None]
"""Is told of each request: host, kind, status (0 for none), seconds."""


class Transport:
    """Sends requests; safe for many threads.

    Args:
        limits: How fast each host may be asked.
        insecure: Hosts, with their port, whose certificates are not checked and which may speak plain HTTP.
        address: Tells where a host is reached, mostly at its own name; one with another address may speak plain HTTP.
        observer: Is told of each request.
    """

    def __init__(
        self,
        limits: Limits,
        insecure: frozenset[str],
        observer: Observer = lambda *_: None,
        address: Callable[[str], str] = lambda host: host,
    ) -> None:
        self._limits = limits
        self._insecure = set(insecure)
        self._address = address
        self._observer = observer
        self._plain: set[str] = set()
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    def base(self, host: str) -> str:
        """Where a host's API begins."""
        address = self._address(host)
        if address != host:
            self._insecure.add(address)
            host = address
        return f"{'http' if host in self._plain else 'https'}://{host}/v2"

    def send(self, question: Question, patience: float = TOTAL_TIMEOUT) -> Answer:
        """Send a request, following redirects; what the host says of its limits is obeyed from then on.

        Raises:
            RegistryError: There was no answer, or one that is too large, too slow or redirects for ever; or the host
                may not be asked within `patience` seconds.
            StoppedError: The agent is shutting down.
        """
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._once(question, patience)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            is_plain = urlsplit(question.url).netloc in self._plain
            question = _redirected(question, answer.headers["Location"], may_be_plain=is_plain)
        raise RegistryError(f"{urlsplit(question.url).netloc} redirects for ever", Cause.MALFORMED)

    def close(self) -> None:
        """Close the kept connections."""
        with self._lock:
            for session in self._sessions:
                session.close()

    def _once(self, question: Question, patience: float) -> Answer:
        host, started = urlsplit(question.url).netloc, time.monotonic()
        limiter = self._limits.of(host)
        limiter.acquire(patience)
        status = 0
        try:
            answer = self._exchange(question, host)
            status = answer.status
        finally:
            self._observer(host, question.kind, status, time.monotonic() - started)
        pause = pause_of(answer.status, answer.headers)
        if pause is not None:
            limiter.back_off(pause)
        if answer.status == 429:
            raise RegistryError(f"{host} asks for fewer requests", Cause.BUSY, retry_after=pause or 0.0)
        return answer

    def _exchange(self, question: Question, host: str) -> Answer:
        try:
            return self._read(question, verify=host not in self._insecure)
        except (requests.exceptions.SSLError, requests.exceptions.ConnectionError) as error:
            if host not in self._insecure or not question.url.startswith("https://"):
                raise _unreachable(host, error) from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _unreachable(host, error) from error
        plain = replace(question, url="http://" + question.url.removeprefix("https://"))
        try:
            answer = self._read(plain, verify=False)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _unreachable(host, error) from error
        self._plain.add(host)
        return answer

    def _read(self, question: Question, *, verify: bool) -> Answer:
        """One exchange; the body is read in pieces, so that size and time are known all along."""
        end = time.monotonic() + TOTAL_TIMEOUT
        session = self._session(verify=verify)
        with session.request(
            question.method,
            question.url,
            headers={"User-Agent": "flux-agent", **question.headers},
            data=question.form,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            allow_redirects=False,
            stream=True,
            proxies={} if question.direct else requests.utils.get_environ_proxies(question.url, no_proxy=None),
        ) as response:
            body = bytearray()
            for piece in response.iter_content(_CHUNK):
                body += piece
                if len(body) > question.limit:
                    raise RegistryError(
                        f"{urlsplit(question.url).netloc} answered with more than {question.limit >> 20} MiB",
                        Cause.MALFORMED,
                    )
                if time.monotonic() > end:
                    raise RegistryError(
                        f"{urlsplit(question.url).netloc} took longer than {TOTAL_TIMEOUT:.0f} s to answer",
                        Cause.UNREACHABLE,
                    )
            return Answer(response.status_code, response.headers, bytes(body))

    def _session(self, *, verify: bool) -> requests.Session:
        """This thread's connections, to hosts that are checked or to those that are not."""
        name = "checked" if verify else "unchecked"
        session: requests.Session | None = getattr(self._local, name, None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.verify = verify
            adapter = _Adapter(verify=verify)
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            setattr(self._local, name, session)
            with self._lock:
                self._sessions.append(session)
        return session


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

    def proxy_manager_for(self, *args: Any, **more: Any) -> Any:
        """Give the pools behind a proxy our context too."""
        return super().proxy_manager_for(*args, **more, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the context as it is: the base class would put certifi's authorities in its place."""


def _redirected(question: Question, location: str, *, may_be_plain: bool) -> Question:
    target = urljoin(question.url, location)
    old, new = urlsplit(question.url), urlsplit(target)
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http" and not may_be_plain):
        raise RegistryError(f"{old.netloc} redirects to {new.scheme}: it is not followed", Cause.MALFORMED)
    headers = question.headers
    if (old.scheme, old.netloc) != (new.scheme, new.netloc):
        headers = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
    method = "GET" if question.method == "POST" else question.method
    return Question(target, question.kind, method, headers, None, question.limit, question.direct)


def _unreachable(host: str, error: Exception) -> RegistryError:
    """The innermost reason, in one line; the outer ones repeat the URL."""
    reason: BaseException = error
    with contextlib.suppress(AttributeError, IndexError, TypeError):
        while True:
            inner = getattr(reason, "reason", None) or reason.args[0]
            if not isinstance(inner, BaseException):
                break
            reason = inner
    said = " ".join(str(reason).rpartition(": ")[2].split())[:200] or type(reason).__name__
    return RegistryError(f"{host} cannot be reached: {said}", Cause.UNREACHABLE)
