"""Reading manifests and image configurations: bytes in, values out. Pure.

Formats: OCI image manifest, index and configuration (https://github.com/opencontainers/image-spec), Docker's schema 2
and manifest list, and the history of schema 1 (https://distribution.github.io/distribution/spec/).
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agent.registry.errors import Cause, RegistryError
from agent.registry.records import Manifest

INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
)
ACCEPTED = ", ".join((*INDEXES, *MANIFESTS, *SCHEMA_1))
LABELS = ("org.opencontainers.image.created", "org.label-schema.build-date")
MAX_LABEL = 256
_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_MEDIA_TYPE = re.compile(r"[\w.+/-]{1,127}", re.ASCII)
_DIGEST = re.compile(r"[a-z0-9]+(?:[-_+.][a-z0-9]+)*:[0-9a-zA-Z=_-]{32,256}")
_LAYERS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image must run on, in Go's words."""

    os: str = "linux"
    architecture: str = "amd64"


@dataclass(frozen=True, slots=True)
class Read:
    """What a manifest says: at most one of `child` and `config` tells where to read on.

    Attributes:
        manifest: All there is to know where neither is set.
        child: The digest of the manifest for the platform, where this is an index.
        config: The digest of the image's configuration.
    """

    manifest: Manifest
    child: str = ""
    config: str = ""


def read_manifest(body: bytes, media_type: str, digest: str, platform: Platform) -> Read:
    """Read a manifest of any format.

    Args:
        body: As the registry sent it.
        media_type: What the registry called it; the manifest's own word counts where it has one.
        digest: The manifest's own.
        platform: Which manifest of an index is meant.

    Raises:
        RegistryError: It is none.
    """
    document = parsed(body, "manifest")
    kind = str(document.get("mediaType") or media_type.partition(";")[0].strip())
    if document.get("schemaVersion") == 1:
        return Read(_schema_1(document, digest))
    if kind in INDEXES or (not kind.startswith(MANIFESTS) and isinstance(document.get("manifests"), list)):
        child = _chosen(_entries(document.get("manifests")), platform)
        return Read(Manifest(digest, "image" if child else "other"), child=child)
    config = document.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("digest"), str):
        named = kind if _MEDIA_TYPE.fullmatch(kind) else "unnamed"
        raise RegistryError(f"its manifest is of an unknown kind, {named}", Cause.MALFORMED)
    if not _is_image(document, config):
        return Read(Manifest(digest, "other"))
    if not _is_digest(config["digest"]):
        raise RegistryError("its manifest names no configuration", Cause.MALFORMED)
    return Read(Manifest(digest, image_id=config["digest"]), config=config["digest"])


def read_config(body: bytes, manifest: Manifest) -> Manifest:
    """The manifest with what its image's configuration tells.

    Raises:
        RegistryError: It is none.
    """
    document = parsed(body, "configuration")
    config = document.get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    return Manifest(manifest.digest, "image", manifest.image_id, moment(document.get("created")), _known(labels))


def parsed(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        RegistryError: There is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"its {what} is not JSON", Cause.MALFORMED) from error
    if not isinstance(document, dict):
        raise RegistryError(f"its {what} is not a JSON object", Cause.MALFORMED)
    return document


def digest_of(body: bytes) -> str:
    """The digest of some bytes."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def payload_of(body: bytes) -> bytes:
    """The part of a manifest's bytes that its digest stands for: all of them, but for schema 1's signatures."""
    if b'"signatures"' not in body:
        return body
    try:
        protected = json.loads(body)["signatures"][0]["protected"]
        header = json.loads(urlsafe_b64decode(protected + "=" * (-len(protected) % 4)))
        tail = urlsafe_b64decode(header["formatTail"] + "=" * (-len(header["formatTail"]) % 4))
        return body[: int(header["formatLength"])] + tail
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return body


def moment(text: object) -> float | None:
    """A time of RFC 3339 in Unix seconds; None where there is none, or one before 1970."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text.strip())
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None


def _schema_1(document: Mapping[str, Any], digest: str) -> Manifest:
    """The newest entry of the history holds the image's configuration as a string of JSON."""
    history = _entries(document.get("history"))
    newest = parsed(str(history[0].get("v1Compatibility", "")).encode(errors="replace"), "history") if history else {}
    config = newest.get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    return Manifest(digest, "image", "", moment(newest.get("created")), _known(labels))


def _chosen(entries: Sequence[Mapping[str, Any]], wanted: Platform) -> str:
    """The digest of the manifest for the platform, else of the first that any machine can run; empty for none."""
    runnable = []
    for entry in entries:
        platform = entry.get("platform")
        platform = platform if isinstance(platform, dict) else {}
        if entry.get("artifactType") or platform.get("os") == "unknown" or not _is_digest(entry.get("digest")):
            continue
        if (platform.get("os"), platform.get("architecture")) == (wanted.os, wanted.architecture):
            return str(entry["digest"])
        runnable.append(str(entry["digest"]))
    return runnable[0] if runnable else ""


def _is_image(document: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether somebody can run it. Signatures carry an image's configuration too, but no layer of one."""
    if document.get("artifactType") or (config.get("mediaType") not in (*_CONFIGS, None)):
        return False
    kinds = [str(layer.get("mediaType", "")) for layer in _entries(document.get("layers"))]
    return not kinds or any(kind.startswith(_LAYERS) for kind in kinds)


def _entries(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _known(labels: object) -> dict[str, str]:
    if not isinstance(labels, dict):
        return {}
    texts = {key: labels[key][:MAX_LABEL] for key in LABELS if isinstance(labels.get(key), str)}
    return {key: text for key, text in texts.items() if text.isprintable()}


def _is_digest(value: object) -> bool:
    """Whether it is a digest: it becomes a part of a URL."""
    return isinstance(value, str) and bool(_DIGEST.fullmatch(value))
