"""`deploy/` as it stands, and as the base of an overlay."""

from __future__ import annotations

import pytest
from agent_status import until
from controlplane.deployed import DEPLOY, DeployedAgent

pytestmark = pytest.mark.controlplane


@pytest.fixture(scope="module")
def base(plane):
    """`deploy/` applied as it stands: what kubectl said."""
    yield plane.run(["kubectl", "apply", "-k", DEPLOY]).stderr
    plane.kubectl("delete", "--wait=false", "-k", DEPLOY)


def test_the_agent_runs_where_pod_security_is_restricted(plane, base):
    assert "would violate PodSecurity" not in base
    plane.kubectl("rollout", "status", "deployment/flux", "-n", "flux", "--timeout=30s")
    labels = plane.api("GET", "/api/v1/namespaces/flux")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_key_in_the_secret_survives_that_the_base_is_applied_again(plane, base):
    plane.kubectl("patch", "secret", "flux-git-deploy", "-n", "flux", "-p", '{"stringData": {"identity": "a key"}}')
    plane.kubectl("apply", "-k", DEPLOY)
    assert plane.api("GET", "/api/v1/namespaces/flux/secrets/flux-git-deploy")["data"]["identity"]


def test_an_overlay_in_another_namespace_binds_the_account_of_that_namespace(plane, prefix, tmp_path):
    agent = DeployedAgent(plane, tmp_path, f"{prefix}-flux")
    try:
        config = {"KUBECONFIG": str(agent.kubeconfig)}
        ask = ["kubectl", "auth", "can-i", "*", "*", "--all-namespaces"]
        until(lambda: plane.run(ask, env=config, check=False).stdout == "yes\n", "the rights")
    finally:
        agent.remove()
