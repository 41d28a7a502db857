"""What a registry may be asked with: what the cluster and the machine already hold, best first.

First the image pull Secrets of the workloads and of their ServiceAccounts, then the file of `--docker-config`, then
what a cloud gives to its own machines. Nothing here is ever logged but names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from agent.model.errors import FluxError
from agent.model.images import Reference
from agent.registry.docker_config import Entry, read_config
from agent.registry.records import Credential, PullScope


class PullSecrets(Protocol):
    """Reads image pull Secrets from the cluster."""

    def entries(self, scope: PullScope) -> tuple[Entry, ...]:
        """What the Secrets of a scope hold, the workload's own first.

        Raises:
            FluxError: They cannot be read.
        """


class Cloud(Protocol):
    """Gives credentials for the registries of one cloud."""

    def credential(self, image: Reference) -> Credential | None:
        """What to ask with; None where the image is not of this cloud.

        Raises:
            FluxError: It is, but there is no credential to be had.
        """


class ConfigFile:
    """The file of `--docker-config`, read again whenever it changes; one that is broken leaves the last good one."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._lock = threading.Lock()
        self._seen: object = None
        self._entries: tuple[Entry, ...] = ()

    def entries(self) -> tuple[Entry, ...]:
        """What it holds now."""
        with self._lock:
            try:
                # A mounted Secret is a link that is moved: the file behind it is another one each time.
                stat = self._path.stat()
                mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if mark != self._seen:
                    self._seen = mark
                    text = self._path.read_text(encoding="utf-8", errors="replace")
                    self._entries = read_config(text, "--docker-config")
            except OSError as error:
                self._complain(f"the file of --docker-config cannot be read: {error.strerror}")
            except FluxError as error:
                self._warn(str(error))
            return self._entries

    def _complain(self, sentence: str) -> None:
        if self._seen != sentence:
            self._seen = sentence
            self._warn(sentence)


class Keys:
    """Knows what a registry may be asked with.

    Args:
        secrets: Reads image pull Secrets.
        config: The file of `--docker-config`; None where none was given.
        clouds: The clouds to ask.
        warn: Is told what cannot be read; the same words again and again are the log's to bear.
    """

    def __init__(
        self,
        secrets: PullSecrets,
        config: ConfigFile | None,
        clouds: Iterable[Cloud],
        warn: Callable[[str], None],
    ) -> None:
        self._secrets = secrets
        self._config = config
        self._clouds = tuple(clouds)
        self._warn = warn

    def credentials(self, image: Reference, scopes: tuple[PullScope, ...]) -> tuple[Credential, ...]:
        """What to try, best first; trying without one comes after all of them."""
        tried: dict[tuple[str, str, str], Credential] = {}
        for each in self._fitting(image, scopes):
            tried.setdefault((each.username, each.password, each.identity_token), each)
        return tuple(tried.values())

    def _fitting(self, image: Reference, scopes: tuple[PullScope, ...]) -> Iterator[Credential]:
        """All that fit; many Secrets may hold the same."""
        for scope in scopes:
            yield from (entry.credential for entry in self._of(scope) if entry.fits(image))
        if self._config is not None:
            yield from (entry.credential for entry in self._config.entries() if entry.fits(image))
        for cloud in self._clouds:
            try:
                credential = cloud.credential(image)
            except FluxError as error:
                self._warn(str(error))
            else:
                yield from [credential] if credential else []

    def _of(self, scope: PullScope) -> tuple[Entry, ...]:
        try:
            return self._secrets.entries(scope)
        except FluxError as error:
            self._warn(f"the image pull secrets of namespace {scope.namespace} cannot be read: {error}")
            return ()
