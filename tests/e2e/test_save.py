"""`save` gives what runs as files that change nothing when they are synced, and `identity` the agent's own key."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest
import yaml
from config_repository import deployment, secret

pytestmark = pytest.mark.controlplane

APPS = "/apis/apps/v1"
PLACES = {
    "deployments/web": APPS,
    "deployments/scaled": APPS,
    "daemonsets/node": APPS,
    "statefulsets/db": APPS,
    "cronjobs/nightly": "/apis/batch/v1",
}
POD = {
    "containers": [
        {
            "name": "web",
            "image": "acme/web:1.0.0",
            "args": ["sh", "-c", "set -e\nexec web --port 8080\n"],
            "env": [{"name": "NUMBER", "value": "1e3"}, {"name": "SWITCH", "value": "on"}, {"name": "NONE"}],
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }
    ],
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}


def templated(kind, name, namespace, **spec):
    """A workload with POD as its pods."""
    template = {"metadata": {"labels": {"app": name}}, "spec": POD}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    metadata = {"name": name, "namespace": namespace, "annotations": {"fluxcd.io/tag.web": "semver:~1"}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def everything(namespace):
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = [{"metadata": {"name": "data"}, "spec": claim}]
    job = {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}}
    cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": namespace}}
    return [
        templated("Deployment", "web", namespace, replicas=2),
        deployment(namespace, "scaled"),
        templated("DaemonSet", "node", namespace),
        templated("StatefulSet", "db", namespace, serviceName="db", volumeClaimTemplates=claims),
        {**cron, "spec": {"schedule": "0 3 * * *", "suspend": True, "jobTemplate": job}},
        secret(namespace, "password", stringData={"password": "hunter2"}),
    ]


def test_what_was_saved_and_committed_changes_nothing(plane, agent, sync, namespace, read, tmp_path):
    made = {"apiVersion": "v1", "kind": "List", "items": everything(namespace)}
    plane.kubectl("apply", "-f", "-", input=json.dumps(made))
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "scaled", "namespace": namespace}}
    path = f"{APPS}/namespaces/{namespace}/deployments/scaled/scale?fieldManager=kube-controller-manager"
    plane.api("PUT", path, {**scale, "spec": {"replicas": 3}})

    def state():
        objects = {place: read(place, api) for place, api in PLACES.items()}
        # A Deployment's generation counts changes of annotations too; its spec tells whether it rolls anything out.
        counts = {place: place.startswith("deployments") or o["metadata"]["generation"] for place, o in objects.items()}
        return {place: (counts[place], o["metadata"]["uid"], o["spec"]) for place, o in objects.items()}

    before, config = state(), tmp_path / "config"
    config.mkdir()
    said = agent.kubectl_flux("save", "-n", namespace, "-o", str(config)).stdout
    files = {str(path.relative_to(config)): path.read_text() for path in config.rglob("*.yaml")}
    kinds = {"web": "dep", "scaled": "dep", "node": "DaemonSet", "db": "StatefulSet", "nightly": "CronJob"}
    assert files.keys() == {
        f"{namespace}-ns.yaml",
        *(f"{namespace}/{name}-{kind}.yaml" for name, kind in kinds.items()),
    }
    assert f"Saving Deployment 'web' to {config}/{namespace}/web-dep.yaml\n" in said
    assert "replicas" not in yaml.safe_load(files[f"{namespace}/scaled-dep.yaml"])["spec"]
    assert not [text for text in files.values() if "hunter2" in text or "last-applied" in text or "uid" in text]

    sync(files)
    assert state() == before
    assert read("deployments/web", APPS)["metadata"]["labels"].keys() == {"fluxcd.io/sync-gc-mark"}
    documents = agent.kubectl_flux("save", "-n", namespace).stdout
    assert sorted(documents.split("---\n")) == sorted(("".join(files.values())).split("---\n"))


def test_without_a_namespace_the_whole_cluster_is_saved_and_an_unknown_one_is_told(agent, namespace):
    documents = list(yaml.safe_load_all(agent.kubectl_flux("save").stdout))
    found = {(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents}
    assert {("Namespace", None, namespace), ("Deployment", agent.namespace, "flux")} <= found
    done = agent.kubectl_flux("save", "-n", "nosuch", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no namespace nosuch" in done.stderr


def test_a_key_put_in_as_the_refusal_says_survives_an_upgrade(plane, agent, tmp_path):
    refusal = agent.kubectl_flux("identity", "-r", check=False)
    assert refusal.returncode == 1
    _, _, commands = refusal.stderr.partition(":\n")
    plane.run(["sh", "-ec", f"cd {tmp_path}; {commands}"])
    plane.kubectl("apply", "-k", agent.folder / "overlay")
    kept = plane.api("GET", f"/api/v1/namespaces/{agent.namespace}/secrets/flux-git-deploy")
    assert base64.b64decode(kept["data"]["identity"]) == (tmp_path / "identity").read_bytes()
    assert kept["metadata"]["labels"] == {"app": "flux", "name": "flux"}


def test_the_key_is_that_of_the_mounted_secret(start_agent, repository, tmp_path):
    agent = start_agent(f"--git-url={repository.url}", "--auth=none", f"--k8s-secret-volume-mount-path={tmp_path}")
    assert json.loads(agent.http("/api/flux/v6/identity.pub")[1]) == {"key": "", "fingerprints": None}
    none = agent.kubectl_flux("identity", check=False)
    assert (none.returncode, none.stdout) == (1, "")
    assert "has no deploy key" in none.stderr
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "flux", "-f", str(tmp_path / "identity")]
    subprocess.run(make, check=True, timeout=30)
    public = (tmp_path / "identity.pub").read_text()
    assert agent.kubectl_flux("identity").stdout == public
    assert agent.kubectl_flux("identity", "-l").stdout.startswith("256 SHA256:")
    status, body = agent.http("/api/flux/v6/identity.pub")
    assert (status, json.loads(body)["key"]) == (200, public)
