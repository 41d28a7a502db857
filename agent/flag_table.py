"""The one table of the agent's flags: parser, Settings, usage and docs/flags.md are all made from it.

The rows are those of Flux v1's last fluxd and ours beside them. A row of v1 whose feature is not there yet has the
status `later` and is accepted with one line that says so; one that names something that no longer exists is `gone`;
an old name is `deprecated` and acts as its replacement. Defaults are v1's, but for the changes that docs/flags.md
lists with their reasons. `agent/flags.py` gives the rows their effect; those about images are in
`agent/flag_table_images.py`.
"""

from __future__ import annotations

from agent.flag_checks import (
    address,
    address_or_nothing,
    deletion_limit,
    not_empty,
    one_of,
    positive,
    relative_paths,
)
from agent.flag_row import Flag, deprecated, gone, group, later
from agent.flag_table_images import REGISTRY

_DECRYPTION = "decryption comes in a later release, encrypted files are read as they are until then"
_GENERATION = "manifest generation comes in a later release"
_HOSTED = "the hosted service it belonged to is gone"
_KEYS = "generating deploy keys comes in a later release"
_SIGNING = "signing comes in a later release"
_VERIFYING = "verification comes in a later release, commits are applied unverified until then"

_PROGRAM = group(
    "Program",
    Flag("help", "bool", "print this list and exit", default=False, shorthand="h"),
    Flag("version", "bool", "print the version and exit", default=False),
    Flag("log-format", "string", "fmt or json", "fmt", target="log_format", check=one_of("fmt", "json")),
    Flag(
        "cache-dir",
        "string",
        "folder for what can be fetched again, such as the git mirror; the agent chooses one if empty",
        target="cache_dir",
    ),
)

_LISTENING = group(
    "Listening",
    Flag(
        "listen",
        "string",
        "address of the API over HTTP, of health checks, and of /metrics unless --listen-metrics is given",
        ":3030",
        shorthand="l",
        target="api.listen",
        check=address,
    ),
    Flag("listen-grpc", "string", "address of the native gRPC API", ":3032", target="api.listen_grpc", check=address),
    Flag(
        "listen-metrics",
        "string",
        "address for /metrics, in place of --listen",
        target="api.listen_metrics",
        check=address_or_nothing,
    ),
    Flag(
        "auth",
        "string",
        "how callers prove who they are: token (a ServiceAccount's) or none (who reaches it may do anything)",
        "token",
        target="api.auth",
        check=one_of("token", "none"),
    ),
    Flag("auth-audience", "strings", "token audiences, if not flux:NAMESPACE/flux", (), target="api.auth_audiences"),
)

_GIT = group(
    "Git",
    Flag("git-url", "string", "URL of the repository with the manifests, over ssh or https", target="git.url"),
    Flag("git-branch", "string", "branch to apply", "master", target="git.branch", check=not_empty),
    Flag(
        "git-path",
        "strings",
        "paths to look at, relative to the repository's root; all of it if empty",
        (),
        target="git.paths",
        check=relative_paths,
    ),
    Flag(
        "git-poll-interval",
        "duration",
        "how often to look for new commits",
        300.0,
        target="git.poll_interval",
        check=positive,
    ),
    Flag("git-timeout", "duration", "longest time a git command may take", 20.0, target="git.timeout", check=positive),
    Flag(
        "git-readonly",
        "bool",
        "never write to the repository; implies --sync-state=secret",
        default=False,
        target="git.readonly",
    ),
    Flag("git-label", "string", "names the sync tag and the notes ref; overrides --git-sync-tag and --git-notes-ref"),
    Flag(
        "git-sync-tag",
        "string",
        "tag that marks the last revision applied, with --sync-state=git",
        "flux-sync",
        target="git.sync_tag",
        check=not_empty,
    ),
    Flag("git-notes-ref", "string", "ref of the notes on the agent's commits", "flux", target="git.notes_ref"),
    Flag(
        "git-user", "string", "name of the writer of tags and commits", "Weave Flux", target="git.user", check=not_empty
    ),
    Flag(
        "git-email",
        "string",
        "email address of the writer of tags and commits",
        "support@weave.works",
        target="git.email",
        check=not_empty,
    ),
    Flag(
        "git-set-author",
        "bool",
        "make who asked for a change its commit's author",
        default=False,
        target="git.set_author",
    ),
    Flag("git-ci-skip", "bool", 'append "[ci skip]" to commit messages', default=False, target="git.ci_skip"),
    Flag(
        "git-ci-skip-message",
        "string",
        "text to append to commit messages; beats --git-ci-skip",
        target="git.ci_skip_message",
    ),
)

_SIGNATURES = group(
    "Signatures and secrets in git",
    later("git-gpg-key-import", "strings", "files, or folders of files, with GPG keys to import", _SIGNING, ()),
    later("git-signing-key", "string", "id of the GPG key that signs commits and the sync tag", _SIGNING),
    later(
        "git-verify-signatures-mode",
        "string",
        "which commits must be signed by an imported key: none, all or first-parent",
        _VERIFYING,
        check=one_of("", "none", "all", "first-parent"),
    ),
    deprecated(
        "git-verify-signatures", "bool", "verify the signatures of all commits", "git-verify-signatures-mode=all"
    ),
    later("git-secret", "bool", "run git-secret on every checkout", _DECRYPTION, default=False),
    later("sops", "bool", "decrypt files that SOPS encrypted", _DECRYPTION, default=False),
)

