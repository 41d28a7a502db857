"""What releases change and why they leave things alone: the recordings of Flux v1, and what v1 could not do."""

import pytest
from release_standins import Shelf, built, defined, digest, ids, running

from agent.model.access import Visible
from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.updates import NO_IMAGE, ContainerChange, ContainersSpec, Outcome, ReleaseSpec
from agent.releases.calculate import release, release_picked

HOST = "10.99.0.20:5000"


def shop_tags():
    """Built as in the recording: 1.2.1 is the newest by time, 1.2.4 by version."""
    tags = [f"1.{minor}.{patch}" for minor in range(3) for patch in range(5)]
    return {tag: (digest(n), float(20 if tag == "1.2.1" else n)) for n, tag in enumerate(tags, start=1)}


LIBRARY = Shelf(
    {
        f"{HOST}/acme/shop": shop_tags(),
        f"{HOST}/acme/tool": built("1.0", "1.1"),
        f"{HOST}/acme/side": built("v1", "v2", "latest"),
        f"{HOST}/acme/db": built("a3f9c1", "master-1", "9bb1aa"),
    }
)


def table(outcomes):
    """The rows of `-vv`, as v1 wrote them below the header."""
    rows = []
    for id_, outcome in outcomes.items():
        cells = [outcome.reason] if outcome.reason else []
        cells += [f"{each.container}: {each.current} -> {each.target.tag}" for each in outcome.changes]
        rows += [(str(id_) if not place else "", cell) for place, cell in enumerate(cells)]
        rows[-len(cells)] = (*rows[-len(cells)], outcome.status)
    return rows


SHOP, HELD, WEB = "demo:deployment/shop", "demo:deployment/held", "demo:helmrelease/web"
RELEASED = [
    (SHOP, f"web: {HOST}/acme/shop:1.0.3 -> 1.0.4", "success"),
    ("", f"init: {HOST}/acme/tool:1.0 -> 1.1"),
]
WEB_RELEASED = (WEB, f"chart-image: {HOST}/acme/shop:1.1.0 -> 1.1.4", "success")
NEWEST = Reference.parse(f"{HOST}/acme/shop:1.2.4")


def second_recording():
    pods = (f"web={HOST}/acme/shop:1.0.3", f"+init={HOST}/acme/tool:1.0")
    return [
        defined(SHOP, *pods, tag__web="semver:~1.0"),
        defined(HELD, *pods, tag__web="semver:~1.0", automated="true", locked="true", ignore="false"),
        defined(WEB, f"chart-image={HOST}/acme/shop:1.1.0", automated="true", tag__chart_image="semver:~1.1"),
    ]


@pytest.mark.parametrize(
    ("spec", "rows"),
    [
        (
            ReleaseSpec(workloads=ids(SHOP)),
            [(HELD, "not included", "ignored"), *RELEASED, (WEB, "not included", "ignored")],
        ),
        (ReleaseSpec(), [(HELD, "locked", "skipped"), *RELEASED, WEB_RELEASED]),
        (
            ReleaseSpec(image=NEWEST),
            [
                (HELD, "locked", "skipped"),
                (SHOP, "does not use image(s)", "ignored"),
                (WEB, "cannot find one or more images", "skipped"),
            ],
        ),
        (
            ReleaseSpec(image=NEWEST, force=True),
            [
                (HELD, "locked", "skipped"),
                (SHOP, f"web: {HOST}/acme/shop:1.0.3 -> 1.2.4", "success"),
                (WEB, f"chart-image: {HOST}/acme/shop:1.1.0 -> 1.2.4", "success"),
            ],
        ),
        (
            ReleaseSpec(excludes=ids(SHOP)),
            [(HELD, "locked", "skipped"), (SHOP, "excluded", "ignored"), WEB_RELEASED],
        ),
        (
            ReleaseSpec(workloads=ids(HELD), image=NEWEST, force=True),
            [
                (HELD, f"web: {HOST}/acme/shop:1.0.3 -> 1.2.4", "success"),
                (SHOP, "not included", "ignored"),
                (WEB, "not included", "ignored"),
            ],
        ),
    ],
)
def test_the_tables_of_the_second_recording(spec, rows):
    definitions = second_recording()
    plan = release(spec, definitions, running(*definitions), LIBRARY)
    assert table(plan.outcomes) == rows
    assert [edit.container for edit in plan.images] == [
        change.container for outcome in plan.outcomes.values() for change in outcome.changes
    ]


