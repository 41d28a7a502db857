"""What is kept of registries, as values: the words that client, scanner and caches exchange. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.model.images import Reference

ManifestKind = Literal["image", "other"]
"""`other` is an artifact that nobody runs: a signature, an SBOM, an attestation, a chart."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one digest stands for; true for ever.

    Attributes:
        digest: Of the manifest that the tag names, an index's own where it is one.
        kind: Whether it is an image that can be run.
        image_id: The digest of the image's configuration; empty where there is none, as in schema 1.
        created: When the image says it was built, in Unix seconds; None where it does not, or not readably.
        labels: Its labels about build times, by their keys: `org.opencontainers.image.created` and
            `org.label-schema.build-date`, as written.
    """

    digest: str
    kind: ManifestKind = "image"
    image_id: str = ""
    created: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class TagState:
    """What is known of one tag.

    Attributes:
        digest: What it stood for when it was last looked at; empty where it never was.
        checked_at: When that was, in Unix seconds.
        refresh: Seconds after which it is looked at again.
        error: Why the last look failed; empty where it did not.
    """

    digest: str = ""
    checked_at: float = 0.0
    refresh: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """What is known of one repository of a registry.

    Attributes:
        name: The canonical name, such as `index.docker.io/library/nginx`.
        tags: Every tag, by name.
        listed_at: When the tags were last listed, in Unix seconds; 0 before the first time.
        failed_at: When the last attempt to list them failed; 0 where it did not.
        failures: Attempts that failed in a row.
        error: Why the last attempt failed; empty where it did not.
        credential: The name of the credential that was used; empty for none.
    """

    name: str
    tags: Mapping[str, TagState] = field(default_factory=dict, hash=False)
    listed_at: float = 0.0
    failed_at: float = 0.0
    failures: int = 0
    error: str = ""
    credential: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a registry is asked with. Only its name may ever be told.

    Attributes:
        name: Where it comes from, such as `Secret demo/regcred` or `--docker-config`.
        username: May be empty beside an identity token.
        password: The password, or an access token used as one.
        identity_token: A refresh token for the registry's token server (`identitytoken` in Docker's configuration).
    """

    name: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PullScope:
    """Whose right to pull counts: a workload's own Secrets, then those of its ServiceAccount."""

    namespace: str
    secrets: tuple[str, ...] = ()
    service_account: str = "default"


class Cache(Protocol):
    """Where states are kept between scans and restarts; safe for many threads.

    It never raises: what cannot be read is absent, what cannot be written is told once in the log.
    """

    def repository(self, name: str) -> RepositoryState | None:
        """What is known of a repository."""

    def put_repository(self, state: RepositoryState) -> None:
        """Keep it."""

    def manifests(self, digests: frozenset[str]) -> Mapping[str, Manifest]:
        """Those of the manifests that are known, by digest."""

    def put_manifest(self, manifest: Manifest) -> None:
        """Keep it for ever, or as long as there is room."""

    def close(self) -> None:
        """Let go of files and connections."""


class Registry(Protocol):
    """One registry, whichever it is; every call may raise `RegistryError`."""

    def tags(self, image: Reference, credential: Credential | None) -> tuple[str, ...]:
        """All tags of the image's repository, in the registry's order."""

    def digest(self, image: Reference, credential: Credential | None) -> str:
        """What the image's tag stands for now: one HEAD."""

    def manifest(self, image: Reference, credential: Credential | None) -> Manifest:
        """What the image's digest stands for: its manifest, and the configuration where there is one."""


class Keyring(Protocol):
    """Knows what a registry may be asked with."""

    def credentials(self, image: Reference, scopes: tuple[PullScope, ...]) -> tuple[Credential, ...]:
        """What to try, best first; trying without one comes after all of them."""
