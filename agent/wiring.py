"""The composition root: the only place that constructs IO, and hands each part just what it needs."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import telemetry
from agent.api.auth import Admit, admit_everybody, admit_nobody
from agent.api.call import Call
from agent.api.http import Health
from agent.api.jobs import Jobs
from agent.api.server import ApiServer
from agent.api.service import Handlers, Service
from agent.board import Board
from agent.cluster.client import ApiClient
from agent.cluster.connection import Connection, default_namespace, own_namespace
from agent.cluster.secrets import SecretMarker
from agent.cluster.workloads import WorkloadWatcher
from agent.git.mirror import Mirror
from agent.git.state import TagMarker
from agent.git.url import redacted, v1_form
from agent.loop.cluster_lane import ClusterLane, ClusterOptions
from agent.loop.git_lane import GitLane
from agent.loop.messages import Parts
from agent.loop.ports import SyncMarker
from agent.model.errors import NotReadyError, UsageError
from agent.model.status import RepositoryStatus, Status
from agent.model.workloads import WorkloadSnapshot
from agent.settings import Settings
from agent.supervisor import Supervisor
from agent.sync.desired import Scope
from agent.sync.engine import SyncEngine
from agent.sync.marks import marker, v1_salt
from agent.version import version

SOURCE = "default"
"""The name of the source that the flags describe; several named ones can stand beside it."""


@dataclass(frozen=True, slots=True)
class Reads:
    """Where the API reads from: the board of the lanes, and the watches."""

    board: Board
    watcher: WorkloadWatcher

    def status(self) -> Status:
        """How things stand."""
        return self.board.status()

    def workloads(self) -> WorkloadSnapshot:
        """The workloads of the cluster."""
        return self.watcher.snapshot()


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
        self._board = Board(_repository(settings))
        client = ApiClient(self._connection, stop)
        self._interrupt = client.interrupt
        self._watcher = WorkloadWatcher(client, settings.cluster.allowed_namespaces, stop)
        self._git, self._cluster, self._engine = self._lanes(settings, client)
        jobs = Jobs(self._git.request, observer=self._metrics)
        service = Service(Reads(self._board, self._watcher), jobs, self._handlers(), version())
        self._server = ApiServer(service, settings.api, self._admit(settings), self._health, self._metrics.render, stop)
        self._supervisor = self._threads()

    def run(self, grace: float) -> bool:
        """Run until the stop event is set; whether it ended in order within `grace` seconds of that."""
        self._server.start()
        self._supervisor.start()
        self._log.info("started", http_port=self._server.http_port, grpc_port=self._server.grpc_port)
        late = self._supervisor.wait(grace)
        self._server.stop()
        self._engine.close(wait=not late)
        self._connection.close()
        if self._scratch is not None:
            self._scratch.cleanup()
        if late:
            self._log.warning("some threads did not end in time", threads=", ".join(late))
        return not late and not self._supervisor.crashed

    def _lanes(self, settings: Settings, client: ApiClient) -> tuple[GitLane, ClusterLane, SyncEngine]:
        stop, namespace = self._stop, default_namespace(settings.cluster)
        home = settings.cluster.namespace or own_namespace("flux")
        mirror = Mirror(settings.git, self._cache_folder(settings) / "mirror.git", stop)
        sync_marker: SyncMarker = TagMarker(mirror, settings.git)
        if settings.sync.state == "secret":
            sync_marker = SecretMarker(client, home, settings.cluster.secret_name)
        salt = v1_salt(v1_form(settings.git.url), settings.git.branch, settings.git.paths)
        engine = SyncEngine(
            client,
            marker(home, SOURCE, salt),
            Scope(namespace, frozenset(settings.cluster.allowed_namespaces), settings.cluster.excluded_resources),
            settings.sync,
            stop,
        )
        git = GitLane(self._parts("git"), mirror, sync_marker, settings.git.poll_interval)
        options = ClusterOptions(settings.sync.interval, settings.git.paths, namespace, self._watcher.catch_up)
        cluster = ClusterLane(self._parts("sync"), mirror, engine, options)
        git.feed(cluster.inbox)
        cluster.feed(git.inbox.put)
        return git, cluster, engine

    def _handlers(self) -> Handlers:
        return Handlers(
            get_revision=_absent, wait_for_revision=_absent, diff=_absent, export=_absent, get_public_key=_absent
        )

    def _admit(self, settings: Settings) -> Admit:
        return admit_everybody if settings.api.auth == "none" else admit_nobody

    def _cache_folder(self, settings: Settings) -> Path:
        """Where the mirror lives: the given folder, else one among the temporary files that goes with the agent."""
        try:
            if settings.cache_dir:
                folder = Path(settings.cache_dir)
                folder.mkdir(parents=True, exist_ok=True)
                return folder
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
        return supervisor

    def _crashed(self, name: str, trace: str) -> None:
        self._log.error("a thread crashed; the agent stops", thread=name, trace=trace)

    def _health(self) -> Health:
        """Ready once the workloads have been listed: git may be missing, the API answers all the same."""
        return Health(live=not self._supervisor.crashed, ready=self._watcher.ready())


def _absent(_request: object, _call: Call) -> Any:
    raise NotReadyError("this version of flux-agent cannot do that yet")


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
