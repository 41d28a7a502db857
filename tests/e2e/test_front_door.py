"""`kubectl flux` through a real API server, by every kind of credentials that kubectl knows, with real tokens.

Simulated here is the port-forward alone, see `controlplane.forwarding`: simulated kubelets forward none.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from agent_status import until
from config_repository import deployment
from controlplane.deployed import HTTP_PORT, PROGRAMS
from controlplane.door import DoorError, enter_command
from controlplane.forwarding import fake_kubectl
from controlplane.plane import SERVER
from rights import may_knock, until_right

CONNECT_PROXY = Path(sys.modules[fake_kubectl.__module__].__file__).with_name("connect_proxy.py")

pytestmark = pytest.mark.controlplane

HEADERS = ["WORKLOAD", "CONTAINER", "IMAGE", "RELEASE", "POLICY"]
FLAGS = ("--git-poll-interval=1h", "--sync-interval=1h")


@pytest.fixture(scope="module")
def space(new_namespace):
    return new_namespace("shop")


@pytest.fixture(scope="module")
def agent(start_agent, repository, space, plane):
    """An agent that checks who calls; alice may look, bob may do everything, carol may only knock."""
    repository.replace({"web": deployment(space)})
    agent = start_agent(f"--git-url={repository.url}", *FLAGS)
    bind(plane, agent, "flux-viewer", "--user=alice")
    bind(plane, agent, "flux-operator", "--user=bob")
    rules = ["--verb=get", "--resource=services/proxy", "--resource-name=flux:http"]
    plane.kubectl("create", "role", "knock", "-n", agent.namespace, *rules)
    bind(plane, agent, "knock", "--user=carol")
    agent.kubectl_flux("sync")
    return agent


def bind(plane, agent, role, subject, verb="get"):
    """Give a user or a ServiceAccount a Role at the agent, until they may send it requests of this verb."""
    flag, _, who = subject.partition("=")
    name = f"{role}-{who.rpartition(':')[2]}"
    plane.kubectl("create", "rolebinding", name, "-n", agent.namespace, f"--role={role}", subject)
    caller = f"system:serviceaccount:{who}" if flag == "--serviceaccount" else who
    until(lambda: may_knock(plane, caller, agent.namespace, verb), "the new right")


def tokens(agent):
    """The ServiceAccounts whose tokens are in the cache of `kubectl flux`."""
    return sorted(path.read_text().split("\n")[0] for path in cache(agent).glob("token-*"))


def cache(agent):
    return agent.folder / ".cache" / "kubectl-flux"


@pytest.fixture
def fresh(agent):
    """No token and no memory is left of earlier tests."""
    for path in cache(agent).glob("*"):
        path.unlink()
    return agent


@pytest.mark.parametrize(
    ("user", "account"), [("admin", "flux-operator"), ("bob", "flux-operator"), ("alice", "flux-viewer")]
)
def test_each_user_is_known_by_the_account_that_they_may_use(fresh, space, user, account):
    for _ in range(2):
        done = fresh.kubectl_flux("list-workloads", "-n", space, user=user)
        assert (done.stdout.split()[:5], done.stderr) == (HEADERS, "")
        assert f"{space}:deployment/web" in done.stdout
    assert tokens(fresh) == [f"{fresh.namespace}/{account}"]


def test_an_operator_syncs_and_a_viewer_is_told_what_is_missing(fresh):
    assert fresh.kubectl_flux("sync", user="bob").stderr.endswith("Done.\n")
    done = fresh.kubectl_flux("sync", user="alice", check=False)
    assert done.returncode == 1
    assert 'the API server refuses: services "flux:http" is forbidden: User "alice" cannot create' in done.stderr
    assert "A Role with verb create on services/proxy" in done.stderr


def test_who_may_send_changes_but_has_the_viewers_token_only_is_told_by_the_agent(fresh, plane):
    rules = ["--verb=create", "--resource=services/proxy", "--resource-name=flux:http"]
    plane.kubectl("create", "role", "post", "-n", fresh.namespace, *rules)
    bind(plane, fresh, "post", "--user=alice", "create")
    try:
        done = fresh.kubectl_flux("sync", user="alice", check=False)
    finally:
        plane.kubectl("delete", "rolebinding", "post-alice", "-n", fresh.namespace)
    assert done.returncode == 1
    assert f"Error: system:serviceaccount:{fresh.namespace}:flux-viewer may not ask for syncs" in done.stderr
    assert f"It could not be made as {fresh.namespace}/flux-operator: " in done.stderr
    assert 'serviceaccounts "flux-operator" is forbidden: User "alice" cannot create resource' in done.stderr
    assert '(resourceNames: ["flux-operator"])' in done.stderr


def test_without_any_account_the_api_servers_words_are_told(fresh):
    done = fresh.kubectl_flux("list-workloads", user="carol", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the call came without a token, so the agent cannot tell who is calling\n")
    for account in ("flux-operator", "flux-viewer"):
        words = f'{fresh.namespace}/{account}: serviceaccounts "{account}" is forbidden: User "carol" cannot create'
        assert words in done.stderr
    assert "verb create on serviceaccounts/token is needed" in done.stderr
    assert tokens(fresh) == []


def test_impersonation_is_kubectls_and_has_tokens_of_its_own(fresh, space):
    fresh.kubectl_flux("list-workloads", "-n", space)
    done = fresh.kubectl_flux("list-workloads", "-n", space, "--as=alice")
    assert f"{space}:deployment/web" in done.stdout
    assert tokens(fresh) == [f"{fresh.namespace}/flux-operator", f"{fresh.namespace}/flux-viewer"]
    done = fresh.kubectl_flux("list-workloads", "--as=alice", "--as-uid=7", "--as-group=x", "--as-group=y")
    assert done.returncode == 0


def test_a_chosen_account_of_another_namespace_is_used(fresh, space, plane, new_namespace):
    team = new_namespace("team")
    plane.kubectl("create", "serviceaccount", "robot", "-n", team)
    refused = fresh.kubectl_flux("list-workloads", "-n", team, f"--service-account={team}/robot", check=False)
    assert refused.returncode == 1
    assert f"Error: system:serviceaccount:{team}:robot may not list workloads" in refused.stderr
    account = f"--serviceaccount={team}:robot"
    plane.kubectl("create", "rolebinding", "robot", "-n", space, "--clusterrole=flux-viewer", account)
    until_right(plane, f"{team}:robot", "workloads/list", space)
    done = fresh.kubectl_flux("list-workloads", "-n", space, f"--service-account={team}/robot")
    assert f"{space}:deployment/web" in done.stdout


def test_a_token_that_is_made_up_is_replaced(fresh, space):
    fresh.kubectl_flux("list-workloads")
    (path,) = cache(fresh).glob("token-*")
    account, expires, _, _ = path.read_text().split("\n")
    path.write_text(f"{account}\n{expires}\nmade.up.token\n")
    assert fresh.kubectl_flux("list-workloads", "-n", space).returncode == 0
    assert "made.up.token" not in path.read_text()


# -- credentials ------------------------------------------------------------------------------------------------------


def kubeconfig(plane, path, user, **cluster):
    """A kubeconfig of the plane with this user's entry and these additions to the cluster's."""
    plane.kubeconfig_for("", path)
    config = json.loads(path.read_text())
    config["users"][0]["user"] = user
    config["clusters"][0]["cluster"] |= cluster
    path.write_text(json.dumps(config))
    return path


def as_alice(agent, space, config, *flags):
    done = agent.kubectl_flux("list-workloads", "-n", space, f"--kubeconfig={config}", *flags)
    assert f"{space}:deployment/web" in done.stdout
    assert tokens(agent) == [f"{agent.namespace}/flux-viewer"]
    return done


def test_a_client_certificate(fresh, plane, space, tmp_path):
    certificate, key = plane.client_certificate("alice", tmp_path)
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    as_alice(fresh, space, kubeconfig(plane, tmp_path / "config", user))


def test_an_exec_plugin_may_speak_and_runs_once_for_a_command(fresh, plane, space, tmp_path):
    script = tmp_path / "login"
    credential = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1"}
    answer = json.dumps(credential | {"status": {"token": "alice-token"}})
    script.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\necho 'Visit us.' >&2\necho '{answer}'\n")
    script.chmod(0o755)
    how = {"apiVersion": credential["apiVersion"], "command": str(script), "interactiveMode": "IfAvailable"}
    config = kubeconfig(plane, tmp_path / "config", {"exec": how})
    as_alice(fresh, space, config)
    (tmp_path / "runs").unlink()
    assert as_alice(fresh, space, config).stderr == "Visit us.\n"
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_proxy_that_the_kubeconfig_names(fresh, plane, space, tmp_path):
    address = f"{plane.add_node().ip}:8888"
    log = tmp_path / "tunnels"
    process = plane.popen([sys.executable, CONNECT_PROXY, address], log=log, name="CONNECT proxy")
    try:
        until(lambda: accepts(plane, address), "the proxy to listen")
        config = kubeconfig(plane, tmp_path / "config", {"token": "alice-token"}, **{"proxy-url": f"http://{address}"})
        as_alice(fresh, space, config)
        assert SERVER.removeprefix("https://") in log.read_text().split()
    finally:
        process.kill()
        process.wait(60)


def accepts(plane, address):
    """Whether something listens at an address inside."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(DoorError), plane.door.connect(host, int(port)):
        return True
    return False


