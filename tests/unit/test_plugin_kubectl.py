"""The way through the API server: the real `kubectl proxy` before a stand-in for the API server."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from plugin_standins import ApiServer, ScriptedAgent, listing, self_signed, serving, write_kubeconfig

from kubectl_flux import transport
from kubectl_flux.errors import UnreachableError
from kubectl_flux.kubectl import KubectlProxy
from kubectl_flux.main import main
from kubectl_flux.options import ClusterAccess
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb
from kubectl_flux.transport import Request, proxied_link
from kubectl_flux.wait import Deadline

FLUX = "/api/v1/namespaces/flux/services/flux:http/proxy/flux.v1.Flux"
TIMEOUT = 60.0


@pytest.fixture(autouse=True)
def _programs_are_there(programs, cache):
    pass


def test_a_list_takes_one_request_through_the_api_server(cluster, capsys):
    cluster.services["flux/flux"] = agent = listing("team:deployment/shop")
    assert main(["list-workloads", "-o", "name"]) == 0
    assert capsys.readouterr() == ("team:deployment/shop\n", "")
    assert cluster.paths() == [f"{FLUX}/ListWorkloads"]
    assert agent.calls[0].message.namespace == "team"


def test_a_change_passes_as_a_post(cluster, capsys):
    job = pb.Job(id="j", version=1, state=pb.JOB_STATE_SUCCEEDED)
    cluster.services["flux/flux"] = agent = ScriptedAgent(
        {
            "GetRepository": pb.GetRepositoryResponse(repository=pb.Repository(url="ssh://git@example.com/x")),
            "Sync": pb.SyncResponse(job_id="j"),
            "GetJob": pb.GetJobResponse(job=job),
        }
    )
    assert main(["sync"]) == 0
    assert [call.verb for call in agent.calls] == ["GET", "POST", "GET"]
    assert capsys.readouterr().err.splitlines()[-1] == "Done."


def test_impersonation_and_context_are_kubectls(cluster, tmp_path):
    cluster.services["flux/flux"] = listing()
    flags = ["--as", "bob", "--as-group", "dev", "--as-group=ops", "--context", "here"]
    assert main(["list-workloads", "-a", *flags, "--kubeconfig", str(tmp_path / "config")]) == 0
    headers = cluster.requests[0][2]
    assert headers["Impersonate-User"] == "bob"
    assert "Impersonate-Group" in headers


def test_a_servers_path_in_the_kubeconfig_is_kept(cluster, tmp_path):
    cluster.services["flux/flux"] = listing()
    cluster.prefix = "/k8s/clusters/c-1"
    with serving(cluster) as url:
        write_kubeconfig(tmp_path / "config", url + cluster.prefix)
        assert main(["list-workloads", "-a"]) == 0


@pytest.mark.parametrize(
    ("service", "flags", "requests"),
    [
        ("default/flux", "", ["flux/flux", "default/flux"]),
        ("weave/flux", "--k8s-fwd-ns weave", ["weave/flux"]),
        ("flux/other", "", ["flux/flux", "default/flux", "list", "flux/other"]),
        ("team/flux", "", ["flux/flux", "default/flux", "list", "team/flux"]),
        ("weave/second", "--k8s-fwd-ns weave", ["weave/flux", "list weave", "weave/second"]),
        ("team/mine", "--k8s-fwd-labels name=mine,app=flux", ["list", "team/mine"]),
    ],
)
def test_the_agent_is_found_with_few_requests(service, flags, requests, cluster):
    cluster.services[service] = listing()
    cluster.labels[service] = {"app": "flux", "name": "mine"}
    assert main(["list-workloads", "-a", *flags.split()]) == 0
    assert [shortened(path) for path in cluster.paths()] == requests


def shortened(path):
    words = path.split("/")
    if words[-1] == "services":
        return " ".join(["list", *words[4:5]]) if words[3] == "namespaces" else "list"
    return f"{words[4]}/{words[6].removesuffix(':http')}"


def test_the_environment_names_the_agents_namespace(cluster, monkeypatch):
    monkeypatch.setenv("FLUX_FORWARD_NAMESPACE", "weave")
    cluster.services["weave/flux"] = listing()
    assert main(["list-workloads", "-a"]) == 0
    assert len(cluster.requests) == 1


def test_a_service_whose_port_has_another_name_is_found(cluster, capsys):
    cluster.services["flux/flux"] = listing()
    cluster.ports = ("web",)
    assert main(["list-workloads", "-a"]) == 0
    assert [shortened(path) for path in cluster.paths()] == ["flux/flux", "list", "flux/flux:web"]


def test_a_found_agent_is_remembered_for_the_next_calls(cluster):
    pages = [pb.ListWorkloadsResponse(next_page_token="2"), pb.ListWorkloadsResponse()]
    cluster.services["default/flux"] = ScriptedAgent({"ListWorkloads": lambda _: pages.pop(0)})
    assert main(["list-workloads", "-a"]) == 0
    assert [shortened(path) for path in cluster.paths()] == ["flux/flux", "default/flux", "default/flux"]


@pytest.mark.parametrize(
    ("services", "forbidden", "flags", "end"),
    [
        ({}, set(), "", (3, "no agent was found: there is no Service labelled app=flux in namespace flux, in default")),
        ({}, set(), "--k8s-fwd-ns weave", (3, "there is no Service labelled app=flux in namespace weave")),
        ({"a/x": None, "b/y": None}, set(), "", (3, "several agents were found: a/x, b/y")),
        ({"flux/x": None, "flux/y": None}, set(), "", (3, "several agents were found: flux/x, flux/y")),
        ({"flux/flux": None}, set(), "", (3, 'no endpoints available for service "flux:http"')),
        ({"flux/flux": None}, {"flux", "default", "*"}, "", (1, "A Role with verb get on services/proxy")),
        ({"flux/flux": None}, {"flux", "default"}, "", (1, "A Role with verb get on services/proxy")),
        ({"other/flux": None}, {"flux", "default", "*"}, "", (1, "the API server refuses: ")),
        ({"team/flux": None}, {"flux", "default", "*"}, "", (3, "the agent in namespace team is not ready: ")),
    ],
)
def test_why_the_agent_is_not_reached_is_told(services, forbidden, flags, end, cluster, capsys):
    cluster.services.update(services)
    cluster.forbidden.update(forbidden)
    exit_code, said = end
    assert main(["list-workloads", "-a", *flags.split()]) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.startswith("Error: ")


def test_who_may_not_look_everywhere_still_finds_the_agent_by_its_labels(cluster):
    cluster.services["default/renamed"] = listing()
    cluster.forbidden.add("*")
    assert main(["list-workloads", "-a"]) == 0


def test_a_user_without_rights_in_namespace_flux_reaches_an_own_agent(cluster):
    cluster.services.update({"flux/flux": None, "default/flux": listing()})
    cluster.forbidden.add("flux")
    assert main(["list-workloads", "-a"]) == 0


def test_a_context_that_does_not_exist_is_told_in_kubectls_words(cluster, capsys):
    assert main(["list-workloads", "-a", "--context", "nosuch"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("Error: kubectl cannot reach the cluster: ")
    assert "nosuch" in err
    assert err.count("nosuch") == 1


def test_an_api_server_that_is_away_is_told_once(cluster, capfd):
    assert main(["list-workloads", "-a", "--context", "away"]) == 3
    err = capfd.readouterr().err
    assert "connection refused" in err
    assert len(err.splitlines()) == 2


def test_version_without_a_cluster_succeeds(cluster, capsys):
    assert main(["version", "--context", "away"]) == 0
    assert "Agent: unknown" in capsys.readouterr().err


def test_no_kubectl_is_told_with_the_way_around_it(monkeypatch, temp, capsys):
    monkeypatch.setenv("PATH", "")
    assert main(["list-workloads", "-a"]) == 3
    assert "kubectl cannot be run" in capsys.readouterr().err
    assert list(temp.iterdir()) == []


def test_the_proxy_lets_nothing_else_through_and_nobody_else_in(cluster, temp):
    deadline = Deadline(TIMEOUT)
    with KubectlProxy(ClusterAccess()) as proxy:
        link = proxied_link(proxy, deadline)
        (folder,) = temp.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        paths = ["/api/v1/secrets", "/api/v1/namespaces/flux/pods/x/proxy/", f"{FLUX}/Sync/../../x", "/version"]
        answers = [link.send(Request(path, {}), TIMEOUT).status for path in paths]
        link.close()
    assert answers == [403, 403, 301, 403]
    assert cluster.requests == []


def test_where_there_are_no_unix_sockets_a_port_behind_a_random_prefix_is_used(cluster):
    cluster.services["flux/flux"] = ScriptedAgent()
    with KubectlProxy(ClusterAccess(), unix_socket=False) as proxy:
        assert len(proxy.prefix) > 32
        assert proxy.address(Deadline(TIMEOUT)).startswith("127.0.0.1:")
        link = proxied_link(proxy, Deadline(TIMEOUT))
        request = Request(
            f"{FLUX}/Version?connect=v1&encoding=proto&base64=1&message=", {"Connect-Protocol-Version": "1"}
        )
        assert link.send(request, TIMEOUT).status == 200
        link.close()
        proxy.prefix = ""
        bare = proxied_link(proxy, Deadline(TIMEOUT))
        assert bare.send(request, TIMEOUT).status == 404
        bare.close()


def test_a_kubectl_that_is_never_ready_is_given_up(cluster, tmp_path, monkeypatch):
    fake = tmp_path / "bin" / "kubectl"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with KubectlProxy(ClusterAccess()) as proxy, pytest.raises(UnreachableError, match="not ready in time"):
        proxy.address(Deadline(0.1))


def test_what_a_credential_plugin_says_is_passed_on(tmp_path, monkeypatch, temp, capfd):
    server = ApiServer({"flux/flux": listing()})
    script = tmp_path / "login"
    script.write_text(
        "#!/bin/sh\nprintf 'Visit https://login.example.com: ' >&2\n"
        'echo \'{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"x"}}\'\n'
    )
    script.chmod(0o755)
    how = f"{{apiVersion: client.authentication.k8s.io/v1, command: {script}, interactiveMode: Never}}"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with serving(server, self_signed(tmp_path)) as url:
        write_kubeconfig(tmp_path / "config", url, user=f"{{exec: {how}}}")
        assert main(["list-workloads", "-a", "-o", "name"]) == 0
    assert capfd.readouterr().err == "Visit https://login.example.com: "
    assert server.requests[0][2]["Authorization"] == "Bearer x"


def test_the_users_own_credentials_are_used(tmp_path, monkeypatch, temp):
    server = ApiServer({"flux/flux": listing()})
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with serving(server, self_signed(tmp_path)) as url:
        write_kubeconfig(tmp_path / "config", url)
        assert main(["list-workloads", "-a"]) == 0
    assert server.requests[0][2]["Authorization"] == "Bearer anns-token"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_proxy_ends_with_its_parent_however_that_dies(how, cluster, temp):
    asked, gone = threading.Event(), threading.Event()

    def hang(handler):
        asked.set()
        handler.connection.settimeout(TIMEOUT)
        if handler.connection.recv(1) == b"":
            gone.set()
        handler.close_connection = True

    cluster.services["flux/flux"] = hang
    command = [sys.executable, "-m", "kubectl_flux.main", "list-workloads", "-a"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert asked.wait(TIMEOUT)
    assert len(list(temp.iterdir())) == 1
    process.send_signal(how)
    code = process.wait(TIMEOUT)
    assert code == (130 if how is signal.SIGINT else -how)
    assert gone.wait(TIMEOUT), "kubectl proxy outlived its parent"
    end = time.monotonic() + TIMEOUT
    while list(temp.iterdir()) and time.monotonic() < end:
        threading.Event().wait(0.01)
    assert list(temp.iterdir()) == []


def test_a_long_path_of_temporary_files_is_not_used(tmp_path, monkeypatch, cluster):
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with KubectlProxy(ClusterAccess()) as proxy:
        address = proxy.address(Deadline(TIMEOUT))
        assert not address.startswith(str(tmp_path))
        assert Path(address).is_socket()
    assert not Path(address).parent.exists()


@pytest.fixture
def https(tmp_path):
    """The URL of an agent with a certificate that nobody knows, in `cert.pem` of the test's folder."""
    with serving(listing("team:deployment/shop"), self_signed(tmp_path)) as url:
        yield url


