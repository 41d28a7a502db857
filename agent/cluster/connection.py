"""Who we are to the API server and how to reach it: kubeconfig or the pod's ServiceAccount.

The kubernetes package reads the configuration, runs exec plugins and builds the TLS connections; this module is the
only one that imports it. Tokens are taken per request, and a refused one makes the configuration be read again, so
that a rotated token or certificate is used without a restart.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import urllib3
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import ConfigException, incluster_config, kube_config
from yaml import YAMLError

from agent.model.errors import UsageError
from agent.settings import ClusterSettings

POOL_SIZE = 32
"""Connections kept for requests: 20 appliers, lists and reviews."""
WATCHES = 4
"""Connections that watches hold in each namespace scope: one for each kind of workload."""
_RELOAD_EVERY = 10.0
_UNUSABLE = (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError)
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Connection:
    """A connection pool and the credentials that go with it; safe for many threads."""

    def __init__(self, settings: ClusterSettings) -> None:
        """Read the configuration.

        Raises:
            UsageError: There is none, or it makes no sense.
        """
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded_at = 0.0
        self._load()

    def _load(self) -> None:
        self._configuration = _configuration(self._settings)
        manager = RESTClientObject(self._configuration).pool_manager
        self._pool: urllib3.HTTPConnectionPool = manager.connection_from_url(self._configuration.host)
        self._prefix = urllib3.util.parse_url(self._configuration.host).path or ""
        self._loaded_at = time.monotonic()

    @property
    def pool(self) -> urllib3.HTTPConnectionPool:
        """The kept connections to the API server."""
        return self._pool

    @property
    def prefix(self) -> str:
        """The path in front of every API path; empty unless the server's URL has one."""
        return self._prefix.rstrip("/")

    def headers(self) -> dict[str, str]:
        """The authentication header as of now; empty where a client certificate does it."""
        with self._lock:
            token = self._configuration.get_api_key_with_prefix("BearerToken")
            basic = self._configuration.get_basic_auth_token() if self._configuration.username else None
        header = token or basic
        return {"Authorization": header} if header else {}

    def reload(self) -> bool:
        """Read the configuration again after a refusal; False where that was done a moment ago or cannot be done."""
        with self._lock:
            if time.monotonic() - self._loaded_at < _RELOAD_EVERY:
                return False
            try:
                self._load()
            except UsageError:
                return False
            return True

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.close()


def _configuration(settings: ClusterSettings) -> Any:
    configuration = Configuration()
    configuration.connection_pool_maxsize = POOL_SIZE + WATCHES * max(1, len(settings.allowed_namespaces))
    configuration.retries = False
    try:
        if settings.kubeconfig or settings.context or "KUBERNETES_SERVICE_HOST" not in os.environ:
            kube_config.load_kube_config(
                settings.kubeconfig or None, settings.context or None, configuration, persist_config=False
            )
        else:
            incluster_config.load_incluster_config(configuration)
    except _UNUSABLE as error:
        raise UsageError(
            f"the cluster's configuration cannot be used: {error}",
            hint="run in a pod with a ServiceAccount, or give --kubeconfig",
        ) from error
    return configuration


def default_namespace(settings: ClusterSettings) -> str:
    """Where objects go that name no namespace: the flag, else the kubeconfig context's, else `default`.

    As in Flux v1 a KUBECONFIG counts even where the pod's ServiceAccount is used to connect.
    """
    if settings.default_namespace:
        return settings.default_namespace
    if not (settings.kubeconfig or os.environ.get("KUBECONFIG")):
        return "default"
    try:
        contexts, active = kube_config.list_kube_config_contexts(settings.kubeconfig or None)
        chosen = next((context for context in contexts if context["name"] == settings.context), active)
        return str(chosen.get("context", {}).get("namespace") or "default")
    except _UNUSABLE as error:
        raise UsageError(
            f"KUBECONFIG names no default namespace that can be used: {error}", hint="or give --k8s-default-namespace"
        ) from error


def own_namespace(fallback: str) -> str:
    """The namespace the agent's pod runs in."""
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip() or fallback
    except OSError:
        return fallback
