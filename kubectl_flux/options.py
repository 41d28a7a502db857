"""The global flags as frozen values, each from argv, else from its environment variable, else its default.

`commands/root.py` declares them for the command line and calls `resolve`; everything below takes a `Globals` and reads
neither argv nor the environment. Texts of wrong values are pflag's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kubectl_flux.arguments import invalid
from kubectl_flux.cache import cache_folder
from kubectl_flux.errors import UsageError

DEFAULT_LABELS = "app=flux"
DEFAULT_TIMEOUT = "1m0s"
TOKEN_VARIABLES = ("FLUX_TOKEN", "WEAVE_CLOUD_TOKEN", "FLUX_SERVICE_TOKEN")

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 2**63 / 1e9
"""Seconds of the longest duration that Go knows."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_ACCOUNT = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?/)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_IN_HTTP = re.compile(r"[!-~]*")
"""What HTTP takes as it is, in a path or a header."""
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")


@dataclass(frozen=True, slots=True)
class GlobalFlags:
    """The global flags as they were given, None where they were not."""

    context: str | None = None
    kubeconfig: str | None = None
    cluster: str | None = None
    user: str | None = None
    as_user: str | None = None
    as_uid: str | None = None
    as_groups: tuple[str, ...] = ()
    certificate_authority: str | None = None
    insecure: bool = False
    service_account: str | None = None
    forward_namespace: str | None = None
    forward_labels: str | None = None
    url: str | None = None
    timeout: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """Which cluster, as whom: what is passed through to kubectl. Empty means kubectl's own default.

    `certificate_authority` is a file, and with `insecure` no certificate is checked: the API server's, or that of the
    agent at `Globals.url`. `kubeconfig_files` are read in kubectl's order for what the context names. `in_cluster`
    tells that kubectl can do without them, because it runs in a pod, in `pod_namespace` where that is known.
    """

    context: str = ""
    kubeconfig: str = ""
    cluster: str = ""
    user: str = ""
    as_user: str = ""
    as_uid: str = ""
    as_groups: tuple[str, ...] = ()
    certificate_authority: str = ""
    insecure: bool = False
    kubeconfig_files: tuple[str, ...] = ()
    in_cluster: bool = False
    pod_namespace: str = ""


@dataclass(frozen=True, slots=True)
class Globals:
    """What every command may rely on.

    `agent_namespace` is empty where the usual namespaces are to be tried. `service_account` is `[NAMESPACE/]NAME`,
    empty for the usual ones. `url` is empty where the way leads through the API server; it has no trailing slash.
    `timeout` is in seconds. `cache_folder` is empty where nothing is to be kept.
    """

    cluster: ClusterAccess = field(default_factory=ClusterAccess)
    agent_namespace: str = ""
    agent_labels: str = DEFAULT_LABELS
    service_account: str = ""
    url: str = ""
    token: str = field(default="", repr=False)
    timeout: float = 60.0
    cache_folder: str = ""
    timeout_given: bool = False
    """Whether somebody chose the timeout: commands that usually take long have longer ones of their own."""


def resolve(flags: GlobalFlags, environ: Mapping[str, str]) -> Globals:
    """Settle every global setting.

    Raises:
        UsageError: A value cannot be read, or a token was given without a URL.
    """
    url = _url(_chosen(flags.url, environ, "FLUX_URL"))
    timeout = _chosen(flags.timeout, environ, "FLUX_TIMEOUT")
    token = _token(_chosen(flags.token, environ, *TOKEN_VARIABLES))
    if token and not url:
        raise UsageError(
            "a token was given without a URL: the hosted service (Weave Cloud) that took it is gone",
            hint="Give the agent's own address with --url, or neither to go through the cluster's API server.",
        )
    return Globals(
        cluster=_cluster_access(flags, environ),
        agent_namespace=_namespace(_chosen(flags.forward_namespace, environ, "FLUX_FORWARD_NAMESPACE")),
        agent_labels=parse_labels(_chosen(flags.forward_labels, environ, "FLUX_FORWARD_LABELS") or DEFAULT_LABELS),
        service_account=parse_account(_chosen(flags.service_account, environ, "FLUX_SERVICE_ACCOUNT")),
        url=url,
        token=token,
        timeout=parse_duration(timeout or DEFAULT_TIMEOUT, "--timeout"),
        timeout_given=bool(timeout),
        cache_folder=cache_folder(environ, sys.platform),
    )


