"""The rows of the table of flags that are about images: registries, their credentials, and the cache."""

from __future__ import annotations

from agent.flag_checks import one_of, platform, port, positive
from agent.flag_row import Flag, deprecated, gone, group


def _strings(name: str, meaning: str, target: str, default: tuple[str, ...] = ()) -> Flag:
    return Flag(name, "strings", meaning, default, target=f"registry.{target}")


REGISTRY = group(
    "Images and registries",
    Flag(
        "automation-interval",
        "duration",
        "how often to look for images that policies want, besides whenever a scan has found something new",
        300.0,
        target="automation_interval",
        check=positive,
    ),
    deprecated("registry-poll-interval", "duration", "how often to look for new images", "automation-interval"),
    Flag("registry-disable-scanning", "bool", "never ask a registry", default=False, target="registry.disabled"),
    _strings("registry-exclude-image", "globs of images not to scan", "exclude", ("k8s.gcr.io/*",)),
    _strings("registry-include-image", "globs of images to scan, less the excluded; all if empty", "include"),
    _strings(
        "registry-use-labels",
        "globs of images whose build time is read from labels",
        "use_labels",
        ("index.docker.io/weaveworks/*", "index.docker.io/fluxcd/*"),
    ),
    _strings("registry-insecure-host", "hosts that may be reached over HTTP or unverified", "insecure_hosts"),
    _strings(
        "registry-mirror",
        "HOST=ADDRESS: ask ADDRESS for images of HOST, such as one at localhost that only nodes can reach",
        "mirrors",
    ),
    Flag(
        "registry-rps",
        "float",
        "most requests per second and host; each host is trusted with 50 at first",
        200.0,
        target="registry.rps",
        check=positive,
    ),
    Flag(
        "registry-burst",
        "int",
        "most requests at once and per host",
        125,
        target="registry.burst",
        check=positive,
    ),
    Flag(
        "registry-platform",
        "string",
        "which image of several counts, as os/architecture; that of the cluster's nodes if empty",
        target="registry.platform",
        check=platform,
    ),
    Flag("registry-trace", "bool", "log requests to registries", default=False, target="registry.trace"),
    Flag(
        "registry-require",
        "strings",
        "exit unless these can be used; ecr is known",
        (),
        target="registry.require",
        check=one_of("ecr"),
    ),
    _strings("registry-ecr-region", "AWS regions to scan; the cluster's own if empty", "ecr_regions"),
    _strings("registry-ecr-include-id", "AWS accounts to scan; all but the excluded if empty", "ecr_include_ids"),
    _strings(
        "registry-ecr-exclude-id",
        "AWS accounts not to scan; those of EKS's own images",
        "ecr_exclude_ids",
        ("602401143452", "918309763551"),
    ),
    Flag(
        "docker-config",
        "string",
        "Docker config file with credentials for registries; read again when it changes",
        target="registry.docker_config",
    ),
    Flag(
        "memcached-hostname",
        "string",
        "host of memcached; the cache is on disk, in --cache-dir, if empty",
        target="registry.memcached_hostname",
    ),
    Flag("memcached-port", "int", "port of memcached", 11211, target="registry.memcached_port", check=port),
    Flag(
        "memcached-service",
        "string",
        "SRV service to find memcached by",
        "memcached",
        target="registry.memcached_service",
    ),
    Flag(
        "memcached-timeout",
        "duration",
        "longest wait for memcached",
        1.0,
        target="registry.memcached_timeout",
        check=positive,
    ),
    gone("memcached-username", "string", "login at memcached", "memcached is used without a login, as in Flux v1"),
    gone("memcached-password", "string", "password at memcached", "memcached is used without a login, as in Flux v1"),
    gone("registry-cache-expiry", "duration", "how long to keep image metadata", "entries are refreshed as needed"),
)
