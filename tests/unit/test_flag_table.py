"""The table of flags against v1's, the argument lists of v1's documentation, and the texts made from the table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.flag_table import BY_NAME, FLAGS
from agent.flags import SLIPS, help_text, markdown, parse
from agent.pflag import format_value
from agent.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "flags.md"

FLUXD = """
--automation-interval <duration> [5m0s], --connect <string>, --docker-config <string>,
--git-branch <string> ["master"], --git-ci-skip, --git-ci-skip-message <string>,
--git-email <string> ["support@weave.works"], --git-gpg-key-import <strings>, --git-label <string>,
--git-notes-ref <string> ["flux"], --git-path <strings>, --git-poll-interval <duration> [5m0s], --git-readonly,
--git-secret, --git-set-author, --git-signing-key <string>, --git-sync-tag <string> ["flux-sync"],
--git-timeout <duration> [20s], --git-url <string>, --git-user <string> ["Weave Flux"],
--git-verify-signatures-mode <string>, --k8s-allow-namespace <strings>, --k8s-default-namespace <string>,
--k8s-secret-data-key <string> ["identity"], --k8s-secret-name <string> ["flux-git-deploy"],
--k8s-secret-volume-mount-path <string> ["/etc/fluxd/ssh"],
--k8s-unsafe-exclude-resource <strings> [[*metrics.k8s.io/*,webhook.certmanager.k8s.io/*,v1/Event]],
--k8s-verbosity <int>, --kubernetes-kubectl <string>, --listen <string> [":3030"], --listen-metrics <string>,
--log-format <string> ["fmt"], --manifest-generation, --memcached-hostname <string>,
--memcached-port <int> [11211], --memcached-service <string> ["memcached"], --memcached-timeout <duration> [1s],
--registry-burst <int> [125], --registry-disable-scanning,
--registry-ecr-exclude-id <strings> [[602401143452,918309763551]], --registry-ecr-include-id <strings>,
--registry-ecr-region <strings>, --registry-exclude-image <strings> [[k8s.gcr.io/*]],
--registry-include-image <strings>, --registry-insecure-host <strings>, --registry-require <strings>,
--registry-rps <float> [200], --registry-trace,
--registry-use-labels <strings> [[index.docker.io/weaveworks/*,index.docker.io/fluxcd/*]],
--rpc-timeout <duration>, --sops, --ssh-keygen-bits <uint>, --ssh-keygen-dir <string>,
--ssh-keygen-format <string> ["RFC4716"], --ssh-keygen-type <string>, --sync-garbage-collection,
--sync-garbage-collection-dry, --sync-interval <duration> [5m0s], --sync-state <string> ["git"],
--sync-timeout <duration> [1m0s], --token <string>, --version
"""
"""What fluxd 1.25.4 lists, with the three defaults of ours that docs/flags.md tells of."""

DOCUMENTED = {
    "v1's install template": [
        "--memcached-service=",
        "--ssh-keygen-dir=/var/fluxd/keygen",
        "--git-url=git@github.com:fluxcd/flux-get-started",
        "--git-branch=master",
        "--git-path=",
        "--git-label=flux",
        "--git-user=Weave Flux",
        "--git-email=support@weave.works",
        "--listen-metrics=:3031",
    ],
    "the kustomize tutorial": [
        "--manifest-generation=true",
        "--memcached-hostname=memcached.flux",
        "--memcached-service=",
        "--ssh-keygen-dir=/var/fluxd/keygen",
        "--git-branch=master",
        "--git-path=namespaces,workloads",
        "--git-user=GHUSER",
        "--git-email=GHUSER@users.noreply.github.com",
        "--git-url=git@github.com:GHUSER/flux-get-started",
    ],
    "commit signing": [
        "--git-gpg-key-import=/root/gpg-signing-key",
        "--git-signing-key=700D397C988079BFF0DDAFED6A7436E8",
    ],
    "signature verification": ["--git-gpg-key-import=/root/gpg-public-keys", "--git-verify-signatures"],
    "git over https": ["--git-url=https://$(GIT_AUTHUSER):$(GIT_AUTHKEY)@github.com/fluxcd/flux-get-started.git"],
    "the chapter on building": [
        *("--memcached-hostname", "localhost", "--memcached-port", "11211", "--memcached-service", ""),
        *("--memcached-username", "", "--memcached-password", ""),
        *("--git-url", "git@github.com:fluxcd/flux-get-started", "--k8s-in-cluster=false"),
    ],
    "the example repository": ["--git-url=git@github.com:YOU/flux-getting-started", "--git-branch=master"],
    "the deploy key's names": [
        "--k8s-secret-name=flux-git-deploy",
        "--k8s-secret-volume-mount-path=/etc/fluxd/ssh",
        "--k8s-secret-data-key=identity",
    ],
    "excluding hosts": ["--registry-exclude-image=docker.io/*,quay.io/*"],
    "excluding a word": ["--registry-exclude-image=*test*"],
    "excluding everything": ["--registry-exclude-image=*"],
    "including two": ["--registry-include-image=*/example/*,*/example-dev/*", "--registry-exclude-image=quay.io/*"],
    "the Helm chart": [
        "--log-format=fmt",
        "--ssh-keygen-dir=/var/fluxd/keygen",
        "--ssh-keygen-format=RFC4716",
        "--k8s-secret-name=flux-git-deploy",
        "--memcached-hostname=flux-memcached",
        "--sync-state=git",
        "--memcached-service=",
        "--git-url=git@github.com:fluxcd/flux-get-started",
        "--git-branch=master",
        "--git-path=",
        "--git-readonly=false",
        "--git-user=Weave Flux",
        "--git-email=support@weave.works",
        "--git-verify-signatures-mode=none",
        "--git-set-author=false",
        "--git-poll-interval=5m",
        "--git-timeout=20s",
        "--sync-interval=5m",
        "--sync-timeout=1m",
        "--git-ci-skip=false",
        "--git-label=flux-sync",
        "--automation-interval=5m",
        "--registry-rps=200",
        "--registry-burst=125",
        "--registry-trace=false",
        "--registry-ecr-exclude-id=602401143452",
        "--k8s-unsafe-exclude-resource=*metrics.k8s.io/*,webhook.certmanager.k8s.io/*,v1/Event",
        "--sync-garbage-collection=true",
        "--connect=wss://cloud.weave.works/api/flux",
        "--token=abc123",
    ],
    "an older Helm chart": [
        "--registry-poll-interval=5m",
        "--registry-cache-expiry=1h",
        "--k8s-namespace-whitelist=default,team",
        "--kube-config=/root/.kubectl/config",
        "--sync-garbage-collection-dry=true",
    ],
}


def test_every_flag_of_the_last_fluxd_is_here_with_its_type_and_default():
    listed = re.findall(
        r"--([a-z0-9-]+)(?: <(\w+)>)?(?: (\[\[.*?\]\]|\[.*?\]))?(?:,|$)", FLUXD.replace("\n", " ").strip()
    )
    assert len(listed) == 62
    for name, kind, default in listed:
        flag = BY_NAME[name]
        text = format_value(flag.kind, flag.default)
        assert (flag.kind, text) == (kind or "bool", default[1:-1]), name


def test_names_and_shorthands_are_unique():
    letters = [flag.shorthand for flag in FLAGS if flag.shorthand]
    assert len(BY_NAME) == len(FLAGS)
    assert len(set(letters)) == len(letters)


def test_every_default_is_of_its_flags_kind():
    types = {"bool": bool, "string": str, "strings": tuple, "duration": float, "int": int, "uint": int, "float": float}
    for flag in FLAGS:
        if flag.status == "active":
            assert type(flag.default) is types[flag.kind], flag.name
            flag.check(flag.default)


def test_every_row_says_what_its_status_needs():
    for flag in FLAGS:
        assert bool(flag.note) == (flag.status in ("later", "gone")), flag.name
        assert bool(flag.replacement) == (flag.status == "deprecated"), flag.name
        assert flag.status == "active" or not flag.target, flag.name
        assert flag.help, flag.name
        assert not flag.help.endswith("."), flag.name


def test_replacements_and_slips_name_flags_that_exist():
    for flag in FLAGS:
        if flag.replacement:
            assert flag.replacement.partition("=")[0] in BY_NAME
    assert set(SLIPS.values()) <= set(BY_NAME)


@pytest.mark.parametrize("argv", DOCUMENTED.values(), ids=DOCUMENTED.keys())
def test_the_argument_lists_of_v1_are_accepted_as_they_are(argv):
    assert isinstance(parse(argv, {}), Settings)


@pytest.mark.parametrize("argv", DOCUMENTED.values(), ids=DOCUMENTED.keys())
def test_each_flag_without_effect_is_told_exactly_once(argv):
    names = {word[2:].partition("=")[0] for word in argv if word.startswith("--")}
    idle = {name for name in names if BY_NAME[name].status != "active"}
    told = [notice.split()[0][2:] for notice in parse(argv, {}).notices]
    assert sorted(told) == sorted(idle)


def test_the_install_template_becomes_these_settings():
    settings = parse(DOCUMENTED["v1's install template"], {})
    assert settings.git.url == "git@github.com:fluxcd/flux-get-started"
    assert settings.git.paths == ()
    assert settings.git.sync_tag == "flux"
    assert (settings.api.listen, settings.api.listen_grpc) == (":3030", ":3032")
    assert settings.api.listen_metrics == ":3031"


def test_the_usage_is_aligned_and_leaves_out_what_is_old():
    lines = help_text().splitlines()
    assert "  -l, --listen string " in help_text()
    assert "      --git-branch string " in help_text()
    meanings = {
        line.index(BY_NAME[match[1]].help) for line in lines if (match := re.match(r"\s+(?:-\w, )?--([\w-]+)", line))
    }
    assert len(meanings) == 1
    for flag in FLAGS:
        assert (f" --{flag.name}\x20" in help_text()) == (flag.status in ("active", "later")), flag.name


def test_the_usage_shows_defaults_as_pflag_does():
    assert re.search(r'--git-branch string +branch to apply \(default "master"\)\n', help_text())
    assert re.search(r"--git-timeout duration .*\(default 20s\)\n", help_text())
    assert re.search(r"--registry-exclude-image strings .*\(default \[k8s\.gcr\.io/\*\]\)\n", help_text())


def test_the_documentation_is_that_of_the_table():
    assert DOCUMENT.read_text(encoding="utf-8") == markdown(), "run: python -m agent.flags > docs/flags.md"


def test_the_documentation_has_a_row_for_every_flag():
    for flag in FLAGS:
        assert f"| `--{flag.name}`" in markdown()
