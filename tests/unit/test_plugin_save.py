"""`save` and `identity`, against an agent over real HTTP."""

import pytest
from plugin_standins import ConnectError, ScriptedAgent, serving

from kubectl_flux.main import main
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

NAMESPACE = pb.ExportedObject(kind="Namespace", name="demo", yaml="kind: Namespace\n")
SHOP = pb.ExportedObject(kind="Deployment", namespace="demo", name="shop", yaml="kind: Deployment\nname: é\n")
AGENT = pb.ExportedObject(kind="DaemonSet", namespace="demo", name="agent.v1", yaml="kind: DaemonSet")


def exporting(*pages, restricted=False, notices=()):
    """An agent whose export has these pages."""

    def page(request):
        at = int(request.page_token or 0)
        token = str(at + 1) if at + 1 < len(pages) else ""
        return pb.ExportResponse(objects=pages[at], next_page_token=token, restricted=restricted, notices=notices)

    return ScriptedAgent({"Export": page})


def run(agent, *argv):
    with serving(agent) as url:
        return main([*argv, "--url", url])


def test_without_a_folder_everything_goes_to_stdout_as_documents(capsys):
    agent = exporting([NAMESPACE], [], [SHOP, AGENT])
    assert run(agent, "save") == 0
    out, err = capsys.readouterr()
    assert out == "---\nkind: Namespace\n---\nkind: Deployment\nname: é\n---\nkind: DaemonSet\n"
    assert err == ""
    assert {(call.verb, call.method, call.message.namespace) for call in agent.calls} == {("GET", "Export", "")}


@pytest.mark.parametrize(("flags", "namespace"), [("", ""), ("-n demo", "demo"), ("-a", ""), ("-A -n demo", "")])
def test_a_namespace_is_one_only_where_it_is_asked_for(flags, namespace, capsys):
    agent = exporting([NAMESPACE])
    assert run(agent, "save", "-o", "-", *flags.split()) == 0
    assert agent.calls[0].message.namespace == namespace


def test_a_folder_gets_a_file_for_each_object_under_flux_v1s_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config" / "demo").mkdir(parents=True)
    (tmp_path / "config" / "demo" / "shop-dep.yaml").write_text("old, and longer than what replaces it " * 10)
    (tmp_path / "config" / "other.yaml").write_text("mine")
    assert run(exporting([NAMESPACE, SHOP], [AGENT]), "save", "--out", "./config/") == 0
    out, err = capsys.readouterr()
    assert out == (
        "Saving Namespace 'demo' to config/demo-ns.yaml\n"
        "Saving Deployment 'shop' to config/demo/shop-dep.yaml\n"
        "Saving DaemonSet 'agent.v1' to config/demo/agent.v1-DaemonSet.yaml\n"
    )
    assert err == ""
    files = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "config/demo-ns.yaml": "---\nkind: Namespace\n",
        "config/demo/shop-dep.yaml": "---\nkind: Deployment\nname: é\n",
        "config/demo/agent.v1-DaemonSet.yaml": "---\nkind: DaemonSet\n",
        "config/other.yaml": "mine",
    }


def test_a_folder_that_is_none_is_told_before_the_agent_is_asked(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    agent = exporting([NAMESPACE])
    assert run(agent, "save", "-o", str(tmp_path / "nosuch")) == 1
    assert run(agent, "save", f"-o={tmp_path}/file") == 1
    assert capsys.readouterr().err == (
        f"Error: the folder {tmp_path}/nosuch does not exist\nMake it first: mkdir -p {tmp_path}/nosuch\n"
        f"Error: {tmp_path}/file is not a folder\nName the folder to save into, or - for stdout.\n"
    )
    assert agent.calls == []


@pytest.mark.parametrize("part", ["../x", "..", ".git", "a/b", "a\\b", "", "a\nb", "/etc/x"])
@pytest.mark.parametrize("place", ["name", "namespace", "kind"])
def test_an_agent_cannot_choose_where_files_are_written(part, place, tmp_path, capsys):
    if place == "namespace" and not part:
        part = "."
    bad = pb.ExportedObject(**{"kind": "Deployment", "namespace": "demo", "name": "x", "yaml": "", place: part})
    assert run(exporting([NAMESPACE, bad]), "save", "-o", str(tmp_path)) == 1
    assert "cannot be saved" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_the_agent_fails_midway(tmp_path, capsys):
    answers = iter([pb.ExportResponse(objects=[SHOP], next_page_token="1"), ConnectError("permission_denied", "no")])
    assert run(ScriptedAgent({"Export": lambda _: next(answers)}), "save", "-o", str(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_a_file_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "demo").write_text("in the way")
    assert run(exporting([SHOP]), "save", "-o", str(tmp_path)) == 1
    assert capsys.readouterr().err == f"Error: {tmp_path}/demo/shop-dep.yaml cannot be written: File exists\n"


def test_what_one_may_not_see_is_told(capsys):
    assert run(exporting([], restricted=True), "save") == 0
    assert capsys.readouterr() == (
        "",
        "Note: there are namespaces that you may not see; what is in them is not saved\nThere is nothing to save\n",
    )


def test_what_the_agent_may_not_read_is_told_once_on_stderr(capsys):
    assert run(exporting([SHOP], [AGENT], notices=["All cronjobs.batch are left out."]), "save") == 0
    assert capsys.readouterr().err == "Note: All cronjobs.batch are left out.\n"


KEY = pb.GetPublicKeyResponse(
    key="ssh-ed25519 AAAA flux", fingerprint="256 SHA256:x flux (ED25519)", randomart="+--+\n|  |\n+--+\n"
)


@pytest.mark.parametrize(
    ("flags", "out"),
    [
        ("", "ssh-ed25519 AAAA flux\n"),
        ("-l", "256 SHA256:x flux (ED25519)\n"),
        ("-v", "256 SHA256:x flux (ED25519)\n+--+\n|  |\n+--+\n"),
        ("-lv", "256 SHA256:x flux (ED25519)\n+--+\n|  |\n+--+\n"),
    ],
)
def test_the_key_its_fingerprint_or_its_picture(flags, out, capsys):
    agent = ScriptedAgent({"GetPublicKey": KEY})
    assert run(agent, "identity", *flags.split()) == 0
    assert capsys.readouterr() == (out, "")
    assert [(call.verb, call.method) for call in agent.calls] == [("GET", "GetPublicKey")]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ssh://git@h/a", "Error: the agent has no deploy key\nMake one"),
        ("", "Error: the agent has no deploy key\nMake one"),
        ("https://h/a", "needs none: https://h/a is not reached over ssh\nOver https"),
    ],
)
def test_no_key_fails_and_says_why(url, said, capsys):
    repository = pb.GetRepositoryResponse(repository=pb.Repository(url=url))
    assert run(ScriptedAgent({"GetRepository": repository}), "identity", "-l") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_a_new_key_is_not_the_agents_to_make(capsys):
    agent = ScriptedAgent()
    assert run(agent, "identity", "-r", "--k8s-fwd-ns=weave") == 1
    err = capsys.readouterr().err
    assert "do not generate keys" in err
    assert "kubectl patch secret flux-git-deploy -n weave " in err
    assert agent.calls == []
