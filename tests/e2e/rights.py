"""What the API server lets a ServiceAccount do; its authorizer learns of a binding a moment after that was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_status import until

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane

FLUX = "flux.fluxcd.io"
"""The group of the rights that the agent's callers need."""
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def has_right(plane: ControlPlane, account: str, right: str, namespace: str = "", group: str = FLUX) -> bool:
    """Whether an account, `namespace:name`, has a right, `resource/verb`, in a namespace; empty means everywhere."""
    resource, verb = right.split("/")
    attributes = {"group": group, "resource": resource, "verb": verb, "namespace": namespace}
    review = {"spec": {"user": f"system:serviceaccount:{account}", "resourceAttributes": attributes}}
    return bool(plane.api("POST", _REVIEWS, review)["status"]["allowed"])


def may_knock(plane: ControlPlane, who: str, namespace: str, verb: str = "get") -> bool:
    """Whether a user or `system:serviceaccount:…` may use the API server's proxy to the agent in a namespace."""
    question = [verb, "services/flux:http", "--subresource=proxy", "-n", namespace, f"--as={who}"]
    return plane.run(["kubectl", "auth", "can-i", *question], check=False).stdout == "yes\n"


def until_right(plane: ControlPlane, account: str, right: str, namespace: str = "", group: str = FLUX) -> None:
    """Wait until a right that was just granted counts."""
    until(lambda: has_right(plane, account, right, namespace, group), f"{account} to get {right}")
