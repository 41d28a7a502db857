"""An HTTP proxy that knows CONNECT alone: what a kubeconfig's `proxy-url` points at.

Run as a program with `host:port` to listen on; each tunnel's target is written to stdout.
"""

from __future__ import annotations

import socket
import sys
import threading

from forwarding import pump

_HEAD_END = b"\r\n\r\n"
_MOST = 8192


def main(address: str) -> None:
    """Serve until killed."""
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_tunnel, args=(client,), daemon=True).start()


def _tunnel(client: socket.socket) -> None:
    head = b""
    while _HEAD_END not in head and len(head) < _MOST:
        chunk = client.recv(_MOST)
        if not chunk:
            break
        head += chunk
    words = head.split()
    if len(words) < 2 or words[0] != b"CONNECT":
        client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
        client.close()
        return
    target = words[1].decode()
    host, _, port = target.rpartition(":")
    server = socket.create_connection((host, int(port)), timeout=10)
    server.settimeout(None)
    sys.stdout.write(f"{target}\n")
    sys.stdout.flush()
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)


if __name__ == "__main__":
    main(sys.argv[1])
