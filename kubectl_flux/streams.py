"""Stdout and stderr made fit for data: nothing is lost, and no text of a cluster's can crash them.

What is not a terminal gets UTF-8 and plain newlines, whatever the locale says, as kubectl writes them; a terminal gets
a question mark for what it cannot show.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO


def prepare() -> None:
    """Make this process's stdout and stderr fit; one that is closed swallows what is written.

    Streams that somebody put in their place are left alone.
    """
    if sys.stdout is sys.__stdout__:
        sys.stdout = _fit(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _fit(sys.stderr)


def abandon() -> None:
    """Let whatever is still buffered for stdout and stderr go nowhere, so that it does not fail once more at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _fit(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - it stays open as long as the process
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if isinstance(stream.buffer, io.RawIOBase):
        # PYTHONUNBUFFERED: a write that the system does in part only would lose its rest.
        buffer = io.BufferedWriter(io.FileIO(stream.fileno(), "w", closefd=False))
        stream = io.TextIOWrapper(buffer, stream.encoding, line_buffering=True)
    if stream.isatty():
        stream.reconfigure(errors="replace")
    else:
        stream.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
    return stream
