"""What a git process may see of the agent's environment: an allow-list, and what the agent itself adds.

The agent's environment holds tokens for clouds, registries and the API server. Git starts other programs (ssh,
credential helpers, hooks of a local remote), so a variable reaches them only if it is named here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from agent.settings import GitSettings

_INHERITED = frozenset(
    {
        "PATH",  # finds git, ssh, gpg and credential helpers
        "HOME",  # ~/.gitconfig (credential helpers, insteadOf), ~/.netrc
        "XDG_CONFIG_HOME",  # the other place of the user's git configuration
        "GIT_CONFIG_GLOBAL",  # names that configuration where it is mounted elsewhere
        "GIT_EXEC_PATH",  # a git that is not where it was built for
        "TMPDIR",  # the writable folder of a read-only container
        "SSH_AUTH_SOCK",  # keys held by an ssh agent
        "GIT_SSH",  # the operator's own ssh …
        "GIT_SSH_COMMAND",  # … with arguments
        "GIT_SSH_VARIANT",  # … and what kind of ssh it is
        "GIT_ASKPASS",  # a mounted program that answers with a token
        "GIT_PROXY_COMMAND",  # Flux v1 passed it on: how git:// gets out
        "http_proxy",  # proxies, in both spellings that curl knows; HTTP_PROXY it ignores on purpose
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",  # the trusted authorities, for the TLS library beneath curl
        "SSL_CERT_DIR",
        "GNUPGHOME",  # the keyring, for signatures
        "CLOUDSDK_CONFIG",  # Flux v1 passed these two on: Google's credential helper finds its files by them
        "CLOUDSDK_PYTHON",
    }
)
_INHERITED_PREFIXES = ("GIT_SSL_",)  # git's own CA, client certificate and key: GIT_SSL_CAINFO and its like

_FIXED = {
    "LC_ALL": "C",  # git's words are read for hints
    "GIT_TERMINAL_PROMPT": "0",  # nobody is there to answer: fail at once
    "GIT_CONFIG_NOSYSTEM": "1",  # the machine's /etc/gitconfig is not the agent's; ~/.gitconfig is
    "GIT_LITERAL_PATHSPECS": "1",  # a path with a star in it is a path
}


def child_environment(inherited: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a git process: what may be inherited, what is fixed, and what this call adds."""
    passed = {
        name: value for name, value in inherited.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    return {**passed, **_FIXED, **added}


def repository_environment(directory: str, settings: GitSettings) -> dict[str, str]:
    """What a command on a bare repository needs.

    An explicit GIT_DIR also spares git's question whose folder it is: a volume may outlive the agent's user id.
    """
    return {"GIT_DIR": directory, **_configured(_configuration(settings))}


def remote_environment(directory: str, settings: GitSettings, inherited: Mapping[str, str]) -> dict[str, str]:
    """What a command that talks to `origin` needs besides.

    The URL may hold a password: in the environment it stands neither on disk nor in git's argument list.
    """
    configuration = {**_configuration(settings), "remote.origin.url": settings.url}
    added = {"GIT_DIR": directory, **_configured(configuration)}
    if "GIT_SSH_COMMAND" not in inherited and "GIT_SSH" not in inherited:
        added["GIT_SSH_COMMAND"] = ssh_command(settings.ssh_key_path, settings.timeout)
    return added


def ssh_command(key_path: str, timeout: float) -> str:
    """The ssh that git runs: it asks nothing, trusts known hosts only, and offers this key if the file is there.

    It gives up connecting in half of `timeout` (seconds), so that its own words arrive before git's deadline.
    """
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={max(1, int(timeout / 2))}"]
    identity = ["-i", key_path, "-o", "IdentitiesOnly=yes"] if key_path and Path(key_path).is_file() else []
    return shlex.join(["ssh", *identity, *(part for option in options for part in ("-o", option))])


def _configuration(settings: GitSettings) -> dict[str, str]:
    return {
        "user.name": settings.user,  # who writes tags and commits
        "user.email": settings.email,
        "core.hooksPath": os.devnull,  # the user's own hooks are for people; a remote's hooks run on its side
        "gc.autoDetach": "false",  # a gc in the background would outlive its deadline
        "blame.ignoreRevsFile": "",  # a file that the user's configuration names is not in a bare repository
    }


def _configured(values: Mapping[str, str]) -> dict[str, str]:
    """Git configuration for one process and its children, by environment (git ≥ 2.31)."""
    added = {"GIT_CONFIG_COUNT": str(len(values))}
    for index, (key, value) in enumerate(values.items()):
        added[f"GIT_CONFIG_KEY_{index}"] = key
        added[f"GIT_CONFIG_VALUE_{index}"] = value
    return added