def test_parts_of_the_kubeconfig_chosen_by_flags(fresh, plane, space, tmp_path):
    config = kubeconfig(plane, tmp_path / "config", {"token": "nobody"})
    content = json.loads(config.read_text())
    content["users"].append({"name": "alice", "user": {"token": "alice-token"}})
    content["clusters"].append({"name": "away", "cluster": {"server": "https://10.99.0.1:1"}})
    content["contexts"].append({"name": "there", "context": {"cluster": "away", "user": "alice"}})
    config.write_text(json.dumps(content))
    as_alice(fresh, space, config, "--user=alice")
    as_alice(fresh, space, config, "--context=there", "--cluster=plane")
    done = fresh.kubectl_flux("list-workloads", f"--kubeconfig={config}", "--context=there", check=False)
    assert (done.returncode, "connection refused" in done.stderr) == (3, True)
    done = fresh.kubectl_flux("list-workloads", f"--kubeconfig={config}", check=False)
    assert (done.returncode, "the API server does not know you" in done.stderr) == (1, True)


def test_in_a_pod_its_account_is_enough(fresh, plane, space, tmp_path):
    """The pod is simulated: a mount namespace with the files that the kubelet would have put there."""
    plane.kubectl("create", "serviceaccount", "robot", "-n", fresh.namespace)
    bind(plane, fresh, "flux-viewer", f"--serviceaccount={fresh.namespace}:robot")
    (tmp_path / "token").write_text(plane.token(fresh.namespace, "robot"))
    (tmp_path / "namespace").write_text(space)
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    script = (
        f"mount -t tmpfs none /var/run && mkdir -p {folder} && cp {tmp_path}/token {tmp_path}/namespace {folder} && "
        f"cp {plane.authority} {folder}/ca.crt && exec kubectl flux list-workloads"
    )
    host, _, port = SERVER.removeprefix("https://").rpartition(":")
    pod = {"KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    done = plane.run(["unshare", "-m", "sh", "-c", script], env=fresh.plugin_environment() | pod, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{space}:deployment/web" in done.stdout
    assert not cache(fresh).exists() or tokens(fresh) == []


# -- the way there ----------------------------------------------------------------------------------------------------


@pytest.fixture
def wall(plane, namespace):
    """A namespace whose Service `flux` has a ready pod, at whose address nothing listens: the API server cannot reach
    it, as behind a firewall, only sooner."""
    node = plane.add_node()
    container = {"name": "c", "image": "x"}
    labels = {"app": "flux"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "flux", "labels": labels}}
    pod["spec"] = {"hostNetwork": True, "nodeName": node.name, "containers": [container]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "flux", "labels": labels}}
    service["spec"] = {"selector": labels, "ports": [{"name": "http", "port": HTTP_PORT}]}
    for thing in (pod, service):
        plane.kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(thing))
    plane.kubectl("wait", "--for=condition=Ready", "-n", namespace, "pod/flux", "--timeout=30s")
    ready = "--for=jsonpath={.endpoints[0].conditions.ready}=true"
    plane.kubectl("wait", ready, "-n", namespace, "endpointslice", "--all", "--timeout=30s")
    return namespace


