"""What is offered for unfinished command lines, by our own program, by the real kubectl, and in bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_standins import ConnectError, ScriptedAgent, serving, workload

from kubectl_flux.arguments import parse
from kubectl_flux.candidates import _FIXED, ANY_FILE, FOLDER, NO_FILE, offer
from kubectl_flux.commands.root import command_tree
from kubectl_flux.completion import settings_of
from kubectl_flux.main import main
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.shells import SCRIPTS

TREE = command_tree()
HELPER = Path(sys.executable).with_name("kubectl_complete-flux")
TIMEOUT = 30.0
FORMATS = ["json", "name", "tab", "table", "wide", "yaml"]


def offered(line):
    """The candidates' values for a line, the word at the cursor last."""
    *words, word = line.split(" ")
    return [value for value, _ in offer(TREE, words, word).candidates]


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("list-w", ["list-workloads"]),
        ("--context x list-w", ["list-workloads"]),
        ("-u http://x list-w", ["list-workloads"]),
        ("-t list-w", []),
        ("list-controll", []),
        ("nosuch ", []),
        ("list-workloads -o ", FORMATS),
        ("list-workloads -o j", ["json"]),
        ("list-workloads --output=j", ["json"]),
        ("list-workloads --output-format ta", ["tab", "table"]),
        ("list-workloads -n -o ", []),
        ("list-workloads --no-h", ["--no-headers"]),
        ("list-workloads --no-headers --no-h", []),
        ("list-workloads --all", ["--all-namespaces"]),
        ("release --workload a/b --workl", ["--workload"]),
        ("policy --unl", ["--unlock"]),
        ("policy --contr", []),
        ("sync --k8s", ["--k8s-fwd-labels", "--k8s-fwd-ns"]),
        ("--kubec", ["--kubeconfig"]),
        ("sync --nosuch ", []),
        ("sync ", []),
        ("sync -- --k8s", []),
        ("completion ", ["bash", "fish", "powershell", "zsh"]),
        ("completion bash ", []),
        ("wait --for=", ["ready", "synced"]),
        ("status -o ", ["json", "yaml"]),
        ("why a/b -o ", ["json", "yaml"]),
        ("help sy", ["sync"]),
        ("version --cli", ["--client"]),
    ],
)
def test_what_fits_the_word_at_the_cursor(line, candidates):
    assert offered(line) == candidates


def test_every_visible_command_is_offered_with_its_line():
    found = dict(offer(TREE, [], "").candidates)
    assert set(found) == {name for name, command in TREE.commands.items() if not command.hidden}
    assert found["sync"] == "Synchronize the cluster with the git repository, now"


def test_flags_are_offered_long_and_short_with_those_for_every_command():
    assert {"-n", "--namespace", "-u", "--url", "-h", "--help"} <= set(offered("list-workloads -"))
    assert {"-n", "--namespace"}.isdisjoint(offered("-"))


@pytest.mark.parametrize(
    ("line", "directive"), [("sync --kubeconfig ", ANY_FILE), ("sync --kubeconfig=", ANY_FILE), ("sync ", NO_FILE)]
)
def test_shells_are_told_where_a_file_fits(line, directive):
    *words, word = line.split(" ")
    assert offer(TREE, words, word).directive == directive


def test_folders_fit_where_something_is_saved():
    assert offer(TREE, ["save", "-o"], "").directive == FOLDER


@pytest.mark.parametrize(("command", "flag"), list(_FIXED))
def test_the_values_offered_are_those_that_the_command_knows(command, flag, monkeypatch, capsys):
    monkeypatch.setenv("KUBECONFIG", os.devnull)
    more = ["--commit=0123456789"] if command == "wait" else []
    with serving(ScriptedAgent()) as url:
        for value in (*offered(f"{command} --{flag}="), "nonsense"):
            code = main([command, f"--{flag}={value}", *more, f"--url={url}", "--timeout=2s"])
            told = capsys.readouterr().err
            assert (value == "nonsense") == ("invalid" in told), told
            assert code == 2 or value != "nonsense"


def test_every_global_flag_reaches_the_agent_that_is_asked():
    given = [f"--{name}=true" for option in TREE.params for name in [option.opts[0].lstrip("-")] if option.is_flag]
    given += ["--context=a", "--as-group=b", "--as-group=c", "--k8s-fwd-ns=d", "--user=e", "--timeout=5s"]
    parsed = parse([*given, "version"], TREE)
    settings = settings_of(TREE, parsed.global_flags)
    assert (settings.cluster.context, settings.cluster.as_groups, settings.cluster.user) == ("a", ("b", "c"), "e")
    assert (settings.agent_namespace, settings.timeout) == ("d", 5)


