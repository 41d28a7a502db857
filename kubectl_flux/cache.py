"""Small private files in the user's cache folder: tokens, and which agents the API server could not reach.

Only this user may read them: the folder has mode 0700, the files 0600, and whatever belongs to somebody else or is a
symbolic link is left alone. A cache that cannot be read or written is none, and never an error.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

FOLDER = "kubectl-flux"
LARGEST_FILE = 64 * 1024
MOST_FILES = 200

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_OTHERS = 0o077


def cache_folder(environ: Mapping[str, str], platform: str) -> str:
    """Where the files are kept by the customs of a platform, as `sys.platform` names it; empty where nowhere. Pure."""
    home = environ.get("HOME", "")
    named = environ.get("XDG_CACHE_HOME", "")
    if platform == "win32":
        parent = environ.get("LOCALAPPDATA", "")
    elif named.startswith("/"):
        parent = named
    elif platform == "darwin":
        parent = f"{home}/Library/Caches" if home else ""
    else:
        parent = f"{home}/.cache" if home else ""
    return f"{parent}/{FOLDER}" if parent else ""


class Cache:
    """The files of one folder.

    Args:
        folder: Its path; made when the first file is written. Empty for a cache that keeps nothing.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder) if folder else None

    def read(self, name: str) -> str:
        """A file's text; empty where there is none that is ours alone."""
        try:
            path = self._checked() / name
            with os.fdopen(os.open(path, os.O_RDONLY | _NO_LINK), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode) or (os.name == "posix" and found.st_mode & _OTHERS):
                    return ""
                return file.read(LARGEST_FILE).decode() if _is_ours(found) else ""
        except (OSError, ValueError):
            return ""

    def write(self, name: str, text: str) -> None:
        """Put a file in place, whole or not at all."""
        with contextlib.suppress(OSError):
            folder = self._made()
            new = folder / f"{name}.{os.urandom(8).hex()}"
            try:
                with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600), "wb") as file:
                    file.write(text.encode())
                new.replace(folder / name)
            except OSError:
                new.unlink(missing_ok=True)
            _trim(folder)

    def drop(self, name: str) -> None:
        """Remove a file, where there is one."""
        with contextlib.suppress(OSError):
            (self._checked() / name).unlink()

    def _checked(self) -> Path:
        """The folder; an OSError where it is not there, a link, or somebody else's."""
        if self._folder is None:
            raise FileNotFoundError
        found = self._folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or not _is_ours(found):
            raise PermissionError
        return self._folder

    def _made(self) -> Path:
        """The folder, made where it was missing, and closed to others."""
        if self._folder is not None and not self._folder.is_symlink():
            self._folder.parent.mkdir(0o700, parents=True, exist_ok=True)
            self._folder.mkdir(0o700, exist_ok=True)
        folder = self._checked()
        if os.name == "posix" and folder.lstat().st_mode & _OTHERS:
            folder.chmod(0o700)
        return folder


def _is_ours(found: os.stat_result) -> bool:
    return os.name != "posix" or found.st_uid == os.geteuid()


def _trim(folder: Path) -> None:
    """Keep the newest files only; another command may remove the same ones."""
    with os.scandir(folder) as entries:
        files = [(entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in entries]
    for _, path in sorted(files, reverse=True)[MOST_FILES:]:
        Path(path).unlink(missing_ok=True)