def test_a_firewall_is_gone_around_by_port_forward_and_that_is_remembered(fresh, space, wall, start_agent, tmp_path):
    kubectl = fresh.plane.kubectl
    other = start_agent(*FLAGS, f"--auth-audience=flux:{wall}/flux")
    kubectl("create", "serviceaccount", "flux-operator", "-n", wall)
    account = f"--serviceaccount={wall}:flux-operator"
    kubectl("create", "clusterrolebinding", wall, "--clusterrole=flux-operator", account)
    path = fresh.plugin_environment()["PATH"]
    env = fresh.plugin_environment() | {
        "FLUX_FORWARD_NAMESPACE": wall,
        "PATH": f"{fake_kubectl(tmp_path, f'{other.node.ip}:{HTTP_PORT}')}{os.pathsep}{path}",
    }
    try:
        first, second = (fresh.plane.run(["kubectl", "flux", "list-workloads", "-n", space], env=env) for _ in range(2))
    finally:
        kubectl("delete", "clusterrolebinding", wall)
    assert first.stdout == second.stdout
    assert f"{space}:deployment/web" in second.stdout
    assert first.stderr.startswith("The API server cannot reach the agent (")
    assert first.stderr.endswith("): going through kubectl port-forward\n")
    assert second.stderr == ""
    assert len((tmp_path / "forwards").read_text().splitlines()) == 2