@pytest.mark.parametrize("how", ["environment", "flag", "insecure"])
def test_a_certificate_of_an_address_is_checked_as_is_asked_for(https, tmp_path, monkeypatch, capsys, how):
    assert main(["list-workloads", "-a", "-o", "name", "--url", https]) == 3
    assert capsys.readouterr().err.splitlines() == [
        f"Error: the certificate of the agent at {https} is not trusted: self-signed certificate",
        "--certificate-authority names the file of the authority that signed it.",
    ]
    flags = {"flag": [f"--certificate-authority={tmp_path}/cert.pem"], "insecure": ["--insecure-skip-tls-verify"]}
    if how == "environment":
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert main(["list-workloads", "-a", "-o", "name", "--url", https, *flags.get(how, [])]) == 0
    assert capsys.readouterr().out == "team:deployment/shop\n"


def test_a_certificate_for_another_name_is_told(https, tmp_path, capsys):
    authority = f"--certificate-authority={tmp_path}/cert.pem"
    url = https.replace("127.0.0.1", "localhost")
    assert main(["list-workloads", "-a", "--url", url, authority]) == 3
    assert f"the certificate of the agent at {url} is not trusted: Hostname mismatch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), ("no PEM", "it holds no certificate")]
)
def test_a_file_of_authorities_that_is_none_is_told(https, tmp_path, capsys, content, why):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    assert main(["list-workloads", "-a", "--url", https, f"--certificate-authority={path}"]) == 1
    assert f"Error: the certificate authority {path} cannot be used: {why}\n" in capsys.readouterr().err


