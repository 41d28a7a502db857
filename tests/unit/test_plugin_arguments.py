"""The plugin reads command lines as pflag and cobra did, and complains in their words."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubectl_flux.arguments import parse
from kubectl_flux.commands.root import command_tree
from kubectl_flux.errors import UsageError
from kubectl_flux.options import GlobalFlags, parse_duration, parse_labels, resolve
from kubectl_flux.transport import Request
from kubectl_flux.usage import command_help

TREE = command_tree()


def read(*argv):
    """The command, and the values that were given, its own and the global ones."""
    parsed = parse(argv, TREE)
    words = parsed.for_click()
    own_words = words[words.index(parsed.command) + 1 :]
    context = TREE.make_context("kubectl flux", [*words])
    own = TREE.commands[parsed.command].make_context(parsed.command, own_words)
    values = {**context.params, **own.params}
    return parsed.command, {key: value for key, value in values.items() if value and value != "tab"}


@pytest.mark.parametrize(
    ("argv", "command", "values"),
    [
        ("list-workloads -n demo", "list-workloads", {"namespace": "demo"}),
        ("list-workloads -ndemo", "list-workloads", {"namespace": "demo"}),
        ("list-workloads -n=demo", "list-workloads", {"namespace": "demo"}),
        ("list-workloads --namespace demo", "list-workloads", {"namespace": "demo"}),
        ("list-workloads --namespace=demo", "list-workloads", {"namespace": "demo"}),
        ("-n demo list-workloads", "list-workloads", {"namespace": "demo"}),
        ("list-workloads -n a -n b", "list-workloads", {"namespace": "b"}),
        ("list-workloads -a", "list-workloads", {"all_namespaces": True}),
        ("list-workloads -A", "list-workloads", {"all_namespaces": True}),
        ("-a list-workloads", "list-workloads", {"all_namespaces": True}),
        ("list-workloads --all-namespaces=true", "list-workloads", {"all_namespaces": True}),
        ("list-workloads --all-namespaces=false", "list-workloads", {}),
        ("list-workloads -a=false", "list-workloads", {}),
        ("list-workloads -a --all-namespaces=0", "list-workloads", {}),
        ("list-workloads -a=F -a=T", "list-workloads", {"all_namespaces": True}),
        ("list-workloads -an demo", "list-workloads", {"all_namespaces": True, "namespace": "demo"}),
        ("list-workloads -andemo", "list-workloads", {"all_namespaces": True, "namespace": "demo"}),
        ("list-workloads -cweb -ojson", "list-workloads", {"container": "web", "output_format": "json"}),
        ("list-workloads -o json", "list-workloads", {"output_format": "json"}),
        ("list-workloads --output=json", "list-workloads", {"output_format": "json"}),
        ("list-workloads --no-headers", "list-workloads", {"no_headers": True}),
        ("list-workloads --namespace -x", "list-workloads", {"namespace": "-x"}),
        ("--timeout 5s sync", "sync", {"timeout": "5s"}),
        ("sync --timeout 5s", "sync", {"timeout": "5s"}),
        ("sync --timeout=5s", "sync", {"timeout": "5s"}),
        ("sync -u http://x -t tok", "sync", {"url": "http://x", "token": "tok"}),
        ("--context=a --as bob sync", "sync", {"context": "a", "as_user": "bob"}),
        ("sync --as-group g1 --as-group g2,x", "sync", {"as_groups": ("g1", "g2,x")}),
        ("sync --k8s-fwd-labels app=flux --k8s-fwd-labels=name=x", "sync", {"forward_labels": "app=flux,name=x"}),
        ("version --client", "version", {"client": True}),
        ("version --client=false", "version", {}),
        ("release --workload=a,b --workload c", "release", {"workload": ("a", "b", "c")}),
        ("release -vv -f", "release", {"verbose": 2, "force": True}),
        ("release -vfv", "release", {"verbose": 2, "force": True}),
        ("release -v=3", "release", {"verbose": 3}),
        ("release --verbose --verbose", "release", {"verbose": 2}),
        ("release -fi acme/shop:1", "release", {"force": True, "image": "acme/shop:1"}),
        ("release -m=two -w", "release", {"message": "two", "watch": True}),
        ("automate -w demo:deployment/shop", "automate", {"workload": "demo:deployment/shop"}),
        ("lock --user=Bob", "lock", {"user": "Bob"}),
        ("-w demo:deployment/shop automate", "automate", {"workload": "demo:deployment/shop"}),
        ("release --update-all-images=true --exclude=x", "release", {"all_images": True, "exclude": ("x",)}),
    ],
)
def test_flags_are_read_as_pflag_read_them(argv, command, values):
    assert read(*argv.split()) == (command, values)


@pytest.mark.parametrize(
    ("argv", "message", "command"),
    [
        ("release -a", "unknown shorthand flag: 'a' in -a", "release"),
        ("release -fax", "unknown shorthand flag: 'a' in -ax", "release"),
        ("save-it", 'unknown command "save-it" for "kubectl flux"', ""),
        ("nosuchcommand --nope", 'unknown command "nosuchcommand" for "kubectl flux"', ""),
        ("sync --nope", "unknown flag: --nope", "sync"),
        ("sync --nope=1", "unknown flag: --nope", "sync"),
        ("--nope", "unknown flag: --nope", ""),
        ("list-workloads --name=x", "unknown flag: --name", "list-workloads"),
        ("list-workloads -n", "flag needs an argument: 'n' in -n", "list-workloads"),
        ("list-workloads -an", "flag needs an argument: 'n' in -n", "list-workloads"),
        ("list-workloads --namespace", "flag needs an argument: --namespace", "list-workloads"),
        ("list-workloads --=x", "bad flag syntax: --=x", "list-workloads"),
        ("list-workloads ---n", "bad flag syntax: ---n", "list-workloads"),
        (
            "list-workloads -a=maybe",
            (
                'invalid argument "maybe" for "-a, --all-namespaces" flag: '
                'strconv.ParseBool: parsing "maybe": invalid syntax'
            ),
            "list-workloads",
        ),
        ("list-workloads demo", "expected no (non-flag) arguments", "list-workloads"),
        ("list-workloads -- -n", "expected no (non-flag) arguments", "list-workloads"),
        ("sync -", "expected no (non-flag) arguments", "sync"),
    ],
)
def test_wrong_usage_is_told_in_pflags_words(argv, message, command):
    with pytest.raises(UsageError) as raised:
        parse(argv.split(), TREE)
    assert (raised.value.message, raised.value.command) == (message, command)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        ("", ""),
        ("-h", ""),
        ("--help", ""),
        ("--timeout 5s", ""),
        ("sync -h", "sync"),
        ("--help sync", "sync"),
        ("-h sync", "sync"),
        ("sync --help=true extra", "sync"),
    ],
)
def test_help_is_asked_for_in_any_place(argv, command):
    parsed = parse(argv.split(), TREE)
    assert (parsed.wants_help, parsed.command) == (True, command)


@settings(deadline=None)
@given(st.permutations([["-n", "demo"], ["-a"], ["-ojson"], ["--timeout=5s"], ["--context", "c"], ["list-workloads"]]))
def test_the_order_of_flags_and_command_does_not_matter(words):
    parsed = parse(list(itertools.chain.from_iterable(words)), TREE)
    values = {flag.long[0]: value for flag, value in (*parsed.flags, *parsed.global_flags)}
    assert parsed.command == "list-workloads"
    assert values == {
        "namespace": "demo",
        "all-namespaces": "true",
        "output-format": "json",
        "timeout": "5s",
        "context": "c",
    }


def test_a_commands_own_flag_hides_the_global_one_of_its_name():
    parsed = parse(["lock", "--user=Bob"], TREE)
    assert (parsed.global_flags, [value for _, value in parsed.flags]) == ((), ["Bob"])
    globally = command_help(TREE, TREE.commands["lock"]).partition("Global Flags:")[2]
    assert "--user " not in globally
    assert "--context " in globally


@settings(deadline=None)
@given(st.lists(st.text(alphabet="-=nao hx1,", max_size=6), max_size=5))
def test_any_words_are_read_or_refused_and_nothing_else(words):
    with contextlib.suppress(UsageError):
        assert isinstance(parse(words, TREE).for_click(), list)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m0s", 60), ("1h30m", 5400), ("90s", 90), ("1.5s", 1.5), (".5s", 0.5), ("100ms", 0.1), ("2µs", 2e-6)],
)
def test_durations_are_gos(text, seconds):
    assert parse_duration(text, "--timeout") == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5", 'time: missing unit in duration "5"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("soon", 'time: invalid duration "soon"'),
        ("", 'time: invalid duration ""'),
        ("0s", "it must be longer than nothing"),
        ("0", "it must be longer than nothing"),
        ("9999999h", 'time: invalid duration "9999999h"'),
        ("9" * 400 + "h", 'time: invalid duration "' + "9" * 400 + 'h"'),
        ("-5s", 'time: invalid duration "-5s"'),
    ],
)
def test_a_wrong_duration_is_told_in_gos_words(text, why):
    with pytest.raises(UsageError) as raised:
        parse_duration(text, "--timeout")
    assert raised.value.message == f'invalid argument "{text}" for "--timeout" flag: {why}'


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_whole_durations_add_up(hours, minutes, seconds):
    assert parse_duration(f"{hours}h{minutes}m{seconds}s", "--timeout") == hours * 3600 + minutes * 60 + seconds


def test_labels_become_a_selector_and_the_last_value_of_a_key_counts():
    assert parse_labels("app=flux,name=x,app=other") == "app=other,name=x"


def test_a_label_without_a_value_is_refused():
    with pytest.raises(UsageError, match="x must be formatted as key=value"):
        parse_labels("x")


def test_a_flag_beats_the_environment_and_the_environment_beats_the_default():
    environ = {
        "FLUX_FORWARD_NAMESPACE": "weave",
        "FLUX_FORWARD_LABELS": "name=flux",
        "FLUX_TIMEOUT": "2m",
        "FLUX_URL": "https://flux.example.com/api/flux/",
        "WEAVE_CLOUD_TOKEN": "secret",
    }
    settings = resolve(GlobalFlags(forward_namespace="mine", timeout="5s"), environ)
    assert (settings.agent_namespace, settings.agent_labels, settings.timeout) == ("mine", "name=flux", 5)
    assert (settings.url, settings.token) == ("https://flux.example.com", "secret")
    assert resolve(GlobalFlags(), {}).timeout == 60


@pytest.mark.parametrize(
    ("url", "settled"),
    [
        ("http://127.0.0.1:3030/api/flux", "http://127.0.0.1:3030"),
        ("http://127.0.0.1:3030/", "http://127.0.0.1:3030"),
        ("https://example.com/under/flux", "https://example.com/under/flux"),
    ],
)
def test_v1s_path_is_dropped_from_the_url(url, settled):
    assert resolve(GlobalFlags(url=url), {}).url == settled


@pytest.mark.parametrize(
    "url",
    [
        *("flux.example.com", "ftp://x", "http://", "http://x:port", "https://x:99999", "http://[::1"),
        *("http://a..b", f"http://{'a' * 64}", "http://x/a b", "http://x/é"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(url):
    with pytest.raises(UsageError, match="-u, --url"):
        resolve(GlobalFlags(url=url), {})


@pytest.mark.parametrize("variable", ["FLUX_TOKEN", "WEAVE_CLOUD_TOKEN", "FLUX_SERVICE_TOKEN"])
def test_a_token_without_a_url_is_for_a_service_that_is_gone(variable):
    with pytest.raises(UsageError, match="hosted service"):
        resolve(GlobalFlags(), {variable: "secret"})


def test_a_token_does_not_show_in_a_repr():
    flags = GlobalFlags(url="http://x", token="secret")
    request = Request("/x", {}).with_header("X-Flux-Token", "secret")
    assert "secret" not in repr((flags, resolve(flags, {}), request))


@pytest.mark.parametrize("token", ["secret\n", "secret\r", "Bearer secret", "secrét"])
def test_a_token_that_no_header_takes_is_refused_and_not_repeated(token):
    with pytest.raises(UsageError, match="the token has a character") as raised:
        resolve(GlobalFlags(url="http://x"), {"FLUX_TOKEN": token})
    assert "secr" not in str(raised.value)


@pytest.mark.parametrize("name", ["a,b", "Flux", "x/y", "-a", ".*"])
def test_a_namespace_that_cannot_be_one_is_refused(name):
    with pytest.raises(UsageError, match="--k8s-fwd-ns"):
        resolve(GlobalFlags(forward_namespace=name), {})


def test_the_kubeconfig_files_are_kubectls():
    environ = {"KUBECONFIG": "/a:/b", "HOME": "/home/ann"}
    assert resolve(GlobalFlags(), environ).cluster.kubeconfig_files == ("/a", "/b")
    assert resolve(GlobalFlags(kubeconfig="/c"), environ).cluster.kubeconfig_files == ("/c",)
    assert resolve(GlobalFlags(), {"HOME": "/home/ann"}).cluster.kubeconfig_files == ("/home/ann/.kube/config",)
