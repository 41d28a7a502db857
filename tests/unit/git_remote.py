"""A git server's side for the tests: a bare repository in a folder, and commits made in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

AUTHOR = {"GIT_AUTHOR_NAME": "Foo", "GIT_AUTHOR_EMAIL": "foo@example.com", "GIT_AUTHOR_DATE": "@1700000000 +0000"}
COMMITTER = {key.replace("AUTHOR", "COMMITTER"): value for key, value in AUTHOR.items()}


def git(cwd: Path, *args: str, **extra: str) -> str:
    """Run git the way a person would, but with nobody's configuration."""
    environment = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **AUTHOR, **COMMITTER}
    done = subprocess.run(
        ["git", *args], cwd=cwd, env={**environment, **extra}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Remote:
    """A bare repository and a work tree that pushes to it."""

    def __init__(self, folder: Path, branch: str = "master") -> None:
        self.bare = folder / "remote.git"
        self.work = folder / "work"
        self.branch = branch
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "-q", "--bare", "--template=", str(self.bare))
        git(folder, "init", "-q", "--template=", f"--initial-branch={branch}", str(self.work))
        git(self.work, "remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def commit(self, files: dict[str, str | bytes | None], message: str = "change", **extra: str) -> str:
        """Write or (None) delete these files, commit and force-push; the commit's id."""
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", message, **extra)
        return self.push()

    def push(self) -> str:
        git(self.work, "push", "-q", "--force", "origin", f"HEAD:refs/heads/{self.branch}")
        return git(self.work, "rev-parse", "HEAD")

    def refs(self) -> dict[str, str]:
        lines = git(self.bare, "for-each-ref", "--format=%(refname) %(objecttype) %(objectname)").splitlines()
        return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}

    def hook(self, name: str, script: str) -> None:
        path = self.bare / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
