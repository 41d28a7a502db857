"""Who the plugin says it is: tokens of ServiceAccounts, from a stand-in for the API server, and the user's cache."""

from __future__ import annotations

import os
import stat

import pytest
from plugin_standins import ConnectError, listing, reply, status, write_kubeconfig

from kubectl_flux.cache import Cache, cache_folder
from kubectl_flux.identity import LIFETIME, RENEW_BEFORE, Token, read, written
from kubectl_flux.kubectl import proxy_command
from kubectl_flux.main import main
from kubectl_flux.options import ClusterAccess
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

OPERATOR, VIEWER = "flux/flux-operator", "flux/flux-viewer"
NO_TOKEN = ConnectError("unauthenticated", "the call came without a token (kubectl flux sends one (by itself))", 401)
DENIED = ConnectError("permission_denied", "flux-viewer may not create syncs.flux.fluxcd.io", 403)


def insisting(token):
    return None if token else NO_TOKEN


@pytest.fixture
def agent(cluster):
    """An agent that wants to know who calls, behind Service flux/flux; both usual accounts exist."""
    cluster.services["flux/flux"] = made = listing("team:deployment/shop")
    made.refusal = insisting
    made.answers["GetRepository"] = pb.GetRepositoryResponse(repository=pb.Repository(url="ssh://git@h/x"))
    made.answers["Sync"] = pb.SyncResponse(job_id="j")
    made.answers["GetJob"] = pb.GetJobResponse(job=pb.Job(id="j", version=1, state=pb.JOB_STATE_SUCCEEDED))
    cluster.accounts |= {OPERATOR, VIEWER}
    return made


def list_workloads(*flags):
    return main(["list-workloads", "-a", "-o", "name", *flags])


def sent(agent):
    return [call.headers.get("X-Flux-Token", "") for call in agent.calls]


def test_a_token_for_this_agent_is_asked_for_when_it_wants_one_and_used_from_then_on(cluster, agent, capsys):
    assert [list_workloads(), list_workloads(), list_workloads()] == [0, 0, 0]
    assert capsys.readouterr() == ("team:deployment/shop\n" * 3, "")
    spec = {"audiences": ["flux:flux/flux"], "expirationSeconds": 600}
    assert cluster.token_requests == [(OPERATOR, spec)]
    assert sent(agent) == ["", *["flux-operator-1"] * 3]
    assert len(cluster.requests) == 5


def test_an_agent_that_wants_no_token_costs_no_request_for_one(cluster, agent, cache):
    agent.refusal = lambda _token: None
    assert list_workloads() == 0
    assert (cluster.token_requests, len(cluster.requests), cache.exists()) == ([], 1, False)


@pytest.mark.parametrize("state", ["forbidden", "missing"])
def test_who_may_not_have_the_operators_token_has_the_viewers_and_that_is_remembered(cluster, agent, state):
    if state == "forbidden":
        cluster.forbidden.add(OPERATOR)
    else:
        cluster.accounts.remove(OPERATOR)
    assert [list_workloads(), list_workloads()] == [0, 0]
    assert [account for account, _ in cluster.token_requests] == [OPERATOR, VIEWER]
    assert sent(agent) == ["", "flux-viewer-2", "flux-viewer-2"]


@pytest.mark.parametrize(
    ("flag", "account"), [("bob", "flux/bob"), ("team-a/bob", "team-a/bob"), ("team-a/b.o-b", "team-a/b.o-b")]
)
def test_a_chosen_account_is_the_only_one(cluster, agent, monkeypatch, flag, account):
    cluster.accounts.add(account)
    monkeypatch.setenv("FLUX_SERVICE_ACCOUNT", "other")
    assert list_workloads("--service-account", flag) == 0
    assert [asked for asked, _ in cluster.token_requests] == [account]
    monkeypatch.setenv("FLUX_SERVICE_ACCOUNT", flag)
    assert list_workloads() == 0
    assert len(cluster.token_requests) == 1


@pytest.mark.parametrize("flag", ["a/b/c", "UPPER", "a,b", "a|b", "-a", ".*"])
def test_what_can_be_no_accounts_name_is_wrong_usage(flag, capsys):
    assert list_workloads("--service-account", flag) == 2
    assert 'for "--service-account" flag: it must be NAME or NAMESPACE/NAME' in capsys.readouterr().err


def test_a_token_the_agent_does_not_take_any_more_is_replaced_once(cluster, agent):
    assert list_workloads() == 0
    agent.refusal = lambda token: NO_TOKEN if token in ("", "flux-operator-1") else None
    assert list_workloads() == 0
    assert sent(agent) == ["", "flux-operator-1", "flux-operator-1", "flux-operator-2"]


