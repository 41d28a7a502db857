"""Who the person is, by the configuration of their git: what changes are asked for in the name of."""

from __future__ import annotations

import subprocess

PATIENCE = 5.0
_COMMAND = ("git", "config", "--null", "--get-regexp", r"^user\.(name|email)$")


def configured_user(command: tuple[str, ...] = _COMMAND) -> str:
    """`Name <email>` as `git commit` would use it in this folder; only one where the other is not set.

    Returns:
        The text; empty where neither is set, or git is not there or does not answer.
    """
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    pairs = (entry.partition("\n") for entry in done.stdout.decode(errors="replace").split("\0"))
    values = {key.lower(): " ".join(value.split()) for key, _, value in pairs}  # the last of a key counts, as for git
    name, email = values.get("user.name", ""), values.get("user.email", "")
    return f"{name} <{email}>" if name and email else name or email
