"""A process inside a network namespace that keeps it alive and hands sockets through its wall.

A socket belongs to the namespace in which it was made, and a file descriptor can be sent to any process. So the
process that runs this file listens or connects inside on request and sends the socket out, and takes a listening
socket made outside and forwards what arrives there. It ends when the other end of its control socket is closed, which
is also when the process that started it dies. `Door` is that other end; `plane.py` owns one.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from typing import Any

TIMEOUT = 10.0
_CONNECT_TIMEOUT = 5.0  # shorter, so that a refusal arrives while it is still waited for
_MESSAGE = 4096
_CHUNK = 1 << 16


class DoorError(Exception):
    """The namespace refused a socket, or could not be made."""


class Door:
    """The outer end: makes a new network namespace, and gives sockets that live in it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*unshare_command(), sys.executable, "-S", "-E", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        ours.settimeout(TIMEOUT)
        self._control = ours
        self._lock = threading.Lock()
        try:
            self._ask({"op": "ping"}).close()
        except DoorError:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process whose namespaces others enter."""
        return self._process.pid

    def listen(self, host: str, port: int = 0) -> socket.socket:
        """A listening socket inside; served from this process, reached by those in the namespace."""
        return self._ask({"op": "listen", "host": host, "port": port})

    def connect(self, host: str, port: int) -> socket.socket:
        """A socket connected to an address inside."""
        return self._ask({"op": "connect", "host": host, "port": port})

    def forward(self, host: str, port: int) -> int:
        """The port on this machine's 127.0.0.1 that leads to an address inside from now on."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._ask({"op": "forward", "host": host, "port": port}, listener).close()
            return int(listener.getsockname()[1])

    def close(self) -> None:
        """Ends the process; the namespace goes with the last process in it."""
        self._control.close()
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(TIMEOUT)

    def _ask(self, request: dict[str, Any], gift: socket.socket | None = None) -> socket.socket:
        with self._lock:
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], [gift.fileno()] if gift else [])
                answer, fds, _, _ = socket.recv_fds(self._control, _MESSAGE, 1)
            except OSError as error:
                raise DoorError(f"The namespace's keeper is gone: {error}.") from error
        if not fds:
            raise DoorError(f"No socket for {request}: {answer.decode() or 'the keeper has ended'}.")
        return socket.socket(fileno=fds[0])


def unshare_command() -> list[str]:
    """What makes a network namespace: as root plainly, for others inside a user namespace of their own."""
    return ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]


def enter_command(pid: int) -> list[str]:
    """What runs the command after it in the namespaces of `pid`, as the same process, and ends it with its parent."""
    user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
    return ["nsenter", "-t", str(pid), "-n", *user, "--", "setpriv", "--pdeathsig", "KILL", "--"]


def _serve(control: socket.socket) -> None:
    while True:
        message, fds, _, _ = socket.recv_fds(control, _MESSAGE, 1)
        if not message:
            return
        try:
            answer = _answer(json.loads(message), fds)
        except OSError as error:
            control.send(str(error).encode())
            continue
        with answer:
            socket.send_fds(control, [b"ok"], [answer.fileno()])


def _answer(request: dict[str, Any], fds: list[int]) -> socket.socket:
    """What to send back; a forward and a ping answer with a socket nobody uses, so that all answers are alike."""
    match request["op"]:
        case "listen":
            return socket.create_server((request["host"], request["port"]), backlog=128)
        case "connect":
            connected = socket.create_connection((request["host"], request["port"]), _CONNECT_TIMEOUT)
            connected.settimeout(None)
            return connected
        case "forward":
            address = (request["host"], request["port"])
            _start(_accept, socket.socket(fileno=fds[0]), address)
    return socket.socket()


def _accept(listener: socket.socket, address: tuple[str, int]) -> None:
    while True:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(address, _CONNECT_TIMEOUT)
        except OSError:
            client.close()
            continue
        server.settimeout(None)
        _start(_copy, client, server)
        _start(_copy, server, client)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copies until either end closes, then closes that direction of both."""
    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _start(work: Any, *arguments: Any) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
