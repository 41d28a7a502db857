"""What the agent was told, as frozen values: each component receives only its own.

The flags in `agent/flags.py` fill these; nothing else reads the command line or the environment. Durations are in
seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GitSettings:
    """The repository and how to treat it. `url` may carry a password: never print it, see `git.url.redacted`."""

    url: str = field(default="", repr=False)
    branch: str = "master"
    paths: tuple[str, ...] = ()
    poll_interval: float = 300.0
    timeout: float = 20.0
    readonly: bool = False
    sync_tag: str = "flux-sync"
    notes_ref: str = "flux"
    user: str = "Weave Flux"
    email: str = "support@weave.works"
    set_author: bool = False
    ci_skip: bool = False
    ci_skip_message: str = ""
    ssh_key_path: str = ""


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How the cluster is brought to git."""

    interval: float = 300.0
    timeout: float = 60.0
    garbage_collection: bool = False
    garbage_collection_dry: bool = False
    deletion_limit: str = "20%,10"
    held_kinds: tuple[str, ...] = ("Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim")
    state: str = "git"
    concurrency: int = 20


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Which API server, and what of it."""

    kubeconfig: str = ""
    context: str = ""
    allowed_namespaces: tuple[str, ...] = ()
    default_namespace: str = ""
    excluded_resources: tuple[str, ...] = ("*metrics.k8s.io/*", "webhook.certmanager.k8s.io/*", "v1/Event")
    namespace: str = ""
    secret_name: str = "flux-git-deploy"  # noqa: S105 # the name of a Secret, not a secret


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where the agent listens, as `host:port` with an empty host for all; `auth` is `token` or `none`.

    `auth_audiences` are those of the tokens that are taken; none stands for the agent's own.
    """

    listen: str = ":3030"
    listen_grpc: str = ":3032"
    listen_metrics: str = ""
    auth: str = "token"
    auth_audiences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Which registries are asked, how fast, with what, and where their answers are kept. Globs match canonical names.

    `platform` is `os/architecture`; empty stands for that of the cluster's nodes.
    """

    disabled: bool = False
    exclude: tuple[str, ...] = ("k8s.gcr.io/*",)
    include: tuple[str, ...] = ()
    use_labels: tuple[str, ...] = ("index.docker.io/weaveworks/*", "index.docker.io/fluxcd/*")
    insecure_hosts: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    rps: float = 200.0
    burst: int = 125
    platform: str = ""
    trace: bool = False
    require: tuple[str, ...] = ()
    ecr_regions: tuple[str, ...] = ()
    ecr_include_ids: tuple[str, ...] = ()
    ecr_exclude_ids: tuple[str, ...] = ("602401143452", "918309763551")
    docker_config: str = ""
    memcached_hostname: str = ""
    memcached_port: int = 11211
    memcached_service: str = "memcached"
    memcached_timeout: float = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it, and the lines to say once at start (flags without effect, deprecated names)."""

    git: GitSettings = field(default_factory=GitSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    cache_dir: str = ""
    log_format: str = "fmt"
    automation_interval: float = 300.0
    notices: tuple[str, ...] = ()
