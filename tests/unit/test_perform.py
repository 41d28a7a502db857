"""Changes performed against a real repository: planned, edited, committed, pushed, and tried again."""

import dataclasses
import errno
import os

import pytest
from change_standins import Bench, app, ids, statuses
from git_remote import git
from release_standins import built, digest

from agent.git.push import PushRefusedError
from agent.model.errors import GitError, NotReadyError, StoppedError, UsageError
from agent.model.images import Reference
from agent.model.updates import NO_IMAGE, Cause, ContainerChange, ContainersSpec, PoliciesSpec, PolicyUpdate
from agent.releases import perform
from agent.releases.contract import Asked, Style

IMAGES = {"acme/shop": built("1.0.0", "1.1.0", "1.2.0", "2.0.0"), "acme/side": built("v1", "v2")}


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setattr(perform, "PAUSE", 0.0)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, IMAGES)
    bench.write({"shop.yaml": app("shop"), "other.yaml": app("other"), "notes.txt": "x\n"}, "first")
    return bench


def test_a_filter_stands_in_full_in_the_manifest_and_in_the_note(bench):
    commit = bench.policies("shop", tag__web="1.*").commit
    assert "fluxcd.io/tag.web: glob:1.*" in bench.read("shop.yaml")
    assert '"add":{"tag.web":"glob:1.*"}' in git(bench.remote.bare, "notes", "--ref=flux", "show", commit)


# --- what a commit is ------------------------------------------------------------------------------------------------


def test_a_release_is_one_commit_that_changes_the_value_and_says_who_asked(bench):
    done = bench.release(
        "shop",
        image="acme/shop:1.2.0",
        cause=Cause("Ann <ann@example.com>"),
        caller="system:serviceaccount:flux:flux-operator",
        credential_id="JTI=1",
    )
    assert bench.head() == done.commit == done.head
    assert bench.diff() == [
        '-        image: "acme/shop:1.0.0"  # bumped by flux',
        '+        image: "acme/shop:1.2.0"  # bumped by flux',
    ]
    assert bench.log() == ["Release acme/shop:1.2.0 to demo:deployment/shop", "first"]
    assert bench.trailers() == [
        ("Flux-Kind", "release"),
        ("Flux-Requested-By", "system:serviceaccount:flux:flux-operator"),
        ("Flux-Credential", "JTI=1"),
        ("Flux-User", "Ann <ann@example.com>"),
        ("Flux-Updated", "demo:deployment/shop web acme/shop:1.0.0 acme/shop:1.2.0"),
    ]
    assert statuses(done) == {"shop": ("success", ""), "other": ("ignored", "not included")}
    assert '"jobID":"j1"' in git(bench.remote.bare, "notes", "--ref=flux", "show", done.commit)


@pytest.mark.parametrize(
    ("style", "user", "author"),
    [
        (Style(), "Ann <ann@example.com>", "Weave Flux <support@weave.works>"),
        (Style(set_author=True), "Ann <ann@example.com>", "Ann <ann@example.com>"),
        (Style(set_author=True), "", "Weave Flux <support@weave.works>"),
        (Style(set_author=True), "foo", "Foo <foo@example.com>"),
    ],
)
def test_the_author_is_who_asked_where_that_is_wanted_and_the_committer_never(bench, style, user, author):
    bench.use(style=style)
    bench.release("shop", image="acme/shop:1.2.0", cause=Cause(user))
    shown = git(bench.remote.bare, "log", "-1", "--format=%an <%ae>|%cn <%ce>", "master")
    assert shown == f"{author}|Weave Flux <support@weave.works>"


def test_an_author_whom_nobody_knows_fails_the_change(bench):
    bench.use(style=Style(set_author=True))
    with pytest.raises(UsageError, match="git commit: fatal: --author 'nobody' is not 'Name <email>' and matches no"):
        bench.release("shop", image="acme/shop:1.2.0", cause=Cause("nobody"))
    assert bench.log() == ["first"]


def test_a_message_of_ones_own_and_the_text_for_build_servers(bench):
    bench.use(style=Style(ci_skip="\n\n[ci skip]"))
    bench.release("shop", image="acme/shop:1.2.0", cause=Cause(message="We need it\n\nnow"))
    assert bench.body().startswith("We need it\n\nnow\n\n[ci skip]\n\nFlux-Job: j1\n")


# --- what is changed and what is not ---------------------------------------------------------------------------------


