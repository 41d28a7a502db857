"""Builds dist/: the wheel, this machine's self-contained archive of the plugin, and krew's manifest of that archive.

Run by `make dist`, with the virtual environment's Python: `dist.py [FOLDER]`, or `dist.py --check` to hear what is
missing. The archive needs no Python where it is unpacked; the agent is not in it. Built twice from the same sources by
the same Python it is the same, byte for byte. RELEASES in the environment is the address under which the archive is
going to be published.
"""  # noqa: INP001 - a script

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kubectl_flux import __version__

ROOT = Path(__file__).parents[1]

MADE_AT = 946684800
"""The time that every file in the archive is given, in seconds since 1970: the same for every build."""

HELPER = '#!/bin/sh\n# kubectl\'s own completion calls this.\nexec kubectl-flux __complete "$@"\n'

# The agent, typer's coloured output, which is switched off, and the standard library's own tools and servers.
LEFT_OUT = (
    *("agent", "rich", "pygments", "markdown_it", "asyncio", "bz2", "curses", "doctest", "lzma", "multiprocessing"),
    *("pdb", "pydoc", "sqlite3", "tkinter", "unittest", "xml"),
)
WITH_LICENCES = ("click", "protobuf", "PyYAML", "typer")

MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class Readable(yaml.SafeDumper):
    """Writes texts of several lines as they are."""


Readable.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def main() -> int:
    """Build everything; returns the exit code."""
    lacking = missing()
    if lacking:
        sys.stderr.write(f"The archive cannot be built: {lacking}\n")
        return 1
    if sys.argv[1:] == ["--check"]:
        return 0
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    system, machine = platform.system().lower(), MACHINES.get(platform.machine().lower(), platform.machine().lower())
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    subprocess.run([program("hatchling"), "build", "-d", target], check=True, cwd=ROOT)
    archive = target / f"kubectl-flux-{__version__}-{system}-{machine}.tar.gz"
    with tempfile.TemporaryDirectory() as folder:
        pack(freeze(Path(folder)), archive)
    source = yaml.safe_load((ROOT / "krew.yaml").read_text())
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    filled = manifest(source, system, machine, f"{releases(source)}/{archive.name}", checksum)
    (target / "krew.yaml").write_text(yaml.dump(filled, Dumper=Readable, sort_keys=False, width=120))
    sys.stdout.write(f"{archive.name}: {archive.stat().st_size >> 20} MiB, sha256 {checksum}\n")
    return 0


def missing() -> str:
    """What this machine lacks for it and how to get it, as a sentence; empty where nothing is missing."""
    from PyInstaller.depend.bindepend import get_python_library_path  # noqa: PLC0415 - slow
    from PyInstaller.exceptions import PythonLibraryNotFoundError  # noqa: PLC0415

    tools = [tool for tool in ("objcopy", "strip") if not shutil.which(tool)]
    if tools:
        return f"{' and '.join(tools)} are not installed (Debian: apt-get install binutils)."
    try:
        get_python_library_path()
    except PythonLibraryNotFoundError:
        name = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
        return (
            f"{sys.base_prefix} has no shared {name} (Debian's own Python: apt-get install {name}; "
            "one built from source: configure it with --enable-shared)."
        )
    return ""


def freeze(folder: Path) -> Path:
    """Make the folder that the archive holds: the program, what it loads, kubectl's helper and the licence."""
    command = [
        *(sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level=WARN", "--onedir", "--strip"),
        *("--name=kubectl-flux", "--contents-directory=lib", f"--specpath={folder}", f"--workpath={folder}/work"),
        *(f"--distpath={folder}", f"--paths={ROOT}"),
        *(f"--exclude-module={name}" for name in LEFT_OUT),
        *(f"--copy-metadata={name}" for name in WITH_LICENCES),
        "--collect-data=kubectl_flux",
        str(ROOT / "scripts" / "plugin.py"),
    ]
    steady = {"PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": str(MADE_AT)}
    subprocess.run(command, check=True, cwd=folder, env={**os.environ, **steady})
    made = folder / "kubectl-flux"
    helper = made / "kubectl_complete-flux"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    shutil.copy(ROOT / "LICENSE", made)
    return made


def pack(folder: Path, archive: Path) -> None:
    """Pack what a folder holds, in order of names and without anything of this machine.

    krew unpacks plain files only, so what a link leads to is packed in its place.
    """
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=MADE_AT) as packed,
        tarfile.open(fileobj=packed, mode="w", dereference=True) as tar,
    ):
        for path in files(folder):
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=anonymous)


def files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in order of names."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An entry of the archive that tells nothing of who packed it, when, or under which umask."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = MADE_AT
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    if entry.islnk():
        raise ValueError(f"{entry.name} is a second name of another file")
    return entry


def manifest(source: dict[str, Any], system: str, machine: str, uri: str, checksum: str) -> dict[str, Any]:
    """The manifest for krew with this one platform, its placeholders filled in.

    Raises:
        ValueError: The manifest does not list the platform.
    """
    wanted = {"os": system, "arch": machine}
    found = [entry for entry in source["spec"]["platforms"] if entry["selector"]["matchLabels"] == wanted]
    if not found:
        raise ValueError(f"krew.yaml does not list {system}/{machine}")
    platforms = [{**found[0], "uri": uri, "sha256": checksum}]
    return {**source, "spec": {**source["spec"], "version": f"v{__version__}", "platforms": platforms}}


def releases(source: dict[str, Any]) -> str:
    """The address under which archives are published."""
    listed = str(source["spec"]["platforms"][0]["uri"])
    return (os.environ.get("RELEASES") or listed.rpartition("/")[0]).rstrip("/")


def program(name: str) -> str:
    """A program of the virtual environment."""
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    sys.exit(main())
