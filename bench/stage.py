"""The stage of a measurement: a fresh control plane, the agent deployed on it, and a repository for it.

Every measurement gets its own, so that none pays for what another left behind. The API server is warmed up with a few
objects that are deleted again, because the first ones of their kinds cost it seconds. The raw limits and the agent use
the ServiceAccount of `deploy/` and its rights; people's commands run as a user bound to the Role `flux-operator` of
`deploy/`. Nothing that is measured is done as the administrator.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from calls import AuditLog, Calls  # noqa: E402
from controlplane.build import SOURCE  # noqa: E402
from controlplane.deployed import PROGRAMS, DeployedAgent  # noqa: E402
from controlplane.door import enter_command  # noqa: E402
from controlplane.needs import missing  # noqa: E402
from controlplane.plane import ControlPlane  # noqa: E402
from journal import Journal, Sync  # noqa: E402
from processes import memory_of  # noqa: E402
from repository import BRANCH, Content, Remote, apps, write  # noqa: E402

__all__ = ["AGENT_FLAGS", "LONG", "Asked", "Stage", "enter_command", "kubernetes_version", "missing", "program"]
NAMESPACE = "flux"
PERSON = "alice"
WARM_UP_APPS = 20
ACCOUNT = "flux-operator"
INSIDE = Path(__file__).with_name("inside.py")
LONG = 1800.0
AGENT_FLAGS = (
    f"--git-branch={BRANCH}",
    "--git-poll-interval=1h",  # nothing happens by the clock while something is measured
    "--sync-interval=1h",
    "--sync-timeout=30m",
    "--sync-garbage-collection",
    "--registry-disable-scanning",  # what scanning costs is measured apart
    "--log-format=json",
)
_QUIET_REVISIONS = 3  # leases of Nodes and programs go on; anything else is a controller at work
_QUIET_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One `kubectl flux sync`: the whole command in seconds, the sync it caused, and the requests that took."""

    command: float
    sync: Sync
    calls: Calls


class Stage:
    """A control plane with the agent deployed, not started; a context manager.

    Args:
        auth: What the agent's `--auth` says.
        say: Is told when the programs must be built first.
    """

    def __init__(self, auth: str = "none", say: Callable[[str], None] = print) -> None:
        self._auth = auth
        self._say = say
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Starts everything and warms the API server up."""
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
            self._cleanup.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.audit = AuditLog(self.folder, NAMESPACE)
            self.plane = self._cleanup.enter_context(ControlPlane(self._say, self.audit.flags))
            self.remote = Remote(self.folder / "git")
            (self.folder / "agent").mkdir()
            self.agent = DeployedAgent(self.plane, self.folder / "agent", NAMESPACE)
            self.journal = Journal(self.agent.log)
            rights = [f"--role={ACCOUNT}", f"--user={PERSON}", f"--namespace={NAMESPACE}"]
            self.plane.kubectl("create", "rolebinding", PERSON, *rights)
            self._warm_up()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    # -- what is measured ---------------------------------------------------------------------------------------------

    def inside(self, *arguments: str | Path, person: bool = False) -> dict[str, Any]:
        """Runs `inside.py` beside the control plane, as the agent's ServiceAccount or as a person."""
        environment = {"KUBECONFIG": str(self.agent.kubeconfig), "FLUX_TOKEN": self.token}
        if person:
            environment = self.agent.plugin_environment(PERSON)
        return self.script(INSIDE, *arguments, environment=environment)

    def script(self, path: Path, *arguments: str | Path, environment: Mapping[str, str]) -> dict[str, Any]:
        """Runs a script beside the control plane; the JSON object that it prints."""
        done = self.plane.run([sys.executable, path, *arguments], env=environment, timeout=LONG)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    @functools.cached_property
    def token(self) -> str:
        """A token by which the agent takes a caller for its own ServiceAccount of people who may change things."""
        return self.plane.token(NAMESPACE, ACCOUNT, audience=f"flux:{NAMESPACE}/flux")

    def manifests(self, content: Content) -> Path:
        """The folder with these files, for the raw limits; written once."""
        folder = self.folder / f"manifests-{content.objects}"
        return folder if folder.exists() else write(content, folder)

    def start_agent(self, *flags: str) -> None:
        """Starts the real program on its repository and waits until it has synced that; `flags` beat `AGENT_FLAGS`."""
        known = len(self.journal.syncs())
        self.agent.start(f"--git-url={self.remote.url}", f"--auth={self._auth}", *AGENT_FLAGS, *flags)
        self.journal.wait_for(known + 1, LONG)
        self.settle()

    def ask_for_sync(self) -> Asked:
        """Runs `kubectl flux sync` through the API server, as a person."""
        known = len(self.journal.syncs())
        self.audit.skip()
        command = self.inside("run", "1", "kubectl", "flux", "sync", f"--timeout={LONG:.0f}s", person=True)
        sync = self.journal.wait_for(known + 1, 10.0)[-1]
        return Asked(command["seconds"][0], sync, self.audit.calls())

    def restart_agent(self) -> Asked:
        """Ends the program and starts it again on what it had in its cache folder: it syncs at once."""
        self.agent.stop()
        self.audit.skip()
        started = time.monotonic()
        self.start_agent()
        return Asked(time.monotonic() - started, self.journal.syncs()[-1], self.audit.calls())

    def memory(self) -> dict[str, float]:
        """The agent's memory in MB: the most it ever had resident, and what it has now."""
        return memory_of(self.agent.process.pid)

    def settle(self) -> None:
        """Waits until the controllers have done what was caused: they would take CPU from what comes next."""
        deadline, before = time.monotonic() + LONG, self._revision()
        while time.monotonic() < deadline:
            time.sleep(_QUIET_SECONDS)
            now = self._revision()
            if now - before <= _QUIET_REVISIONS:
                return
            before = now

    # -- how it is set up ---------------------------------------------------------------------------------------------

    def _revision(self) -> int:
        """How many writes etcd has seen."""
        return int(self.plane.api("GET", "/api/v1/namespaces?limit=1")["metadata"]["resourceVersion"])

    def _warm_up(self) -> None:
        content = apps(WARM_UP_APPS, "warm-up")
        self.inside("apply", self.manifests(content))
        teams = sorted({Path(path).parent.name for path in content.files if "/" in path})
        self.plane.kubectl("delete", "namespace", *teams, timeout=LONG)
        self.settle()


def kubernetes_version() -> str:
    """What the control plane is built from."""
    found = re.search(r"k8s\.io/kubernetes v(\S+)", (SOURCE / "go.mod").read_text())
    return found[1] if found else "of unknown version"


def program(name: str) -> Path:
    """One of the programs that are measured, as it is installed."""
    return PROGRAMS / name
