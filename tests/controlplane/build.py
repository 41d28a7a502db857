"""Builds the control plane's programs from go.mod alone, once per machine, and tells where they are.

The binaries lie in the user's cache folder, keyed by a hash of go.mod and go.sum, so every later run starts at once,
also from another checkout. A build goes into a folder of its own that is renamed when it is whole: a folder with the
final name is always complete. Parallel runs wait for one another at a file lock. Run as a script, it builds and
prints the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).resolve().parent
BUILD_TIMEOUT = 45 * 60.0
STAGES = "stages.yaml"
# The stages that make a simulated pod run, become ready, complete when a Job owns it, and go when deleted.
_STAGE_FOLDERS = ("pod/fast", "node/fast", "node/heartbeat-with-lease")
_RECIPE = b"1"  # to be raised when what is built changes without go.mod
_KWOK = "sigs.k8s.io/kwok"


def binaries_folder() -> Path:
    """The folder in which the binaries of this go.mod are, or will be."""
    digest = hashlib.sha256(_RECIPE)
    for name in ("go.mod", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "kubectl-flux" / "controlplane" / digest.hexdigest()[:20]


def is_built() -> bool:
    """Whether nothing has to be compiled any more."""
    return binaries_folder().is_dir()


def build(say: Callable[[str], None] = print) -> Path:
    """Builds unless that was done before, and returns the folder of the binaries.

    Raises:
        subprocess.CalledProcessError: the Go toolchain refused; its words went to stderr.
    """
    target = binaries_folder()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            say("building the Kubernetes control plane for the tests: about 8 minutes, once per machine")
            _build_into(target)
    return target


def _build_into(target: Path) -> None:
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        _go("build", "-trimpath", "-buildvcs=false", "-ldflags", _link_flags(), "-o", f"{partial}/", "tool")
        (partial / STAGES).write_text(_stages())
        partial.chmod(0o755)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _link_flags() -> str:
    """The version that the API server reports; without these it calls itself v0.0.0, and clients believe it."""
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)", (SOURCE / "go.mod").read_text())
    if found is None:
        raise ValueError("go.mod names no version of k8s.io/kubernetes.")
    package = "k8s.io/component-base/version"
    version, major, minor = found.groups()
    return f"-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"


def _stages() -> str:
    module = Path(_go("list", "-m", "-f", "{{.Dir}}", _KWOK).strip())
    files = [
        file
        for folder in _STAGE_FOLDERS
        for file in sorted((module / "kustomize" / "stage" / folder).glob("*.yaml"))
        if file.name != "kustomization.yaml"
    ]
    return "---\n".join(file.read_text().rstrip() + "\n" for file in files)


def _go(*arguments: str) -> str:
    done = subprocess.run(
        ["go", *arguments],
        cwd=SOURCE,
        env={**os.environ, "GOWORK": "off"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=BUILD_TIMEOUT,
    )
    return done.stdout


if __name__ == "__main__":
    print(build(lambda line: print(line, file=sys.stderr, flush=True)))