def test_where_port_forward_fails_too_both_causes_are_told(fresh, wall):
    done = fresh.kubectl_flux("list-workloads", f"--k8s-fwd-ns={wall}", check=False)
    assert done.returncode == 3
    assert "the API server cannot reach the agent: " in done.stderr
    assert "connection refused; and kubectl port-forward cannot either: " in done.stderr
    assert f"create pods/portforward in namespace {wall}." in done.stderr


def test_what_is_in_the_way_is_told_with_the_next_step(fresh, plane, namespace):
    done = fresh.kubectl_flux("list-workloads", f"--k8s-fwd-ns={namespace}", check=False)
    assert (done.returncode, "kubectl flux install" in done.stderr) == (3, True)
    plane.kubectl("create", "service", "clusterip", "flux", "-n", namespace, "--tcp=3030")
    done = fresh.kubectl_flux("list-workloads", f"--k8s-fwd-ns={namespace}", check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f'Error: the agent in namespace {namespace} is not ready: no endpoints available for service "flux"',
        f"See what its pod is doing: kubectl get pods -n {namespace} -l app=flux",
    ]


def test_a_service_of_another_name_and_port_is_found_by_its_label(fresh, plane, wall):
    """Nothing listens at its address, so the words tell which port was asked for."""
    patch = '[{"op": "replace", "path": "/spec/ports/0/name", "value": "web"}]'
    plane.kubectl("patch", "service", "flux", "-n", wall, "--type=json", "-p", patch)
    ready = "--for=jsonpath={.ports[0].name}=web"
    plane.kubectl("wait", ready, "-n", wall, "endpointslice", "--all", "--timeout=30s")
    done = fresh.kubectl_flux("list-workloads", f"--k8s-fwd-ns={wall}", check=False)
    assert (done.returncode, "connection refused; and kubectl port-forward" in done.stderr) == (3, True)


def test_several_agents_are_told_apart_by_their_namespaces(fresh, space, start_agent, repository):
    other = start_agent(f"--git-url={repository.url}", *FLAGS)
    anywhere = {"FLUX_FORWARD_NAMESPACE": ""}
    run = fresh.plane.run
    env = fresh.plugin_environment() | anywhere
    done = run(["kubectl", "flux", "list-workloads"], env=env, check=False)
    assert done.returncode == 3
    assert "several agents were found: " in done.stderr
    for agent in (fresh, other):
        assert f"{agent.namespace}/flux" in done.stderr
        words = ["kubectl", "flux", "list-workloads", "-n", space, "--k8s-fwd-ns", agent.namespace]
        assert f"{space}:deployment/web" in run(words, env=env).stdout


def test_an_interrupt_ends_the_command_and_its_kubectl_in_silence(fresh, tmp_path):
    """The agent is held, so that the command waits."""
    fresh.kubectl_flux("list-workloads")
    temp = tmp_path / "temp"
    temp.mkdir()
    env = {**fresh.plane.environment, **fresh.plugin_environment(), "TMPDIR": str(temp)}
    os.kill(fresh.process.pid, signal.SIGSTOP)
    try:
        process = subprocess.Popen(
            [*enter_command(fresh.plane.door.pid), PROGRAMS / "kubectl-flux", "list-workloads"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until(lambda: list(temp.glob("*/s")) or process.poll() is not None, "kubectl's socket")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        os.kill(fresh.process.pid, signal.SIGCONT)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert list(temp.iterdir()) == []


def test_fifty_commands_at_a_time_all_succeed(fresh, space):
    with ThreadPoolExecutor(50) as pool:
        command = ("list-workloads", "-n", space, "--timeout=4m")
        done = list(pool.map(lambda _: fresh.kubectl_flux(*command, timeout=250), range(50)))
    assert {(one.stdout, one.stderr) for one in done} == {(done[0].stdout, "")}
    assert f"{space}:deployment/web" in done[0].stdout
    assert tokens(fresh) == [f"{fresh.namespace}/flux-operator"]
    assert {path.name.count(".") for path in cache(fresh).iterdir()} == {0}, "a half-written file was left"