def test_a_dry_run_and_an_empty_change_write_nothing(bench):
    dry = bench.release("shop", dry_run=True)
    assert dry.outcomes[next(ids("shop"))].changes[0].target == Reference.parse("acme/shop:2.0.0")
    assert not dry.commit
    idle = bench.release("shop", "gone", image="acme/shop:1.0.0")
    assert statuses(idle) == {
        "shop": ("skipped", "image(s) up to date"),
        "gone": ("skipped", "not found in repository"),
        "other": ("ignored", "not included"),
    }
    assert not (idle.commit or idle.head)
    assert statuses(bench.policies("shop", remove=("locked",))) == {"shop": ("skipped", "no changes")}
    assert bench.log() == ["first"]


def test_who_cannot_be_changed_fails_alone(bench):
    """A link, an alias that others share, and a workload that two files define; the rest is released."""
    (bench.remote.work / "linked.yml").symlink_to("target.txt")
    alias = app("alias", "acme/shop:1.0.0").replace('"acme/shop:1.0.0"', "&image acme/shop:1.0.0")
    alias += "      initContainers:\n      - name: init\n        image: *image\n"
    bench.write({
        "target.txt": app("linked"),
        "alias.yaml": alias + "---\n" + app("beside"),
        "one.yaml": app("twice"),
        "two.yaml": app("twice"),
    })  # fmt: skip
    done = bench.release(image="acme/shop:1.2.0")
    told = statuses(done)
    assert {name for name in told if told[name] == ("success", "")} == {"shop", "other", "beside"}
    assert told["twice"] == ("failed", "defined more than once: one.yaml:1, two.yaml:1")
    assert told["linked"][0] == "failed" and "a symbolic link, which is never edited" in told["linked"][1]
    assert told["alias"][0] == "failed" and "alias.yaml: line 12: image is shared by aliases" in told["alias"][1]
    assert len(bench.diff()) == 6
    assert {value.split()[0] for key, value in bench.trailers() if key == "Flux-Updated"} == {
        f"demo:deployment/{name}" for name in ("shop", "other", "beside")
    }


def test_a_workload_that_does_not_run_is_left_alone_and_one_that_nobody_has_listed_is_not_judged(bench):
    bench.absent = set(ids("shop"))
    assert statuses(bench.release("shop"))["shop"] == ("skipped", "not accessible in cluster")
    bench.not_ready = "the workloads have not been listed yet"
    for ask in (bench.release, bench.automate):
        with pytest.raises(NotReadyError, match="have not been listed yet") as caught:
            ask()
        assert caught.value.temporary
    assert statuses(bench.policies("shop", locked="true")) == {"shop": ("success", "")}


def test_picked_changes_are_made_where_they_still_fit(bench):
    def change(target, current="acme/shop:1.0.0", container="web"):
        return ContainerChange(container, Reference.parse(current) if current else NO_IMAGE, Reference.parse(target))

    shop, other = ids("shop", "other")
    for changes, told in (
        ({shop: (change("acme/shop:1.1.0", "acme/shop:0.9.0"),)}, "container(s) tag mismatch: web"),
        ({shop: (change("acme/shop:1.1.0", container="nope"),)}, "container(s) not found: nope"),
        ({shop: (change("acme/side:v2", ""),)}, "a different image: web"),
    ):
        done = bench.performer.perform(Asked("j", ContainersSpec(changes)))
        assert statuses(done)["shop"] == ("failed", told)
        assert not done.commit
    picked = {shop: (change("acme/shop:1.1.0"),), other: (change("acme/shop:1.1.0", "acme/shop:0.9.0"),)}
    assert bench.performer.perform(Asked("j", ContainersSpec(picked))).commit == bench.head()
    assert bench.body().startswith("Update image refs in demo:deployment/shop\n")


def test_a_manifest_of_an_odd_shape_stops_nobody(bench):
    bench.write({"odd.yaml": app("odd").split("      containers:")[0] + "      containers: 5\n"})
    assert statuses(bench.release(image="acme/shop:1.2.0"))["shop"] == ("success", "")


# --- images ----------------------------------------------------------------------------------------------------------


def test_an_image_that_was_pushed_a_moment_ago_is_found(bench):
    bench.library.push("acme/shop", **{"3.0.0": (digest(30), 30.0)})
    assert bench.release("shop", image="acme/shop:3.0.0").commit == bench.head()
    assert bench.library.listed == ["index.docker.io/acme/shop"]


