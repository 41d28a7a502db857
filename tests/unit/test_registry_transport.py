"""How registries are reached: certificates, proxies, mirrors, and very many tags."""

import http.server
import socket
import threading

import pytest
from plugin_standins import self_signed
from test_registry_client import Asker

from agent.model.errors import ClusterError, UsageError
from agent.registry.errors import Cause, RegistryError
from agent.registry.mirrors import Mirrors, parse_mirrors
from agent.sandbox.registry import SandboxRegistry


@pytest.fixture
def encrypted(tmp_path):
    """A registry whose certificate only the authority in `cert.pem` vouches for."""
    listener = self_signed(tmp_path).wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
    with SandboxRegistry(listener=listener) as registry:
        registry.push("acme/shop", "1")
        yield registry


def secure(registry):
    """A client that trusts nobody but the system's authorities."""
    asker = Asker(registry)
    asker.transport._insecure.clear()
    return asker


def test_an_unknown_authority_is_not_trusted(encrypted):
    with pytest.raises(RegistryError, match="certificate") as caught:
        secure(encrypted).tags()
    assert caught.value.cause is Cause.UNREACHABLE


def test_an_authority_of_ones_own_is_trusted(encrypted, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert secure(encrypted).tags() == ("1",)


def test_an_insecure_host_may_have_any_certificate_or_none(encrypted):
    assert Asker(encrypted).tags() == ("1",)
    with SandboxRegistry() as plain:
        plain.push("acme/shop", "2")
        assert Asker(plain).tags() == ("2",)
        with pytest.raises(RegistryError):
            secure(plain).tags()


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Notes where a client wants to go through it, and lets nobody through."""

    def do_CONNECT(self):
        self.server.asked.append(self.path)
        self.send_error(403)

    def log_message(self, *_):
        pass


def test_the_environments_proxy_is_used_and_no_proxy_obeyed(monkeypatch):
    with http.server.HTTPServer(("127.0.0.1", 0), _Proxy) as proxy, SandboxRegistry() as registry:
        proxy.asked = []
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        registry.push("acme/shop", "1")
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(RegistryError):
            secure(registry).tags()
        assert proxy.asked == [registry.host]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert Asker(registry).tags() == ("1",)
        assert proxy.asked == [registry.host]
        proxy.shutdown()
        thread.join()


def test_a_netrc_is_never_used(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login ann password secret-word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with SandboxRegistry() as registry:
        registry.push("acme/shop", "1")
        Asker(registry).tags()
        assert all("Authorization" not in asked.headers for asked in registry.asked)


def test_a_hundred_thousand_tags_are_read():
    with SandboxRegistry(page=10_000) as registry:
        registry.push("acme/shop", "first")
        repository = registry._repositories["acme/shop"]
        repository.tags = dict.fromkeys((f"v{number}" for number in range(100_000)), repository.tags["first"])
        assert len(Asker(registry).tags()) == 100_000


class Cluster:
    """A cluster with or without the ConfigMap."""

    def __init__(self, text=None):
        self.text, self.asked = text, 0

    def get(self, path):
        self.asked += 1
        if self.text is None:
            raise ClusterError("not found", status=404)
        return {"data": {"localRegistryHosting.v1": self.text}}


HOSTING = 'host: "localhost:5000"\nhostFromClusterNetwork: "registry:5000"\n'


@pytest.mark.parametrize(
    ("text", "host", "address"),
    [
        (HOSTING, "localhost:5000", "registry:5000"),
        (HOSTING, "localhost:5001", "localhost:5001"),
        (HOSTING, "quay.io", "quay.io"),
        (HOSTING, "named:1", "other:2"),
        (None, "localhost:5000", "localhost:5000"),
        ("[", "localhost:5000", "localhost:5000"),
        ("host: 5", "localhost:5000", "localhost:5000"),
        ("just text", "127.0.0.1:5000", "127.0.0.1:5000"),
    ],
)
def test_registries_of_the_nodes_are_reached_where_pods_can(text, host, address):
    cluster = Cluster(text)
    mirrors = Mirrors(parse_mirrors(("named:1=other:2",)), cluster)
    assert [mirrors(host), mirrors(host)] == [address] * 2
    assert cluster.asked <= 1


def test_a_mirror_is_asked_in_the_place_of_a_host():
    with SandboxRegistry() as registry:
        registry.push("acme/shop", "1")
        asker = Asker(registry)
        asker.transport._address = Mirrors({"localhost:9": registry.host}, Cluster())
        image = asker.image().parse("localhost:9/acme/shop:1")
        assert asker.client.tags(image, None) == ("1",)


@pytest.mark.parametrize("value", ["localhost:5000", "=x", "x=", "http://a=b"])
def test_a_mirror_that_is_none_is_refused(value):
    with pytest.raises(UsageError, match="is no HOST=ADDRESS"):
        parse_mirrors((value,))
