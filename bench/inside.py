"""What runs inside the control plane's network: the raw limits, and a stopwatch around commands.

A script, run there with $KUBECONFIG as the tests write it (JSON, one cluster, one token); prints one JSON object.

    inside.py apply FOLDER            every manifest applied server-side: 20 threads, prepared bodies, kept connections
    inside.py list FOLDER             every kind of the manifests listed once, in pages of 500
    inside.py get PATH N              N GETs of a path over one kept connection
    inside.py run N COMMAND...        a command run N times, once more before that to warm up where N > 1
    inside.py fresh N COMMAND...      the same, each time with an empty cache folder
    inside.py crowd N COMMAND...      a command run N times at once, after once to warm up

$FLUX_TOKEN, where it is set, goes along with the GETs, for the agent to know who calls.

Nothing of kubectl-flux is imported: this is what the agent and the plugin are compared with.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import yaml

THREADS = 20
PAGE = 500
TIMEOUT = 60.0
COMMAND_TIMEOUT = 1800.0
RESOURCES: Mapping[str, str] = {
    "Namespace": "/api/v1/namespaces",
    "Service": "/api/v1/{scope}services",
    "ConfigMap": "/api/v1/{scope}configmaps",
    "Secret": "/api/v1/{scope}secrets",
    "Deployment": "/apis/apps/v1/{scope}deployments",
}


class Put(NamedTuple):
    """One object, ready to be applied."""

    path: str
    body: bytes


class Server:
    """The API server: makes connections to it."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._address = urlsplit(cluster["server"])
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        token = config["users"][0]["user"]["token"]
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "bench", "Accept": "application/json"}
        if "FLUX_TOKEN" in os.environ:
            self._headers["X-Flux-Token"] = os.environ["FLUX_TOKEN"]

    def connect(self) -> Callable[[str, str, bytes | None], bytes]:
        """A kept connection, as a function of method, path and body that gives the answer's body.

        The function raises SystemExit with the server's words where it refuses.
        """
        connection = http.client.HTTPSConnection(
            self._address.hostname or "", self._address.port, timeout=TIMEOUT, context=self._tls
        )
        headers = {**self._headers, "Content-Type": "application/apply-patch+yaml"}

        def send(method: str, path: str, body: bytes | None) -> bytes:
            connection.request(method, path, body, headers if body else self._headers)
            response = connection.getresponse()
            content = response.read()
            if response.status >= http.HTTPStatus.MULTIPLE_CHOICES:
                raise SystemExit(f"{method} {path}: {response.status} {content[:500].decode(errors='replace')}")
            return content

        return send


def prepared(folder: Path) -> tuple[list[Put], list[Put]]:
    """The namespaces of a folder of manifests, and everything else.

    In the agent's order: a Deployment keeps controllers busy, so it matters to both when they start with that.
    """
    order = list(RESOURCES)
    namespaces: list[Put] = []
    others: list[Put] = []
    for document in sorted(_documents(folder), key=lambda document: order.index(document["kind"])):
        metadata = document["metadata"]
        path = _path(document["kind"], metadata.get("namespace", ""))
        put = Put(f"{path}/{metadata['name']}?fieldManager=raw&force=true", json.dumps(document).encode())
        (others if "namespace" in metadata else namespaces).append(put)
    return namespaces, others


def _documents(folder: Path) -> Iterable[dict[str, Any]]:
    for file in sorted(folder.rglob("*.yaml")):
        yield from yaml.load_all(file.read_bytes(), yaml.CSafeLoader)


def _path(kind: str, namespace: str) -> str:
    return RESOURCES[kind].format(scope=f"namespaces/{namespace}/" if namespace else "")


def apply(server: Server, folder: Path) -> dict[str, Any]:
    """Applies everything, namespaces first."""
    ranks = prepared(folder)
    started = time.perf_counter()
    for rank in ranks:
        _in_parallel(server, rank)
    return {"seconds": time.perf_counter() - started, "objects": sum(map(len, ranks))}