def test_an_image_that_does_not_exist_and_one_without_a_tag_are_told(bench):
    with pytest.raises(UsageError, match='image "acme/shop:nope" does not exist: invalid image ID'):
        bench.release("shop", image="acme/shop:nope")
    with pytest.raises(UsageError, match="blank tag"):
        bench.release("shop", image="acme/shop")
    with pytest.raises(UsageError, match='invalid tag pattern: "semver:no"'):
        bench.policies("shop", tag__web="semver:no")
    assert bench.log() == ["first"]


def test_without_scanning_policies_are_changed_all_the_same(bench):
    bench.use(library=None)
    with pytest.raises(NotReadyError, match="registries are not scanned"):
        bench.release("shop", image="acme/shop:1.2.0")
    assert bench.policies("shop", automated="true").commit == bench.head()


# --- the server ------------------------------------------------------------------------------------------------------


def test_whoever_pushes_in_between_keeps_their_commit_and_the_change_is_planned_anew(bench):
    bench.before_push = [
        lambda: bench.write({"notes.txt": "theirs\n"}, "theirs"),
        lambda: bench.write({"shop.yaml": None, "moved/shop.yaml": app("shop", "acme/shop:1.1.0")}, "moved"),
    ]
    done = bench.release("shop", image="acme/shop:1.2.0")
    assert bench.head() == done.commit
    assert bench.log() == ["Release acme/shop:1.2.0 to demo:deployment/shop", "moved", "theirs", "first"]
    assert bench.diff() == [
        '-        image: "acme/shop:1.1.0"  # bumped by flux',
        '+        image: "acme/shop:1.2.0"  # bumped by flux',
    ]
    assert ("Flux-Updated", "demo:deployment/shop web acme/shop:1.1.0 acme/shop:1.2.0") in bench.trailers()


def test_what_somebody_else_did_meanwhile_is_not_done_again(bench):
    bench.before_push = [lambda: bench.write({"shop.yaml": app("shop", "acme/shop:1.2.0")}, "theirs")]
    done = bench.release("shop", image="acme/shop:1.2.0")
    assert statuses(done)["shop"] == ("skipped", "image(s) up to date")
    assert (done.commit, bench.log()) == ("", ["theirs", "first"])


def test_a_race_that_is_always_lost_is_given_up(bench):
    bench.before_push = [lambda number=number: bench.write({"notes.txt": f"{number}\n"}) for number in range(99)]
    with pytest.raises(GitError, match="the change was given up after 6 attempts: master was moved") as caught:
        bench.release("shop", image="acme/shop:1.2.0")
    assert "nothing was changed" in caught.value.hint
    assert bench.log() == ["change"] * perform.ATTEMPTS + ["first"]


def test_a_refusal_is_told_in_the_servers_words_and_is_not_tried_again(bench):
    bench.remote.hook("pre-receive", f"echo 'GH006: protected' >&2; echo x >> {bench.folder}/pushes; exit 1")
    with pytest.raises(PushRefusedError, match=r"refused the push to master: .*GH006: protected"):
        bench.release("shop", image="acme/shop:1.2.0")
    assert (bench.folder / "pushes").read_text() == "x\n"
    assert bench.log() == ["first"]


@pytest.mark.parametrize(("hook", "times"), [("pre-receive", 1), ("post-receive", 1), ("pre-receive", 2)])
def test_a_push_without_an_answer_is_one_commit_in_the_end(bench, hook, times):
    counter = bench.folder / "times"
    bench.remote.hook(hook, f"echo x >> {counter}; [ $(wc -l < {counter}) -gt {times} ] || kill -9 $PPID")
    done = bench.release("shop", image="acme/shop:1.2.0")
    assert bench.log() == ["Release acme/shop:1.2.0 to demo:deployment/shop", "first"]
    assert bench.head() == done.commit
    assert "j1" in git(bench.remote.bare, "notes", "--ref=flux", "show", done.commit)


def test_a_commit_that_arrived_unseen_is_found_beneath_the_next_one(bench):
    """Its job tells of it, and where the branch is by now, so that nothing older is applied after that."""

    class Deaf:
        """Pushes and hears nothing; somebody else pushes on top."""

        def __getattr__(self, name):
            return getattr(bench.writer, name)

        def push(self, commit):
            bench.writer.push(commit)
            bench.write({"notes.txt": "theirs\n"}, "theirs")
            raise GitError("the connection broke")

    bench.use(writer=Deaf())
    done = bench.release("shop", image="acme/shop:1.2.0")
    assert bench.log() == ["theirs", "Release acme/shop:1.2.0 to demo:deployment/shop", "first"]
    assert (done.head, done.commit) == (bench.head(), git(bench.remote.bare, "rev-parse", "master^"))