_SYNC = group(
    "Sync",
    Flag(
        "sync-interval",
        "duration",
        "how often to sync though there is no new commit",
        300.0,
        target="sync.interval",
        check=positive,
    ),
    Flag(
        "sync-timeout",
        "duration",
        "longest time a sync may take; the next one goes on with what is left",
        60.0,
        target="sync.timeout",
        check=positive,
    ),
    Flag(
        "sync-garbage-collection",
        "bool",
        "delete what the agent created and git no longer has",
        default=False,
        target="sync.garbage_collection",
    ),
    Flag(
        "sync-garbage-collection-dry",
        "bool",
        "only tell what would be deleted; implies --sync-garbage-collection",
        default=False,
        target="sync.garbage_collection_dry",
    ),
    Flag(
        "sync-garbage-collection-limit",
        "string",
        "hold deletions that are more than this percentage and more than this number of objects, until they are"
        " approved; none never holds",
        "20%,10",
        target="sync.deletion_limit",
        check=deletion_limit,
    ),
    Flag(
        "sync-garbage-collection-hold-kinds",
        "strings",
        "kinds whose deletions are always held",
        ("Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"),
        target="sync.held_kinds",
    ),
    Flag(
        "sync-state",
        "string",
        "where to keep the last revision applied: git (a tag in the repository) or secret (an annotation on the"
        " deploy key's Secret)",
        "git",
        target="sync.state",
        check=one_of("git", "secret"),
    ),
    later("manifest-generation", "bool", "obey .flux.yaml files", _GENERATION, default=False),
)

_CLUSTER = group(
    "Cluster",
    Flag(
        "kubeconfig",
        "string",
        "how to reach the cluster; if empty by the pod's ServiceAccount, outside a cluster by KUBECONFIG",
        target="cluster.kubeconfig",
    ),
    Flag("context", "string", "context of the kubeconfig, if not its current one", target="cluster.context"),
    Flag(
        "k8s-allow-namespace",
        "strings",
        "look at and change these namespaces only; all if empty",
        (),
        target="cluster.allowed_namespaces",
    ),
    Flag(
        "k8s-default-namespace",
        "string",
        "namespace of manifests that name none; if empty, the one of the kubeconfig's context, else default",
        target="cluster.default_namespace",
    ),
    Flag(
        "k8s-unsafe-exclude-resource",
        "strings",
        "kinds never to list, as globs of group/version/kind; what is excluded is not garbage collected either",
        ("*metrics.k8s.io/*", "webhook.certmanager.k8s.io/*", "v1/Event"),
        target="cluster.excluded_resources",
    ),
    later(
        "k8s-verbosity", "int", "how much the Kubernetes client logs", "levels of logging come in a later release", 0
    ),
    deprecated("k8s-namespace-whitelist", "strings", "look at these namespaces only", "k8s-allow-namespace"),
    deprecated("kube-config", "string", "file that tells how to reach the cluster", "kubeconfig"),
    gone("k8s-in-cluster", "bool", "whether the agent runs in the cluster", "the agent finds it out itself"),
    gone("kubernetes-kubectl", "string", "path of kubectl", "the agent applies without kubectl"),
)

_KEY = group(
    "Deploy key",
    Flag(
        "k8s-agent-namespace",
        "string",
        "namespace the agent belongs to: it has the Secret, and marks what the agent creates; if empty, the pod's own, "
        "else flux",
        target="cluster.namespace",
    ),
    Flag(
        "k8s-secret-name",
        "string",
        "Secret with the deploy key, and with the sync state if --sync-state=secret",
        "flux-git-deploy",
        target="cluster.secret_name",
        check=not_empty,
    ),
    Flag(
        "k8s-secret-volume-mount-path",
        "string",
        "folder the deploy key's Secret is mounted at",
        "/etc/fluxd/ssh",
        check=not_empty,
    ),
    Flag(
        "k8s-secret-data-key",
        "string",
        "key of the deploy key's Secret that holds the private ssh key",
        "identity",
        target="git.ssh_key_path",
        check=not_empty,
    ),
    later("ssh-keygen-bits", "uint", "ssh-keygen's -b: how many bits a key has", _KEYS, 0),
    later("ssh-keygen-type", "string", "ssh-keygen's -t: the type of key", _KEYS),
    later("ssh-keygen-format", "string", "ssh-keygen's -m: the format of keys", _KEYS, "RFC4716"),
    later("ssh-keygen-dir", "string", "writable folder, best in memory, to generate keys in", _KEYS),
)

_UPSTREAM = group(
    "Hosted service",
    gone("connect", "string", "address of a hosted service", _HOSTED),
    gone("token", "string", "token for the hosted service", _HOSTED),
    gone("rpc-timeout", "duration", "longest time of a request by the hosted service", _HOSTED),
)

FLAGS = (*_PROGRAM, *_LISTENING, *_GIT, *_SIGNATURES, *_SYNC, *_CLUSTER, *_KEY, *REGISTRY, *_UPSTREAM)
"""All of them, in the order of the documentation."""

BY_NAME = {flag.name: flag for flag in FLAGS}
