"""The registry client against a registry over real HTTP."""

import json
import threading

import pytest

from agent.model.images import Reference
from agent.registry.auth import Challenge, challenge_of
from agent.registry.client import RegistryClient
from agent.registry.errors import Cause, RegistryError
from agent.registry.limits import HostLimiter, Limits, pause_of
from agent.registry.manifests import Platform, moment
from agent.registry.records import Credential
from agent.registry.transport import Transport
from agent.sandbox.registry import DOCKER_MANIFEST, DOCKER_SCHEMA_1, OCI_MANIFEST, Reply, SandboxRegistry

ANN = Credential("Secret demo/ann", "ann", "secret-word")


class Asker:
    """A client of one registry."""

    def __init__(self, registry, platform=None):
        self.registry = registry
        self.stop = threading.Event()
        self.limits = Limits(1000.0, 1000, self.stop)
        self.seen = []
        self.transport = Transport(self.limits, frozenset({registry.host}), lambda *told: self.seen.append(told))
        self.client = RegistryClient(self.transport, lambda: platform or Platform())

    def image(self, text="acme/shop:1"):
        return Reference.parse(f"{self.registry.host}/{text}")

    def tags(self, text="acme/shop", credential=None):
        return self.client.tags(self.image(text), credential)

    def look(self, text="acme/shop:1", credential=None):
        """The digest and the manifest of a tag."""
        image = self.image(text)
        digest = self.client.digest(image, credential)
        return self.client.manifest(image.with_tag(image.tag, digest), credential)


@pytest.fixture
def registry():
    with SandboxRegistry() as server:
        yield server


@pytest.fixture
def asker(registry):
    asker = Asker(registry)
    yield asker
    asker.transport.close()


def test_tags_are_listed_page_by_page():
    with SandboxRegistry(page=100) as registry:
        for number in range(250):
            registry.push("acme/shop", f"1.{number}")
        assert set(Asker(registry).tags()) == {f"1.{number}" for number in range(250)}
        assert registry.counts() == {"tags": 3}


def test_what_belongs_to_other_images_is_no_tag(registry, asker):
    for tag in ("1", "sha256-" + "a" * 64 + ".sig", "sha256-" + "a" * 64):
        registry.push("acme/shop", tag)
    assert asker.tags() == ("1",)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_an_image_costs_two_requests_and_a_head(registry, asker, media_type):
    labels = {"org.opencontainers.image.created": "2024-01-02T03:04:05Z", "other": "x"}
    digest = registry.push("acme/shop", "1", 1_700_000_000, labels=labels, media_type=media_type)
    found = asker.look()
    assert (found.digest, found.kind, found.created) == (digest, "image", 1_700_000_000)
    assert found.image_id.startswith("sha256:")
    assert found.labels == {"org.opencontainers.image.created": "2024-01-02T03:04:05Z"}
    assert registry.counts() == {"digest": 1, "manifest": 1, "blob": 1}


@pytest.mark.parametrize("platform", ["arm64", "amd64"])
def test_of_an_index_the_platform_counts(registry, platform):
    digest = registry.push("acme/shop", "1", 5.0, platforms=["amd64", "arm64"])
    asker = Asker(registry, Platform("linux", platform))
    assert asker.look().digest == digest
    assert registry.counts() == {"digest": 1, "manifest": 2, "blob": 1}


def test_schema_1_tells_its_time_in_its_history(registry, asker):
    registry.push("acme/shop", "1", 86_400.0, media_type=DOCKER_SCHEMA_1)
    assert asker.look().created == 86_400.0


@pytest.mark.parametrize(
    "document",
    [
        {"schemaVersion": 2, "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": "sha256:1"}},
        {
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:1"},
            "layers": [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json"}],
        },
        {"schemaVersion": 2, "artifactType": "application/spdx+json", "config": {"digest": "sha256:1"}},
        {"schemaVersion": 2, "manifests": [{"digest": "sha256:1", "platform": {"os": "unknown"}}]},
    ],
)
def test_artifacts_that_nobody_runs_are_told_from_images(registry, asker, document):
    registry.push_manifest("acme/shop", "1", document, OCI_MANIFEST if "config" in document else "application/json")
    assert asker.look().kind == "other"