def test_a_push_that_arrives_late_is_the_one_commit(bench):
    """The first push is not there yet when one looks, and is when the second one comes."""
    made = []
    commit = bench.writer.commit
    bench.commit = lambda *args, **options: made.append(commit(*args, **options)) or made[-1]

    def silence():
        raise GitError("no answer in time", temporary=True)

    bench.before_push = [silence, lambda: bench.writer.push(made[0])]
    done = bench.release("shop", image="acme/shop:1.2.0")
    assert len(made) == 2 and done.commit == made[0] == bench.head()
    assert statuses(done)["shop"] == ("success", "")


def test_a_push_that_may_still_arrive_is_not_told_to_have_changed_nothing(bench):
    """A server that is slow goes on with what it was sent when nobody waits for its answer any more."""

    def silence():
        raise GitError("no answer in time", temporary=True)

    bench.before_push = [silence] * perform.ATTEMPTS
    with pytest.raises(GitError, match="the change was given up after 6 attempts: no answer in time") as caught:
        bench.release("shop", image="acme/shop:1.2.0")
    assert "it may arrive late" in caught.value.hint


@pytest.mark.parametrize("arrives", [True, False])
def test_an_outcome_that_stays_unknown_is_told_as_such(bench, arrives):
    away = bench.folder / "away"

    def vanish():
        if arrives:
            bench.writer.push(made[-1])
        bench.remote.bare.rename(away)

    made = []
    commit = bench.writer.commit
    bench.commit = lambda *args, **options: made.append(commit(*args, **options)) or made[-1]
    bench.before_push = [vanish]
    with pytest.raises(
        GitError, match=r"it is not known whether commit [0-9a-f]{7} has reached the git server"
    ) as told:
        bench.release("shop", image="acme/shop:1.2.0")
    assert made[-1][:7] in told.value.message and "look at the branch" in told.value.hint
    away.rename(bench.remote.bare)
    assert bench.release("shop", image="acme/shop:1.2.0").commit == ("" if arrives else bench.head())
    assert len(bench.log()) == 2


def test_a_server_that_is_away_fails_the_change_in_one_sentence_and_the_next_one_is_made(bench):
    bench.release("shop", image="acme/shop:1.1.0")
    away = bench.remote.bare.rename(bench.folder / "away")
    with pytest.raises(GitError, match="the change was not made, because git could not be fetched: git ls-remote"):
        bench.release("shop", image="acme/shop:1.2.0")
    away.rename(bench.remote.bare)
    assert bench.release("shop", image="acme/shop:1.2.0").commit == bench.head()


def test_a_shutdown_between_two_attempts_ends_the_change(bench):
    bench.before_push = [lambda: bench.write({"notes.txt": "theirs\n"}, "theirs"), bench.stop.set]
    with pytest.raises(StoppedError):
        bench.release("shop", image="acme/shop:1.2.0")
    assert bench.log() == ["theirs", "first"]


def test_a_full_disk_fails_the_change_and_the_next_one_is_made(bench, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("agent.git.writer.tempfile.TemporaryDirectory", full)
        with pytest.raises(GitError, match=r"could not be written: .*No space left"):
            bench.release("shop", image="acme/shop:1.2.0")
    assert bench.release("shop", image="acme/shop:1.2.0").commit == bench.head()


@pytest.mark.parametrize("trouble", [GitError("no"), StoppedError("no"), OSError("no")])
def test_a_note_that_cannot_be_sent_is_told_and_fails_nothing(bench, trouble):
    class Notes:
        def write(self, commit, text):
            pass

        def push(self):
            raise trouble

    bench.use(notes=Notes())
    done = bench.release("shop", image="acme/shop:1.2.0")
    assert bench.head() == done.commit
    assert done.notices == ("the note could not be sent: no",)


# --- what stays behind -----------------------------------------------------------------------------------------------


def test_many_changes_leave_nothing_that_grows(bench):
    """Counted in what is kept, not in bytes."""
    sizes = set()
    for number in range(12):
        bench.performer.perform(
            Asked(f"j{number}", PoliciesSpec({next(ids("shop")): PolicyUpdate({"locked_msg": str(number % 2)})}))
        )
        known = bench.performer._known
        kept = (known.definitions, known.blobs, known.marks, known.memory.rejected, known.memory.automated)
        sizes.add((*map(len, kept), len(bench.performer._loader._cache), len(bench.notes._waiting)))
    assert len(sizes) == 1
    assert len(bench.log()) == 13


def test_the_surroundings_are_values():
    assert dataclasses.is_dataclass(Asked) and Asked("j", PoliciesSpec()).accept == frozenset()