def _in_parallel(server: Server, puts: Iterable[Put]) -> None:
    waiting: queue.SimpleQueue[Put] = queue.SimpleQueue()
    for put in puts:
        waiting.put(put)
    errors: list[BaseException] = []

    def work() -> None:
        send = server.connect()
        try:
            while not errors:
                put = waiting.get_nowait()
                send("PATCH", put.path, put.body)
        except queue.Empty:
            return
        except BaseException as error:  # noqa: BLE001 # told by the main thread
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def list_all(server: Server, folder: Path) -> dict[str, Any]:
    """Lists every kind that the manifests hold, in all namespaces."""
    send = server.connect()
    paths = sorted({_path(document["kind"], "") for document in _documents(folder)})
    send("GET", "/version", None)  # the connection is kept, so making it is not counted
    started, pages, size = time.perf_counter(), 0, 0
    for path in paths:
        token = ""
        while True:
            content = send("GET", f"{path}?limit={PAGE}&continue={quote(token)}", None)
            pages, size = pages + 1, size + len(content)
            token = json.loads(content)["metadata"].get("continue", "")
            if not token:
                break
    return {"seconds": time.perf_counter() - started, "pages": pages, "bytes": size}


def get(server: Server, path: str, times: int) -> dict[str, Any]:
    """GETs a path again and again."""
    send = server.connect()
    size = len(send("GET", path, None))
    return {"seconds": [_timed(lambda: send("GET", path, None)) for _ in range(times)], "bytes": size}


def run(command: list[str], times: int, *, fresh: bool = False) -> dict[str, Any]:
    """Runs a command, whole processes; its stdout goes through a pipe and is counted."""
    if times > 1:
        _once(command)
    done = [_with_empty_cache(command) if fresh else _once(command) for _ in range(times)]
    if failed := [each.error for each in done if each.error]:
        raise SystemExit(f"{' '.join(command)}: {failed[0]}")
    return {"seconds": [each.seconds for each in done], "lines": done[-1].lines}


def crowd(command: list[str], times: int) -> dict[str, Any]:
    """Runs a command so many times at once; tells what each took, what all took, and what those that failed said."""
    _once(command)
    started = time.perf_counter()
    with ThreadPoolExecutor(times) as pool:
        done = list(pool.map(_once, [command] * times))
    total = time.perf_counter() - started
    failures = [each.error for each in done if each.error]
    return {"seconds": [each.seconds for each in done], "total": total, "failures": failures}


class Done(NamedTuple):
    """One command that was run; `error` is empty where it succeeded."""

    seconds: float
    lines: int
    error: str


def _once(command: list[str], environment: Mapping[str, str] | None = None) -> Done:
    started = time.perf_counter()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=COMMAND_TIMEOUT, env=environment
    )
    taken = time.perf_counter() - started
    error = f"ended with {done.returncode}: {done.stderr.decode(errors='replace')}" if done.returncode else ""
    return Done(taken, done.stdout.count(b"\n"), error)


def _with_empty_cache(command: list[str]) -> Done:
    with tempfile.TemporaryDirectory(prefix="bench-cache-") as folder:
        return _once(command, {**os.environ, "XDG_CACHE_HOME": folder})


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(arguments: list[str]) -> None:
    """Does what the first argument says."""
    match arguments:
        case ["run" | "fresh" as how, times, *command]:
            answer = run(command, int(times), fresh=how == "fresh")
        case ["crowd", times, *command]:
            answer = crowd(command, int(times))
        case [what, *rest]:
            server = Server(Path(os.environ["KUBECONFIG"]))
            match what, rest:
                case "apply", [folder]:
                    answer = apply(server, Path(folder))
                case "list", [folder]:
                    answer = list_all(server, Path(folder))
                case "get", [path, times]:
                    answer = get(server, path, int(times))
                case _:
                    raise SystemExit(__doc__)
        case _:
            raise SystemExit(__doc__)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