@pytest.mark.parametrize("tokens", [True, False])
def test_a_credential_opens_the_registry(tokens):
    with SandboxRegistry(users={"ann": "secret-word"}, tokens=tokens) as registry:
        registry.push("acme/shop", "1", 5.0)
        registry.push("acme/other", "1", 5.0)
        asker = Asker(registry)
        assert asker.tags(credential=ANN) == ("1",)
        assert asker.look(credential=ANN).created == 5.0
        first = registry.counts()
        assert asker.tags("acme/other", ANN) == ("1",)
        assert registry.counts()["tags"] == first["tags"] + 1  # what the host wants is known: no second refusal
        with pytest.raises(RegistryError) as caught:
            asker.tags()
        assert caught.value.cause is Cause.UNAUTHORIZED
        wrong = Credential("Secret demo/bob", "bob", "other-word")
        with pytest.raises(RegistryError, match="Secret demo/bob") as caught:
            asker.tags(credential=wrong)
        assert "other-word" not in str(caught.value) + repr(wrong) + repr(caught.value)


def test_many_who_ask_at_once_all_learn_what_a_host_wants():
    with SandboxRegistry(users={"ann": "secret-word"}) as registry:
        for number in range(8):
            registry.push(f"acme/app{number}", "1")
        asker, together, found = Asker(registry), threading.Barrier(8), []

        def meet(asked):
            if "Authorization" not in asked.headers:
                together.wait(10)

        registry.fault = meet

        def ask(number):
            found.append(asker.tags(f"acme/app{number}", ANN))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [("1",)] * 8


def test_a_token_that_ran_out_is_renewed():
    with SandboxRegistry(users={"ann": "secret-word"}) as registry:
        registry.push("acme/shop", "1")
        asker = Asker(registry)
        asker.tags(credential=ANN)
        registry._given.clear()
        assert asker.tags(credential=ANN) == ("1",)
        assert registry.counts()["token"] == 2


def test_a_credential_never_follows_a_redirect_to_another_host():
    with SandboxRegistry(users={"ann": "secret-word"}) as registry, SandboxRegistry() as store:
        registry.push("acme/shop", "1", 7.0)

        def redirect(asked):
            return Reply(307, b"", {"Location": f"http://{store.host}{asked.path}"}) if asked.kind == "blob" else None

        registry.fault = redirect
        store._repositories = registry._repositories
        assert Asker(registry).look(credential=ANN).created == 7.0
        assert [asked.kind for asked in store.asked] == ["blob"]
        assert "Authorization" not in store.asked[0].headers


