"""Images on a real control plane: what a registry has, seen through `kubectl flux list-images` and `why`."""

from __future__ import annotations

import base64
import json
import re

import pytest
from agent_status import status_of, until
from controlplane.plane import HOST

from agent.sandbox.registry import Reply, SandboxRegistry

MARCH = 1_709_287_200.0
"""1 March 2024, 10:00 UTC."""
DAY = 86_400.0
PERSON = {"ann": "pass-word"}


@pytest.fixture(scope="module")
def registry(plane):
    """A registry inside the plane that wants a password."""
    with SandboxRegistry(listener=plane.door.listen(HOST), users=PERSON) as registry:
        for number, tag in enumerate(["1.0.0", "1.0.1", "1.1.0", "2.0.0", "latest"]):
            registry.push("acme/shop", tag, MARCH + number * DAY)
        for number, tag in enumerate(["master-1", "master-2", "dev-9"]):
            registry.push("acme/side", tag, MARCH + number * DAY)
        yield registry


@pytest.fixture(scope="module")
def flags(repository, registry):
    """What the agent of this module is started with; it may not write, so that nothing is released by itself."""
    usual = ("--auth=none", "--git-readonly", "--git-poll-interval=1h", "--sync-interval=1h")
    return (f"--git-url={repository.url}", *usual, f"--registry-insecure-host={registry.host}")


@pytest.fixture(scope="module")
def agent(start_agent, flags):
    return start_agent(*flags)


def deployment(namespace, name, policies=None, secrets=(), **images):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {f"fluxcd.io/{key}": value for key, value in (policies or {}).items()},
        },
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "imagePullSecrets": [{"name": secret} for secret in secrets],
                    "containers": [{"name": each, "image": image} for each, image in images.items()],
                },
            },
        },
    }


def pull_secret(registry, namespace, name="regcred", password="pass-word"):
    config = {"auths": {registry.host: {"username": "ann", "password": password}}}
    data = {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()}
    metadata = {"name": name, "namespace": namespace}
    kind = "kubernetes.io/dockerconfigjson"
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data}


@pytest.fixture
def shop(sync, namespace, registry):
    """A deployment whose images the registry has, with the Secret to read them."""
    image, side = f"{registry.host}/acme/shop:1.0.0", f"{registry.host}/acme/side:master-1"
    policies = {"automated": "true", "tag.web": "semver:~1", "tag.side": "glob:master-*"}
    sync({
        "secret": pull_secret(registry, namespace),
        "shop": deployment(namespace, "shop", policies, ["regcred"], web=image, side=side),
    })  # fmt: skip
    return f"{namespace}:deployment/shop"


def test_images_are_listed_as_v1_listed_them(agent, shop, registry):
    told = agent.kubectl_flux("list-images", "-w", shop, "--limit", "3").stdout.splitlines()
    assert [line.split()[-1] for line in told[1:2]] == [f"{registry.host}/acme/shop"]
    lines = [" ".join(line.removeprefix(shop).split()) for line in told[1:]]
    assert lines == [
        f"web {registry.host}/acme/shop",
        "| 2.0.0 04 Mar 24 10:00 UTC",
        "| 1.1.0 03 Mar 24 10:00 UTC",
        "| 1.0.1 02 Mar 24 10:00 UTC",
        "'-> 1.0.0 01 Mar 24 10:00 UTC",
        f"side {registry.host}/acme/side",
        "| dev-9 03 Mar 24 10:00 UTC",
        "| master-2 02 Mar 24 10:00 UTC",
        "'-> master-1 01 Mar 24 10:00 UTC",
    ]


def test_why_tells_what_is_picked_and_what_is_kept_out(agent, shop, registry):
    told = agent.kubectl_flux("why", shop, "-o", "json").stdout
    assert "pass-word" not in told
    web, side = json.loads(told)["containers"]
    assert (web["picked"]["id"], web["update"]) == (f"{registry.host}/acme/shop:1.1.0", True)
    assert {each["tag"] for each in web["rejected"]} == {"2.0.0", "latest"}
    assert (side["picked"]["id"], side["update"]) == (f"{registry.host}/acme/side:master-2", True)
    assert re.fullmatch(r"Secret [a-z0-9-]+/regcred", web["scan"]["credential"])
    assert "latest" in agent.kubectl_flux("why", shop, "--container=web", "--image=latest").stdout


def test_a_rotated_secret_is_used(agent, sync, namespace, registry):
    registry.push("acme/apart", "1.0.0", MARCH)
    image = f"{registry.host}/acme/apart:1.0.0"
    files = {"shop": deployment(namespace, "shop", {}, ["regcred"], web=image)}
    sync(files | {"secret": pull_secret(registry, namespace, password="wrong-word")})
    told = agent.kubectl_flux("list-images", "-w", f"{namespace}:deployment/shop").stdout
    assert f"gives no access to acme/apart with Secret {namespace}/regcred" in told
    why = agent.kubectl_flux("why", f"{namespace}:deployment/shop").stdout
    assert f"Secret {namespace}/regcred" in why
    sync(files | {"secret": pull_secret(registry, namespace)})

    def read_again():  # a Secret that was just read is not read again for some seconds
        told = agent.kubectl_flux("list-images", "-w", f"{namespace}:deployment/shop").stdout
        return "'-> 1.0.0" in told and told

    told += until(read_again, "the new Secret to be used")
    assert not {"wrong-word", "pass-word"} & set((told + why + agent.log.read_text()).split())


def test_a_registry_in_trouble_is_told_and_stops_nothing(agent, shop, sync, namespace, registry):
    registry.fault = lambda asked: Reply(500) if "/acme/broken/" in asked.path else None
    try:
        files = {
            "secret": pull_secret(registry, namespace),
            "broken": deployment(namespace, "broken", {}, ["regcred"], web=f"{registry.host}/acme/broken:1"),
            "odd": deployment(namespace, "odd", {"tag.web": "semver:not a range"}, web="registry.invalid/acme/odd:1"),
        }
        sync(files)
        told = agent.kubectl_flux("list-images", "-n", namespace).stdout
        assert "was answered with 500" in told
        assert "invalid tag pattern" in agent.kubectl_flux("why", f"{namespace}:deployment/odd").stdout
        assert "cannot be scanned" in json.dumps(status_of(agent)["scanning"])
    finally:
        registry.fault = lambda _: None


def test_a_restart_asks_for_nothing_that_is_known(agent, flags, shop, registry):
    agent.kubectl_flux("list-images", "-w", shop)
    registry.asked.clear()
    agent.stop()
    agent.start(*flags)
    told = agent.kubectl_flux("list-images", "-w", shop).stdout
    assert "'-> 1.0.0" in told
    assert registry.counts()["manifest"] == registry.counts()["blob"] == 0


def test_unknown_workloads_and_malformed_ids(agent, namespace):
    done = agent.kubectl_flux("list-images", "-w", f"{namespace}:deployment/nope")
    assert done.stdout == "WORKLOAD  CONTAINER  IMAGE  CREATED\n"
    done = agent.kubectl_flux("list-images", "-w", "nonsense", check=False)
    assert (done.returncode, "parsing nonsense: invalid service ID" in done.stderr) == (2, True)
    done = agent.kubectl_flux("why", f"{namespace}:deployment/nope", check=False)
    assert done.returncode == 1
