"""A webhook such as flux-recv brings a new commit to the cluster long before the next poll."""

from __future__ import annotations

import json

import pytest
from agent_status import until
from config_repository import config_map

pytestmark = pytest.mark.controlplane


def test_a_notification_syncs_what_is_new(plane, agent, repository, sync, namespace, read):
    sync({"settings": config_map(namespace, a="1")})
    head = repository.replace({"settings": config_map(namespace, a="2")})
    told = {"Kind": "git", "Source": {"URL": repository.url, "Branch": "master"}}
    assert plane.raw(agent.proxy_path("/api/flux/v11/notify"), method="POST", body=json.dumps(told)) == b"Accepted.\n"
    until(lambda: repository.tag() == head, "the sync of the new commit")
    assert read("configmaps/settings")["data"] == {"a": "2"}
