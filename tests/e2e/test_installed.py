"""What `kubectl flux install` prints, applied: in a restricted namespace, with a real agent of just those rights, by
people who have just the Roles that it brings.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from agent_status import until
from config_repository import ConfigRepository, config_map, deployment
from controlplane.deployed import PROGRAMS, DeployedAgent
from controlplane.plane import PlaneError
from rights import has_right

pytestmark = pytest.mark.controlplane

DOCS = Path(__file__).resolve().parents[2] / "docs"
GIT = ("--git-url=git@git.example.com:acme/cluster", "--git-email=Flux Bot <flux@example.com>")
SLOW = ("--git-poll-interval=1h", "--sync-interval=1h")


def installing(*flags):
    """What the command prints; it needs no cluster."""
    command = [PROGRAMS / "kubectl-flux", "install", *GIT, "--image=registry.example.com/flux-agent:1", *flags]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def undo(plane):
    """A list of what the module applied, taken away at its end."""
    applied = []
    yield applied
    for text in applied:
        plane.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", input=text)


@pytest.mark.parametrize("flags", [(), ("--namespaced",)], ids=["everywhere", "namespaced"])
def test_what_is_printed_is_valid_and_runs_where_pod_security_is_restricted(plane, prefix, undo, flags):
    namespace = f"{prefix}-pods{len(flags)}"
    text = installing("--network-policy", f"--namespace={namespace}", *flags)
    undo.append(text)
    spaces = [each for each in yaml.safe_load_all(text) if each["kind"] == "Namespace"]
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(spaces))
    strict = ["kubectl", "apply", "--validate=strict", "-f", "-"]
    tried = plane.run([*strict, "--dry-run=server"], input=text)
    done = plane.run(strict, input=text)
    assert len(tried.stdout.splitlines()) == len(done.stdout.splitlines()) == len(list(yaml.safe_load_all(text)))
    assert (tried.stderr, done.stderr) == ("", "")
    labels = plane.api("GET", f"/api/v1/namespaces/{namespace}")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn", "audit")} == {"restricted"}
    plane.kubectl("rollout", "status", "deployment/flux", "-n", namespace, "--timeout=30s")
    again = plane.kubectl("apply", "-f", "-", input=text)
    assert [line for line in again.splitlines() if not line.endswith(" unchanged")] == []


@pytest.fixture(scope="module")
def install(plane, prefix, tmp_path_factory):
    """A function that installs an agent into a namespace of its own, which the manifests make; it is not started."""
    agents = []

    def make(*flags):
        folder = tmp_path_factory.mktemp("installed")
        manifests = folder / "manifests"
        manifests.mkdir()
        namespace = f"{prefix}-flux{len(agents)}"
        installing(f"--namespace={namespace}", f"--output-dir={manifests}", *flags)
        agents.append(DeployedAgent(plane, folder, namespace, manifests))
        return agents[-1]

    yield make
    for agent in agents:
        agent.remove()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return ConfigRepository(tmp_path_factory.mktemp("git"))


@pytest.fixture(scope="module")
def everywhere(install, repository, new_namespace, plane):
    """An agent installed as by default; alice may look, bob may change, carol has no Role."""
    agent = install()
    space = new_namespace("synced")
    repository.commit("first", web=deployment(space, replicas=0), settings=config_map(space))
    for role, group in (("flux-viewer", "team-a"), ("flux-operator", "team-b")):
        plane.kubectl("-n", agent.namespace, "create", "rolebinding", group, f"--role={role}", f"--group={group}")
    return agent.start(f"--git-url={repository.url}", *SLOW)


def flux_as(agent, user, *arguments):
    done = agent.kubectl_flux(*arguments, user=user, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_viewer_sees_and_cannot_change(everywhere, repository):
    code, out, err = flux_as(everywhere, "alice", "list-workloads", "-a")
    assert code == 0, err
    assert "WORKLOAD" in out
    code, _, err = flux_as(everywhere, "alice", "sync")
    assert code == 1
    assert 'services "flux:http" is forbidden' in err


def test_an_operator_syncs(everywhere, repository):
    code, _, err = flux_as(everywhere, "bob", "sync")
    assert code == 0, err
    assert repository.tag() == repository.head


def test_nobody_else_reaches_the_agent(everywhere):
    code, _, err = flux_as(everywhere, "carol", "list-workloads", "-a")
    assert code != 0
    assert "services" in err and "forbidden" in err


def may(plane, user, namespace, question):
    """What `kubectl auth can-i` says to a user."""
    config = {"KUBECONFIG": str(plane.kubeconfig_of(user))}
    verb, resource, name, subresource = question
    words = [verb, f"{resource}/{name}", f"--subresource={subresource}", "-n", namespace]
    return plane.run(["kubectl", "auth", "can-i", *words], env=config, check=False).stdout == "yes\n"


def test_each_role_for_people_holds_just_what_they_need(plane, everywhere):
    wanted = {
        ("get", "services", "flux:http", "proxy"): {"alice", "bob"},
        ("create", "services", "flux:http", "proxy"): {"bob"},
        ("get", "services", "flux:grpc", "proxy"): set(),
        ("create", "serviceaccounts", "flux-viewer", "token"): {"alice", "bob"},
        ("create", "serviceaccounts", "flux-operator", "token"): {"bob"},
        ("create", "serviceaccounts", "flux", "token"): set(),
        ("create", "pods", "flux-0", "portforward"): set(),
    }
    for question, people in wanted.items():
        allowed = {user for user in ("alice", "bob", "carol") if may(plane, user, everywhere.namespace, question)}
        assert allowed == people, question


VIEW = {"workloads/list", "manifests/get"}
OPERATE = VIEW | {"workloads/release", "workloads/policy", "syncs/create"}


def rights(plane, account, namespace):
    return {right for right in OPERATE if has_right(plane, account, right, namespace)}


def test_the_accounts_have_their_rights_everywhere(plane, everywhere):
    assert rights(plane, f"{everywhere.namespace}:flux-viewer", "") == VIEW
    assert rights(plane, f"{everywhere.namespace}:flux-operator", "") == OPERATE
    assert rights(plane, f"{everywhere.namespace}:default", "") == set()


def of_the_documentation(agent, space):
    """The objects that docs/install.md gives a team, for this agent and namespace in place of those named there."""
    block = (DOCS / "install.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    named = {"namespace: flux": agent.namespace, "namespace: shop": space}
    for words, namespace in named.items():
        block = block.replace(f"{words}\n", f"namespace: {namespace}\n")
    return block.replace("name: flux-operator\n", f"name: flux-operator:{agent.namespace}\n")


@pytest.fixture
def own(plane, everywhere, new_namespace):
    """The namespace of a team that has what the documentation gives it."""
    space = new_namespace("shop")
    granted = of_the_documentation(everywhere, space)
    plane.kubectl("apply", "-f", "-", input=granted)
    yield space
    plane.kubectl("delete", "-f", "-", input=granted)


def test_a_team_with_an_account_of_its_own_sees_and_changes_its_own_namespace_only(
    plane, everywhere, own, new_namespace
):
    other, home = new_namespace("other"), everywhere.namespace
    until(lambda: rights(plane, f"{home}:team-a", own) == OPERATE, "the team's rights")
    assert [rights(plane, f"{home}:team-a", space) for space in (other, "")] == [set(), set()]
    for question in (("create", "services", "flux:http", "proxy"), ("create", "serviceaccounts", "team-a", "token")):
        until(lambda question=question: may(plane, "alice", home, question), "what alice may")
    assert not may(plane, "alice", home, ("create", "serviceaccounts", "flux-operator", "token"))
    for space in (own, other):
        plane.kubectl("create", "-n", space, "deployment", "web", "--image=nginx:1.19", "--replicas=0")

    def listed():
        words = ["list-workloads", "-a", "-o", "name", "--service-account=team-a"]
        return everywhere.kubectl_flux(*words, user="alice").stdout.split()

    assert until(listed, "the watches") == [f"{own}:deployment/web"]


@pytest.fixture(scope="module")
def confined(install, new_namespace):
    """An agent with rights in two namespaces, neither of them its own, and these two."""
    spaces = [new_namespace("one"), new_namespace("two")]
    return install("--namespaced", f"--k8s-allow-namespace={','.join(spaces)}"), spaces


def test_a_namespaced_agent_has_one_right_outside_its_namespaces(plane, confined):
    agent, spaces = confined
    config = {"KUBECONFIG": str(agent.kubeconfig)}

    def can(*words):
        return plane.run(["kubectl", "auth", "can-i", *words], env=config, check=False).stdout == "yes\n"

    assert can("create", "tokenreviews.authentication.k8s.io")
    assert not can("create", "subjectaccessreviews.authorization.k8s.io")
    assert not can("list", "deployments.apps", "-A") and not can("get", "namespaces") and not can("list", "nodes")
    assert all(can("*", "*", "-n", space) for space in spaces)
    assert not can("list", "secrets", "-n", agent.namespace) and not can("list", "pods", "-n", agent.namespace)
    assert can("patch", "secrets/flux-git-deploy", "-n", agent.namespace)
    for space in spaces:
        assert rights(plane, f"{agent.namespace}:flux-operator", space) == OPERATE
        assert rights(plane, f"{agent.namespace}:flux-viewer", space) == VIEW
    assert rights(plane, f"{agent.namespace}:flux-operator", "") == set()


def test_a_namespaced_agent_syncs_and_lists_what_is_in_its_namespaces(plane, confined, new_namespace, tmp_path):
    agent, spaces = confined
    repository = ConfigRepository(tmp_path)
    outside = new_namespace("outside")
    repository.commit("first", **{f"web-{space}": deployment(space, replicas=0) for space in (*spaces, outside)})
    installed = yaml.safe_load_all((agent.folder / "manifests" / "flux-deployment.yaml").read_text())
    (arguments,) = [each["spec"]["template"]["spec"]["containers"][0]["args"] for each in installed]
    scope = [argument for argument in arguments if argument.startswith("--k8s-allow-namespace=")]
    agent.start(f"--git-url={repository.url}", *SLOW, *scope, "--git-readonly")
    plane.kubectl("-n", agent.namespace, "create", "rolebinding", "people", "--role=flux-operator", "--group=team-b")
    until(lambda: may(plane, "bob", agent.namespace, ("create", "services", "flux:http", "proxy")), "what bob may")
    done = agent.kubectl_flux("sync", user="bob")
    assert "Done." in done.stderr
    assert "Warning" not in done.stderr

    def listed():
        rows = json.loads(agent.kubectl_flux("list-workloads", "-a", "-o", "json", user="bob").stdout)
        return {row["ID"] for row in rows} == {f"{space}:deployment/web" for space in spaces}

    until(listed, "the watches")
    with pytest.raises(PlaneError, match="404"):
        plane.api("GET", f"/apis/apps/v1/namespaces/{outside}/deployments/web")
