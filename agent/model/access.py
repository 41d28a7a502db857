"""Who calls and what they may: rights on the virtual group `flux.fluxcd.io`, granted by Kubernetes' own RBAC. Pure.

The API server serves no such group; RBAC grants verbs on it all the same, and answers access reviews about it
(https://kubernetes.io/docs/reference/access-authn-authz/authorization/). So a Role in one namespace lets a team release
there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from agent.model.errors import FluxError

GROUP = "flux.fluxcd.io"
"""The virtual API group of the rights."""


class Right(NamedTuple):
    """A verb on a virtual resource, such as `list` on `workloads`; `deed` says in a sentence what it lets people do."""

    resource: str
    verb: str
    deed: str

    def __str__(self) -> str:
        """As RBAC has it."""
        return f"verb {self.verb} on {self.resource}.{GROUP}"


LIST_WORKLOADS = Right("workloads", "list", "list workloads")
"""Look: lists, status, jobs, how far a revision has come."""
RELEASE_WORKLOADS = Right("workloads", "release", "release images")
"""Change images in git."""
CHANGE_POLICIES = Right("workloads", "policy", "change policies")
"""Change policies in git."""
CREATE_SYNCS = Right("syncs", "create", "ask for syncs or approve deletions")
"""Ask for a sync; approve the deletions of a namespace."""
GET_MANIFESTS = Right("manifests", "get", "see whole manifests")
"""See whole objects: diffs and exports."""


class ForbiddenError(FluxError):
    """The caller may not do this, or not in these namespaces."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was proven to call; all empty where nobody was asked to prove it.

    Attributes:
        name: The user's name, such as `system:serviceaccount:flux:flux-operator`.
        credential_id: What the API server's audit log calls the token, such as `JTI=…`; may be empty.
        uid: The user's uid.
        groups: The user's groups.
        extra: What else the API server knows of the user; passed on when it is asked about rights.
    """

    name: str = ""
    credential_id: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def namespace(self) -> str:
        """The namespace of a ServiceAccount; empty for anybody else."""
        parts = self.name.split(":")
        return parts[2] if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"] else ""


@dataclass(frozen=True, slots=True)
class Visible:
    """What of a read may be shown: everything, or what is in these namespaces."""

    everything: bool = True
    namespaces: frozenset[str] = frozenset()

    def shows(self, namespace: str) -> bool:
        """Whether what is in this namespace may be shown; what is in none only where everything may."""
        return self.everything or namespace in self.namespaces


class Access(Protocol):
    """What one caller may. Both questions may ask the API server, and may raise `ClusterError` where it fails."""

    @property
    def caller(self) -> Caller:
        """Who calls."""

    def visible(self, right: Right, namespaces: Iterable[str]) -> Visible:
        """What of these namespaces the caller has the right in; everything where it is granted cluster-wide.

        Raises:
            ForbiddenError: They have it nowhere.
        """

    def require(self, right: Right, namespaces: Iterable[str]) -> None:
        """Insist on a right in every one of these namespaces; an empty name stands for the cluster as a whole.

        Raises:
            ForbiddenError: It is missing in some, which the error names.
        """


class OpenAccess:
    """Everything is allowed: nobody is asked who they are."""

    caller = Caller()

    def visible(self, _right: Right, _namespaces: Iterable[str]) -> Visible:
        """Everything."""
        return Visible()

    def require(self, _right: Right, _namespaces: Iterable[str]) -> None:
        """Never refuses."""