FAULTS = {
    "not JSON": (Reply(200, b"<html>"), Cause.MALFORMED),
    "no object": (Reply(200, b"[]"), Cause.MALFORMED),
    "no list": (Reply(200, b'{"tags": 5}'), Cause.MALFORMED),
    "not found": (Reply(404), Cause.NOT_FOUND),
    "forbidden": (Reply(403), Cause.UNAUTHORIZED),
    "broken": (Reply(500), Cause.UNREACHABLE),
    "odd": (Reply(418), Cause.REFUSED),
    "busy": (Reply(429, b"", {"Retry-After": "7"}), Cause.BUSY),
    "without end": (Reply(200, b'{"tags": []}', {"Link": '</v2/x/tags/list?n=1>; rel="next"'}), Cause.MALFORMED),
    "in circles": (Reply(302, b"", {"Location": "/v2/"}), Cause.MALFORMED),
    "deep": (Reply(200, b"[" * 100_000), Cause.MALFORMED),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_answers_are_errors_of_a_kind(registry, asker, fault):
    reply, cause = FAULTS[fault]
    registry.fault = lambda _: reply
    with pytest.raises(RegistryError) as caught:
        asker.tags()
    assert caught.value.cause is cause


def test_a_registry_that_is_away_is_told_so():
    with SandboxRegistry() as registry:
        asker = Asker(registry)
    with pytest.raises(RegistryError, match="cannot be reached") as caught:
        asker.tags()
    assert caught.value.cause is Cause.UNREACHABLE


def test_a_manifest_that_lies_about_its_digest_is_refused(registry, asker):
    registry.push("acme/shop", "1", 5.0)
    lie = json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:1"}}).encode()
    registry.fault = lambda asked: Reply(200, lie) if asked.kind == "manifest" else None
    with pytest.raises(RegistryError, match="something else than sha256:"):
        asker.look()


def test_more_than_a_manifest_may_be_is_not_read(registry, asker):
    registry.push("acme/shop", "1", 5.0)
    registry.fault = lambda asked: Reply(200, b" " * (5 << 20)) if asked.kind == "manifest" else None
    with pytest.raises(RegistryError, match="more than 4 MiB"):
        asker.look()


def test_an_old_registry_without_digests_is_asked_for_the_manifest(registry, asker):
    digest = registry.push("acme/shop", "1", 5.0)
    registry.fault = lambda asked: Reply(200) if asked.method == "HEAD" else None
    assert asker.client.digest(asker.image(), None) == digest


def test_each_request_is_told_to_the_observer(registry, asker):
    registry.push("acme/shop", "1")
    asker.tags()
    assert [(host, kind, status) for host, kind, status, _ in asker.seen][-1] == (registry.host, "tags", 200)


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ('Bearer realm="https://a/t",service="s",scope="x,y"', Challenge("bearer", "https://a/t", "s")),
        ('Basic realm="x", Bearer realm="https://a/t"', Challenge("bearer", "https://a/t", "")),
        ('bearer Realm="https://a/t"', None),
        ("Basic", Challenge("basic")),
        ('Basic realm="a, Bearer b"', Challenge("basic", "a, Bearer b")),
        ("Negotiate", None),
        ("", None),
        ("x" * 9000, None),
    ],
)
def test_challenges_are_read(header, challenge):
    assert challenge_of(header) == challenge


def test_a_host_that_complains_is_asked_half_as_fast_and_then_more_again():
    now = [100.0]
    limiter = HostLimiter(200.0, 10, threading.Event(), lambda: now[0])
    assert limiter.state().rate == 50.0
    limiter.back_off(30.0)
    limiter.back_off(20.0)
    assert limiter.state().rate == 25.0
    assert limiter.state().paused_for == 30.0
    with pytest.raises(RegistryError, match="for 30 s") as caught:
        limiter.acquire(5.0)
    assert caught.value.cause is Cause.BUSY
    now[0] += 31
    limiter.acquire(0.0)
    for _ in range(10):
        limiter.recover()
    assert limiter.state().rate == 200.0


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (429, {}, 0.0),
        (429, {"Retry-After": "12"}, 12.0),
        (503, {}, None),
        (503, {"Retry-After": "3"}, 3.0),
        (200, {"RateLimit-Remaining": "0;w=21600"}, 0.0),
        (200, {"RateLimit-Remaining": "0", "RateLimit-Reset": "44"}, 44.0),
        (200, {"RateLimit-Remaining": "7;w=21600"}, None),
        (429, {"Retry-After": "soon"}, 0.0),
        (429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
    ],
)
def test_what_hosts_say_of_their_limits_is_understood(status, headers, pause):
    assert pause_of(status, headers) == pause


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02T00:00:00Z", 86_400.0),
        ("1970-01-02T01:00:00+01:00", 86_400.0),
        ("1970-01-02T00:00:00.123456789Z", 86_400.123456),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_read(text, seconds):
    assert moment(text) == seconds