def parse_duration(text: str, flag: str) -> float:
    """Read a duration as Go writes it, such as `1h30m`, in seconds.

    Raises:
        UsageError: It is none, or it is not longer than nothing.
    """
    written = "0s" if text == "0" else text
    total = 0.0
    position = 0
    while position < len(written):
        part = _PART.match(written, position)
        if part is None:
            raise invalid(text, flag, f'time: invalid duration "{text}"')
        number, unit = part.groups()
        if not unit:
            raise invalid(text, flag, f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise invalid(text, flag, f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _UNITS[unit]
        position = part.end()
    if not text or total > _LONGEST:
        raise invalid(text, flag, f'time: invalid duration "{text}"')
    if total <= 0:
        raise invalid(text, flag, "it must be longer than nothing")
    return total


def parse_labels(text: str) -> str:
    """Read `key=value,…` into a label selector; the last value of a key counts.

    Raises:
        UsageError: A part is no `key=value`.
    """
    labels: dict[str, str] = {}
    for part in text.strip("[]").split(","):
        key, equals, value = part.strip().partition("=")
        if not equals or not key:
            raise invalid(text, "--k8s-fwd-labels", f"{part} must be formatted as key=value")
        labels[key] = value
    return ",".join(f"{key}={value}" for key, value in labels.items())


def parse_account(text: str) -> str:
    """Read a ServiceAccount's `[NAMESPACE/]NAME`.

    Raises:
        UsageError: It cannot be one's name.
    """
    if text and not _ACCOUNT.fullmatch(text):
        raise invalid(text, "--service-account", "it must be NAME or NAMESPACE/NAME of a ServiceAccount")
    return text


def _cluster_access(flags: GlobalFlags, environ: Mapping[str, str]) -> ClusterAccess:
    in_cluster = bool(environ.get("KUBERNETES_SERVICE_HOST"))
    return ClusterAccess(
        context=flags.context or "",
        kubeconfig=flags.kubeconfig or "",
        cluster=flags.cluster or "",
        user=flags.user or "",
        as_user=flags.as_user or "",
        as_uid=flags.as_uid or "",
        as_groups=flags.as_groups,
        certificate_authority=flags.certificate_authority or "",
        insecure=flags.insecure,
        kubeconfig_files=_kubeconfig_files(flags.kubeconfig, environ),
        in_cluster=in_cluster,
        pod_namespace=environ.get("POD_NAMESPACE", "") if in_cluster else "",
    )


def _chosen(flag: str | None, environ: Mapping[str, str], *variables: str) -> str:
    if flag is not None:
        return flag
    return next((environ[name] for name in variables if environ.get(name)), "")


def _namespace(text: str) -> str:
    """The name, refused where it cannot be one: it becomes part of paths and of a regular expression."""
    if text and not _NAME.fullmatch(text):
        raise invalid(text, "--k8s-fwd-ns", "a namespace's name has lower case letters, digits and dashes only")
    return text


def _token(text: str) -> str:
    """The token, which an error never repeats."""
    if not _IN_HTTP.fullmatch(text):
        raise UsageError("the token has a character that no token has, such as a space or a line break")
    return text


def _url(text: str) -> str:
    """The URL without Flux v1's `/api/flux` at its end."""
    if not text:
        return ""
    if not text.startswith(("http://", "https://")):
        raise invalid(text, "-u, --url", "it must begin with http:// or https://")
    try:
        named = urlsplit(text)
        reachable = bool((named.hostname or "").encode("idna")) and named.port != 0
    except ValueError:
        reachable = False
    if not reachable:
        raise invalid(text, "-u, --url", "it names no host, or no port that can be one")
    if not _IN_HTTP.fullmatch(named.path):
        raise invalid(text, "-u, --url", "its path has a character that no address has as it is, such as a space")
    return text.rstrip("/").removesuffix("/api/flux").rstrip("/")


def _kubeconfig_files(flag: str | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    if flag:
        return (flag,)
    listed = environ.get("KUBECONFIG", "")
    separator = ";" if environ.get("OS") == "Windows_NT" else ":"
    home = environ.get("HOME") or environ.get("USERPROFILE", "")
    return tuple(path for path in listed.split(separator) if path) or ((f"{home}/.kube/config",) if home else ())
