"""Azure's registries: what a node's `azure.json` holds, a client secret or a managed identity.

A client secret is what the registry is asked with. For a managed identity the node's metadata server gives a token,
which the registry changes into one of its own (https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from agent.model.images import Reference
from agent.registry.clouds.answers import MAX_ANSWER, document_of, token_of
from agent.registry.clouds.renewed import Renewed
from agent.registry.errors import Cause, RegistryError
from agent.registry.records import Credential
from agent.registry.transport import Question, Transport

MAX_FILE = 1 << 20
"""Bytes of the file."""
PATIENCE = 5.0
LIFETIME = 3600.0
"""Seconds for which a registry's token is used; it is good for three hours."""
_HOST = re.compile(r"[a-z0-9-]+\.azurecr\.(io|cn|de|us)")
_RESOURCES = {
    "io": "https://management.azure.com/",
    "cn": "https://management.chinacloudapi.cn/",
    "de": "https://management.microsoftazure.de/",
    "us": "https://management.usgovcloudapi.net/",
}
_WHO = "Azure's metadata server"
_HINT = "the node's managed identity needs the role AcrPull on the registry"
_TOKEN_USER = "00000000-0000-0000-0000-000000000000"  # noqa: S105 # the user name that goes with a token


@dataclass(frozen=True, slots=True)
class AcrSettings:
    """Where things are.

    Attributes:
        config_path: The node's file, mounted.
        metadata_url: The node's metadata server.
        exchange_url: Where a registry changes tokens; `{host}` stands for its host.
    """

    config_path: str = "/etc/kubernetes/azure.json"
    metadata_url: str = "http://169.254.169.254"
    exchange_url: str = "https://{host}/oauth2/exchange"


@dataclass(frozen=True, slots=True)
class _Config:
    """What the file says; a managed identity where there is no secret, the machine's own where it has no client id."""

    tenant: str = ""
    client_id: str = ""
    secret: str = field(default="", repr=False)


class Acr:
    """Gives credentials for Azure's registries; safe for many threads.

    Args:
        settings: Where things are.
        transport: Sends requests.
        clock: Seconds that never jump.
    """

    def __init__(
        self, settings: AcrSettings, transport: Transport, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._lock = threading.Lock()
        self._seen: object = None
        self._config: _Config | RegistryError | None = None
        self._tokens: Renewed[tuple[str, _Config], Credential] = Renewed(self._exchanged, clock)

    def credential(self, image: Reference) -> Credential | None:
        """What to ask with; None where the image is not Azure's, or no `azure.json` is mounted.

        Raises:
            RegistryError: The file cannot be read, or Azure gives no token.
        """
        host = image.host.lower()
        config = self._current() if _HOST.fullmatch(host) else None
        if config is None:
            return None
        if config.secret:
            return Credential(self._settings.config_path, config.client_id, config.secret)
        return self._tokens.of((host, config))

    def _current(self) -> _Config | None:
        """What the file says now; it is read again whenever it changes."""
        path = Path(self._settings.config_path)
        with self._lock:
            try:
                stat = path.stat()
                mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if mark != self._seen:
                    with path.open("rb") as file:
                        self._config = _read(file.read(MAX_FILE + 1), str(path))
                    self._seen = mark
            except FileNotFoundError:
                self._seen = self._config = None
            except OSError as error:
                raise RegistryError(f"{path} cannot be read: {error.strerror}", Cause.UNAUTHORIZED) from None
            if isinstance(self._config, RegistryError):
                raise self._config.with_traceback(None)
            return self._config

    def _exchanged(self, wanted: tuple[str, _Config]) -> tuple[Credential, float]:
        """The registry's own token in exchange for the machine's."""
        host, config = wanted
        form = {"grant_type": "access_token", "service": host, "access_token": self._machine_token(host, config)}
        if config.tenant:
            form["tenant"] = config.tenant
        url = self._settings.exchange_url.format(host=host)
        answer = self._transport.send(Question(url, "token", "POST", form=form, limit=MAX_ANSWER), PATIENCE)
        token = token_of(document_of(answer, host, _HINT), "refresh_token", host)
        return Credential("Azure's managed identity", _TOKEN_USER, token), LIFETIME

    def _machine_token(self, host: str, config: _Config) -> str:
        query = {"api-version": "2018-02-01", "resource": _RESOURCES[host.rpartition(".")[2]]}
        if config.client_id:
            query["client_id"] = config.client_id
        url = f"{self._settings.metadata_url}/metadata/identity/oauth2/token?{urlencode(query)}"
        question = Question(url, "token", headers={"Metadata": "true"}, limit=MAX_ANSWER, direct=True)
        answer = self._transport.send(question, PATIENCE)
        return token_of(document_of(answer, _WHO, _HINT), "access_token", _WHO)


def _read(data: bytes, name: str) -> _Config | RegistryError:
    """What the file holds, or what is wrong with it; never its words."""
    try:
        document = json.loads(data.decode("utf-8-sig")) if len(data) <= MAX_FILE else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return RegistryError(f"{name} is no configuration of Azure's", Cause.UNAUTHORIZED)
    tenant = _text(document, "tenantId")
    if document.get("useManagedIdentityExtension") is True:
        return _Config(tenant, _text(document, "userAssignedIdentityID"))
    client_id, secret = _text(document, "aadClientId"), _text(document, "aadClientSecret")
    if not (client_id and secret):
        return RegistryError(
            f"{name} holds neither a client secret nor a managed identity",
            Cause.UNAUTHORIZED,
            hint="it needs aadClientId and aadClientSecret, or useManagedIdentityExtension",
        )
    return _Config(tenant, client_id, secret)


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""
