"""`kubectl flux diff`: what a sync would do, and nothing done."""

from __future__ import annotations

import base64
import json

import pytest
import yaml
from config_repository import (
    config_map,
    custom,
    definition,
    deployment,
    namespace_of,
    secret,
    service,
)
from quiet import COLLECT, QUIET

pytestmark = pytest.mark.controlplane


@pytest.fixture(scope="module")
def agent(start_agent, repository):
    return start_agent(f"--git-url={repository.url}", *QUIET, *COLLECT)


@pytest.fixture
def ahead(agent, repository):
    """A function that syncs `before` and lets the mirror know a commit with `after` that never is; that commit."""

    def commit(before, after):
        repository.replace(after)
        revision = repository.head
        repository.replace(before)
        agent.kubectl_flux("sync")
        return revision

    return commit


@pytest.fixture
def diff(agent):
    """A function that asks for a diff: exit code, stdout, stderr."""

    def ask(*flags):
        done = agent.kubectl_flux("diff", *flags, check=False)
        return done.returncode, done.stdout, done.stderr

    return ask


@pytest.fixture
def versions(plane, namespace):
    """A function that reads the resourceVersions of the test's namespace."""

    def read():
        found = json.loads(plane.kubectl("get", "-n", namespace, "cm,secret,deploy,svc", "-o", "json"))["items"]
        return {(item["kind"], item["metadata"]["name"]): item["metadata"]["resourceVersion"] for item in found}

    return read


def test_what_would_be_created_changed_and_deleted_is_shown_and_nothing_is_done(ahead, diff, versions, namespace):
    same, gone = config_map(namespace, "same"), config_map(namespace, "gone", a="1")
    revision = ahead(
        {"a": [config_map(namespace, "web", size="1", text="one\ntwo\n"), same, gone]},
        {"a": [config_map(namespace, "web", size="2", text="one\nthree\n"), same, config_map(namespace, "new", b="1")]},
    )
    before = versions()
    assert diff() == (0, "", "")
    code, out, err = diff("--revision", revision[:10])
    assert code == 1
    place = f"v1.ConfigMap.{namespace}"
    assert out.startswith(
        f"diff -u -N LIVE/{place}.new MERGED/{place}.new\n--- LIVE/{place}.new\n+++ MERGED/{place}.new\n"
    )
    assert '-  size: "1"\n+  size: "2"\n   text: |\n     one\n-    two\n+    three\n' in out
    assert f"-  name: gone\n-  namespace: {namespace}\n" in out
    assert "same" not in out and "fluxcd.io" not in out and "managedFields" not in out
    assert err == f"{namespace}:configmap/gone left git and would be deleted\n"
    names = "".join(f"{namespace}:configmap/{it}\n" for it in ("new create", "web update", "gone delete"))
    assert diff("--revision", revision, "-o", "name") == (1, names, "")
    assert diff("--revision", revision, "--namespace=default") == (0, "", "")
    assert versions() == before


def test_a_deletion_that_is_held_is_told_and_counts(plane, ahead, diff, prefix):
    held = f"{prefix}-held"
    revision = ahead({"a": namespace_of(held)}, {"readme.txt": "nothing"})
    told = f"<cluster>:namespace/{held} left git and would stay: held: deleting a Namespace cannot be undone\n"
    assert diff("--revision", revision) == (1, "", told)
    plane.kubectl("delete", "namespace", held)


def test_edits_by_hand_show_up(plane, agent, repository, diff, namespace):
    repository.replace({"a": [config_map(namespace, "a", size="1"), service(namespace)]})
    agent.kubectl_flux("sync")
    plane.kubectl("patch", "-n", namespace, "cm/a", "--type=merge", "-p", '{"data": {"size": "9", "mine": "1"}}')
    code, out, _ = diff()
    assert code == 1
    assert '-  size: "9"\n+  size: "1"\n' in out and '   mine: "1"\n' in out and "Service" not in out


