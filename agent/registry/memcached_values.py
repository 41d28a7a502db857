"""What is written to memcached, and what is made of what comes back. Pure.

memcached takes keys of 250 bytes and items of 1 MiB, is shared, and anybody who reaches it may write to it. So names
are hashed, a state that is too large lies there in parts under a head that names them, and what comes back counts only
where it is whole, well-formed and about what was asked for.
"""

from __future__ import annotations

import hashlib
import zlib

from agent.registry.codec import FORMAT, unpack_manifest, unpack_repository
from agent.registry.records import Manifest, RepositoryState, TagState

PART = 1_000_000
"""Bytes of an item; the rest of the 1 MiB that memcached allows is for its key and header."""
MAX_PARTS = 16
"""Enough for the 200,000 tags that are listed at most."""
MAX_PLAIN = 64 << 20
"""Bytes of a repository's state, uncompressed."""
MAX_NUMBER = 1e11
"""Seconds since 1970, far beyond any that somebody means."""
_WHOLE = b"W"
_PARTS = b"P"


def key_of(kind: str, name: str) -> str:
    """The key of a `repository` or a `manifest`; agents of another format have others."""
    return f"flux{FORMAT}:{kind}:{hashlib.sha256(name.encode()).hexdigest()}"


def items_of(key: str, body: bytes) -> tuple[tuple[str, bytes], ...]:
    """The items to write for a value, in this order: a head comes after the parts that it names.

    Raises:
        ValueError: The value is too large.
    """
    if len(body) < PART:
        return ((key, _WHOLE + body),)
    parts = [body[at : at + PART] for at in range(0, len(body), PART)]
    if len(parts) > MAX_PARTS:
        raise ValueError(f"{len(body)} bytes are more than {MAX_PARTS} items")
    mark = _mark(body)
    head = _PARTS + f"{len(parts)} {mark}".encode()
    return (*((_part_key(key, mark, number), part) for number, part in enumerate(parts)), (key, head))


def part_keys(key: str, item: bytes) -> tuple[str, ...]:
    """The keys of the parts that an item is the head of; none for one that is whole or that is none of ours."""
    count, _, mark = item[1:].decode("ascii", "replace").partition(" ") if item[:1] == _PARTS else ("", "", "")
    if not (count.isdecimal() and len(count) <= 2 and len(mark) == len(_mark(b"")) and mark.isalnum()):
        return ()
    return tuple(_part_key(key, mark, number) for number in range(min(int(count), MAX_PARTS)))


def whole_of(item: bytes, parts: tuple[bytes | None, ...]) -> bytes | None:
    """The value of an item and of the parts that it names; None where something is missing or does not fit."""
    if not parts:
        return item[1:] if item[:1] == _WHOLE else None
    body = b"".join(part for part in parts if part is not None)
    return body if item.endswith(_mark(body).encode()) else None


def repository_in(body: bytes, name: str) -> RepositoryState | None:
    """The state in a value; None where it is none, or another repository's."""
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(body, MAX_PLAIN)
        state = unpack_repository(body) if inflater.eof else None
    except (zlib.error, ValueError, RecursionError):
        return None
    return state if state is not None and state.name == name and _is_sound(state) else None


def manifest_in(body: bytes, digest: str) -> Manifest | None:
    """The manifest in a value; None where it is none, or another digest's."""
    try:
        manifest = unpack_manifest(body)
    except (ValueError, RecursionError):
        return None
    texts = (manifest.image_id, *manifest.labels, *manifest.labels.values())
    sound = manifest.created is None or _are_numbers(manifest.created)
    return manifest if manifest.digest == digest and sound and _are_texts(*texts) else None


def _is_sound(state: RepositoryState) -> bool:
    return (
        _are_numbers(state.listed_at, state.failed_at, state.failures)
        and _are_texts(state.error, state.credential, *state.tags)
        and all(map(_is_sound_tag, state.tags.values()))
    )


def _is_sound_tag(tag: TagState) -> bool:
    return _are_texts(tag.digest, tag.error) and _are_numbers(tag.checked_at, tag.refresh)


def _are_texts(*values: object) -> bool:
    return all(isinstance(value, str) and value.isprintable() for value in values)


def _are_numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) and 0 <= value <= MAX_NUMBER for value in values)


def _mark(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def _part_key(key: str, mark: str, number: int) -> str:
    return f"{key}:{mark}:{number}"
