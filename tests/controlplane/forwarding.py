"""A `kubectl` for tests whose port-forward is simulated: a small TCP relay to an address that the test names.

Simulated kubelets forward no ports, so this is as near as these tests come: the real kubectl does everything else, and
the relay says what the real port-forward says and listens as it does. What the kubelet's part may add, such as streams
that break one by one, is not shown here. Run as a program, this file is the relay.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from pathlib import Path

_CHUNK = 1 << 16
_WRAPPER = """#!/bin/sh
if [ "$1" = port-forward ]; then
  echo "$$ $@" >> '{log}'
  exec '{python}' -S -E '{relay}' '{target}'
fi
exec '{kubectl}' "$@"
"""


def fake_kubectl(folder: Path, target: str) -> Path:
    """Write a `kubectl` into a new folder `bin`, whose port-forward leads to `target`; returns the folder.

    A target `host:port` is relayed to; any other is the complaint with which the port-forward ends. What it was asked
    for is noted in `folder/forwards`, each line beginning with the id of its process.
    """
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    places = [place for place in os.get_exec_path() if Path(place) != bin_folder]
    real = shutil.which("kubectl", path=os.pathsep.join(places))
    text = _WRAPPER.format(
        log=folder / "forwards", python=sys.executable, relay=Path(__file__).resolve(), target=target, kubectl=real
    )
    (bin_folder / "kubectl").write_text(text)
    (bin_folder / "kubectl").chmod(0o755)
    return bin_folder


def main(target: str) -> int:
    """Relay connections to `target` until killed; with anything but an address, complain and end."""
    host, _, port = target.rpartition(":")
    if not port.isdecimal():
        sys.stderr.write(f"error: {target}\n")
        return 1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"Forwarding from 127.0.0.1:{listener.getsockname()[1]} -> {port}\n")
        sys.stdout.flush()
        while True:
            ours, _ = listener.accept()
            threading.Thread(target=_relay, args=(ours, host, int(port)), daemon=True).start()


def _relay(ours: socket.socket, host: str, port: int) -> None:
    try:
        theirs = socket.create_connection((host, port), timeout=10)
    except OSError as error:
        said = f'"Unhandled Error" err="an error occurred forwarding: failed to connect to port {port}: {error}"'
        sys.stderr.write(f"E0101 00:00:00.000000 {os.getpid():7} portforward.go:424] {said}\n")
        sys.stderr.flush()
        ours.close()
        return
    theirs.settimeout(None)
    threading.Thread(target=pump, args=(ours, theirs), daemon=True).start()
    pump(theirs, ours)


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what arrives at one socket to the other, and end both with either."""
    try:
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