def test_what_kubectl_applied_and_git_does_not_have_would_go(plane, sync, ahead, diff, namespace, read):
    byhand = deployment(namespace, "web", replicas=3)
    byhand["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "acme/side:1"})
    byhand["metadata"]["labels"] = {"team": "a"}
    byhand["spec"]["minReadySeconds"] = 7
    plane.kubectl("apply", "-f", "-", input=json.dumps(byhand))
    git = deployment(namespace, "web", replicas=2)
    revision = ahead({"readme.txt": "nothing"}, {"a": git})
    code, out, err = diff("--revision", revision)
    assert (code, err) == (1, "")
    foreseen = [line for line in out.splitlines() if line[:1] in "+-" and line[:3] not in ("---", "+++")]
    assert "-  minReadySeconds: 7" in foreseen and "-  replicas: 3" in foreseen and "+  replicas: 2" in foreseen
    assert "-    team: a" in foreseen and "-      - image: acme/side:1" in foreseen
    assert [line for line in foreseen if line.startswith("+")] == ["+  replicas: 2"]
    told = json.loads(diff("--revision", revision, "-o", "json")[1])["objects"]
    sync({"a": git})
    assert read("deployments/web", "/apis/apps/v1")["spec"] == yaml.safe_load(told[0]["planned"])["spec"]


def test_an_autoscalers_replicas_stay(plane, ahead, diff, namespace):
    revision = ahead({"a": deployment(namespace, replicas=3)}, {"a": deployment(namespace, replicas=None)})
    assert diff("--revision", revision) == (0, "", "")


def test_values_of_secrets_appear_nowhere(agent, ahead, diff, namespace):
    old, new, kept, wrong = ("first-pass-word", "second-pass-word", "kept-pass-word", "no base64: third-pass-word")
    made = secret(namespace, "s", stringData={"changed": old, "same": kept, "gone": old})
    revision = ahead(
        {"a": made},
        {
            "a": secret(namespace, "s", stringData={"changed": new, "same": kept, "more": new}),
            "b": secret(namespace, "wrong", data={"x": wrong}),
            "c": secret(f"{namespace}-none", "other", stringData={"x": new}),
            "d": namespace_of(f"{namespace}-none"),
        },
    )
    answers = [diff("--revision", revision, *flags) for flags in ((), ("-o", "json"))]
    code, out, err = answers[0]
    assert code == 2
    assert (
        "-  changed: '*** (before)'\n-  gone: '***'\n+  changed: '*** (after)'\n+  more: '***'\n   same: '***'\n" in out
    )
    assert "+data:\n+  x: '***'\n+kind: Secret\n" in out
    assert f"{namespace}:secret/wrong (b.yaml:1): " in err
    everything = "".join(f"{out}{err}" for _, out, err in answers) + agent.log.read_text()
    for value in (old, new, kept, wrong, "third-pass-word"):
        assert value not in everything
        assert base64.b64encode(value.encode()).decode() not in everything


def test_a_namespace_a_kind_and_their_objects_in_one_revision(plane, ahead, diff, prefix):
    space, group = f"{prefix}-brand-new", f"{prefix}.example.com"
    revision = ahead(
        {"readme.txt": "nothing"},
        {
            "a": [custom(group, "Shop", space, "first"), config_map(space, "a", x="1")],
            "b": definition(group, "Shop", "shops"),
            "c": namespace_of(space),
        },
    )
    code, out, err = diff("--revision", revision, "-o", "name")
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        f"<cluster>:namespace/{space} create",
        f"<cluster>:customresourcedefinition/shops.{group} create",
        f"{space}:configmap/a create",
        f"{space}:shop/first create",
    ]
    assert f"+apiVersion: {group}/v1\n+kind: Shop\n" in diff("--revision", revision)[1]
    assert space not in plane.kubectl("get", "namespaces", "-o", "name")


def test_what_would_fail_is_told_with_its_place_and_the_rest_is_shown(ahead, diff, namespace):
    revision = ahead(
        {"a": [config_map(namespace, "a"), config_map(namespace, "gone")]},
        {
            "a": config_map(namespace, "a", x="1"),
            "broken": "a: b: c\n",
            "bad": service(namespace, "bad", ports=[{"port": 99999}]),
            "lost": config_map("no-such-namespace", "x"),
        },
    )
    code, out, err = diff("--revision", revision)
    assert code == 2
    assert '+data:\n+  x: "1"\n' in out
    lines = err.splitlines()
    assert lines[0].startswith(f"{namespace}:configmap/gone left git and would stay: waits until all of the revision")
    assert lines[1].startswith("broken.yaml:1: ")
    assert lines[2].startswith(f'{namespace}:service/bad (bad.yaml:1): Service "bad" is invalid')
    assert lines[3].startswith("no-such-namespace:configmap/x (lost.yaml:1): namespaces")
    assert all(line.endswith(f" (commit {revision[:7]} by Ann <ann@example.com>)") for line in lines[1:4])
    assert lines[4] == f"Error: 3 files or objects of {revision[:7]} would fail"


@pytest.mark.parametrize("revision", ["0123456", "no-such-branch", "-x", "HEAD", "a..b"])
def test_a_revision_that_is_none_is_an_error(diff, revision):
    code, out, err = diff(f"--revision={revision}")
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")


def test_a_branch_and_a_tag_name_revisions(agent, repository, diff, namespace):
    repository.replace({"a": config_map(namespace, "a", x="1")})
    agent.kubectl_flux("sync")
    assert [diff("--revision", name)[0] for name in ("master", "flux-sync")] == [0, 0]