def test_what_v1_kept_silent_is_told_beside_its_words():
    definitions = second_recording()
    plan = release(ReleaseSpec(image=NEWEST), definitions, running(*definitions), LIBRARY)
    assert plan.outcomes[WorkloadId.parse(SHOP)].detail == ("web: 1.2.4 does not fit semver:~1.0; --force releases it",)
    locked = [defined(SHOP, "web=a:1", locked="true", locked_user="Ann <a@b.c>", locked_msg="why not")]
    assert release(ReleaseSpec(), locked, running(*locked), LIBRARY).outcomes == {
        ids(SHOP)[0]: Outcome("skipped", "locked", detail=("locked by Ann <a@b.c>: why not",))
    }


def test_without_filters_the_newest_by_build_time_is_released():
    definition = defined(SHOP, f"web={HOST}/acme/shop:1.0.3", f"+init={HOST}/acme/tool:1.0")
    plan = release(ReleaseSpec(), [definition], running(definition), LIBRARY)
    assert [edit.image for edit in plan.images] == [f"{HOST}/acme/shop:1.2.1", f"{HOST}/acme/tool:1.1"]
    assert plan.images[0].path == "shop.yaml"


def first_recording():
    return [
        defined(
            SHOP,
            f"web={HOST}/acme/shop:1.1.4",
            f"side={HOST}/acme/side:v2",
            f"sha={HOST}/acme/db@{digest(0)}",
            automated="true",
            tag__web="semver:~1.1",
            tag__side="glob:v*",
        ),
        defined("demo:statefulset/db", f"db={HOST}/acme/db:a3f9c1"),
        defined("demo:daemonset/agent", f"agent={HOST}/acme/side", locked="true"),
    ]


def test_a_digest_is_replaced_by_tag_and_digest_together():
    definitions = first_recording()
    plan = release(ReleaseSpec(), definitions, running(*definitions), LIBRARY)
    assert [(edit.container, edit.image) for edit in plan.images] == [
        ("sha", f"{HOST}/acme/db:9bb1aa@{digest(3)}"),
        ("db", f"{HOST}/acme/db:9bb1aa"),
    ]
    assert plan.outcomes[ids("demo:daemonset/agent")[0]].reason == "locked"


def test_force_beats_the_lock_of_a_named_workload_and_no_filter():
    definitions = first_recording()
    spec = ReleaseSpec(workloads=ids("demo:daemonset/agent"), force=True)
    assert [edit.image for edit in release(spec, definitions, running(*definitions), LIBRARY).images] == [
        f"{HOST}/acme/side:v2"
    ]
    held = [defined(HELD, f"web={HOST}/acme/shop:1.0.3", locked="true", tag__web="semver:~1.0")]
    plan = release(ReleaseSpec(workloads=ids(HELD), force=True), held, running(*held), LIBRARY)
    assert [edit.image for edit in plan.images] == [f"{HOST}/acme/shop:1.0.4"]


SIDE_V2 = Reference.parse(f"{HOST}/acme/side:v2")
ONE = defined(SHOP, f"side={HOST}/acme/side:v1")


@pytest.mark.parametrize(
    ("definitions", "there", "spec", "outcome"),
    [
        ([ONE], [], ReleaseSpec(), Outcome("skipped", "not accessible in cluster")),
        ([], [ONE], ReleaseSpec(workloads=ids(SHOP)), Outcome("skipped", "not found in repository")),
        ([defined(SHOP, "web=nginx:1")], [ONE], ReleaseSpec(image=SIDE_V2), Outcome("ignored", "a different image")),
        ([defined(SHOP, "web=nginx:1", ignore="true")], [ONE], ReleaseSpec(), Outcome("skipped", "ignore")),
        ([defined(SHOP)], [ONE], ReleaseSpec(), Outcome("ignored", "does not use image(s)")),
        (
            [defined(SHOP, f"side={HOST}/acme/side:v2", "web=nginx:1")],
            [ONE],
            ReleaseSpec(image=SIDE_V2),
            Outcome("skipped", "image(s) up to date"),
        ),
        (
            [defined(SHOP, f"side={HOST}/acme/side:v2", tag__side="glob:v*")],
            [ONE],
            ReleaseSpec(),
            Outcome("skipped", "image(s) up to date"),
        ),
        (
            [ONE, defined(SHOP, "side=x:1", path="b.yaml")],
            [ONE],
            ReleaseSpec(),
            Outcome("failed", "defined more than once: shop.yaml:1, b.yaml:1"),
        ),
        (
            [defined(SHOP, f"side={HOST}/acme/side:v1", read_only="made by a generator")],
            [ONE],
            ReleaseSpec(workloads=ids(SHOP), force=True),
            Outcome("skipped", "made by a generator"),
        ),
        (
            [defined(SHOP, f"side={HOST}/acme/side:v1", tag__side="glob:x*")],
            [ONE],
            ReleaseSpec(),
            Outcome("skipped", "cannot find one or more images", detail=("side: no tag fits glob:x*",)),
        ),
        (
            [defined(SHOP, f"side={HOST}/acme/side:v1", tag__side="semver:?")],
            [ONE],
            ReleaseSpec(),
            Outcome("skipped", 'side: invalid tag pattern: "semver:?"'),
        ),
        (
            [defined(SHOP, f"side={HOST}/acme/side:v1", "web=nginx:1", tag__web="semver:?", tag__side="glob:v2")],
            [ONE],
            ReleaseSpec(image=Reference.parse(f"{HOST}/acme/side:v1")),
            Outcome("ignored", "does not use image(s)", detail=("side: v1 does not fit glob:v2; --force releases it",)),
        ),
        (
            [defined(SHOP, "side={{ image }}")],
            [ONE],
            ReleaseSpec(),
            Outcome("skipped", "side: '{{ image }}' is no image reference"),
        ),
        (
            [ONE],
            [ONE],
            ReleaseSpec(workloads=ids(SHOP), within=Visible(everything=False)),
            Outcome("ignored", "not included"),
        ),
    ],
)
def test_each_workload_that_is_left_alone_says_why(definitions, there, spec, outcome):
    plan = release(spec, definitions, running(*there), LIBRARY)
    assert plan.outcomes == {ids(SHOP)[0]: outcome}
    assert not (plan.images or plan.annotations)


