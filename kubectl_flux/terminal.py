"""Reads single keys from a terminal, and leaves the terminal as it was, however that ends."""

from __future__ import annotations

import importlib.util
import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SEQUENCES = {b"[A": "up", b"OA": "up", b"[B": "down", b"OB": "down"}
_ESCAPE = b"\x1b"
_PAUSE = 0.05
"""Seconds in which the rest of an arrow key arrives; a lone escape key brings none."""


def has_keys() -> bool:
    """Whether this system lets single keys be read this way; Windows does not."""
    return importlib.util.find_spec("termios") is not None


@contextmanager
def keys(terminal: int) -> Iterator[Callable[[], str]]:
    """Let single keys be read; Ctrl-C stays an interrupt, and so does the request to end.

    Args:
        terminal: The file descriptor of the terminal.

    Yields:
        A function that waits for a key: `up`, `down`, `enter`, a letter, empty at the end of the input, or `?`.
    """
    import termios  # noqa: PLC0415 - not on every system
    import tty  # noqa: PLC0415 - as above

    before = termios.tcgetattr(terminal)
    handlers = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setcbreak(terminal)
        yield lambda: _key(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _key(terminal: int) -> str:
    first = os.read(terminal, 1)
    if first != _ESCAPE:
        return {b"\r": "enter", b"\n": "enter", b"\x04": ""}.get(first, first.decode("ascii", "replace"))
    rest = b""
    while len(rest) < 2 and select.select([terminal], [], [], _PAUSE)[0]:
        rest += os.read(terminal, 1)
    return _SEQUENCES.get(rest, "?")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
