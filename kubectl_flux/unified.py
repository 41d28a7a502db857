"""Objects before and after as `kubectl diff` shows them: a unified diff, or another program over two folders.

The agent's names never become paths as they are: what no name can hold is replaced.
"""

from __future__ import annotations

import difflib
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_flux.errors import PluginError

if TYPE_CHECKING:
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

BEFORE, AFTER = "LIVE", "MERGED"
LONGEST_NAME = 200
_BOLD, _RED, _GREEN, _CYAN = "1", "31", "32", "36"
_NO_NAME = re.compile(r"[^A-Za-z0-9._:-]")


def file_name(found: pb.ObjectDiff) -> str:
    """What kubectl calls the object's file: `apps.v1.Deployment.demo.web`; nothing in it leads elsewhere."""
    version = found.api_version.replace("/", ".")
    name = f"{version}.{found.kind}.{found.namespace}.{found.name}"
    return _NO_NAME.sub("_", name)[:LONGEST_NAME]


def unified(found: pb.ObjectDiff, *, coloured: bool = False) -> str:
    """The object's unified diff, with the line before it that diff writes over several files."""
    name = file_name(found)
    before, after = f"{BEFORE}/{name}", f"{AFTER}/{name}"
    paint = _painted if coloured else _plain
    lines = difflib.unified_diff(_lines(found.live), _lines(found.planned), before, after, lineterm="")
    return "".join(f"{paint(line)}\n" for line in (f"diff -u -N {before} {after}", *lines))


def compare_with(command: str, found: Iterable[pb.ObjectDiff]) -> int:
    """Run a program over two folders with a file for each object; returns its exit code.

    Args:
        command: The program and its arguments, as a shell would split them; the folders come last.
        found: The objects.

    Raises:
        PluginError: It cannot be run.
    """
    with _folders(found) as (before, after):
        try:
            code = subprocess.run([*shlex.split(command), before, after], check=False).returncode
        except (OSError, ValueError) as error:
            raise PluginError(
                f"{command!r} cannot be run: {error}", hint="Correct or unset KUBECTL_EXTERNAL_DIFF."
            ) from error
    return code if code >= 0 else 128 - code


@contextmanager
def _folders(found: Iterable[pb.ObjectDiff]) -> Iterator[tuple[str, str]]:
    """Both states of every object in folders that only this user can read; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="kubectl-flux-diff-") as root:
        folders = [Path(root, side) for side in (BEFORE, AFTER)]
        for folder in folders:
            folder.mkdir()
        for number, item in enumerate(found):
            name = file_name(item)
            if any((folder / name).exists() for folder in folders):
                name = f"{name}.{number}"
            for folder, text in zip(folders, (item.live, item.planned), strict=True):
                if text:
                    (folder / name).write_text(text, encoding="utf-8", newline="\n")
        yield str(folders[0]), str(folders[1])


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _plain(line: str) -> str:
    return line


def _painted(line: str) -> str:
    code = _colour(line)
    return f"\x1b[{code}m{line}\x1b[0m" if code else line


def _colour(line: str) -> str:
    if line.startswith(("diff ", "--- ", "+++ ")):
        return _BOLD
    if line.startswith("@@"):
        return _CYAN
    return {"-": _RED, "+": _GREEN}.get(line[:1], "")
