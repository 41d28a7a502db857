"""What this machine lacks to run the control plane, named so that a person can install it."""

from __future__ import annotations

import shutil
import subprocess
import sys

from controlplane.build import is_built
from controlplane.door import unshare_command

_PROGRAMS = {
    "ip": "ip (package iproute2)",
    "kubectl": "kubectl",
    "nsenter": "nsenter (package util-linux)",
    "openssl": "openssl",
    "setpriv": "setpriv (package util-linux)",
    "ssh-keygen": "ssh-keygen (package openssh-client)",
    "unshare": "unshare (package util-linux)",
}


def missing() -> list[str]:
    """Everything that is not there, in words; empty when a control plane can be started."""
    if sys.platform != "linux":
        return ["Linux"]
    lacking = [words for program, words in _PROGRAMS.items() if shutil.which(program) is None]
    if shutil.which("go") is None and not is_built():
        lacking.append("Go 1.26")
    if shutil.which("unshare") and not _can_make_a_namespace():
        lacking.append("root, or user namespaces for everyone")
    return lacking


def _can_make_a_namespace() -> bool:
    return subprocess.run([*unshare_command(), "true"], capture_output=True, check=False, timeout=10.0).returncode == 0
