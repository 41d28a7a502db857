"""HTTP to registries, over the connections that `connections` makes. Bounded in time, size and redirects.

Proxies come from the environment, certificates from the system (SSL_CERT_FILE counts). Nothing else of the environment
does: a `.netrc` would send somebody's password along. A redirect to another host goes without credentials.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
import urllib3

from agent.registry import connections
from agent.registry.errors import Cause, RegistryError
from agent.registry.limits import Limits, pause_of

CONNECT_TIMEOUT = 5.0
PATIENCE = 60.0
"""Seconds that a host may be waited for before it is asked, because it asked for fewer requests."""
MAX_REDIRECTS = 5
# Who names a host insecure knows that its certificate is not checked.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
_CHUNK = 65536
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SECRET_HEADERS = frozenset({"authorization"})
_FAULTS = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
"""What a request can fail with; a ValueError comes of a URL or a header that is none."""


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
    """What came back; the body is empty for HEAD. Headers are found whatever their case; `host` is who answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    host: str = ""


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

    def send(self, question: Question, patience: float = PATIENCE) -> Answer:
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
            is_plain = answer.host in self._plain
            question = _redirected(question, answer.headers["Location"], may_be_plain=is_plain)
        raise RegistryError(f"{answer.host} redirects for ever", Cause.MALFORMED)

    def may_be_plain(self, host: str) -> bool:
        """Whether a host may speak plain HTTP."""
        return host in self._insecure or self._address(host) != host

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
            raise RegistryError(f"{host} asks for fewer requests", Cause.BUSY)
        return answer

    def _exchange(self, question: Question, host: str) -> Answer:
        """One exchange; an insecure host that cannot be talked to over TLS may speak plain HTTP."""
        started, insecure = time.monotonic(), host in self._insecure
        try:
            return self._read(question, host, verify=not insecure)
        except _FAULTS as error:
            no_tls = _unreachable(host, error, started)
            hopeless = not isinstance(error, requests.exceptions.ConnectionError)
        if hopeless or not insecure or not question.url.startswith("https://"):
            self._plain.discard(host)
            raise no_tls
        plain = replace(question, url="http://" + question.url.removeprefix("https://"))
        try:
            answer = self._read(plain, host, verify=False)
        except _FAULTS as error:
            raise _unreachable(host, error, started) from None
        if answer.status == 400:  # so say servers that want TLS
            raise no_tls
        self._plain.add(host)
        return answer

    def _read(self, question: Question, host: str, *, verify: bool) -> Answer:
        """One exchange; the body is read in pieces, so that its size is known all along."""
        session = self._session(verify=verify)
        with session.request(
            question.method,
            question.url,
            headers={"User-Agent": "flux-agent", **question.headers},
            data=question.form,
            timeout=(CONNECT_TIMEOUT, connections.READ_TIMEOUT),
            allow_redirects=False,
            stream=True,
            proxies={} if question.direct else requests.utils.get_environ_proxies(question.url, no_proxy=None),
        ) as response:
            body = bytearray()
            for piece in response.iter_content(_CHUNK):
                body += piece
                if len(body) > question.limit:
                    raise RegistryError(f"{host} answered with more than {question.limit >> 20} MiB", Cause.MALFORMED)
            return Answer(response.status_code, response.headers, bytes(body), host)

    def _session(self, *, verify: bool) -> requests.Session:
        """This thread's connections, to hosts that are checked or to those that are not."""
        name = "checked" if verify else "unchecked"
        session: requests.Session | None = getattr(self._local, name, None)
        if session is None:
            session = connections.session(verify=verify)
            setattr(self._local, name, session)
            with self._lock:
                self._sessions.append(session)
        return session


def address_of(url: str, whose: str) -> SplitResult:
    """The parts of a web address; `whose` it is, for the error.

    Raises:
        RegistryError: It is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RegistryError(f"{whose} has no web address", Cause.MALFORMED)
    return parts


def _redirected(question: Question, location: str, *, may_be_plain: bool) -> Question:
    old, target = urlsplit(question.url), joined(question.url, location)
    new = address_of(target, f"what {old.netloc} redirects to")
    if old.scheme == "https" and new.scheme == "http" and not may_be_plain:
        raise RegistryError(f"{old.netloc} redirects to {new.scheme}: it is not followed", Cause.MALFORMED)
    headers = question.headers
    if (old.scheme, old.netloc) != (new.scheme, new.netloc):
        headers = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
    method = "GET" if question.method == "POST" else question.method
    return Question(target, question.kind, method, headers, None, question.limit, question.direct)


def joined(base: str, link: str) -> str:
    """Where a link leads from an address; to nowhere where it is no address."""
    try:
        return urljoin(base, link)
    except ValueError:
        return ""


def _unreachable(host: str, error: BaseException, started: float) -> RegistryError:
    """The innermost reason, in one line; the outer ones repeat the URL."""
    if isinstance(error, ValueError):  # its words are those of the URL or of the header, which may be secret
        said = "its address, the proxy's or a header to send is not valid"
    elif time.monotonic() - started >= connections.TOTAL_TIMEOUT:
        said = f"it took longer than {connections.TOTAL_TIMEOUT:.0f} s to answer"
    else:
        reason = error
        while (inner := _inner(reason)) is not None:
            reason = inner
        said = " ".join(str(reason).rpartition(": ")[2].split())[:200] or type(reason).__name__
    return RegistryError(f"{host} cannot be reached: {said}", Cause.UNREACHABLE)


def _inner(error: BaseException) -> BaseException | None:
    """What an error was made of."""
    held = (getattr(error, "reason", None), *reversed(error.args))
    return next((each for each in held if isinstance(each, BaseException)), None)