def test_the_wrong_scheme_is_told(https, capsys):
    with serving(listing()) as plain:
        assert main(["list-workloads", "-a", "--url", plain.replace("http:", "https:")]) == 3
    assert "does not speak TLS as is needed" in capsys.readouterr().err
    assert main(["list-workloads", "-a", "--url", https.replace("https:", "http:")]) == 3
    assert "cannot be reached: " in capsys.readouterr().err


def test_a_port_that_waits_for_the_rest_of_a_handshake_is_told_before_the_command_runs_out_of_time(monkeypatch, capsys):
    monkeypatch.setattr(transport, "HANDSHAKE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert main(["list-workloads", "-a", "--url", url]) == 3
    assert capsys.readouterr().err.splitlines() == [
        f"Error: the agent at {url} did not answer to TLS within 0 s",
        "Is it http:// and not https://?",
    ]


def test_without_a_url_the_flags_of_certificates_are_kubectls(tmp_path, monkeypatch, temp):
    server = ApiServer({"flux/flux": listing()})
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with serving(server, self_signed(tmp_path)) as url:
        write_kubeconfig(tmp_path / "config", url)
        text = (tmp_path / "config").read_text()
        (tmp_path / "config").write_text(text.replace(", insecure-skip-tls-verify: true", ""))
        assert main(["list-workloads", "-a"]) == 3
        assert main(["list-workloads", "-a", f"--certificate-authority={tmp_path}/cert.pem"]) == 0
        assert main(["list-workloads", "-a", "--insecure-skip-tls-verify"]) == 0
