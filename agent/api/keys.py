"""The deploy key's public half: for `GetPublicKey`, and for those who still ask at Flux v1's address."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from agent.api.call import Call
from agent.api.http import Answer, Page
from agent.git.keys import PublicKey
from agent.model.access import LIST_WORKLOADS
from agent.model.errors import FluxError
from agent.model.workloads import WorkloadSnapshot
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

IDENTITY_PATH = "/api/flux/v6/identity.pub"
"""What Flux v1's installations ask as their probe."""


class Reads(Protocol):
    """Where the namespaces of the workloads come from."""

    def workloads(self) -> WorkloadSnapshot:
        """What the cluster runs."""


class PublicKeys:
    """Answers `GetPublicKey`.

    Args:
        public: Finds the key.
        reads: Who may list workloads in any of these namespaces may see it.
    """

    def __init__(self, public: Callable[[], PublicKey], reads: Reads) -> None:
        self._public = public
        self._reads = reads

    def __call__(self, _request: pb.GetPublicKeyRequest, call: Call) -> pb.GetPublicKeyResponse:
        """The key; everything is empty where there is none.

        Raises:
            ForbiddenError: The caller may list workloads nowhere.
            GitError: There is a key, but it cannot be used.
        """
        call.access.visible(LIST_WORKLOADS, {workload.id.namespace for workload in self._reads.workloads().workloads})
        found = self._public()
        return pb.GetPublicKeyResponse(key=found.key, fingerprint=found.fingerprint, randomart=found.randomart)


def identity_page(public: Callable[[], PublicKey]) -> Page:
    """The page at Flux v1's address: always 200, because kubelet may be asking whether the agent lives."""

    def page() -> Answer:
        try:
            found = public()
        except FluxError:
            found = PublicKey()  # `GetPublicKey` and every fetch say what is wrong with it
        return Answer(HTTPStatus.OK, json.dumps(as_v1(found)).encode(), "application/json; charset=UTF-8")

    return page


def as_v1(found: PublicKey) -> dict[str, object]:
    """The key with the names of Flux v1's API, where each hash stood alone; it is SHA-256 here, no MD5."""
    if not found.key:
        return {"key": "", "fingerprints": None}
    digest = found.fingerprint.split(" ", 2)[1].partition(":")[2]
    return {
        "key": f"{found.key}\n",
        "fingerprints": {"sha256": {"hash": digest, "randomart": found.randomart}},
    }
