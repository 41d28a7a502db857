"""The form in which caches keep states: compact JSON. Pure."""

from __future__ import annotations

import json
import zlib

from agent.registry.records import Manifest, RepositoryState, TagState

FORMAT = 1
"""What an agent of another format wrote is not read, and fetched anew."""

_UNSEEN = TagState()


def pack_repository(state: RepositoryState) -> bytes:
    """A repository's state; tags that were never looked at are kept as names only."""
    seen = {
        tag: [known.digest, known.checked_at, known.refresh, known.error]
        for tag, known in state.tags.items()
        if known != _UNSEEN
    }
    whole = [
        state.name,
        state.listed_at,
        state.failed_at,
        state.failures,
        state.error,
        state.credential,
        list(state.tags),
        seen,
    ]
    return zlib.compress(json.dumps(whole, separators=(",", ":")).encode(), 1)


def unpack_repository(data: bytes) -> RepositoryState:
    """The state in it.

    Raises:
        ValueError: There is none.
    """
    try:
        name, listed_at, failed_at, failures, error, credential, tags, seen = json.loads(zlib.decompress(data))
        known = {tag: TagState(*values) for tag, values in seen.items()}
        states = {tag: known.get(tag, _UNSEEN) for tag in tags}
    except (zlib.error, ValueError, TypeError, AttributeError) as problem:
        raise ValueError("these bytes are no repository's state") from problem
    return RepositoryState(name, states, listed_at, failed_at, failures, error, credential)


def pack_manifest(manifest: Manifest) -> bytes:
    """What a digest stands for."""
    whole = [manifest.digest, manifest.kind, manifest.image_id, manifest.created, dict(manifest.labels)]
    return json.dumps(whole, separators=(",", ":")).encode()


def unpack_manifest(data: bytes) -> Manifest:
    """The manifest in it.

    Raises:
        ValueError: There is none.
    """
    try:
        digest, kind, image_id, created, labels = json.loads(data)
        return Manifest(digest, "image" if kind == "image" else "other", image_id, created, dict(labels))
    except (ValueError, TypeError) as problem:
        raise ValueError("these bytes are no manifest") from problem
