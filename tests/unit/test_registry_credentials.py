"""Which credential fits which image, and where credentials come from."""

import base64
import json

import pytest

from agent.model.errors import ClusterError, UsageError
from agent.model.images import Reference
from agent.registry.credentials import ConfigFile, Keys
from agent.registry.docker_config import read_config
from agent.registry.pull_secrets import KEEP, PullSecretReader
from agent.registry.records import Credential, PullScope


def config(**auths):
    return json.dumps({"auths": {key: {"username": user, "password": "p"} for key, user in auths.items()}})


def chosen(text, image):
    return [entry.credential.username for entry in read_config(text, "x") if entry.fits(Reference.parse(image))]


@pytest.mark.parametrize(
    ("key", "image", "fits"),
    [
        ("https://index.docker.io/v1/", "nginx", True),
        ("docker.io", "acme/shop:1", True),
        ("registry-1.docker.io", "docker.io/acme/shop", True),
        ("quay.io", "quay.io/a/b", True),
        ("https://quay.io/v2/", "quay.io/a/b", True),
        ("QUAY.io", "quay.io/a/b", True),
        ("quay.io", "xquay.io/a/b", False),
        ("quay.io/a", "quay.io/a/b", True),
        ("quay.io/a", "quay.io/ab/b", False),
        ("quay.io/a/b", "quay.io/a/b:1", True),
        ("*.azurecr.io", "me.azurecr.io/a", True),
        ("*.azurecr.io", "a.me.azurecr.io/a", False),
        ("r*.example.com:5000", "reg.example.com:5000/a", True),
        ("localhost:5000", "localhost:5001/a", False),
    ],
)
def test_an_entry_fits_as_kubelet_says(key, image, fits):
    assert chosen(config(**{key: "u"}), image) == (["u"] if fits else [])


def test_the_longest_path_comes_first():
    text = config(**{"quay.io": "whole", "quay.io/a/b": "one", "quay.io/a": "part", "ghcr.io": "other"})
    assert chosen(text, "quay.io/a/b:1") == ["one", "part", "whole"]


def test_every_form_of_an_entry_is_read():
    auth = base64.b64encode(b"ann:pass:word").decode()
    (entry,) = read_config(json.dumps({"quay.io": {"auth": auth}}), "Secret a/b")  # the older form has no "auths"
    assert (entry.credential.username, entry.credential.password) == ("ann", "pass:word")
    (entry,) = read_config(json.dumps({"auths": {"quay.io": {"identitytoken": "t"}}}), "Secret a/b")
    assert entry.credential.identity_token == "t"
    assert read_config('{"auths": {"quay.io": {}, "a": {"auth": "%%"}, "b": 5}, "credsStore": "x"}', "s") == ()
    assert "pass:word" not in repr(entry)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_what_is_no_configuration_is_refused(text):
    with pytest.raises(UsageError, match="Secret a/b is no Docker configuration"):
        read_config(text, "Secret a/b")


class Cluster:
    """Secrets and ServiceAccounts by path."""

    def __init__(self):
        self.objects, self.reads = {}, []

    def secret(self, name, text, key=".dockerconfigjson", namespace="demo"):
        data = {key: base64.b64encode(text.encode()).decode()}
        self.objects[f"/api/v1/namespaces/{namespace}/secrets/{name}"] = {"data": data}

    def account(self, name, *secrets):
        path = f"/api/v1/namespaces/demo/serviceaccounts/{name}"
        self.objects[path] = {"imagePullSecrets": [{"name": secret} for secret in secrets]}

    def get(self, path):
        self.reads.append(path)
        found = self.objects.get(path)
        if isinstance(found, Exception):
            raise found
        if found is None:
            raise ClusterError("not found", status=404)
        return found


@pytest.fixture
def cluster():
    return Cluster()


@pytest.fixture
def told():
    return []


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def keys(cluster, told, clock):
    return Keys(PullSecretReader(cluster, told.append, lambda: clock[0]), None, (), told.append)


IMAGE = Reference.parse("quay.io/acme/shop:1")
SCOPE = PullScope("demo", ("own",), "runner")


def test_the_workloads_own_secrets_come_before_its_accounts(cluster, keys, told):
    cluster.secret("own", config(**{"quay.io": "own"}))
    cluster.secret("theirs", config(**{"quay.io": "theirs"}), key=".dockerconfigjson")
    cluster.secret("old", json.dumps({"quay.io": {"username": "old", "password": "p"}}), key=".dockercfg")
    cluster.account("runner", "theirs", "own", "old", "missing")
    found = keys.credentials(IMAGE, (SCOPE,))
    assert [(one.username, one.name) for one in found] == [
        ("own", "Secret demo/own"),
        ("theirs", "Secret demo/theirs"),
        ("old", "Secret demo/old"),
    ]
    assert not told


def test_a_secret_is_read_once_in_a_while(cluster, keys, clock):
    cluster.secret("own", config(**{"quay.io": "first"}))
    for _ in range(3):
        assert [one.username for one in keys.credentials(IMAGE, (SCOPE,))] == ["first"]
    assert len(cluster.reads) == 2
    cluster.secret("own", config(**{"quay.io": "second"}))
    clock[0] += KEEP
    assert [one.username for one in keys.credentials(IMAGE, (SCOPE,))] == ["second"]


def test_what_cannot_be_read_is_told_and_stops_nothing(cluster, keys, told):
    cluster.secret("own", "nonsense")
    cluster.objects["/api/v1/namespaces/shut/serviceaccounts/default"] = ClusterError("forbidden", status=403)
    assert keys.credentials(IMAGE, (SCOPE, PullScope("shut"))) == ()
    assert "Secret demo/own is no image pull secret" in told[0]
    assert "namespace shut cannot be read" in told[1]
    assert "nonsense" not in "".join(told)


@pytest.mark.parametrize("name", ["../../other/secrets/key", "key?x=1", "key/", "Key", "..", ""])
def test_a_name_that_leads_elsewhere_is_not_followed(cluster, keys, name):
    cluster.account("runner", "theirs", name)
    keys.credentials(IMAGE, (PullScope("demo", (name,), "runner"), PullScope("demo", (), name)))
    places = ("/api/v1/namespaces/demo/secrets/theirs", "/api/v1/namespaces/demo/serviceaccounts/runner")
    assert set(cluster.reads) == set(places)


def test_what_many_secrets_hold_is_tried_once(cluster, keys):
    cluster.secret("one", config(**{"quay.io": "ann"}))
    cluster.secret("two", config(**{"quay.io": "ann", "quay.io/acme": "bob"}))
    found = keys.credentials(IMAGE, (PullScope("demo", ("one", "two"), "runner"),))
    assert [(each.name, each.username) for each in found] == [("Secret demo/one", "ann"), ("Secret demo/two", "bob")]


def test_the_config_file_is_read_again_when_it_changes(tmp_path, told):
    path = tmp_path / "config.json"
    file = ConfigFile(path, told.append)
    assert file.entries() == ()
    assert file.entries() == () and len(told) == 1
    path.write_text(config(**{"quay.io": "first"}))
    assert file.entries()[0].credential == Credential("--docker-config", "first", "p")
    fresh = tmp_path / "fresh"
    fresh.write_text(config(**{"quay.io": "second"}))
    fresh.replace(path)
    assert file.entries()[0].credential.username == "second"
    path.write_text("{")
    assert file.entries()[0].credential.username == "second"
    assert "is no Docker configuration" in told[-1]
