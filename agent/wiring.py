"""The composition root: the only place that constructs IO, and hands each part just what it needs."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent import features, telemetry
from agent.api.auth import Guard, admit_everybody
from agent.api.changes import Changes as ChangeMethods
from agent.api.diff import Diffs, Sources
from agent.api.export import Exports
from agent.api.http import Health
from agent.api.images import Images
from agent.api.jobs import Jobs
from agent.api.keys import IDENTITY_PATH, PublicKeys, identity_page
from agent.api.notify import NOTIFY_PATH, notify_hook
from agent.api.revisions import Revisions
from agent.api.selfcheck import SelfCheck
from agent.api.server import ApiServer, Beside
from agent.api.service import Handlers, Service
from agent.api.tokens import Wanted
from agent.board import Board
from agent.changes import Changes
from agent.cluster.access import Reviewer
from agent.cluster.client import ApiClient
from agent.cluster.connection import Connection, default_namespace, own_namespace
from agent.cluster.export import Exporter
from agent.cluster.secrets import SecretMarker
from agent.cluster.workloads import WorkloadWatcher
from agent.git.blame import blamed
from agent.git.history import History
from agent.git.keys import DeployKey
from agent.git.mirror import Mirror
from agent.git.state import TagMarker
from agent.git.url import redacted, v1_form
from agent.loop.cluster_lane import ClusterLane, ClusterOptions
from agent.loop.git_lane import GitLane
from agent.loop.messages import Parts
from agent.loop.ports import SyncMarker
from agent.manifests.load import ManifestLoader
from agent.model.errors import UsageError
from agent.model.resources import Loaded
from agent.model.status import RepositoryStatus, Status
from agent.model.workloads import WorkloadSnapshot
from agent.settings import Settings
from agent.supervisor import Supervisor
from agent.sync.desired import Scope
from agent.sync.engine import SyncEngine
from agent.sync.marks import marker, v1_salt
from agent.sync.preview import Preview
from agent.version import version
from agent.wiring_images import ImageParts, Surroundings
from agent.wiring_writes import WriteParts, WriteSurroundings

SOURCE = "default"
"""The name of the source that the flags describe; several named ones can stand beside it."""


@dataclass(frozen=True, slots=True)
class Reads:
    """Where the API reads from: the board of the lanes, the watches, and what counts the changes of both."""

    board: Board
    watcher: WorkloadWatcher
    changes: Changes

    def status(self) -> Status:
        """How things stand."""
        return self.board.status()

    def workloads(self) -> WorkloadSnapshot:
        """The workloads of the cluster."""
        return self.watcher.snapshot()

    def version(self) -> int:
        """Counts the changes of both."""
        return self.changes.version

    def wait(self, after: int, timeout: float, over: Callable[[], bool]) -> int:
        """The version, as soon as it is past `after` or after so many seconds."""
        return self.changes.wait(after, timeout, over)


class Agent:
    """Everything that runs, assembled from the settings."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        """Assemble; nothing is started and nothing is asked of git or the cluster yet.

        Raises:
            UsageError: The settings name a cluster that cannot be used.
        """
        self._stop = stop
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._log = telemetry.logger("agent")
        self._connection = Connection(settings.cluster)
        self._metrics = telemetry.Metrics()
        changes = Changes()
        self._board = Board(_repository(settings), changes.touch)
        self._board.publish(
            automation=features.automation(
                repository=bool(settings.git.url),
                read_only=settings.git.readonly,
                scans=not settings.registry.disabled,
            ),
            scanning=features.scanning(enabled=not settings.registry.disabled),
        )
        client = ApiClient(self._connection, stop)
        self._interrupt = client.interrupt
        self._watcher = WorkloadWatcher(client, settings.cluster.allowed_namespaces, stop, changes.touch)
        self._reads = Reads(self._board, self._watcher, changes)
        self._git, self._cluster, self._engine = self._lanes(settings, client)
        self._images = self._images_of(settings, client)
        writes = self._writes_of(settings)
        self._git.write_with(writes.lane)
        jobs = Jobs(self._git.request, observer=self._metrics, start_change=self._git.change, recall=writes.recall)
        self._key = DeployKey(settings.git.ssh_key_path)
        service = Service(self._reads, jobs, self._handlers(settings, client, jobs), version())
        self._self_check: SelfCheck | None = None
        self._guard = self._guard_of(settings, client) if settings.api.auth == "token" else None
        admit = self._guard.admit if self._guard else admit_everybody
        self._server = ApiServer(service, settings.api, admit, self._beside(settings), stop)
        self._supervisor = self._threads()

    def run(self, grace: float) -> bool:
        """Run until the stop event is set; whether it ended in order within `grace` seconds of that."""
        self._server.start()
        self._supervisor.start()
        self._log.info("started", http_port=self._server.http_port, grpc_port=self._server.grpc_port)
        late = self._supervisor.wait(grace)
        self._server.stop()
        if self._guard is not None:
            self._guard.close()
        self._engine.close(wait=not late)
        if self._images is not None:
            self._images.close()
        self._connection.close()
        if self._scratch is not None:
            self._scratch.cleanup()
        if late:
            self._log.warning("some threads did not end in time", threads=", ".join(late))
        return not late and not self._supervisor.crashed

    def _lanes(self, settings: Settings, client: ApiClient) -> tuple[GitLane, ClusterLane, SyncEngine]:
        stop, namespace = self._stop, default_namespace(settings.cluster)
        home = settings.cluster.namespace or own_namespace("flux")
        mirror = self._mirror = Mirror(settings.git, self._cache_folder(settings) / "mirror.git", stop)
        sync_marker: SyncMarker = TagMarker(mirror, settings.git)
        if settings.sync.state == "secret":
            sync_marker = SecretMarker(client, home, settings.cluster.secret_name)
        salt = v1_salt(v1_form(settings.git.url), settings.git.branch, settings.git.paths)
        mark = marker(home, SOURCE, salt)
        allowed = frozenset(settings.cluster.allowed_namespaces)
        scope = Scope(namespace, allowed, settings.cluster.excluded_resources)
        engine = SyncEngine(client, mark, scope, settings.sync, stop)
        self._preview = Preview(client, mark, scope, settings.sync)
        git = GitLane(self._parts("git"), mirror, sync_marker, settings.git.poll_interval)
        options = ClusterOptions(settings.sync.interval, settings.git.paths, namespace, self._watcher.catch_up)
        cluster = ClusterLane(self._parts("sync"), mirror, engine, options)
        git.feed(cluster.inbox)
        cluster.feed(git.inbox.put)
        return git, cluster, engine

    def _writes_of(self, settings: Settings) -> WriteParts:
        library = self._images.library if self._images else None
        around = WriteSurroundings(
            self._mirror,
            self._git.fetch_head,
            self._watcher.snapshot,
            library,
            self._git.inbox.wake,
            self._parts("automation"),
        )
        writes = WriteParts(settings, default_namespace(settings.cluster), around)
        if self._images is not None:
            self._images.on_news(writes.lane.images_changed)
        return writes

    def _images_of(self, settings: Settings, client: ApiClient) -> ImageParts | None:
        if settings.registry.disabled:
            return None
        folder = self._cache_folder(settings)
        around = Surroundings(client, self._board, self._watcher, self._metrics, folder, self._stop)
        return ImageParts(settings.registry, around)

    def _handlers(self, settings: Settings, client: ApiClient, jobs: Jobs) -> Handlers:
        exporter = Exporter(client, Scope(excluded=settings.cluster.excluded_resources).lists, self._log)
        history, blame = History(self._mirror.repository), partial(blamed, self._mirror)
        revisions = Revisions(self._reads, history)
        library = self._images.library if self._images else None
        changes = ChangeMethods(self._reads, jobs)
        images = Images(self._reads, library, lambda: self._reads.status().automation)

        def load(revision: str) -> Loaded:
            known = self._cluster.loaded(revision)
            if known is not None:
                return known
            return ManifestLoader().load(self._mirror.files(revision, settings.git.paths), self._mirror.read)

        return Handlers(
            get_revision=revisions.get,
            wait_for_revision=revisions.wait,
            diff=Diffs(Sources(self._reads, history.resolve, load, self._preview, client, blame)),
            export=Exports(exporter, settings.cluster.allowed_namespaces),
            get_public_key=PublicKeys(self._key.public, self._reads),
            list_images=images.list_images,
            explain=images.explain,
            release=changes.release,
            update_policies=changes.update_policies,
        )

    def _beside(self, settings: Settings) -> Beside:
        """What is served beside the API; of Flux v1's HTTP API what its probes and webhooks ask."""
        git = settings.git
        return Beside(
            self._health,
            self._metrics.render,
            pages={IDENTITY_PATH: identity_page(self._key.public)},
            hooks={NOTIFY_PATH: notify_hook(git.url, git.branch, self._git.notify, self._rescan)},
            observer=self._metrics,
        )

    def _rescan(self, image: str) -> None:
        if self._images is not None:
            self._images.library.rescan(image)

    def _guard_of(self, settings: Settings, client: ApiClient) -> Guard:
        """What finds out who calls, and a look at whether the agent may ask for that."""
        home, reviewer = settings.cluster.namespace or own_namespace("flux"), Reviewer(client)
        self._self_check = SelfCheck(
            lambda: reviewer.missing_rights(settings.cluster.allowed_namespaces),
            lambda missing: self._board.publish(notices=missing),
            self._stop,
        )
        return Guard(reviewer, Wanted(settings.api.auth_audiences or (f"flux:{home}/flux",), home), tally=self._metrics)

    def _cache_folder(self, settings: Settings) -> Path:
        """Where mirror and image cache live: the given folder, else one among the temporary files."""
        try:
            if settings.cache_dir:
                folder = Path(settings.cache_dir)
                folder.mkdir(parents=True, exist_ok=True)
                return folder
            if self._scratch is None:
                self._scratch = tempfile.TemporaryDirectory(prefix="flux-agent-", ignore_cleanup_errors=True)
        except OSError as error:
            raise UsageError(f"there is no place for the mirror: {error}", hint="name one with --cache-dir") from error
        return Path(self._scratch.name)

    def _parts(self, component: str) -> Parts:
        return Parts(self._board, telemetry.logger(component), self._metrics, self._stop)

    def _threads(self) -> Supervisor:
        supervisor = Supervisor(self._stop, self._crashed)
        supervisor.add("git-lane", self._git.run, self._git.inbox.wake)
        supervisor.add("cluster-lane", self._cluster.run, self._cluster.inbox.wake)
        for name, loop in self._watcher.loops():
            supervisor.add(name, loop, self._interrupt)
        if self._images is not None:
            supervisor.add("scanner", self._images.scanner.run, self._images.scanner.wake)
        if self._self_check is not None:
            supervisor.add("self-check", self._self_check.run)
        return supervisor

    def _crashed(self, name: str, trace: str) -> None:
        self._log.error("a thread crashed; the agent stops", thread=name, trace=trace)

    def _health(self) -> Health:
        """Ready once the workloads have been listed: git may be missing, the API answers all the same."""
        if crashed := self._supervisor.crashed:
            return Health(live=False, ready=False, reason=f"the thread {crashed} crashed; the agent's log tells more")
        why = self._watcher.snapshot().not_ready
        return Health(ready=not why, reason=why)


def _repository(settings: Settings) -> RepositoryStatus:
    git = settings.git
    return RepositoryStatus(
        url=redacted(git.url) if git.url else "",
        branch=git.branch,
        paths=git.paths,
        read_only=git.readonly,
        error="" if git.url else "no git repository is configured; name one with --git-url",
        sync_tag=git.sync_tag if settings.sync.state == "git" else "",
    )
