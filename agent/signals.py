"""SIGTERM and SIGINT set the stop event, whichever thread the kernel gives them to.

Python runs a signal's handler in the main thread only, and a main thread that waits for a lock is not woken where
another thread got the signal. The byte that the interpreter writes to a wake-up descriptor always arrives.
Source: Python's documentation of `signal.set_wakeup_fd`.
"""

from __future__ import annotations

import signal
import socket
import threading


def stop_on_signals(stop: threading.Event) -> None:
    """From now on a request to end sets the event. Called once, in the main thread."""
    reader, writer = socket.socketpair()
    writer.settimeout(0)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    threading.Thread(target=_listen, args=((reader, writer), stop), name="signals", daemon=True).start()


def _listen(pair: tuple[socket.socket, socket.socket], stop: threading.Event) -> None:
    """Wait for one of the two signals; the pair is kept here, so that both ends stay open."""
    reader = pair[0]
    while not stop.is_set():
        numbers = reader.recv(1)
        if numbers and numbers[0] in (signal.SIGTERM, signal.SIGINT):
            stop.set()
