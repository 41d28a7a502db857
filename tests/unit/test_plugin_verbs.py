"""Flux v1's command lines, and what the verbs that change images and policies check before they ask the agent."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from plugin_standins import ScriptedAgent, serving

from kubectl_flux.commands import images, policies, release
from kubectl_flux.commands.flags import Cause
from kubectl_flux.commands.images import ImagesWanted
from kubectl_flux.commands.policies import PolicyChange
from kubectl_flux.commands.release import ReleaseRequest
from kubectl_flux.errors import UsageError
from kubectl_flux.main import main
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.workload_ids import qualified

GOLDEN = Path(__file__).parent / "plugin_golden"
VERBS = ("automate", "deautomate", "lock", "unlock", "policy", "release")


def invocations():
    for line in (GOLDEN / "v1-invocations.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            written, _, error = line.partition(" => ")
            yield pytest.param(shlex.split(written), error, id=line)


@pytest.fixture(autouse=True)
def _kubeconfig(tmp_path, monkeypatch):
    """A context with a namespace of its own, and nothing of the person who runs the tests."""
    file = tmp_path / "config"
    file.write_text("{current-context: c, contexts: [{name: c, context: {namespace: team}}]}")
    monkeypatch.setenv("KUBECONFIG", str(file))


@pytest.fixture(scope="module")
def url():
    job = pb.Job(version=1, state=pb.JOB_STATE_SUCCEEDED, change=pb.ChangeJob(dry_run=True))
    with serving(ScriptedAgent({"GetJob": pb.GetJobResponse(job=job)})) as address:
        yield address


@pytest.mark.parametrize(("argv", "error"), list(invocations()))
def test_flux_v1s_command_lines_are_understood(argv, error, url, monkeypatch, capsys):
    monkeypatch.setenv("FLUX_URL", url)
    monkeypatch.setenv("FLUX_TIMEOUT", "2s")
    code = main([url if word.startswith("http://") else word for word in argv])
    told = capsys.readouterr().err
    if error:
        assert (code, f"Error: {error}\n" in told) == (2, True), told
    else:
        assert code != 2, told
        assert "Usage" not in told


@pytest.fixture
def requests(monkeypatch):
    """What the commands would have asked of the agent."""
    asked = []
    monkeypatch.setattr(policies, "submit", lambda _settings, change: asked.append(change))
    monkeypatch.setattr(release, "submit", lambda _settings, request: asked.append(request))
    monkeypatch.setattr(images, "show", lambda _settings, wanted: asked.append(wanted))
    return asked


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("automate -w deployment/foo", PolicyChange("team:deployment/foo", automated=True)),
        ("deautomate -n demo -w Deployment/foo", PolicyChange("demo:deployment/foo", automated=False)),
        ("lock -c demo:deployment/foo", PolicyChange("demo:deployment/foo", locked=True)),
        (
            "unlock -n other -w demo:deployment/foo -m why --user=Ann -v -v",
            PolicyChange("demo:deployment/foo", locked=False, cause=Cause("why", "Ann"), verbosity=2),
        ),
        (
            "policy -w deployment/foo --automate --unlock --tag-all=* --tag=a=1.*,b=semver:>=1",
            PolicyChange(
                "team:deployment/foo",
                automated=True,
                locked=False,
                tag_all="*",
                tags={"a": "1.*", "b": "semver:>=1"},
            ),
        ),
        (
            "release -n demo --workload=a/a,x:deployment/b -c a/c --exclude=a/d -i localhost:1/a:v2 -fvw",
            ReleaseRequest(
                ("demo:a/a", "x:deployment/b", "demo:a/c"),
                image="localhost:1/a:v2",
                excluded=("demo:a/d",),
                force=True,
                watch=True,
                verbosity=1,
            ),
        ),
        ("release --all --update-all-images --dry-run", ReleaseRequest(dry_run=True)),
        ("release --all -n demo -i a:1 -o json", ReleaseRequest(namespace="demo", image="a:1", output="json")),
        ("automate -w deployment/foo --accept", PolicyChange("team:deployment/foo", automated=True, accept=True)),
        ("release --all=true --interactive -i a@sha256:0", ReleaseRequest(image="a@sha256:0", interactive=True)),
        ("list-images", ImagesWanted(namespace="team")),
        ("list-images -A -l 0 -o wide --no-headers", ImagesWanted(limit=0, output_format="wide", headers=False)),
        ("list-images -n demo -w deployment/foo", ImagesWanted("demo:deployment/foo")),
    ],
)
def test_what_is_asked_of_the_agent(line, request_, requests, capsys):
    assert main(line.split()) == 0, capsys.readouterr().err
    assert requests == [request_]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("policy --automate", "-w, --workload is required"),
        ("policy -w a/b --lock --unlock", "lock and unlock both specified"),
        ("policy -w a/b -c a/c --lock", "can't specify both the controller and workload"),
        (
            "policy -w a/b --tag=web",
            "invalid container/tag pair: \"web\". Expected format is 'container=filter'",
        ),
        ("lock -w a:b:c/d", "parsing a:b:c/d: invalid service ID"),
        ("release --all", "please supply exactly one of --update-image=<image> or --update-all-images"),
        (
            "release --all -i a:1 --update-all-images",
            "please supply exactly one of --update-image=<image> or --update-all-images",
        ),
        ("release --all -i a:1 --watch --dry-run", "cannot use --watch with --dry-run"),
        (
            "release --all --update-all-images --force",
            "--force has no effect when used with --all and --update-all-images",
        ),
        ("release --all -i a:1 --exclude=x", "parsing x: invalid service ID"),
        (
            "release --all -i localhost:5000/hello",
            "blank tag (if you want latest, explicitly state the tag :latest): invalid image ID",
        ),
        ("list-images -o xml", "invalid output format specified"),
        ("release --all -i a:1 -o xml", "invalid output format specified"),
        ("automate -w a/b more", "expected no (non-flag) arguments"),
    ],
)
def test_what_needs_no_agent_is_checked_before_it_is_asked(line, error, requests, capsys):
    assert main(line.split()) == 2
    assert f"Error: {error}\n" in capsys.readouterr().err
    assert requests == []


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("release --all -i a:1 -f", "Warning: --force will not ignore locked workloads when used with --all"),
        (
            "release --workload=a/b --update-all-images --force",
            "Warning: --force will not ignore container image tags when used with --update-all-images",
        ),
        ("automate -c a/b", "Flag --controller has been deprecated, changed to --workload, use that instead"),
        ("list-images -c a/b", "Flag --controller has been deprecated, changed to --workload, use that instead"),
        (
            "release -c a/b -i a:1",
            "Flag --controller has been deprecated, changed to --workload, use that instead",
        ),
    ],
)
def test_what_is_told_besides(line, warning, requests, capsys):
    assert main(line.split()) == 0
    assert capsys.readouterr() == ("", f"{warning}\n")
    assert len(requests) == 1


@pytest.mark.parametrize(
    "verb", [*VERBS, "list-images", "why", "list-workloads", "list-controllers", "completion", "version", "sync"]
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_explains_itself(verb, flag, capsys):
    assert main([verb, flag]) == 0
    assert f"kubectl flux {verb}" in capsys.readouterr().out


def test_old_names_are_not_shown(capsys):
    assert main(["help", "policy"]) == 0
    assert "--controller" not in capsys.readouterr().out


def test_the_default_namespace_is_looked_up_only_where_it_is_needed():
    assert qualified("demo:Deployment/a.b:c", lambda: pytest.fail("looked up")) == "demo:deployment/a.b:c"
    assert qualified("<cluster>:ns/a", lambda: pytest.fail("looked up")) == "<cluster>:ns/a"
    with pytest.raises(UsageError):
        qualified("deployment/", lambda: "x")
