"""The log line of every change that is asked for, whichever method asks."""

from __future__ import annotations

from agent import telemetry
from agent.api.call import Call

_log = telemetry.logger("api")


def log_change(method: str, call: Call, job_id: str, **more: object) -> None:
    """Say who asked for a change: what was proven of them, which the API server's audit log ties to a person."""
    caller = call.access.caller
    _log.info(
        "a change was asked for",
        method=method,
        caller=caller.name or "anybody (--auth=none)",
        credential_id=caller.credential_id,
        job=job_id,
        **more,
    )
