"""Registries that want to do harm: nothing but a `RegistryError` comes of it, soon, and without anybody's secrets."""

import base64
import gzip
import json
import socket
import threading

import pytest
from plugin_standins import self_signed
from test_registry_client import ANN, Asker

from agent.registry import client as client_module
from agent.registry import connections
from agent.registry.auth import Challenge
from agent.registry.errors import Cause, RegistryError
from agent.registry.transport import Transport
from agent.sandbox.registry import OCI_MANIFEST, Reply, SandboxRegistry


@pytest.fixture
def registry():
    with SandboxRegistry() as server:
        server.push("acme/shop", "1", 5.0)
        yield server


def challenge(realm):
    return Reply(401, b"", {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'})


def giving(token):
    """A registry that wants a token, and what its token server gives."""

    def answer(asked):
        if asked.kind == "token":
            return Reply(200, token)
        return None if "Authorization" in asked.headers else challenge(f"http://{asked.headers['Host']}/token")

    return answer


def manifest(body):
    return lambda asked: Reply(200, body) if asked.kind == "manifest" else None


SIGNED = base64.urlsafe_b64encode(b'{"formatLength":1e999,"formatTail":"fQ"}').decode()
HARM = {
    "a realm that is no address": lambda _: challenge("http://[::1"),
    "a realm of another kind": lambda _: challenge("file:///etc/passwd"),
    "a redirect to no address": lambda _: Reply(302, b"", {"Location": "http://[bad"}),
    "a redirect to another kind": lambda _: Reply(302, b"", {"Location": "file:///etc/passwd"}),
    "a pause that is no number": lambda _: Reply(429, b"", {"Retry-After": "\xb2"}),
    "a token that is no text": giving('{"token":"secret-w\u2603rd"}'.encode()),
    "a token of two lines": giving(b'{"token":"secret-word\\nx"}'),
    "a deep manifest": manifest(b'{"signatures":' + b"[" * 100_000),
    "an endless signature": manifest(json.dumps({"signatures": [{"protected": SIGNED}]}).encode()),
    "controls in a header": lambda _: challenge("http://\x1b[31m:99999/"),
}


@pytest.mark.parametrize("harm", HARM)
def test_what_is_odd_is_an_error_that_tells_no_secret(registry, harm):
    registry.fault = HARM[harm]
    with pytest.raises(RegistryError) as caught:
        Asker(registry).look(credential=ANN)
    assert "secret" not in str(caught.value) and str(caught.value).isprintable()


DOCUMENTS = {
    "half a character": {"schemaVersion": 1, "history": [{"v1Compatibility": "\ud800"}]},
    "a kind with controls": {"schemaVersion": 2, "mediaType": "\ud800\x1b[31m"},
    "a configuration elsewhere": {"mediaType": OCI_MANIFEST, "config": {"digest": "../../../other/blobs/x"}},
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_manifest_names_is_never_trusted(registry, document):
    registry.push_manifest("acme/shop", "odd", DOCUMENTS[document], OCI_MANIFEST)
    with pytest.raises(RegistryError) as caught:
        Asker(registry).look("acme/shop:odd")
    assert str(caught.value).isprintable() and not registry.counts()["blob"]


def test_labels_that_cannot_be_shown_are_left_out(registry):
    registry.push("acme/shop", "odd", 5.0, labels={"org.label-schema.build-date": "\ud800\x1b[31m"})
    assert not Asker(registry).look("acme/shop:odd").labels


def test_a_token_for_longer_than_numbers_go_is_used(registry):
    registry.fault = giving(b'{"token":"x","expires_in":1' + b"0" * 400 + b"}")
    assert Asker(registry).tags() == ("1",)


def test_a_signature_in_a_later_manifest_hides_nothing(registry):
    """The digest is that of what is read: what stands beside the signed part does not count."""
    digest = registry.push("acme/shop", "1", 5.0)
    honest = registry._repositories["acme/shop"].manifests[digest][1]
    protected = {"formatLength": len(honest) - 1, "formatTail": base64.urlsafe_b64encode(b"}").decode()}
    signature = {"protected": base64.urlsafe_b64encode(json.dumps(protected).encode()).decode()}
    lie = json.dumps({"signatures": [signature], "config": {"digest": "sha256:" + "0" * 64}})
    registry.fault = manifest(honest[:-1] + b"," + lie[1:].encode())
    assert Asker(registry).look().created == 5.0


@pytest.mark.timeout(10)  # one expression over all of it took half a minute
@pytest.mark.parametrize(
    "link", ["<" * 65_000, "<a>;" * 16_000, '<http://[bad>; rel="next"', '</v2/x>; rel="first", </v2/y?n>; rel=next']
)
def test_a_link_costs_no_time_and_leads_nowhere_else(registry, link):
    registry.fault = lambda _: Reply(200, b'{"tags":["1"]}', {"Link": link})
    assert Asker(registry).tags() == ("1",)


def test_tags_without_end_are_given_up(registry, monkeypatch):
    monkeypatch.setattr(client_module, "MAX_LISTING", 0.0)
    names = iter(range(10**9))
    registry.fault = lambda _: Reply(
        200, json.dumps({"tags": [f"t{next(names)}"]}).encode(), {"Link": f"</?last={next(names)}>; rel=next"}
    )
    with pytest.raises(RegistryError, match="have no end"):
        Asker(registry).tags()


def test_a_host_that_blobs_are_kept_at_learns_no_credential():
    with SandboxRegistry(users={"ann": "secret-word"}) as registry, SandboxRegistry() as store:
        registry.push("acme/shop", "1", 7.0)
        store.fault = lambda asked: Reply(200, b'{"token":"x"}') if asked.kind == "token" else at_store
        at_store = challenge(f"http://{store.host}/token")
        away = {"blob": lambda asked: Reply(307, b"", {"Location": f"http://{store.host}{asked.path}"})}
        registry.fault = lambda asked: away[asked.kind](asked) if asked.kind in away else None
        asker = Asker(registry)
        with pytest.raises(RegistryError) as caught:
            asker.look(credential=ANN)
        assert caught.value.cause is Cause.UNAUTHORIZED
        assert [asked.kind for asked in store.asked] == ["blob"]
        assert asker.tags(credential=ANN) == ("1",)


@pytest.fixture
def encrypted(tmp_path, monkeypatch):
    """A registry with a certificate that is trusted."""
    listener = self_signed(tmp_path).wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with SandboxRegistry(listener=listener) as registry:
        registry.push("acme/shop", "1")
        yield registry


def test_a_credential_is_not_sent_where_anybody_may_listen(encrypted):
    with SandboxRegistry(users={"ann": "secret-word"}) as server:
        encrypted.fault = lambda asked: (
            None if "Authorization" in asked.headers else challenge(f"http://{server.host}/token")
        )
        asker = Asker(encrypted)
        asker.transport = Transport(asker.limits, frozenset())
        asker.client = client_module.RegistryClient(asker.transport, asker.client._platform)
        with pytest.raises(RegistryError, match=f"--registry-insecure-host={server.host} lets it"):
            asker.tags(credential=ANN)
        assert not server.asked
        asker.transport._insecure.add(server.host)
        assert asker.tags(credential=ANN) == ("1",)


def test_cookies_are_not_kept(registry):
    registry.fault = lambda _: Reply(200, b'{"tags":[]}', {"Set-Cookie": "session=1"})
    asker = Asker(registry)
    asker.tags()
    asker.tags()
    assert "Cookie" not in registry.asked[-1].headers


class Raw:
    """A server that sends these pieces, one after the other, the last of them for ever."""

    def __init__(self, *pieces):
        self.pieces, self.stop = pieces, threading.Event()

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        return Reply(307, b"", {"Location": "http://127.0.0.1:{1}/slow".format(*self.listener.getsockname())})

    def __exit__(self, *_):
        self.stop.set()
        self.listener.close()
        self.thread.join()

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            try:
                connection.recv(4096)
                for piece in self.pieces[:-1]:
                    connection.sendall(piece)
                while not self.stop.wait(0.02):
                    connection.sendall(self.pieces[-1])
            except OSError:
                return


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99999\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP", b"/"),
    ],
)
def test_what_drips_for_ever_is_given_up(registry, monkeypatch, pieces):
    monkeypatch.setattr(connections, "TOTAL_TIMEOUT", 0.3)
    with Raw(*pieces) as slow:
        registry.fault = lambda _: slow
        with pytest.raises(RegistryError) as caught:
            Asker(registry).tags()
    assert caught.value.cause is Cause.UNREACHABLE


def test_a_bomb_is_not_unpacked(registry):
    packed = gzip.compress(gzip.compress(b" " * (64 << 20), 9), 9)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    with Raw(head.encode(), packed, b"") as bomb:
        registry.fault = lambda _: bomb
        with pytest.raises(RegistryError, match="more than 16 MiB"):
            Asker(registry).tags()


def test_the_body_of_a_redirect_is_not_read_without_end(registry):
    """The session would read it all, to look at where it leads."""
    with Raw(b"HTTP/1.1 302 Found\r\nLocation: /\r\nConnection: close\r\n\r\n", b" " * (1 << 20)) as endless:
        registry.fault = lambda _: endless
        with pytest.raises(RegistryError, match="more than 16 MiB"):
            Asker(registry).tags()


@pytest.mark.parametrize("realm", ["http://[::1", "http://127.0.0.1:1/token"])
def test_a_token_server_that_is_gone_is_not_remembered(realm):
    with SandboxRegistry(users={"ann": "secret-word"}) as registry:
        registry.push("acme/shop", "1", 5.0)
        asker = Asker(registry)
        registry.fault = lambda _: challenge(realm)
        with pytest.raises(RegistryError):
            asker.tags(credential=ANN)
        registry.fault = lambda _: None
        assert asker.tags(credential=ANN) == ("1",)
        (known,) = asker.client._authenticator._challenges
        asker.client._authenticator._challenges[known] = Challenge("bearer", realm)
        assert asker.tags("acme/shop", credential=ANN) == ("1",)


def test_an_insecure_host_that_was_away_is_asked_over_tls_again(encrypted):
    """What looked like plain HTTP for a moment is no reason to speak it for ever."""
    asker = Asker(encrypted)
    asker.transport._plain.add(encrypted.host)
    with pytest.raises(RegistryError):
        asker.tags()
    assert asker.tags() == ("1",)
