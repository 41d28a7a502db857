"""The program of `make dist`, which needs no Python: built for the measurement, so that it is that of these sources."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "scripts" / "dist.py"
_TIMEOUT = 300.0


@contextlib.contextmanager
def program() -> Iterator[tuple[Path | None, str]]:
    """The path of the program as its archive is unpacked, and an empty text; or None, and why it cannot be built."""
    with tempfile.TemporaryDirectory(prefix="bench-dist-") as folder:
        check = _dist("--check")
        if check.returncode:
            yield None, check.stderr.strip()
            return
        built, unpacked = Path(folder) / "dist", Path(folder) / "program"
        _dist(str(built)).check_returncode()
        (archive,) = built.glob("kubectl-flux-*.tar.gz")  # the source distribution has an underscore in its name
        unpacked.mkdir()
        subprocess.run(["tar", "-xzf", archive, "-C", unpacked], check=True, timeout=_TIMEOUT)
        yield unpacked / "kubectl-flux", ""


def _dist(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DIST, *arguments], capture_output=True, text=True, check=False, timeout=_TIMEOUT
    )