def test_a_new_token_that_is_refused_is_told_without_trying_for_ever(cluster, agent, capsys):
    agent.refusal = lambda _token: ConnectError("unauthenticated", "the token is not for this agent", 401)
    assert list_workloads() == 1
    assert capsys.readouterr().err.splitlines() == [
        "Error: the token is not for this agent",
        "It refused a new token of ServiceAccount flux/flux-operator, made for flux:flux/flux.",
    ]
    assert len(cluster.token_requests) == 1


def test_without_any_token_the_error_tells_what_was_tried_as_whom_and_what_helps(cluster, agent, capsys):
    cluster.accounts.remove(OPERATOR)
    cluster.forbidden.add(VIEWER)
    assert list_workloads() == 1
    assert capsys.readouterr().err.splitlines() == [
        "Error: the call came without a token",
        "No ServiceAccount's token could be had as the kubeconfig's user ann:",
        '  flux/flux-operator: serviceaccounts "flux-operator" not found',
        (
            '  flux/flux-viewer: serviceaccounts "flux-viewer" is forbidden: User "bob" cannot create resource '
            '"serviceaccounts/token"'
        ),
        (
            "A Role in namespace flux with verb create on serviceaccounts/token is needed "
            '(resourceNames: ["flux-viewer"]). Or name another account with --service-account.'
        ),
    ]


def test_accounts_that_do_not_exist_are_to_be_made(cluster, agent, capsys):
    cluster.accounts.clear()
    assert list_workloads("--as", "carol") == 1
    err = capsys.readouterr().err
    assert "could be had as carol:" in err
    assert "Make the ServiceAccount in namespace flux, as the agent's installation does." in err


