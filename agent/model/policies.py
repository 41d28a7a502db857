"""Flux's annotations on an object, read into a policy set.

Keys are accepted under every prefix Flux v1 knew: `fluxcd.io/`, the older `flux.weave.works/`, and for image
filters also `filter.fluxcd.io/<container>`. Where two prefixes carry the same policy the newer one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PREFIXES = ("flux.weave.works/", "fluxcd.io/")
"""Annotation prefixes, the older first, so that the newer overwrites it."""

FILTER_PREFIX = "filter.fluxcd.io/"

SYNC_CHECKSUM = "fluxcd.io/sync-checksum"
SYNC_SOURCE = "fluxcd.io/sync-source"
SYNC_MARK = "fluxcd.io/sync-gc-mark"

_BOOLEAN = ("automated", "ignore", "locked")
_PLAIN = (*_BOOLEAN, "locked_user", "locked_msg")


def policies_of(annotations: Mapping[str, str]) -> Mapping[str, str]:
    """The policies in these annotations, by their names without prefix.

    `tag.<container>` holds a filter pattern. `ignore` may be `true` or `sync_only`. Annotations that Flux itself
    writes for its bookkeeping are no policies.
    """
    found: dict[str, str] = {}
    for prefix in PREFIXES:
        for key, value in annotations.items():
            name = key[len(prefix) :]
            if key.startswith(prefix) and (name in _PLAIN or name.startswith("tag.")):
                found[name] = value
    for key, value in annotations.items():
        if key.startswith(FILTER_PREFIX):
            found.setdefault(f"tag.{key[len(FILTER_PREFIX) :]}", value)
    return MappingProxyType(found)


def is_on(policies: Mapping[str, str], name: str) -> bool:
    """Whether a boolean policy is set; as in v1 only the value `true` counts."""
    return policies.get(name) == "true"


def ignores_sync(policies: Mapping[str, str]) -> bool:
    """Whether the sync leaves the object alone: `ignore` is `true`."""
    return is_on(policies, "ignore")


def ignores_collection(policies: Mapping[str, str]) -> bool:
    """Whether the object stays when it leaves git: `ignore` is `true`, or `sync_only`, which is synced otherwise."""
    return policies.get("ignore") in ("true", "sync_only")
