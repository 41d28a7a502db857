"""An agent that asks who calls, ServiceAccounts of people with rights on it and without, and what their tokens say."""

from __future__ import annotations

import base64
import json

import pytest
from config_repository import ConfigRepository, config_map, deployment
from rights import until_right

ROLES = {"look": ("workloads", "list"), "sync": ("syncs", "create")}
SLOW = ("--git-poll-interval=1h", "--sync-interval=1h")


class Accounts:
    """ServiceAccounts of one namespace, their rights and their tokens for one agent."""

    def __init__(self, plane, namespace, audience):
        self.plane, self.namespace, self.audience = plane, namespace, audience

    def make(self, name):
        self.plane.kubectl("create", "serviceaccount", name, "-n", self.namespace)
        return name

    def grant(self, name, *roles, namespace=""):
        """Bind the roles, in one namespace or everywhere, until they count; what `kubectl delete` takes to undo it."""
        bound = []
        for role in roles:
            kind, where = ("rolebinding", ["-n", namespace]) if namespace else ("clusterrolebinding", [])
            words = [f"{self.namespace}-{name}-{role}", *where]
            account = f"--serviceaccount={self.namespace}:{name}"
            self.plane.kubectl("create", kind, *words, f"--clusterrole={self.namespace}-{role}", account)
            bound.append([kind, *words])
            until_right(self.plane, f"{self.namespace}:{name}", "/".join(ROLES[role]), namespace)
        return bound

    def token(self, name, audience=None):
        return self.plane.token(self.namespace, name, audience=self.audience if audience is None else audience)


@pytest.fixture(scope="module")
def spaces(new_namespace):
    return new_namespace("a"), new_namespace("b")


@pytest.fixture(scope="module")
def repository(tmp_path_factory, spaces):
    """One Deployment in each of the namespaces, and in the second an object that is refused."""
    repository, (ours, theirs) = ConfigRepository(tmp_path_factory.mktemp("git")), spaces
    repository.commit(
        a=deployment(ours), b=deployment(theirs), bad=config_map(theirs, "bad name!"), old=config_map(theirs, "old")
    )
    return repository


@pytest.fixture(scope="module")
def agent(start_agent, repository):
    return start_agent(f"--git-url={repository.url}", *SLOW)


@pytest.fixture(scope="module")
def accounts(plane, agent, new_namespace):
    made = Accounts(plane, new_namespace("people"), f"flux:{agent.namespace}/flux")
    for name, (resource, verb) in ROLES.items():
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"{made.namespace}-{name}"},
            "rules": [{"apiGroups": ["flux.fluxcd.io"], "resources": [resource], "verbs": [verb]}],
        }
        plane.api("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
    yield made
    for name in ROLES:
        plane.kubectl("delete", "clusterrole", f"{made.namespace}-{name}")


@pytest.fixture(scope="module")
def people(accounts, spaces):
    """Tokens by name: who may look, who may sync as well, who may do both in the first namespace, and who nothing."""
    for name, *grant in [
        ("viewer", "look"),
        ("operator", "look", "sync"),
        ("team", "look", "sync"),
        ("nobody",),
    ]:
        accounts.make(name)
        accounts.grant(name, *grant, namespace=spaces[0] if name == "team" else "")
    return {name: accounts.token(name) for name in ("viewer", "operator", "team", "nobody")}


def claims(token):
    """What a token says, as far as it is no secret."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