def test_a_viewers_write_tells_what_is_missing(cluster, agent, capsys):
    cluster.forbidden.add(OPERATOR)
    agent.refusal = lambda token: DENIED if token.startswith("flux-viewer") else insisting(token)
    assert main(["sync"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "Error: flux-viewer may not create syncs.flux.fluxcd.io",
        "The call was made as ServiceAccount flux/flux-viewer.",
        (
            'It could not be made as flux/flux-operator: serviceaccounts "flux-operator" is forbidden: User "bob" '
            'cannot create resource "serviceaccounts/token"'
        ),
        (
            "A Role in namespace flux with verb create on serviceaccounts/token is needed "
            '(resourceNames: ["flux-operator"]).'
        ),
    ]


def test_who_was_just_made_an_operator_need_not_wait(cluster, agent):
    cluster.forbidden.add(OPERATOR)
    assert list_workloads() == 0
    cluster.forbidden.clear()
    agent.refusal = lambda token: DENIED if token.startswith("flux-viewer") else insisting(token)
    assert main(["sync"]) == 0
    assert sent(agent)[-1] == "flux-operator-3"


def test_a_change_that_the_api_server_refuses_names_the_right(cluster, agent, capsys):
    def refuse_posts(handler):
        text = 'services "flux:http" is forbidden: User "bob" cannot create resource "services/proxy"'
        reply(handler, 403, "application/json", status(403, "Forbidden", text))

    cluster.services["flux/flux"] = refuse_posts
    assert main(["sync"]) == 1
    assert '(resourceNames: ["flux:http"])' in capsys.readouterr().err


def one_file(cache):
    (path,) = cache.iterdir()
    return path


def test_a_token_is_kept_for_this_user_alone(cluster, agent, cache):
    assert list_workloads() == 0
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(one_file(cache).stat().st_mode) == 0o600


@pytest.mark.parametrize("left", [RENEW_BEFORE - 1, -3600, LIFETIME + 60])
def test_a_token_that_will_not_do_is_renewed_before_it_is_sent(cluster, agent, cache, left):
    assert list_workloads() == 0
    path = one_file(cache)
    account, expires, text, end = path.read_text().split("\n")
    path.write_text("\n".join([account, str(int(expires) - LIFETIME + left), text, end]))
    assert list_workloads() == 0
    assert sent(agent) == ["", "flux-operator-1", "flux-operator-2"]


@pytest.mark.parametrize("other", ["user", "context", "as", "account", "server", "authority"])
def test_a_token_is_used_by_the_same_user_at_the_same_agent_only(cluster, agent, tmp_path, other):
    assert list_workloads() == 0
    cluster.accounts.add("flux/other")
    config = tmp_path / "config"
    text = config.read_text()
    flags = {"as": ["--as", "bob"], "account": ["--service-account", "other"]}.get(other, [])
    if other == "user":
        write_kubeconfig(config, text.partition('server: "')[2].partition('"')[0], user="{token: bobs-token}")
    if other == "server":
        config.write_text(text.replace("127.0.0.1:", "localhost:", 1))
    if other == "authority":
        config.write_text(text.replace("insecure-skip-tls-verify: true", "tls-server-name: x", 1))
    if other == "context":
        config.write_text(text.replace("current-context: here", "current-context: there") + _OTHER_CONTEXT)
    assert list_workloads(*flags) == 0
    assert sent(agent)[2] == "", "a token of somebody else was sent"
    assert len(cluster.token_requests) == 2


_OTHER_CONTEXT = """- {name: there, context: {cluster: here, user: eve}}
users: [{name: ann, user: {token: anns-token}}, {name: eve, user: {token: eves-token}}]
"""


def test_the_contexts_namespace_does_not_matter_to_a_token(cluster, agent, tmp_path):
    assert list_workloads() == 0
    config = tmp_path / "config"
    config.write_text(config.read_text().replace("namespace: team", "namespace: elsewhere"))
    assert list_workloads() == 0
    assert len(cluster.token_requests) == 1


def test_without_a_context_nothing_is_kept(cluster, agent, cache, tmp_path):
    config = tmp_path / "config"
    server = config.read_text().partition('server: "')[2].partition('"')[0]
    config.write_text(f'clusters: [{{name: c, cluster: {{server: "{server}"}}}}]\nusers: [{{name: u, user: {{}}}}]\n')
    assert list_workloads("--cluster", "c", "--user", "u") == 0
    assert not cache.exists()


def spoil(kind, cache):
    path = one_file(cache)
    match kind:
        case "open":
            path.chmod(0o644)
        case "a link":
            path.rename(cache.parent / "elsewhere")
            path.symlink_to(cache.parent / "elsewhere")
        case "somebody else's":
            os.chown(path, 12345, 12345)
        case "a folder of somebody else":
            os.chown(cache, 12345, 12345)
        case "a linked folder":
            cache.rename(cache.parent / "elsewhere")
            cache.symlink_to(cache.parent / "elsewhere")
        case "nonsense":
            path.write_bytes(b"\xff\x00\n\n")
        case "too long":
            path.write_text(path.read_text() + "x" * 100_000)


@pytest.mark.parametrize(
    "kind",
    ["open", "a link", "somebody else's", "a folder of somebody else", "a linked folder", "nonsense", "too long"],
)
def test_a_token_that_others_may_have_put_there_is_not_sent(cluster, agent, cache, kind):
    if kind.startswith(("somebody", "a folder")) and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    assert list_workloads() == 0
    spoil(kind, cache)
    assert list_workloads() == 0
    assert sent(agent)[2:] == ["", "flux-operator-2"]


def test_a_cache_that_cannot_be_written_is_no_error(cluster, agent, cache, capsys):
    cache.parent.write_text("a file where the folder should be")
    assert list_workloads() == 0
    assert capsys.readouterr() == ("team:deployment/shop\n", "")


def test_the_cache_keeps_a_bounded_number_of_files(tmp_path):
    kept = Cache(str(tmp_path / "c"))
    for number in range(250):
        kept.write(f"token-{number}", "x")
    assert len(list((tmp_path / "c").iterdir())) == 200
    assert kept.read("token-249") == "x"


@pytest.mark.parametrize(
    ("environ", "platform", "folder"),
    [
        ({"HOME": "/h"}, "linux", "/h/.cache/kubectl-flux"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "linux", "/x/kubectl-flux"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, "linux", "/h/.cache/kubectl-flux"),
        ({"HOME": "/h"}, "darwin", "/h/Library/Caches/kubectl-flux"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "darwin", "/x/kubectl-flux"),
        ({"LOCALAPPDATA": "C:\\L"}, "win32", "C:\\L/kubectl-flux"),
        ({}, "linux", ""),
    ],
)
def test_the_cache_lies_where_the_platform_has_it(environ, platform, folder):
    assert cache_folder(environ, platform) == folder


def test_a_token_is_read_as_it_was_written_and_never_shown():
    token = Token("abc.def-_", "flux/flux-operator", 1700000000.9)
    assert read(written(token)) == token._replace(expires=1700000000)
    assert "abc" not in repr(token)
    assert [read(text) for text in ("", "a\nb\nc\n", "a\n1\nx y\n", "a\n1\n\n", "a\n1\nb\nc\n")] == [None] * 5


@pytest.mark.parametrize(
    ("namespace", "account", "path"),
    [
        ("", "", "^/api/v1/namespaces/[^/]+/serviceaccounts/(flux-operator|flux-viewer)/token$"),
        ("weave", "", "^/api/v1/namespaces/weave/serviceaccounts/(flux-operator|flux-viewer)/token$"),
        ("weave", "b.o", "^/api/v1/namespaces/weave/serviceaccounts/(b[.]o)/token$"),
        ("weave", "team/bob", "^/api/v1/namespaces/team/serviceaccounts/(bob)/token$"),
    ],
)
def test_the_proxy_lets_requests_for_the_accounts_tokens_through_only(namespace, account, path):
    (accepted,) = [word for word in proxy_command(ClusterAccess(), namespace, account) if word.startswith("--accept")]
    assert accepted.rpartition(",")[2] == path
