"""Changes of policies: what is written, and what is told where nothing is."""

import pytest
from release_standins import policy_update

from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.resources import Origin
from agent.model.updates import Cause, Definition, Outcome, PoliciesSpec, PolicyUpdate
from agent.model.workloads import Container
from agent.releases.policies import checked, update_policies

SHOP = WorkloadId.parse("demo:deployment/shop")
ANN = Cause("Ann <ann@example.com>", "why not")


def defined(policies, **more):
    containers = (Container("web", "a:1"), Container("side", "b:1"), Container("init", "c:1", init=True))
    return Definition(SHOP, Origin("shop.yaml", 1), containers, policies, **more)


def changed(update, policies=None):
    """What is written, or the reason why nothing is."""
    plan = update_policies(checked(PoliciesSpec({SHOP: update})), [defined(policies or {})])
    (outcome,) = plan.outcomes.values()
    return dict(plan.annotations[0].changes) if plan.annotations else f"{outcome.status}: {outcome.reason}"


LOCK = {"locked": "true", "locked_user": ANN.user, "locked_msg": ANN.message}


@pytest.mark.parametrize(
    ("update", "policies", "expected"),
    [
        (policy_update(ANN, automated=True), {}, {"automated": "true"}),
        (policy_update(ANN, automated=True), {"automated": "false"}, {"automated": "true"}),
        (policy_update(ANN, automated=True), {"automated": "true"}, "skipped: no changes"),
        (policy_update(ANN, automated=False), {"automated": "true"}, {"automated": None}),
        (policy_update(ANN, automated=False), {}, "skipped: no changes"),
        (policy_update(ANN, locked=True), {}, LOCK),
        (policy_update(Cause("Ann"), locked=True), {}, {"locked": "true", "locked_user": "Ann"}),
        (policy_update(Cause(), locked=True), {}, {"locked": "true"}),
        (policy_update(Cause(), locked=True), LOCK, {"locked_user": None, "locked_msg": None}),
        (policy_update(ANN, locked=True), LOCK, "skipped: no changes"),
        (policy_update(ANN, locked=False), LOCK, dict.fromkeys(("locked", "locked_msg", "locked_user"))),
        (policy_update(ANN, locked=False), {"locked": "true"}, {"locked": None}),
        (
            policy_update(ANN, tags={"web": "1.*", "init": "semver:*"}),
            {},
            {"tag.web": "glob:1.*", "tag.init": "semver:*"},
        ),
        (policy_update(ANN, tags={"web": "*"}), {"tag.web": "glob:1.*"}, {"tag.web": None}),
        (policy_update(ANN, tags={"gone": "*"}), {"tag.gone": "glob:1.*"}, {"tag.gone": None}),
        (policy_update(ANN, tags={"web": "glob:*"}), {}, {"tag.web": "glob:*"}),
        (policy_update(ANN, tags={"nope": "1.*", "web": "2.*"}), {}, "failed: container(s) not found: nope"),
        (policy_update(ANN, tags={"nope": "*"}), {}, "failed: container(s) not found: nope"),
        (
            policy_update(ANN, tags={"web": "1.*"}, tag_all="semver:~1"),
            {},
            {"tag.web": "glob:1.*", "tag.side": "semver:~1", "tag.init": "semver:~1"},
        ),
        (
            policy_update(ANN, tags={"web": "*"}, tag_all="m-*"),
            {"tag.web": "glob:x", "tag.init": "glob:m-*"},
            {"tag.web": None, "tag.side": "glob:m-*"},
        ),
        (
            policy_update(ANN, tag_all="*"),
            {"tag.web": "glob:1.*", "tag.init": "semver:*", "automated": "true"},
            {"tag.web": None, "tag.init": None},
        ),
        (policy_update(ANN, tag_all="*"), {}, "skipped: no changes"),
        (PolicyUpdate({"tag.web": "1.*", "ignore": "sync_only"}), {}, {"tag.web": "glob:1.*", "ignore": "sync_only"}),
    ],
)
def test_what_is_written(update, policies, expected):
    assert changed(update, policies) == expected


@pytest.mark.parametrize(
    ("definitions", "reason"),
    [
        ([], "not found in repository"),
        ([defined({}), defined({})], "defined more than once: shop.yaml:1, shop.yaml:1"),
        ([defined({}, read_only="made by a generator")], "made by a generator"),
    ],
)
def test_a_workload_that_cannot_be_changed_fails_alone(definitions, reason):
    other = WorkloadId.parse("demo:deployment/other")
    update = policy_update(ANN, automated=True)
    there = Definition(other, Origin("other.yaml"), (), {})
    plan = update_policies(PoliciesSpec({SHOP: update, other: update}), [*definitions, there])
    assert plan.outcomes == {other: Outcome("success"), SHOP: Outcome("failed", reason)}
    assert [edit.path for edit in plan.annotations] == ["other.yaml"]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match=r'^invalid tag pattern: "semver:not a range"'):
        policy_update(ANN, tags={"web": "semver:not a range"})
    with pytest.raises(UsageError, match=r"^invalid tag pattern"):
        policy_update(ANN, tag_all="regexp:(")
    for update in (PolicyUpdate({"secret": "x"}), PolicyUpdate({"automated": "yes"}), PolicyUpdate({"tag.": "x"})):
        with pytest.raises(UsageError, match="policy"):
            changed(update)
    with pytest.raises(UsageError, match=r'^invalid tag pattern: "semver:\?"'):
        changed(PolicyUpdate({"tag.web": "semver:?"}))
