"""`flux-agent`: parse the flags, build the settings, run, return the exit code.

Exit codes: 0 after SIGTERM or SIGINT, 1 when a thread crashed or did not end in time, 2 for wrong usage and where the
agent's libraries are not installed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence

from agent import allocator, flags
from agent.model.errors import UsageError
from agent.settings import Settings
from agent.signals import stop_on_signals
from agent.version import version

GRACE = 25.0
"""Seconds to finish the running step in; Kubernetes kills a pod after 30."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent until it is told to end."""
    try:
        settings = flags.parse(sys.argv[1:] if argv is None else argv, os.environ)
    except flags.HelpRequested:
        sys.stdout.write(flags.help_text())
        return 0
    except flags.VersionRequested:
        sys.stdout.write(f"{version()}\n")
        return 0
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\nRun 'flux-agent --help' for usage.\n")
        return 2
    return _run(settings)


def _run(settings: Settings) -> int:
    try:
        from agent import telemetry  # noqa: PLC0415 # help and usage errors need none of this
        from agent.wiring import Agent  # noqa: PLC0415
    except ModuleNotFoundError as error:
        sys.stderr.write(f"Error: {error}\nThe agent's libraries are an extra: pip install 'kubectl-flux[agent]'\n")
        return 2
    allocator.use_few_arenas()
    telemetry.configure(settings.log_format)
    log = telemetry.logger("agent")
    stop = threading.Event()
    stop_on_signals(stop)
    for notice in settings.notices:
        log.warning(notice)
    try:
        return 0 if Agent(settings, stop).run(GRACE) else 1
    except UsageError as error:
        log.error("cannot start", error=str(error))  # noqa: TRY400 # the sentence says it all
        return 2


if __name__ == "__main__":
    sys.exit(main())