def test_a_release_limited_to_namespaces_tells_nothing_of_the_others():
    definitions = [ONE, defined("other:deployment/x", f"side={HOST}/acme/side:v1")]
    spec = ReleaseSpec(within=Visible(everything=False, namespaces=frozenset({"demo"})))
    assert list(release(spec, definitions, running(*definitions), LIBRARY).outcomes) == [*ids(SHOP)]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (f"{HOST}/acme/side:nope", f'image "{HOST}/acme/side:nope" does not exist: invalid image ID'),
        ("acme/unknown:1", 'image "acme/unknown:1" does not exist: invalid image ID'),
        (f"{HOST}/acme/side:v2@{digest(9)}", "does not exist: invalid image ID"),
        (f"{HOST}/acme/side@{digest(9)}", "does not exist: invalid image ID"),
        ("acme/side", "blank tag (if you want latest, explicitly state the tag :latest): invalid image ID"),
    ],
)
def test_an_image_that_does_not_exist_is_refused_in_v1s_words(image, message):
    with pytest.raises(UsageError) as refused:
        release(ReleaseSpec(image=Reference.parse(image)), [ONE], running(ONE), LIBRARY)
    assert refused.value.message.endswith(message)


@pytest.mark.parametrize(
    ("current", "policy", "asked", "written"),
    [
        (":v1", "", ":v2", ":v2"),
        (":v1", "", ":latest", ":latest"),
        (":v1", "glob:*", ":latest", None),
        (":v1", "", f":v2@{digest(2)}", f":v2@{digest(2)}"),
        (":v1", "", f"@{digest(2)}", f":v2@{digest(2)}"),
        (f"@{digest(1)}", "", ":v2", f":v2@{digest(2)}"),
        (f":v1@{digest(1)}", "glob:v2", ":v2", f":v2@{digest(2)}"),
        (f":v1@{digest(1)}", "glob:v1", ":v2", None),
        (f"@{digest(2)}", "", ":v2", None),
        (f":v2@{digest(1)}", "", ":v2", f":v2@{digest(2)}"),
    ],
)
def test_a_named_image_is_written_in_the_containers_form(current, policy, asked, written):
    definition = defined(SHOP, f"side={HOST}/acme/side{current}", **({"tag__side": policy} if policy else {}))
    spec = ReleaseSpec(image=Reference.parse(f"{HOST}/acme/side{asked}"))
    plan = release(spec, [definition], running(definition), LIBRARY)
    assert [edit.image for edit in plan.images] == ([f"{HOST}/acme/side{written}"] if written else [])


def test_force_releases_a_named_image_past_a_filter_that_cannot_be_read():
    definition = defined(SHOP, f"side={HOST}/acme/side:v1", tag__side="semver:?")
    plans = [
        release(ReleaseSpec(image=SIDE_V2, force=force), [definition], running(definition), LIBRARY)
        for force in (False, True)
    ]
    assert [[edit.image for edit in plan.images] for plan in plans] == [[], [str(SIDE_V2)]]


