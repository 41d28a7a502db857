"""kubectl's own completion offers names of the cluster, through the real API server, to those who may see them."""

from __future__ import annotations

import pytest
from config_repository import deployment

pytestmark = pytest.mark.controlplane


def test_kubectl_offers_the_agents_workloads(agent, plane, namespace, sync):
    sync({"web.yaml": deployment(namespace, "web")})
    agent.kubectl_flux("list-workloads", "-n", namespace)

    def offered(*words, user="admin"):
        command = ["kubectl", "__complete", "flux", *words]
        return plane.run(command, env=agent.plugin_environment(user)).stdout.splitlines()

    assert offered("list-images", "-n", namespace, "-w", "d") == ["deployment/web", ":4"]
    assert offered("list-images", "-w", f"{namespace}:") == [f"{namespace}:deployment/web", ":4"]
    assert namespace in offered("list-workloads", "-n", "")
    assert offered("list-images", "-w", "", user="carol") == [":4"]
