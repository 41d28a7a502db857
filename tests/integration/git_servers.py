"""Git servers on loopback for the tests: a real sshd, and `git http-backend` behind TLS and a password.

Both serve the bare repositories of one folder. sshd runs in inetd mode behind a listener of ours, so that the kernel
picks the port and nothing has to be waited for. They need Debian's openssh-server and openssl; see `missing`.
"""

from __future__ import annotations

import base64
import contextlib
import getpass
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
_TIMEOUT = 60


def missing() -> list[str]:
    """What these servers need and this machine has not."""
    return [name for name in ("ssh", "ssh-keygen", "openssl") if not shutil.which(name)] + ([] if SSHD else ["sshd"])


def run(*args: str, cwd: Path | None = None, **extra: str) -> str:
    """Run a program that prepares a test."""
    done = subprocess.run(
        args, cwd=cwd, env={**os.environ, **extra}, capture_output=True, text=True, check=False, timeout=_TIMEOUT
    )
    assert done.returncode == 0, f"{args}: {done.stderr}"
    return done.stdout.strip()


def seed(folder: Path, name: str = "cluster.git", text: str = "a: 1\n") -> str:
    """Commit a file to a bare repository's branch master, making the repository if need be; the commit's id."""
    if not (folder / name).exists():
        run("git", "init", "-q", "--bare", "--template=", "--initial-branch=master", name, cwd=folder)
        run("git", "-C", name, "config", "http.receivepack", "true", cwd=folder)
    parent = "from refs/heads/master^0\n" if (folder / name / "refs/heads/master").exists() else ""
    stream = (
        f"commit refs/heads/master\ncommitter Foo <foo@example.com> 1700000000 +0000\ndata 6\nchange\n{parent}"
        f"M 100644 inline a.yaml\ndata {len(text.encode())}\n{text}\n"
    )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=folder / name, input=stream.encode(), check=True, timeout=_TIMEOUT
    )
    return run("git", "rev-parse", "master", cwd=folder / name)


class Listener:
    """Accepts connections on a port of the kernel's choice and hands each to `serve` in a thread, until closed."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.accepted = threading.Event()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve_and_close, args=(connection,))
            self._threads.append(thread)
            self.accepted.set()
            thread.start()

    def _serve_and_close(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_TIMEOUT)
            self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        """Never answers: a server that hangs. Ends when the client gives up."""
        while connection.recv(4096):
            pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the acceptor
        self._socket.close()
        for thread in (self._acceptor, *self._threads):
            thread.join(_TIMEOUT)
            assert not thread.is_alive()


class SshServer(Listener):
    """A real sshd with a host key of its own, which lets in the keys that were authorised."""

    def __init__(self, folder: Path, repositories: Path) -> None:
        self._folder = folder
        self.repositories = repositories
        self.host_key = self.new_key("host")
        self._authorized = folder / "authorized_keys"
        self._authorized.touch(mode=0o600)
        self._config = folder / "sshd_config"
        self._config.write_text(
            f"HostKey {self.host_key}\nAuthorizedKeysFile {self._authorized}\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n"
            "PermitRootLogin prohibit-password\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's privilege separation insists on it
        super().__init__()

    def new_key(self, name: str) -> Path:
        """Make a key pair in the server's folder; the private key's path."""
        path = self._folder / name
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path))
        return path

    def authorize(self, key: Path, *, read_only: bool = False) -> None:
        """Let this key in, as git servers do: read-only keys get their refusal from the server's script."""
        script = self._folder / "read-only.sh"
        script.write_text(
            '#!/bin/sh\ncase "$SSH_ORIGINAL_COMMAND" in git-receive-pack*)\n'
            "  echo 'ERROR: The key you are authenticating with has been marked as read only.' >&2; exit 1;;\nesac\n"
            'exec git-shell -c "$SSH_ORIGINAL_COMMAND"\n'
        )
        script.chmod(0o755)
        options = f'command="{script}",restrict ' if read_only else "restrict "
        with self._authorized.open("a") as file:
            file.write(options + key.with_suffix(".pub").read_text())

    def known_hosts(self, key: Path | None = None) -> str:
        """The line of known_hosts that trusts this server, or one with another key in the server's name."""
        public = (key or self.host_key).with_suffix(".pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n"

    def url(self, name: str = "cluster.git") -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.repositories}/{name}"

    def serve(self, connection: socket.socket) -> None:
        connection.settimeout(None)  # sshd wants a blocking socket
        with (self._folder / "sshd.log").open("ab") as log:
            subprocess.run(
                [SSHD, "-i", "-e", "-f", str(self._config)],
                stdin=connection,
                stdout=connection,
                stderr=log,
                check=False,
                timeout=_TIMEOUT,
            )


def trusted_certificate(folder: Path) -> tuple[Path, Path]:
    """Make an authority and a certificate of 127.0.0.1 signed by it; the authority's file and the server's."""
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    run(
        "openssl",
        "req",
        "-x509",
        *new_key,
        "-subj",
        "/CN=test authority",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        cwd=folder,
    )
    run(
        "openssl",
        "req",
        *new_key[:-2],
        "-subj",
        "/CN=127.0.0.1",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
        cwd=folder,
    )
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1", "-days", "2", "-extfile", "extensions")
    run("openssl", "x509", "-req", "-in", "server.csr", *signing, "-out", "server.crt", cwd=folder)
    (folder / "server.pem").write_text((folder / "server.crt").read_text() + (folder / "server.key").read_text())
    return folder / "ca.pem", folder / "server.pem"


class HttpsServer(http.server.ThreadingHTTPServer):
    """`git http-backend` behind TLS and basic authentication.

    `writers` and `readers` are `user:password` in clear; `failing` is a status that answers everything when set.
    """

    daemon_threads = False

    def __init__(self, certificate: Path, repositories: Path) -> None:
        super().__init__(("127.0.0.1", 0), _GitHandler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._context = context
        self.repositories = repositories
        self.writers: set[str] = set()
        self.readers: set[str] = set()
        self.failing = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(_TIMEOUT)
        # The handshake happens at the first read, in the connection's own thread.
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        """A client that does not trust the certificate hangs up; the test looks at the client's side."""

    def url(self, user_info: str = "", name: str = "cluster.git") -> str:
        return f"https://{user_info}{'@' if user_info else ''}127.0.0.1:{self.server_address[1]}/{name}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(_TIMEOUT)


class _GitHandler(http.server.BaseHTTPRequestHandler):
    """One request: who is it, may they, then CGI."""

    server: HttpsServer

    def do_GET(self):
        self._answer(b"")

    def do_POST(self):
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def log_message(self, *args):
        """Nothing: what matters is what the client says."""

    def _answer(self, body):
        if self.server.failing:
            return self._refuse(self.server.failing, "sorry")
        user = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if user not in self.server.writers | self.server.readers:
            return self._refuse(401, "who are you?")
        if "git-receive-pack" in self.path and user not in self.server.writers:
            return self._refuse(403, "this token may only read")
        return self._run_backend(user, body)

    def _refuse(self, status, words):
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words.encode())

    def _run_backend(self, user, body):
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": user.partition(":")[0],
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], env=environment, input=body, capture_output=True, check=True, timeout=_TIMEOUT
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
