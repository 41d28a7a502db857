"""What each of the agent's flags does, and how what makes no sense is refused."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.flag_table import BY_NAME, FLAGS
from agent.flags import HelpRequested, VersionRequested, parse
from agent.model.errors import UsageError
from agent.settings import Settings


def of(*argv, **environ):
    return parse(argv, environ)


def refusal(*argv, **environ):
    with pytest.raises(UsageError) as caught:
        parse(argv, environ)
    return str(caught.value)


def test_nothing_given_gives_the_defaults_of_settings():
    expected = asdict(Settings())
    expected["git"]["ssh_key_path"] = "/etc/fluxd/ssh/identity"
    assert asdict(of()) == expected


@pytest.mark.parametrize(
    ("argv", "section", "field", "value"),
    [
        (["--git-url=https://example.com/a"], "git", "url", "https://example.com/a"),
        (["--git-branch", "main"], "git", "branch", "main"),
        (["--git-path=a,b", "--git-path=c/d"], "git", "paths", ("a", "b", "c/d")),
        (["--git-timeout=1m30s"], "git", "timeout", 90.0),
        (["--git-poll-interval", "300ms"], "git", "poll_interval", 0.3),
        (["--git-readonly"], "git", "readonly", True),
        (["--git-readonly=F"], "git", "readonly", False),
        (["--git-sync-tag=prod"], "git", "sync_tag", "prod"),
        (["--git-user=Jo", "--git-email=jo@example.com"], "git", "user", "Jo"),
        (["--git-email=jo@example.com"], "git", "email", "jo@example.com"),
        (["--k8s-secret-volume-mount-path=/keys/", "--k8s-secret-data-key=id"], "git", "ssh_key_path", "/keys/id"),
        (["--k8s-secret-data-key=id"], "git", "ssh_key_path", "/etc/fluxd/ssh/id"),
        (["--sync-interval=1h"], "sync", "interval", 3600.0),
        (["--sync-timeout=1.5m"], "sync", "timeout", 90.0),
        (["--sync-garbage-collection"], "sync", "garbage_collection", True),
        (["--sync-garbage-collection-dry"], "sync", "garbage_collection", True),
        (["--sync-garbage-collection-dry"], "sync", "garbage_collection_dry", True),
        (["--sync-garbage-collection-limit=none"], "sync", "deletion_limit", "none"),
        (["--sync-garbage-collection-hold-kinds="], "sync", "held_kinds", ()),
        (["--sync-garbage-collection-hold-kinds=Secret"], "sync", "held_kinds", ("Secret",)),
        (["--sync-state=secret"], "sync", "state", "secret"),
        (["--k8s-allow-namespace=a", "--k8s-allow-namespace=b"], "cluster", "allowed_namespaces", ("a", "b")),
        (["--k8s-default-namespace=team"], "cluster", "default_namespace", "team"),
        (["--k8s-unsafe-exclude-resource=v1/Pod"], "cluster", "excluded_resources", ("v1/Pod",)),
        (["--k8s-secret-name=key"], "cluster", "secret_name", "key"),
        (["--kubeconfig=/k"], "cluster", "kubeconfig", "/k"),
        (["--context=kind"], "cluster", "context", "kind"),
        (["-l", ":1"], "api", "listen", ":1"),
        (["-l:1"], "api", "listen", ":1"),
        (["-l=:1"], "api", "listen", ":1"),
        (["--listen=[::1]:80"], "api", "listen", "[::1]:80"),
        (["--listen-grpc=127.0.0.1:9"], "api", "listen_grpc", "127.0.0.1:9"),
        (["--listen-metrics="], "api", "listen_metrics", ""),
        (["--auth=none"], "api", "auth", "none"),
    ],
)
def test_a_flag_sets_its_setting(argv, section, field, value):
    settings = parse(argv, {})
    assert getattr(getattr(settings, section), field) == value
    assert settings.notices == ()


def test_the_log_format_and_the_cache_folder_are_set():
    settings = of("--log-format=json", "--cache-dir=/cache")
    assert (settings.log_format, settings.cache_dir) == ("json", "/cache")


@pytest.mark.parametrize("limit", ["20%,10", "none", "5", "0", "0%", "100%", "50%,3"])
def test_a_deletion_limit_is_none_a_number_a_percentage_or_both(limit):
    assert of(f"--sync-garbage-collection-limit={limit}").sync.deletion_limit == limit


@pytest.mark.parametrize("limit", ["", "10,20%", "20%,", "101%", "-1", "ten", "20 %", "20%,10,5", "None"])
def test_another_deletion_limit_is_refused(limit):
    assert refusal(f"--sync-garbage-collection-limit={limit}").endswith(
        'for "--sync-garbage-collection-limit" flag: '
        "it must be none, a number of objects, a percentage, or both as in 20%,10"
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--nope"], "unknown flag: --nope (--help lists all flags)"),
        (["--git-pth=a"], "unknown flag: --git-pth (did you mean --git-path?)"),
        (["--git_branch=a"], "unknown flag: --git_branch (did you mean --git-branch?)"),
        (
            ["-git-url=https://u:secret@example.com"],
            "unknown shorthand flag: 'g' in -git-url (a long flag takes two dashes: --git-url)",
        ),
        (
            ["--gpg-verify-signatures"],
            "unknown flag: --gpg-verify-signatures (Flux v1's manual misspells --git-verify-signatures-mode)",
        ),
        (["--ci-skip"], "unknown flag: --ci-skip (Flux v1's manual misspells --git-ci-skip)"),
        (
            ["--ci-skip-message=x"],
            "unknown flag: --ci-skip-message (Flux v1's manual misspells --git-ci-skip-message)",
        ),
        (["--git-timeout=x"], 'invalid argument "x" for "--git-timeout" flag: time: invalid duration "x"'),
        (["--git-timeout=20"], 'invalid argument "20" for "--git-timeout" flag: time: missing unit in duration "20"'),
        (["--git-timeout=0"], 'invalid argument "0" for "--git-timeout" flag: it must be more than 0'),
        (["--sync-interval=-1s"], 'invalid argument "-1s" for "--sync-interval" flag: it must be more than 0'),
        (
            ["--git-readonly=yes"],
            'invalid argument "yes" for "--git-readonly" flag: strconv.ParseBool: parsing "yes": invalid syntax',
        ),
        (["--git-branch="], 'invalid argument "" for "--git-branch" flag: it must not be empty'),
        (["--sync-state=etcd"], 'invalid argument "etcd" for "--sync-state" flag: it must be one of git, secret'),
        (["--log-format=xml"], 'invalid argument "xml" for "--log-format" flag: it must be one of fmt, json'),
        (["--auth=basic"], 'invalid argument "basic" for "--auth" flag: it must be one of token, none'),
        (
            ["-l", "3030"],
            'invalid argument "3030" for "-l, --listen" flag: it must be host:port or :port, such as :3030',
        ),
        (
            ["-listen=:3030"],
            'invalid argument "isten=:3030" for "-l, --listen" flag: it must be host:port or :port, such as :3030',
        ),
        (
            ["--git-path=/apps"],
            (
                'invalid argument "/apps" for "--git-path" flag: '
                "paths are relative to the repository's root: leave out the leading slash"
            ),
        ),
        (
            ["--git-path=a,../b"],
            'invalid argument "a,../b" for "--git-path" flag: paths stay inside the repository: leave out the ..',
        ),
        (
            ["--git-verify-signatures-mode=some"],
            (
                'invalid argument "some" for "--git-verify-signatures-mode" flag: '
                "it must be one of none, all, first-parent"
            ),
        ),
        (["--registry-require=gcr"], 'invalid argument "gcr" for "--registry-require" flag: it must be one of ecr'),
        (["--listen=:3032"], "--listen and --listen-grpc are the same address, :3032."),
        (["--git-url"], "flag needs an argument: --git-url"),
        (
            ["--git-readonly", "false"],
            (
                'unexpected argument "false": there are flags only '
                "(a boolean takes its value behind an equals sign, as in --git-readonly=false)"
            ),
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_way_out(argv, message):
    assert refusal(*argv) == message


def test_port_0_may_be_given_to_every_listener():
    assert of("--listen=:0", "--listen-grpc=:0").api.listen_grpc == ":0"


def test_a_label_names_the_tag_and_says_what_it_overrides():
    settings = of("--git-label=prod", "--git-sync-tag=other")
    assert settings.git.sync_tag == "prod"
    assert settings.notices == ("--git-label overrides --git-sync-tag.",)


def test_an_empty_label_overrides_nothing():
    assert of("--git-label=", "--git-sync-tag=other").git.sync_tag == "other"


def test_readonly_keeps_the_state_in_the_secret_and_says_what_that_disables():
    settings = of("--git-readonly", "--sync-state=git", "--git-user=Jo")
    assert settings.sync.state == "secret"
    assert settings.notices == (
        "--git-readonly prevents --sync-state=git: the state is kept in the Secret.",
        "--git-readonly prevents writing to git, so there is no effect of --git-user.",
    )


@pytest.mark.parametrize(
    ("argv", "notice"),
    [
        (
            ["--ssh-keygen-bits=5"],
            "--ssh-keygen-bits has no effect yet: generating deploy keys comes in a later release.",
        ),
        (
            ["--ssh-keygen-bits=5", "--ssh-keygen-bits=6"],
            "--ssh-keygen-bits has no effect yet: generating deploy keys comes in a later release.",
        ),
        (
            ["--git-verify-signatures-mode=all"],
            (
                "--git-verify-signatures-mode has no effect yet: "
                "verification comes in a later release, commits are applied unverified until then."
            ),
        ),
        (["--connect", "wss://secret"], "--connect is ignored: the hosted service it belonged to is gone."),
        (["--k8s-in-cluster=maybe"], "--k8s-in-cluster is ignored: the agent finds it out itself."),
        (["--kubernetes-kubectl=/bin/k"], "--kubernetes-kubectl is ignored: the agent applies without kubectl."),
        (["--registry-cache-expiry=x"], "--registry-cache-expiry is ignored: entries are refreshed as needed."),
        (["--kube-config=/k"], "--kube-config is deprecated: use --kubeconfig instead."),
        (
            ["--registry-poll-interval=1m"],
            "--registry-poll-interval is deprecated: use --automation-interval instead.",
        ),
        (
            ["--git-verify-signatures"],
            (
                "--git-verify-signatures is deprecated: use --git-verify-signatures-mode=all instead; it has no effect "
                "yet: verification comes in a later release, commits are applied unverified until then."
            ),
        ),
    ],
)
def test_a_flag_without_effect_is_told_in_one_line(argv, notice):
    assert parse(argv, {}).notices == (notice,)


def test_a_token_is_repeated_nowhere():
    settings = of("--token=hunter2", FLUX_AGENT_MEMCACHED_PASSWORD="hunter2")
    assert len(settings.notices) == 2
    assert "hunter2" not in repr(settings)


def test_the_urls_password_is_not_in_the_settings_text():
    settings = of("--git-url=https://jo:hunter2@example.com/repo")
    assert "hunter2" in settings.git.url
    assert "hunter2" not in repr(settings)


def test_old_and_new_namespace_lists_are_joined():
    settings = of("--k8s-allow-namespace=new", "--k8s-namespace-whitelist=old")
    assert settings.cluster.allowed_namespaces == ("old", "new")


def test_the_old_namespace_list_alone_acts_as_the_new_one():
    assert of("--k8s-namespace-whitelist=a,b").cluster.allowed_namespaces == ("a", "b")


def test_an_old_name_gives_way_to_its_replacement():
    assert of("--kubeconfig=/new", "--kube-config=/old").cluster.kubeconfig == "/new"
    assert of("--kube-config=/old").cluster.kubeconfig == "/old"


@pytest.mark.parametrize("name", [flag.name for flag in FLAGS if flag.variable])
def test_every_flag_is_read_from_the_environment(name):
    texts = {"bool": "true", "string": ":1", "strings": "a", "duration": "7s", "int": "1", "uint": "1", "float": "1"}
    special = {
        "log-format": "json",
        "auth": "none",
        "sync-state": "secret",
        "sync-garbage-collection-limit": "none",
        "git-verify-signatures-mode": "all",
        "registry-require": "ecr",
        "registry-platform": "linux/arm64",
    }
    text = special.get(name, texts[BY_NAME[name].kind])
    variable = "FLUX_AGENT_" + name.upper().replace("-", "_")
    assert parse([], {variable: text}) == parse([f"--{name}={text}"], {})
    assert parse([], {variable: text}) != parse([], {})


def test_the_command_line_wins_over_the_environment():
    settings = of("--git-path=line", FLUX_AGENT_GIT_PATH="a,b", FLUX_AGENT_GIT_BRANCH="main")
    assert settings.git.paths == ("line",)
    assert settings.git.branch == "main"


def test_an_old_name_on_the_command_line_beats_a_new_one_in_the_environment():
    assert of("--kube-config=/line", FLUX_AGENT_KUBECONFIG="/environment").cluster.kubeconfig == "/line"


def test_the_command_line_can_take_a_boolean_back():
    assert of("--git-readonly=false", FLUX_AGENT_GIT_READONLY="true").git.readonly is False


def test_an_empty_variable_counts_as_not_set():
    assert parse([], {flag.variable: "" for flag in FLAGS if flag.variable}) == of()


def test_a_wrong_variable_is_told_by_its_own_name():
    assert refusal(FLUX_AGENT_GIT_TIMEOUT="soon") == (
        'invalid argument "soon" for "FLUX_AGENT_GIT_TIMEOUT" variable: time: invalid duration "soon"'
    )


def test_other_variables_are_left_alone():
    assert of(FLUX_AGENT_VERSION="1.2", FLUX_AGENT_HELP="1", FLUX_AGENT_PORT="tcp://10.0.0.1:3030", GIT_URL="x") == of()


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--git-readonly", "-h", "--nope"], ["--version", "--help"]])
def test_help_is_asked_for(argv):
    with pytest.raises(HelpRequested):
        parse(argv, {})


def test_an_error_before_help_comes_first():
    assert refusal("--nope", "--help").startswith("unknown flag")


def test_the_version_is_asked_for_whatever_the_environment_holds():
    with pytest.raises(VersionRequested):
        parse(["--version"], {"FLUX_AGENT_GIT_TIMEOUT": "soon"})


def test_version_false_asks_for_nothing():
    assert of("--version=false") == of()


@given(
    st.lists(st.sampled_from([f"--{flag.name}" for flag in FLAGS] + ["-l", "-h", "x", "1s", "--", "true"]), max_size=6),
    st.dictionaries(st.sampled_from([flag.variable for flag in FLAGS]), st.text(max_size=5), max_size=4),
)
def test_any_arguments_are_settings_or_a_usage_error(argv, environ):
    try:
        assert isinstance(parse(argv, environ), Settings)
    except (UsageError, HelpRequested, VersionRequested):
        return


@pytest.mark.parametrize("flag", ["--manifest-generation", "--git-secret", "--sops"])
def test_collection_is_off_while_what_would_be_generated_is_missing(flag):
    settings = parse([flag, "--sync-garbage-collection", "--git-url=x"], {})
    assert not settings.sync.garbage_collection
    assert any("Garbage collection is off" in notice for notice in settings.notices)
    assert parse([f"{flag}=false", "--sync-garbage-collection"], {}).sync.garbage_collection
