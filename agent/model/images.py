"""Image references: reading what people write, what it means, and writing it back as they wrote it. Pure.

The grammar is that of the distribution project (https://github.com/distribution/reference): a name of a host and a
path, a tag, a digest. Docker Hub's short names mean `index.docker.io/library/…`, as in Flux v1, whose canonical names
the image globs of the flags are matched against.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.model.errors import UsageError

DOCKER_HUB = "index.docker.io"
_HUB_NAMES = frozenset({"", "docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
MAX_REFERENCE = 1024
"""Characters of a reference; longer ones are refused unread."""

_HOST = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_ADDRESS = rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_ADDRESS})/)?(?P<path>{_PART}(?:/{_PART})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?",
    re.ASCII,
)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """One image as it is written: `name[:tag][@digest]`.

    Attributes:
        name: Host and path exactly as written, such as `nginx` or `registry.example.com:5000/acme/shop`.
        tag: Empty where there is none.
        digest: Such as `sha256:…`; empty where there is none.
    """

    name: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference.

        Raises:
            UsageError: It is none.
        """
        match = _REFERENCE.fullmatch(text) if len(text) <= MAX_REFERENCE else None
        if match is None:
            raise UsageError(
                f"parsing {text[:MAX_REFERENCE]!r}: invalid image reference",
                hint="write it as [host/]path[:tag][@digest], the path in lower case",
            )
        end = next((match.start(part) - 1 for part in ("tag", "digest") if match[part]), len(text))
        return cls(text[:end], match["tag"] or "", match["digest"] or "")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def host(self) -> str:
        """The registry's host, and its port where one is written; `index.docker.io` for Docker Hub's short names."""
        return _split(self.name)[0]

    @property
    def repository(self) -> str:
        """The path on its host, such as `library/nginx`."""
        return _split(self.name)[1]

    @property
    def canonical_name(self) -> str:
        """Host and path in full, the same for every spelling: `index.docker.io/library/nginx`."""
        host, path = _split(self.name)
        return f"{host}/{path}"

    def with_tag(self, tag: str, digest: str = "") -> Reference:
        """The same image at another tag, and digest where one is given, its name as it was written."""
        return replace(self, tag=tag, digest=digest)


def _split(name: str) -> tuple[str, str]:
    """Host and path. The first part is a host where it has a dot or a colon, is localhost, or has capitals."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        first, rest = "", name
    if first in _HUB_NAMES:
        return DOCKER_HUB, rest if "/" in rest else f"library/{rest}"
    return first, rest


def is_sha256(digest: str) -> bool:
    """Whether a digest is of the one kind that registries answer with and that can be checked."""
    return bool(_SHA256.fullmatch(digest))


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of one tag of a repository.

    Attributes:
        tag: The tag.
        digest: What the tag stood for when it was last looked at; empty where that is not known.
        created: When it was built, in Unix seconds; None where that is not known.
        labelled: When its labels say it was built (`org.opencontainers.image.created`, else
            `org.label-schema.build-date`); None where they do not.
        error: Why it could not be looked at, or what is odd about it; empty where all is well, or it was not yet.
        image_id: The digest of its configuration; empty where that is not known.
        labels: Its labels about build times.
        fetched_at: When it was last looked at, in Unix seconds; 0 where it never was.
    """

    tag: str
    digest: str = ""
    created: float | None = None
    labelled: float | None = None
    error: str = ""
    image_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    fetched_at: float = 0.0

    def built(self, *, by_label: bool) -> float | None:
        """When it was built; by its label where those count for this repository and it has one."""
        return self.labelled if by_label and self.labelled is not None else self.created


@dataclass(frozen=True, slots=True)
class Repository:
    """What is known of one repository of a registry.

    Attributes:
        name: The canonical name.
        images: Every tag that is an image, or not known to be none, by tag.
        scanned_at: When its tags were last listed, in Unix seconds; 0 before the first time.
        next_scan_at: When they will be listed again; 0 where that is not planned.
        error: Why the last attempt failed; empty where it did not.
        credential: What the registry was asked with, by its name; empty where nothing was needed.
    """

    name: str
    images: Mapping[str, Image] = field(default_factory=dict, hash=False)
    scanned_at: float = 0.0
    next_scan_at: float = 0.0
    error: str = ""
    credential: str = ""
