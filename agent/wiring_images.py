"""The composition of everything about images: registries, their credentials, the cache, the scanner."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import features, telemetry
from agent.board import Board
from agent.cluster.client import ApiClient
from agent.cluster.nodes import NodePlatform
from agent.cluster.workloads import WorkloadWatcher
from agent.registry.cache import DiskCache
from agent.registry.client import RegistryClient
from agent.registry.clouds.acr import Acr, AcrSettings
from agent.registry.clouds.ecr import Ecr, EcrSettings
from agent.registry.clouds.gcr import Gcr, GcrSettings
from agent.registry.credentials import ConfigFile, Keys
from agent.registry.demand import Demand, Selection, demands
from agent.registry.library import Library
from agent.registry.limits import Limits
from agent.registry.manifests import Platform
from agent.registry.memcached import SharedCache
from agent.registry.memcached_servers import MemcachedSettings
from agent.registry.mirrors import Mirrors, parse_mirrors
from agent.registry.pull_secrets import PullSecretReader
from agent.registry.records import Cache
from agent.registry.scanner import Parts, Progress, Scanner
from agent.registry.store import ImageStore
from agent.registry.timed import TimedCache
from agent.registry.transport import Transport
from agent.settings import RegistrySettings

MOST_TOLD = 3
"""Troubles that the status names."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the composition finds there already."""

    client: ApiClient
    board: Board
    watcher: WorkloadWatcher
    metrics: telemetry.Metrics
    folder: Path
    stop: threading.Event


class ImageParts:
    """Everything about images, put together; nothing is asked of anybody yet, but of what `--registry-require` names.

    Raises:
        UsageError: What is required cannot be used.
    """

    def __init__(self, settings: RegistrySettings, around: Surroundings) -> None:
        log = telemetry.logger("registry")
        self._around = around
        self._settings = settings
        self._warned: dict[str, float] = {}
        self._log = log
        limits = Limits(settings.rps, settings.burst, around.stop)
        mirrors = Mirrors(parse_mirrors(settings.mirrors), around.client)
        self._transport = Transport(limits, frozenset(settings.insecure_hosts), self._observe, mirrors)
        self._cache = self._cache_of(settings, around.folder)
        self._news: Callable[[], None] = lambda: None
        store = ImageStore(self._cache, time.time, self._changed)
        self._ecr = Ecr(EcrSettings(settings.ecr_regions, settings.ecr_include_ids, settings.ecr_exclude_ids))
        if "ecr" in settings.require:
            self._ecr.check()
        selection = Selection(settings.include, settings.exclude, self._ecr.reason_against)
        parts = Parts(
            RegistryClient(self._transport, self._platform(settings, around.client)),
            self._keys(settings, around.client),
            store,
            limits,
            around.stop,
            around.metrics.observe_scan,
            self._report,
        )
        self.scanner = Scanner(parts, _Wanted(around, selection))
        self.library = Library(store, self.scanner, limits, selection, settings.use_labels)

    def _changed(self) -> None:
        self._news()

    def on_news(self, told: Callable[[], None]) -> None:
        """Who is to be told whenever a scan has brought something."""
        self._news = told

    def close(self) -> None:
        """Let go of connections and files; the scanner has ended."""
        self._transport.close()
        self._cache.close()

    def _cache_of(self, settings: RegistrySettings, folder: Path) -> Cache:
        cache: Cache = DiskCache(folder / "images.db", self._warn)
        if settings.memcached_hostname:
            where = MemcachedSettings(
                settings.memcached_hostname,
                settings.memcached_port,
                settings.memcached_service,
                settings.memcached_timeout,
            )
            cache = SharedCache(where, self._warn)
        return TimedCache(cache, self._around.metrics.observe_cache)

    def _keys(self, settings: RegistrySettings, client: ApiClient) -> Keys:
        config = ConfigFile(Path(settings.docker_config), self._warn) if settings.docker_config else None
        clouds = (self._ecr, Gcr(GcrSettings.of(os.environ), self._transport), Acr(AcrSettings(), self._transport))
        return Keys(PullSecretReader(client, self._warn), config, clouds, self._warn)

    @staticmethod
    def _platform(settings: RegistrySettings, client: ApiClient) -> Callable[[], Platform]:
        if settings.platform:
            fixed = Platform(*settings.platform.split("/", 1))
            return lambda: fixed
        nodes = NodePlatform(client)
        return lambda: Platform(*nodes())

    def _observe(self, host: str, kind: str, status: int, seconds: float) -> None:
        self._around.metrics.observe_registry(host, kind, status, seconds)
        if self._settings.trace:
            self._log.info("asked a registry", host=host, kind=kind, status=status, seconds=round(seconds, 3))

    def _report(self, progress: Progress) -> None:
        self._around.metrics.set_scan_age(time.time() - progress.oldest if progress.oldest else 0.0)
        troubles = progress.troubles
        what = f"{len(troubles)} of {progress.wanted} repositories cannot be scanned"
        feature = features.scanning(enabled=True)
        if troubles:
            reason, brief = "; ".join(troubles[:MOST_TOLD]), "kubectl flux list-images tells of yours"
            feature = features.scanning(enabled=True, trouble=f"{what}: {reason}", brief=f"{what}; {brief}")
        if self._around.board.status().scanning != feature:
            self._around.board.publish(scanning=feature)

    def _warn(self, sentence: str) -> None:
        """Log a trouble, the same one once an hour at most."""
        now = time.monotonic()
        if now - self._warned.get(sentence, -3600.0) >= 3600.0:
            if len(self._warned) > 1000:
                self._warned.clear()
            self._warned[sentence] = now
            self._log.warning(sentence)


class _Wanted:
    """What the workloads of the cluster want, worked out again only where they or git have changed."""

    def __init__(self, around: Surroundings, selection: Selection) -> None:
        self._around = around
        self._selection = selection
        self._seen: tuple[object, object] = (None, None)
        self._found: Mapping[str, Demand] = {}

    def __call__(self) -> Mapping[str, Demand]:
        workloads, policies = self._around.watcher.snapshot().workloads, self._around.board.status().policies
        if self._seen[0] is not workloads or self._seen[1] is not policies:
            self._seen = (workloads, policies)
            self._found = demands(workloads, policies, self._selection)
        return self._found
