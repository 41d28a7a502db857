"""Credentials of Google's and Azure's machines, against stand-ins of their servers; and values that run out."""

import contextlib
import http.server
import json
import socket
import threading
from urllib.parse import parse_qsl, urlsplit

import pytest

from agent.model.images import Reference
from agent.registry.clouds.acr import LIFETIME, Acr, AcrSettings
from agent.registry.clouds.gcr import ABSENT, METADATA_HOST, Gcr, GcrSettings
from agent.registry.clouds.renewed import EARLY, FIRST_EMBARGO, LONGEST_EMBARGO, Renewed
from agent.registry.errors import Cause, RegistryError
from agent.registry.limits import Limits
from agent.registry.transport import Transport

SECRET = "word-that-nobody-may-see"


class Server:
    """Answers each request with what `answers` has for its path, and keeps what it was asked."""

    def __init__(self):
        self.answers, self.asked = {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                where = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                asked = dict(parse_qsl(where.query) + parse_qsl(body))
                outer.asked.append((self.command, where.path, asked, self.headers))
                status, document, headers = outer.answers.get(where.path, (404, {}, {}))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(document if isinstance(document, bytes) else json.dumps(document).encode())

            do_GET = do_POST = answer  # noqa: N815 - the names that http.server asks for

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server():
    with contextlib.closing(Server()) as running:
        yield running


@pytest.fixture
def transport(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # which metadata must not go through
    transport = Transport(Limits(1000.0, 1000, threading.Event()), frozenset())
    yield transport
    transport.close()


@pytest.fixture
def clock():
    return [0.0]


def image(host):
    return Reference.parse(f"{host}/acme/shop:1")


GOOGLE = "/computeMetadata/v1/instance/service-accounts/default/token"
FLAVOR = {"Metadata-Flavor": "Google"}


@pytest.fixture
def gcr(server, transport, clock):
    return Gcr(GcrSettings(server.host), transport, lambda: clock[0])


@pytest.mark.parametrize("host", ["gcr.io", "eu.gcr.io", "europe-docker.pkg.dev", "EU.gcr.io"])
def test_googles_registries_are_asked_with_the_machines_token(server, gcr, host):
    server.answers[GOOGLE] = (200, {"access_token": SECRET, "expires_in": 3599}, FLAVOR)
    found = gcr.credential(image(host))
    assert (found.username, found.password) == ("oauth2accesstoken", SECRET)
    assert SECRET not in repr(found)
    assert server.asked[0][3]["Metadata-Flavor"] == "Google"


@pytest.mark.parametrize("host", ["quay.io", "gcr.io.example.com", "evilgcr.io", "pkg.dev.example.com", "gcr.io:5000"])
def test_others_never_see_googles_token(server, gcr, host):
    assert gcr.credential(image(host)) is None
    assert not server.asked


def test_googles_token_is_renewed_before_it_ends(server, gcr, clock):
    server.answers[GOOGLE] = (200, {"access_token": "first", "expires_in": 3600}, FLAVOR)
    for _ in range(3):
        assert gcr.credential(image("gcr.io")).password == "first"
    assert len(server.asked) == 1
    server.answers[GOOGLE] = (200, {"access_token": "second", "expires_in": 3600}, FLAVOR)
    clock[0] += 3600 - EARLY
    assert gcr.credential(image("gcr.io")).password == "second"
    server.answers[GOOGLE] = (503, {}, FLAVOR)
    clock[0] += 3599
    assert gcr.credential(image("gcr.io")).password == "second"
    clock[0] += LONGEST_EMBARGO
    with pytest.raises(RegistryError, match="Google's metadata server gives no token: it answered 503"):
        gcr.credential(image("gcr.io"))


def test_outside_google_images_are_asked_for_without_a_token(server, transport, clock):
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    seen = []
    transport._observer = lambda *told: seen.append(told)
    gcr = Gcr(GcrSettings(nobody), transport, lambda: clock[0])
    for _ in range(3):
        assert gcr.credential(image("gcr.io")) is None
    assert len(seen) == 1
    clock[0] += ABSENT
    assert gcr.credential(image("gcr.io")) is None
    assert len(seen) == 2
    server.answers[GOOGLE] = (200, {"access_token": SECRET}, {})  # somebody else's server
    assert Gcr(GcrSettings(server.host), transport).credential(image("gcr.io")) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {"access_token": SECRET}, FLAVOR), "it answered 404"),
        ((200, SECRET.encode(), FLAVOR), "its answer is not JSON"),
        ((200, {"access_token": 5, "x": SECRET}, FLAVOR), "its answer holds none"),
    ],
)
def test_a_metadata_server_without_a_token_is_told(server, gcr, answer, words):
    server.answers[GOOGLE] = answer
    for _ in range(3):
        with pytest.raises(RegistryError, match=words) as caught:
            gcr.credential(image("gcr.io"))
        assert SECRET not in f"{caught.value} {caught.value!r}"
    assert len(server.asked) == 1


def test_googles_own_variable_names_the_metadata_server():
    assert GcrSettings.of({}).metadata_host == METADATA_HOST
    assert GcrSettings.of({"GCE_METADATA_HOST": "a:1"}).metadata_host == "a:1"


