"""The brake of garbage collection."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cluster.discovery import catalog
from agent.model.errors import UsageError
from agent.model.ids import ObjectKey
from agent.model.resources import Resource
from agent.sync import marks
from agent.sync.collect import Left, departed
from agent.sync.desired import Scope
from agent.sync.live import Live
from agent.sync.observe import Observation
from agent.sync.prune import NO_LIMIT, Candidate, Circumstances, Limit, approval_hash, decide, limit

KINDS = frozenset({"Namespace"})


def live(name, kind="ConfigMap", **changes):
    resource = Resource("", "v1", kind, f"{kind.lower()}s", namespaced=kind != "Namespace", verbs=frozenset())
    return Live(
        key=ObjectKey("", kind, "demo", name), resource=resource, uid=f"uid-{name}", resource_version="1", **changes
    )


def candidates(count, kind="ConfigMap"):
    return [Candidate(live(f"n{number:03}", kind)) for number in range(count)]


def circumstances(**changes):
    return Circumstances(**{"limit": Limit(), "held_kinds": KINDS, "owned": 1000, "staying": 900, **changes})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20%,10", Limit(20.0, 10)),
        ("none", NO_LIMIT),
        ("5", Limit(None, 5)),
        ("7.5%", Limit(7.5, None)),
        ("0", Limit(None, 0)),
    ],
)
def test_a_limit_is_read(text, expected):
    assert limit(text) == expected


@pytest.mark.parametrize("text", ["", "many", "10%%", "-1", "1.5", "10,", "%"])
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(UsageError, match="is no limit"):
        limit(text)


@pytest.mark.parametrize(
    ("deletions", "owned", "held"),
    [
        (10, 11, False),
        (11, 1000, False),
        (11, 54, True),
        (11, 55, False),
        (2, 2, False),
        (250, 1000, True),
    ],
)
def test_more_than_ten_and_more_than_a_fifth_or_everything_is_held(deletions, owned, held):
    pruning = decide(candidates(deletions), circumstances(owned=owned))
    assert bool(pruning.approval) is held
    assert (len(pruning.delete), len(pruning.pending)) == ((0, deletions) if held else (deletions, 0))


def test_without_limit_everything_goes():
    assert len(decide(candidates(3), circumstances(limit=NO_LIMIT, owned=3)).delete) == 3


def test_an_approval_lets_exactly_its_set_through():
    held = decide(candidates(20), circumstances(owned=20))
    approved = frozenset({held.approval})
    assert len(decide(candidates(20), circumstances(owned=20, approved=approved)).delete) == 20
    assert decide(candidates(19), circumstances(owned=19, approved=approved)).delete == ()


def test_held_kinds_and_orphans_wait_alone_while_the_rest_goes():
    found = [*candidates(2), Candidate(live("space", "Namespace")), Candidate(live("old"), orphan=True)]
    pruning = decide(found, circumstances())
    assert [item.key.name for item in pruning.delete] == ["n000", "n001"]
    assert {item.object_id for item in pruning.pending} == {"demo:namespace/space", "demo:configmap/old"}
    assert pruning.approval == approval_hash(["uid-space", "uid-old"])


@pytest.mark.parametrize("changes", [{"holds": "a file does not load"}, {"dry_run": True}])
def test_nothing_goes_while_deletions_are_held_or_only_told(changes):
    pruning = decide(
        candidates(2), circumstances(**changes, approved=frozenset({approval_hash(["uid-n000", "uid-n001"])}))
    )
    assert (pruning.delete, len(pruning.pending), pruning.approval) == ((), 2, "")


def test_what_is_being_deleted_already_is_told_and_not_counted():
    pruning = decide([Candidate(live("slow", deleting=True))], circumstances(owned=3))
    assert (pruning.delete, [item.reason for item in pruning.pending]) == ((), ["is being deleted"])


def test_what_others_stand_on_goes_last():
    found = [Candidate(live("a", "Namespace")), Candidate(live("b", "Service")), Candidate(live("c"))]
    pruning = decide(found, circumstances(held_kinds=frozenset()))
    assert [item.key.name for item in pruning.delete] == ["c", "b", "a"]


@given(st.sets(st.text("abc", min_size=1), min_size=1), st.randoms())
def test_the_hash_depends_on_the_set_and_not_on_its_order(uids, random):
    shuffled = list(uids)
    random.shuffle(shuffled)
    assert approval_hash(shuffled) == approval_hash(sorted(uids))
    assert approval_hash([*shuffled, "another"]) != approval_hash(shuffled)


@pytest.mark.parametrize(("owned", "staying", "held"), [(3, 0, True), (10, 0, True), (2, 0, False), (10, 1, False)])
def test_a_source_of_three_or_more_does_not_lose_all_of_its_objects(owned, staying, held):
    space = Candidate(live("space", "Namespace"))
    pruning = decide([space, *candidates(2)], circumstances(owned=owned, staying=staying))
    assert len(pruning.delete) == (0 if held else 2)


def test_what_was_approved_and_cut_off_goes_on_without_asking_again():
    approved = decide(
        candidates(20),
        circumstances(owned=20, approved=frozenset({decide(candidates(20), circumstances(owned=20)).approval})),
    )
    assert len(approved.approved) == 20
    rest = candidates(12)
    assert len(decide(rest, circumstances(owned=20, approved_uids=approved.approved)).delete) == 12


def test_an_object_served_in_two_groups_stays_while_git_names_it_in_one():
    marker = marks.marker("flux", "default")
    keys = [ObjectKey(group, "Ingress", "demo", "web") for group in ("extensions", "networking.k8s.io")]
    # It was applied as the first, git names the second, and sending that was refused: the mark is still the first's.
    found = [
        Live(key, Resource(key.group, "v1", "Ingress", "ingresses", True, frozenset()), "u", "1", marker.mark(keys[0]))
        for key in keys
    ]
    left = Left(catalog([]), frozenset(), frozenset(keys[1:]), frozenset(), Observation(), 0, "")
    assert departed(found, left, marker, Scope()).candidates == ()
    gone = departed(found, replace(left, named=frozenset()), marker, Scope())
    assert [candidate.live.key for candidate in gone.candidates] == keys[:1]
