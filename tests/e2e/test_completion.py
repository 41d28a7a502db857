"""kubectl's own completion offers names of the cluster, through the real API server, to those who may see them."""

from __future__ import annotations

import pytest
from agent_status import until
from config_repository import deployment

pytestmark = pytest.mark.controlplane


def test_kubectl_offers_the_agents_workloads(agent, plane, namespace, sync):
    sync({"web.yaml": deployment(namespace, "web")})
    agent.kubectl_flux("list-workloads", "-n", namespace)

    def offered(*words, user="admin"):
        command = ["kubectl", "__complete", "flux", *words]
        return plane.run(command, env=agent.plugin_environment(user)).stdout.splitlines()

    def offered_soon(*words):
        """On a machine with much to do, the little patience that completion has may not be enough at once."""
        return until(lambda: (found := offered(*words)) != [":4"] and found, "names")

    assert offered_soon("list-images", "-n", namespace, "-w", "d") == ["deployment/web", ":4"]
    assert offered_soon("list-images", "-w", f"{namespace}:") == [f"{namespace}:deployment/web", ":4"]
    assert namespace in offered_soon("list-workloads", "-n", "")
    assert offered("list-images", "-w", "", user="carol") == [":4"]