AZURE = "/metadata/identity/oauth2/token"


@pytest.fixture
def azure_json(tmp_path):
    def write(**document):
        fresh = tmp_path / "fresh"
        fresh.write_text(json.dumps(document))
        fresh.replace(tmp_path / "azure.json")

    return write


@pytest.fixture
def acr(tmp_path, server, transport, clock):
    settings = AcrSettings(str(tmp_path / "azure.json"), f"http://{server.host}", f"http://{server.host}/{{host}}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")  # a registry's exchange does go through a proxy
        yield Acr(settings, transport, lambda: clock[0])


def test_azures_client_secret_is_read_again_when_it_changes(acr, azure_json, tmp_path):
    assert acr.credential(image("me.azurecr.io")) is None
    azure_json(aadClientId="ann", aadClientSecret=SECRET)
    for suffix in ("io", "cn", "de", "us"):
        found = acr.credential(image(f"me.azurecr.{suffix}"))
        assert (found.username, found.password) == ("ann", SECRET)
        assert SECRET not in repr(found) and SECRET not in repr(acr._config)
    azure_json(aadClientId="bob", aadClientSecret="other")
    assert acr.credential(image("me.azurecr.io")).username == "bob"
    (tmp_path / "azure.json").unlink()
    assert acr.credential(image("me.azurecr.io")) is None


@pytest.mark.parametrize(
    "host", ["quay.io", "azurecr.io", "me.azurecr.io.example.com", "me.azurecr.com", "me.azurecr.io:5000"]
)
def test_others_never_see_azures_secret(acr, azure_json, host):
    azure_json(aadClientId="ann", aadClientSecret=SECRET)
    assert acr.credential(image(host)) is None


@pytest.mark.parametrize("text", [SECRET, f'["{SECRET}"]', f'{{"aadClientSecret": "{SECRET}"}}', "[" * 100_000])
def test_a_file_that_is_not_azures_is_told_without_its_words(acr, tmp_path, text):
    (tmp_path / "azure.json").write_text(text)
    for _ in range(2):
        with pytest.raises(RegistryError, match=r"azure\.json (is no configuration|holds neither)") as caught:
            acr.credential(image("me.azurecr.io"))
        assert SECRET not in f"{caught.value} {caught.value!r}"


def test_a_managed_identitys_token_is_exchanged_for_the_registrys(server, acr, azure_json, clock):
    azure_json(
        useManagedIdentityExtension=True,
        userAssignedIdentityID="client",
        tenantId="tenant",
        aadClientId="msi",
        aadClientSecret="msi",
    )
    server.answers[AZURE] = (200, {"access_token": "machine"}, {})
    server.answers["/me.azurecr.io"] = (200, {"refresh_token": SECRET}, {})
    for _ in range(2):
        found = acr.credential(image("me.azurecr.io"))
        assert (found.username, found.password) == ("00000000-0000-0000-0000-000000000000", SECRET)
    (method, path, asked, headers), (other_method, _, given, _) = server.asked
    assert (method, path, headers["Metadata"]) == ("GET", AZURE, "true")
    assert asked["client_id"] == "client" and asked["resource"] == "https://management.azure.com/"
    assert other_method == "POST"
    assert given == {
        "grant_type": "access_token",
        "service": "me.azurecr.io",
        "tenant": "tenant",
        "access_token": "machine",
    }
    clock[0] += LIFETIME
    acr.credential(image("me.azurecr.io"))
    assert len(server.asked) == 4


def test_an_identity_that_is_refused_is_told_once_in_a_while(server, acr, azure_json, clock):
    azure_json(useManagedIdentityExtension=True)
    server.answers[AZURE] = (200, {"access_token": SECRET}, {})
    server.answers["/me.azurecr.io"] = (401, {"said": SECRET}, {})
    for _ in range(3):
        with pytest.raises(RegistryError, match=r"me\.azurecr\.io gives no token: it answered 401 .*AcrPull") as caught:
            acr.credential(image("me.azurecr.io"))
        assert SECRET not in f"{caught.value} {caught.value!r}"
    assert len(server.asked) == 2
    server.answers["/me.azurecr.io"] = (200, {"refresh_token": "t"}, {})
    clock[0] += FIRST_EMBARGO
    assert acr.credential(image("me.azurecr.io")).password == "t"


def test_failures_in_a_row_are_retried_ever_later(clock):
    tries = []

    def fetch(key):
        tries.append(clock[0])
        raise RegistryError("no", Cause.UNREACHABLE)

    renewed = Renewed(fetch, lambda: clock[0])
    for _ in range(2000):
        with pytest.raises(RegistryError):
            renewed.of("x")
        clock[0] += 1
    assert tries == [0, 60, 180, 420, 900, 1500]


def test_threads_that_want_the_same_wait_for_one_fetch():
    started, go, fetched = threading.Event(), threading.Event(), []

    def fetch(key):
        fetched.append(key)
        started.set()
        go.wait(30)
        return key, 100.0

    renewed, found = Renewed(fetch), []
    threads = [threading.Thread(target=lambda: found.append(renewed.of("x"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait(30)
    go.set()
    for thread in threads:
        thread.join()
    assert found == ["x"] * 4 and fetched == ["x"]