def test_the_name_stays_as_it_is_written():
    library = Shelf({"nginx": built("1", "2")})
    definition = defined(SHOP, "web=docker.io/nginx:1", "side=library/nginx:1")
    plan = release(
        ReleaseSpec(image=Reference.parse("index.docker.io/library/nginx:2")),
        [definition],
        running(definition),
        library,
    )
    assert [edit.image for edit in plan.images] == ["docker.io/nginx:2", "library/nginx:2"]


@pytest.mark.parametrize(
    ("image", "policy", "tags", "reason", "wanted"),
    [
        ("a:1", "glob:*", {"1": ("", None), "2": ("", None)}, "c: 2 tags have not been looked at yet", {"1", "2"}),
        (f"a:1@{digest(1)}", "semver:*", {"1": ("", None), "2": ("", None)}, "c: it is not known yet what 2", {"2"}),
        ("b:1", "semver:*", {}, "cannot find one or more images", frozenset()),
    ],
)
def test_what_cannot_be_told_yet_says_what_has_to_be_known(image, policy, tags, reason, wanted):
    definition = defined(SHOP, f"c={image}", tag__c=policy)
    plan = release(ReleaseSpec(), [definition], running(definition), Shelf({"a": tags} if tags else {}))
    (outcome,) = plan.outcomes.values()
    assert outcome.status == "skipped" and outcome.reason.startswith(reason)
    assert [(each.image, each.tags) for each in plan.wanted] == [(Reference.parse(image), wanted)]


def test_one_container_that_cannot_be_told_does_not_hold_the_others():
    definition = defined(SHOP, f"web={HOST}/acme/shop:1.0.3", "other=unknown:1", tag__web="semver:*")
    plan = release(ReleaseSpec(), [definition], running(definition), LIBRARY)
    (outcome,) = plan.outcomes.values()
    assert [change.container for change in outcome.changes] == ["web"]
    assert outcome.detail == ("other: the tags of index.docker.io/library/unknown have not been listed yet",)


def test_one_workload_that_cannot_be_edited_leaves_the_rest_of_the_plan():
    definitions = second_recording()
    plan = release(ReleaseSpec(), definitions, running(*definitions), LIBRARY)
    rest = plan.without(ids(SHOP)[0], "no such container in the file")
    assert [edit.container for edit in rest.images] == ["chart-image"]
    assert rest.outcomes[ids(SHOP)[0]] == Outcome("failed", "no such container in the file")


def picked(*changes, **options):
    parsed = tuple(
        ContainerChange(name, Reference.parse(current) if current else NO_IMAGE, Reference.parse(target))
        for name, current, target in changes
    )
    return ContainersSpec({ids(SHOP)[0]: parsed}, **options)


TWO = defined(SHOP, "web=a:1", "side=docker.io/b:1")


@pytest.mark.parametrize(
    ("spec", "outcome", "images"),
    [
        (picked(("web", "a:1", "a:2"), ("side", "", "b:2")), "success", ["a:2", "docker.io/b:2"]),
        (picked(("nope", "a:1", "a:2"), ("web", "a:1", "a:2")), "container(s) not found: nope", []),
        (picked(("web", "a:0", "a:2"), ("side", "b:9", "b:2")), "container(s) tag mismatch: web, side", []),
        (
            picked(("web", "a:0", "a:2"), ("side", "", "b:2"), skip_mismatches=True),
            "container(s) tag mismatch: web",
            ["docker.io/b:2"],
        ),
        (picked(("web", "a:0", "a:2"), skip_mismatches=True), "container(s) tag mismatch: web", []),
        (picked(("web", "a:1", "a:1")), "image(s) up to date", []),
        (picked(("web", "a:1", "c:2")), "a different image: web", []),
    ],
)
def test_picked_changes_are_made_where_they_still_fit(spec, outcome, images):
    plan = release_picked(spec, [TWO], running(TWO))
    (result,) = plan.outcomes.values()
    assert outcome in (result.reason, result.status)
    assert [edit.image for edit in plan.images] == images


def test_picked_changes_keep_to_locks_unless_forced():
    locked = defined(SHOP, "web=a:1", locked="true")
    other = defined(HELD, "web=a:1")
    plan = release_picked(picked(("web", "a:1", "a:2")), [locked, other], running(locked, other))
    assert [(outcome.status, outcome.reason) for outcome in plan.outcomes.values()] == [
        ("ignored", "not included"),
        ("skipped", "locked"),
    ]
    forced = release_picked(picked(("web", "a:1", "a:2"), force=True), [locked], running(locked))
    assert [edit.image for edit in forced.images] == ["a:2"]
    with pytest.raises(UsageError, match="blank tag"):
        release_picked(picked(("web", "a:1", "a")), [locked], running(locked))
