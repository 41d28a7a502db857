"""A small HTTP server that tells what it was asked: the far end of the services proxy."""

from __future__ import annotations

import contextlib
import http.server
import threading


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked; below /stream in parts, below /teapot with 418."""

    protocol_version = "HTTP/1.1"

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/stream"):
            self._stream()
            return
        lines = [f"{self.command} {self.path}", *(f"{k.lower()}: {v}" for k, v in self.headers.items()), ""]
        content = "\n".join(lines).encode() + body
        self.send_response(418 if self.path.startswith("/teapot") else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Echo", "yes")
        self.end_headers()
        self.wfile.write(content)

    do_GET = _answer  # noqa: N815  # the base class's names
    do_POST = _answer  # noqa: N815

    def _stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        self.wfile.flush()
        self.server.carry_on.wait(60)
        self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

    def log_message(self, *_):
        pass


carry_on = threading.Event()
"""Lets a stream of `Echo` send its second part."""


@contextlib.contextmanager
def serving(listener):
    """Serves `Echo` at a listening socket; gives its port."""
    with listener:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        server.carry_on = carry_on
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()
