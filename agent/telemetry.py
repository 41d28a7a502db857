"""What the agent tells of itself: structured log lines on stderr, and Prometheus metrics under Flux v1's names.

The only module that knows structlog and prometheus_client. Every line has `ts` (RFC 3339, UTC), `level`, `component`
and `msg`, then the fields of the event; lines of libraries come through the same pipe, from WARNING up. No value is
longer than `MAX_VALUE` characters, none breaks the line, and a password inside a URL does not get through.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO, cast

import prometheus_client
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

MAX_VALUE = 2_000
"""Characters of one value in a log line; of a longer one the beginning is kept, of a trace the end."""

_FORMATS: dict[str, Processor] = {
    "fmt": structlog.processors.LogfmtRenderer(key_order=["ts", "level", "component", "msg"], bool_as_flag=False),
    "json": structlog.processors.JSONRenderer(ensure_ascii=False),
}

_QUIET = {"waitress.queue": logging.ERROR}
"""Loggers held down further than WARNING: waitress warns whenever a request has to wait for a thread."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
_USERINFO = re.compile(r"(?i)\b(https?://)[^/\s@]+@|(\b[a-z][a-z0-9+.-]{0,20}://[^/\s:@]*):[^/\s@]+@")


def configure(log_format: str = "fmt", *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Set up the log of the whole process; may be called again.

    Args:
        log_format: `fmt` (logfmt) or `json`.
        level: The lowest level of the agent's own lines; libraries speak from WARNING up.
        stream: Where the lines go; stderr by default.

    Raises:
        KeyError: There is no such format.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("msg"),
            bounded,
            _FORMATS[log_format],
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(logging.WARNING)
    for name, floor in _QUIET.items():
        logging.getLogger(name).setLevel(floor)


def logger(component: str) -> FilteringBoundLogger:
    """The log of one component, such as `api`: `log.info("sync finished", revision=…, applied=…)`."""
    return cast("FilteringBoundLogger", structlog.get_logger(component=component))


def bounded(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make every value of a log line short, printable and free of passwords in URLs."""
    return {key: _presentable(value, from_end=key == "exception") for key, value in event.items()}


def _presentable(value: object, *, from_end: bool = False) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    # Cut last: half a password is a leak too, and no longer looks like one.
    text = _USERINFO.sub(_without_password, _CONTROL.sub(" ", str(value)))
    if len(text) <= MAX_VALUE:
        return text
    cut = f"({len(text) - MAX_VALUE} characters cut)"
    return f"{cut}… {text[-MAX_VALUE:]}" if from_end else f"{text[:MAX_VALUE]}… {cut}"


def _without_password(found: re.Match[str]) -> str:
    # Over HTTP the user alone may be the secret (a token); over ssh it never is.
    return f"{found[1]}***@" if found[1] else f"{found[2]}:***@"


class _Forward(logging.Handler):
    """Hands the lines of libraries to the agent's own log, the library's logger as the component."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            logger(record.name).log(record.levelno, record.getMessage(), exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 # logging's contract: a handler never raises into its caller
            self.handleError(record)


@dataclass(slots=True)
class Watch:
    """A running measurement; set `success` to False where the work failed without raising."""

    success: bool = True


@contextlib.contextmanager
def timed(observe: Callable[[float, bool], None], clock: Callable[[], float] = time.monotonic) -> Iterator[Watch]:
    """Measure the block and hand its seconds and success to `observe`; an exception counts as a failure."""
    watch, started = Watch(), clock()
    try:
        yield watch
    except BaseException:
        watch.success = False
        raise
    finally:
        observe(clock() - started, watch.success)


_SYNC_BUCKETS = (0.5, 5, 10, 20, 30, 40, 50, 60, 75, 90, 120, 240)
_CALL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SCAN_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_JOB_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 120)
MAX_HOSTS = 200
"""Hosts that are counted by their names: registries choose where they send us."""


class Metrics:
    """The metrics of one agent in a registry of their own, with the names, labels and buckets of Flux v1.

    Durations are in seconds. `process_*` (memory, CPU, open files) comes along, as it did in v1.
    """

    def __init__(self) -> None:
        # v1 had no `…_created` series; the switch is the library's only one, and process-wide.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self._registry)
        self._sync = self._histogram(
            "flux_daemon_sync_duration_seconds", "Duration of a sync of the cluster.", _SYNC_BUCKETS, "success"
        )
        self._job = self._histogram(
            "flux_daemon_job_duration_seconds", "Duration of a job, waiting excluded.", _JOB_BUCKETS, "success"
        )
        self._queue = self._histogram(
            "flux_daemon_queue_duration_seconds", "Time a job waited before it was begun.", _JOB_BUCKETS
        )
        self._queued = self._gauge("flux_daemon_queue_length_count", "Jobs that wait to be begun.")
        self._manifests = self._gauge("flux_daemon_sync_manifests", "Objects of the last sync.", "success")
        self._ready = self._gauge("flux_git_ready", "Whether the git repository can be used: 1 or 0.")
        self._calls = self._histogram(
            "flux_api_request_duration_seconds",
            "Duration of calls of the API, checking the caller included; streams and long polls are not among them.",
            _CALL_BUCKETS,
            "method",
            "code",
        )
        self._waits = self._counter(
            "flux_api_waits", "Streams and long polls of the API that have ended.", "method", "code"
        )
        self._reviews = self._counter(
            "flux_api_reviews",
            "What the API server was asked about callers, by kind (token, access), and what was remembered of that.",
            "kind",
            "source",
        )
        self._make_image_metrics()

    def _make_image_metrics(self) -> None:
        """The metrics of registries and of what is kept of them."""
        self._scan = self._histogram(
            "flux_registry_fetch_duration_seconds", "Duration of a scan of one repository.", _SCAN_BUCKETS, "success"
        )
        self._fetch = self._histogram(
            "flux_client_fetch_duration_seconds",
            "Duration of a request to a registry, by kind: tags or metadata.",
            _CALL_BUCKETS,
            "kind",
            "success",
        )
        self._cache = self._histogram(
            "flux_cache_request_duration_seconds",
            "Duration of a request to the image cache; one that found nothing is no success.",
            _CALL_BUCKETS,
            "method",
            "success",
        )
        self._hosts: set[str] = set()
        self._asked = self._counter("flux_registry_requests", "Requests to registries.", "host", "kind", "status")
        self._scan_age = self._gauge(
            "flux_registry_scan_age_seconds", "Age of the oldest list of tags among the repositories in use."
        )

    def observe_scan(self, seconds: float, success: bool) -> None:  # noqa: FBT001 # the shape `timed` calls
        """Count a finished scan of one repository."""
        self._scan.labels(success=_label(success)).observe(seconds)

    def observe_registry(self, host: str, kind: str, status: int, seconds: float) -> None:
        """Count a request to a registry; status 0 where there was no answer. v1 knew tags and metadata only."""
        if host not in self._hosts:
            host = host if len(self._hosts) < MAX_HOSTS else "other"
            self._hosts.add(host)
        self._asked.labels(host=host, kind=kind, status=str(status or "none")).inc()
        if kind != "token":
            success = _label(200 <= status < 400)
            self._fetch.labels(kind="tags" if kind == "tags" else "metadata", success=success).observe(seconds)

    def observe_cache(self, method: str, seconds: float, success: bool) -> None:  # noqa: FBT001 # as the others
        """Count a request to the image cache."""
        self._cache.labels(method=method, success=_label(success)).observe(seconds)

    def set_scan_age(self, seconds: float) -> None:
        """Tell how old the oldest list of tags is."""
        self._scan_age.set(seconds)

    def observe_sync(self, seconds: float, success: bool) -> None:  # noqa: FBT001 # the shape `timed` calls
        """Count a sync, also one that had nothing to do.

        As in v1 it failed where git could not be read or parsed, or the cluster not be reached; single objects that
        failed show in the count of manifests.
        """
        self._sync.labels(success=_label(success)).observe(seconds)

    def observe_job(self, seconds: float, success: bool) -> None:  # noqa: FBT001 # the shape `timed` calls
        """Count a finished job."""
        self._job.labels(success=_label(success)).observe(seconds)

    def observe_queue(self, seconds: float) -> None:
        """Count a job's time in the queue."""
        self._queue.observe(seconds)

    def set_queue_length(self, length: int) -> None:
        """Tell how many jobs wait."""
        self._queued.set(length)

    def set_manifests(self, *, succeeded: int, failed: int) -> None:
        """Tell how many objects of the last sync are as git wants them, and how many are not."""
        self._manifests.labels(success="true").set(succeeded)
        self._manifests.labels(success="false").set(failed)

    def set_git_ready(self, *, ready: bool) -> None:
        """Tell whether the repository can be used."""
        self._ready.set(ready)

    def observe_call(self, method: str, code: str, seconds: float, *, waited: bool) -> None:
        """Count a call; one that waited is not measured, because its caller chose how long it took."""
        if waited:
            self._waits.labels(method=method, code=code).inc()
        else:
            self._calls.labels(method=method, code=code).observe(seconds)

    def observe_reviews(self, kind: str, *, asked: int, remembered: int) -> None:
        """Count answers about a `token` or an `access`: those asked of the API server, and those remembered."""
        self._reviews.labels(kind=kind, source="asked").inc(asked)
        self._reviews.labels(kind=kind, source="remembered").inc(remembered)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        return prometheus_client.generate_latest(self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(name, text, labels, buckets=buckets, registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> prometheus_client.Gauge:
        return prometheus_client.Gauge(name, text, labels, registry=self._registry)


def _label(success: bool) -> str:  # noqa: FBT001 # one value, one label
    return "true" if success else "false"