def complete(*words, **environ):
    """What the helper prints, in an environment without a cluster."""
    told = {"PATH": os.environ["PATH"], "KUBECONFIG": os.devnull, **environ}
    done = subprocess.run([HELPER, *words], capture_output=True, text=True, env=told, check=True, timeout=TIMEOUT)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture
def agent():
    found = [workload("demo:deployment/shop"), workload("demo:statefulset/db"), workload("kube-system:daemonset/net")]

    def in_namespace(request):
        return [one for one in found if one.id.startswith(f"{request.namespace}:") or not request.namespace]

    answers = {"ListWorkloads": lambda request: pb.ListWorkloadsResponse(workloads=in_namespace(request))}
    with serving(ScriptedAgent(answers)) as url:
        yield url


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["list-images", "-w", "demo:d"], ["demo:deployment/shop"]),
        (["list-images", "-n", "demo", "-w", ""], ["deployment/shop", "statefulset/db"]),
        (["release", "--workload=k"], ["kube-system:daemonset/net"]),
        (["why", "demo:d"], ["demo:deployment/shop"]),
        (["why", "-n", "demo", ""], ["deployment/shop", "statefulset/db"]),
        (["why", "demo:deployment/shop", ""], []),
        (["list-workloads", "--namespace", ""], ["demo", "kube-system"]),
    ],
)
def test_names_are_asked_of_the_agent(words, lines, agent):
    assert complete(*words, FLUX_URL=agent) == [*lines, ":4"]
    assert complete("--url", agent, *words) == [*lines, ":4"]


def test_contexts_are_read_from_the_kubeconfig(tmp_path):
    config = tmp_path / "config"
    config.write_text("{contexts: [{name: prod}, {name: staging}]}")
    assert complete("sync", "--kubeconfig", str(config), "--context", "p") == ["prod", ":4"]


@pytest.mark.parametrize("words", [["list-images", "-w", ""], ["list-workloads", "--timeout=never", "-n", ""]])
def test_without_an_answer_nothing_is_offered_and_nothing_said(words):
    with serving(ScriptedAgent({"ListWorkloads": ConnectError("internal", "broken", 500)})) as url:
        assert complete(*words, FLUX_URL=url) == [":4"]


def test_the_plugin_itself_answers_shells(capsys):
    assert main(["__complete", "list-workloads", "-o", "js"]) == 0
    assert capsys.readouterr() == ("json\n:4\n", "")


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["list-w"], ["list-workloads\tList workloads currently running in the cluster", ":4"]),
        (["list-workloads", "-o", ""], [*FORMATS, ":4"]),
        (["sync", "--kubeconfig", ""], [":0"]),
    ],
)
def test_kubectls_own_completion_asks_the_helper(words, lines, tmp_path):
    environ = {"PATH": f"{HELPER.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    command = ["kubectl", "__complete", "flux", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=True, timeout=TIMEOUT)
    assert done.stdout.splitlines() == lines


BASH = """
source "$1"
COMP_LINE="$2"
COMP_POINT=${#COMP_LINE}
_kubectl_flux
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("kubectl-flux list-w", ["list-workloads"]),
        ("kubectl-flux list-workloads -o ", FORMATS),
        ("kubectl-flux list-workloads --output=t", ["tab", "table"]),
        # bash takes the words apart at colons, and wants the last part alone.
        ("kubectl-flux list-images -w demo:deployment/s", ["deployment/shop"]),
        ("kubectl-flux sync --kubeconfig ./con", ["./config file"]),
        ("kubectl-flux sync --kubeconfig=con", ["config file"]),
    ],
)
def test_bash_completes_by_the_script(line, replies, tmp_path, agent):
    script = tmp_path / "script"
    script.write_text(SCRIPTS["bash"])
    (tmp_path / "config file").touch()
    environ = {"PATH": f"{HELPER.parent}:{os.environ['PATH']}", "FLUX_URL": agent}
    command = ["bash", "-c", BASH, "bash", str(script), line]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environ, cwd=tmp_path, check=True, timeout=TIMEOUT
    )
    assert (done.stdout.splitlines(), done.stderr) == (replies, "")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_shell_has_its_script(shell, capsys):
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert out == SCRIPTS[shell]
    assert "kubectl-flux __complete" in out


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        ([], "please specify a shell"),
        (["tcsh"], 'unsupported shell type "tcsh"'),
        (["bash", "zsh"], "please specify one of the following shells: bash zsh fish powershell"),
    ],
)
def test_other_shells_are_wrong_usage(argv, error, capsys):
    assert main(["completion", *argv]) == 2
    assert f"Error: {error}\n" in capsys.readouterr().err
