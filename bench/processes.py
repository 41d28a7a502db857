"""What a process of this machine has used, from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

IDLE = 0.05
_LOOK = 1.0
_LOOKS = 3


def memory_of(pid: int) -> dict[str, float]:
    """A process's memory in MB: the most it ever had resident, and what it has now."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return {name: int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmHWM", "VmRSS")}


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used, over all its threads."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_idle(pid: int, timeout: float) -> None:
    """Waits until a process has used next to no CPU in each of some seconds, `timeout` seconds at most."""
    deadline, before, idle = time.monotonic() + timeout, cpu_of(pid), 0
    while idle < _LOOKS and time.monotonic() < deadline:
        time.sleep(_LOOK)
        now = cpu_of(pid)
        idle = idle + 1 if now - before <= IDLE * _LOOK else 0
        before = now
