"""What may be asked for when the agent is installed, and what is refused. Pure.

The texts for missing flags are Flux v1's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kubectl_flux import __version__
from kubectl_flux.arguments import invalid
from kubectl_flux.errors import UsageError

PLACEHOLDER_IMAGE = f"kubectl-flux/flux-agent:{__version__}"
"""Stands for an image that the user has built: none is published."""
DEFAULT_NAMESPACE = "flux"
SHARED_NAMESPACES = frozenset({"default", "kube-node-lease", "kube-public", "kube-system"})
"""Every cluster has them for others too, so installing an agent there never labels or deletes them."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PASSWORD = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^:@/]*:(?!\d+/)(.*)@")
_VARIABLE = re.compile(r"\$\([A-Za-z_]\w*\)")


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """One installation. The texts for git are the agent's flags of these names; empty leaves the agent's default.

    Attributes:
        git_url: Without a password; `$(GIT_AUTHUSER)` and `$(GIT_AUTHKEY)` stand for what Secret flux-git-auth holds.
        namespace: Where the agent runs.
        image: The agent's image, with its tag or digest.
        add_security_context: Whether the pod says as whom it runs; without, the cluster must decide it.
        create_namespace: Whether the namespace is part of the manifests; shared ones never are.
        namespaced: Whether the agent has rights in the allowed namespaces only, instead of all.
        allowed_namespaces: The only namespaces to sync; empty for all, or where `namespaced` for the agent's own.
        network_policy: Whether a NetworkPolicy closes all ports but the agent's.
    """

    git_url: str
    git_email: str = ""
    git_branch: str = "master"
    git_paths: tuple[str, ...] = ()
    git_label: str = "flux"
    git_user: str = "Flux"
    git_readonly: bool = False
    manifest_generation: bool = False
    registry_disable_scanning: bool = False
    namespace: str = DEFAULT_NAMESPACE
    image: str = PLACEHOLDER_IMAGE
    add_security_context: bool = True
    create_namespace: bool = True
    namespaced: bool = False
    allowed_namespaces: tuple[str, ...] = ()
    network_policy: bool = False

    @property
    def scope(self) -> tuple[str, ...]:
        """The namespaces that the agent is confined to, each once; empty for none."""
        own = (self.namespace,) if self.namespaced else ()
        return tuple(dict.fromkeys(self.allowed_namespaces or own))

    @property
    def has_namespace(self) -> bool:
        """Whether the namespace is part of the manifests."""
        return self.create_namespace and self.namespace not in SHARED_NAMESPACES

    @property
    def suffix(self) -> str:
        """What tells this agent's objects apart from other agents' of the cluster, where they meet.

        No namespace has a colon in its name, so no two names made with this are the same.
        """
        return "" if self.namespace == DEFAULT_NAMESPACE else f":{self.namespace}"


def check(options: InstallOptions) -> None:
    """Refuse what cannot be installed.

    Raises:
        UsageError: A flag is missing, or its value cannot be right; a password is never repeated in it.
    """
    for flag, value in (("--git-url", options.git_url), ("--git-email", options.git_email), ("--image", options.image)):
        if not value.strip():
            raise UsageError(f"please supply a valid {flag} argument")
    _check_printable(options)
    _check_url(options.git_url)
    for path in options.git_paths:
        if path.startswith("/") or ".." in path.split("/"):
            raise invalid(path, "--git-path", "paths are relative to the repository's root and stay inside it")
    if any(sign.isspace() for sign in options.image):
        raise invalid(options.image, "--image", "an image's name has no spaces")
    for flag, names in (
        ("-n, --namespace", [options.namespace]),
        ("--k8s-allow-namespace", options.allowed_namespaces),
    ):
        _check_names(flag, names)


def _check_printable(options: InstallOptions) -> None:
    given = {
        "--git-url": options.git_url,
        "--git-email": options.git_email,
        "--git-branch": options.git_branch,
        "--git-path": "".join(options.git_paths),
        "--git-label": options.git_label,
        "--git-user": options.git_user,
        "--image": options.image,
    }
    for flag, value in given.items():
        if not value.isprintable():
            raise UsageError(f"the {flag} argument has a character that cannot be printed, such as a line break")


def _check_url(url: str) -> None:
    found = _PASSWORD.match(url)
    if found and not _VARIABLE.fullmatch(found[1]):
        raise UsageError(
            "the --git-url argument carries a password, which everybody who may read the Deployment would see",
            hint="Put it into Secret flux-git-auth, under the keys GIT_AUTHUSER and GIT_AUTHKEY, and give the URL as "
            "'https://$(GIT_AUTHUSER):$(GIT_AUTHKEY)@HOST/PATH', in single quotes.",
        )


def _check_names(flag: str, names: Iterable[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise invalid(name, flag, "a namespace's name has at most 63 lower case letters, digits and dashes")
