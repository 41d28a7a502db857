"""Release and UpdatePolicies: what is asked for, who may, and the jobs that come of it."""

import threading

import pytest
from change_standins import Bench, app, statuses
from git_remote import git
from release_standins import built
from served_api import Reads
from test_loop import Gauges, Log

from agent.api import audit
from agent.api import jobs as jobs_module
from agent.api.access import Grants, Rights, Unobserved
from agent.api.call import Call, Slots
from agent.api.changes import MAX_TEXT, MAX_WORKLOADS, Changes
from agent.api.errors import NotFoundError
from agent.api.jobs import Jobs
from agent.board import Board
from agent.loop.messages import Parts
from agent.model.access import CHANGE_POLICIES, RELEASE_WORKLOADS, Caller, ForbiddenError, OpenAccess, Visible
from agent.model.errors import NotReadyError, UsageError
from agent.model.ids import WorkloadId
from agent.model.images import Reference
from agent.model.status import JobState, RepositoryStatus, Status
from agent.model.updates import NO_IMAGE, Cause, ContainerChange, ContainersSpec, Outcome, PolicyUpdate, ReleaseSpec
from agent.releases.contract import Asked, Done
from agent.settings import GitSettings, RegistrySettings, Settings
from agent.wiring_writes import WriteParts, WriteSurroundings
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

READY = RepositoryStatus("ssh://git@h/a", "master", ready=True)
SHOP, SIDE, OTHER = (WorkloadId(place, "deployment", name) for place, name in (("a", "s"), ("a", "t"), ("b", "s")))
ANN = Caller("system:serviceaccount:flux:ann", "JTI=1")


class Api:
    """The two methods over a desk that keeps the tickets."""

    def __init__(self):
        self.reads, self.tickets = Reads(), []
        self.reads.state = Status(repository=READY, policies={SHOP: {}, SIDE: {}, OTHER: {}})
        self.jobs = Jobs(lambda _: None, start_change=self.tickets.append)
        self.changes = Changes(self.reads, self.jobs)
        self.rights = []

    def call(self, access=None):
        return Call(
            Slots(1), threading.Event(), lambda: True, lambda: None, lambda _: "", access=access or OpenAccess()
        )

    def grants(self, right, *namespaces):
        """Ann's access: this right in these namespaces, and nothing else; "" stands for all."""
        rights = Rights(lambda _, asked, place: asked == right and place in namespaces, 60.0, 5.0, Unobserved())
        self.rights.append(rights)
        return Grants(ANN, rights)

    def close(self):
        for rights in self.rights:
            rights.close()

    def release(self, access=None, **fields):
        return self.changes.release(pb.ReleaseRequest(**fields), self.call(access)).job_id

    def policies(self, *changes, access=None, **fields):
        request = pb.UpdatePoliciesRequest(changes=changes, **fields)
        return self.changes.update_policies(request, self.call(access)).job_id

    @property
    def asked(self):
        return self.tickets[-1].asked


@pytest.fixture
def api():
    api = Api()
    yield api
    api.close()


# --- what is asked for -----------------------------------------------------------------------------------------------


def test_a_request_becomes_a_job_that_says_what_is_asked(api):
    chosen = [
        {"workload": str(SHOP), "change": {"container": "web", "current": "a:1", "target": "a:2"}},
        {"workload": str(SHOP), "change": {"container": "side", "target": "b:2"}},
    ]
    for fields, spec in (
        ({"all": True}, ReleaseSpec()),
        ({"all": True, "namespace": "a"}, ReleaseSpec(within=Visible(everything=False, namespaces=frozenset("a")))),
        (
            {"workloads": [str(SHOP)], "excludes": [str(SIDE)], "image": "a:2", "force": True},
            ReleaseSpec((SHOP,), (SIDE,), Reference("a", "2"), force=True),
        ),
        (
            {"chosen": chosen},
            ContainersSpec({
                SHOP: (
                    ContainerChange("web", Reference("a", "1"), Reference("a", "2")),
                    ContainerChange("side", NO_IMAGE, Reference("b", "2")),
                )
            }),
        ),
    ):  # fmt: skip
        job_id = api.release(**fields, cause={"user": " Ann\n<a@b> ", "message": "why\n\nso"}, dry_run=True)
        assert (api.asked.spec, api.asked.job_id, api.asked.dry_run) == (spec, job_id, True)
        assert api.asked.cause == Cause("Ann <a@b>", "why\n\nso")
    api.policies(
        {"workload": str(SHOP), "set": {"locked": " true "}, "remove": ["automated"], "tag_all": "semver:*"},
        {"workload": str(OTHER), "accept": True},
    )
    assert api.asked.spec.updates == {
        SHOP: PolicyUpdate({"locked": "true"}, frozenset({"automated"}), "semver:*"),
        OTHER: PolicyUpdate(),
    }
    assert api.asked.accept == {OTHER}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "please supply either --all, or at least one --workload"),
        ({"all": True, "workloads": [str(SHOP)]}, "please supply either --all"),
        ({"workloads": ["nonsense"]}, "nonsense"),
        ({"all": True, "image": "NOT AN IMAGE"}, "NOT AN IMAGE"),
        ({"workloads": [str(SHOP)] * (MAX_WORKLOADS + 1)}, "more than 10000 workloads"),
        ({"all": True, "cause": {"message": "x" * (MAX_TEXT + 1)}}, "longer than 10000 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(api, fields, words):
    with pytest.raises(UsageError, match=words):
        api.release(**fields)
    assert api.tickets == []


def test_policies_name_each_workload_once_and_at_least_one(api):
    with pytest.raises(UsageError, match="no workload was named"):
        api.policies()
    with pytest.raises(UsageError, match="a:deployment/s is named twice"):
        api.policies({"workload": str(SHOP)}, {"workload": str(SHOP), "accept": True})
    with pytest.raises(UsageError, match="longer than"):
        api.policies({"workload": str(SHOP), "tag_all": "x" * (MAX_TEXT + 1)})


@pytest.mark.parametrize(
    ("repository", "words"),
    [
        (RepositoryStatus(), "no git repository is configured"),
        (RepositoryStatus("u", read_only=True, ready=True), "--git-readonly"),
        (RepositoryStatus("u", error="the key was refused"), "cannot be used yet: the key was refused"),
        (RepositoryStatus("u"), "it is being fetched"),
    ],
)
def test_a_repository_that_cannot_be_written_is_told(api, repository, words):
    api.reads.state = Status(repository=repository)
    for ask in (lambda: api.release(all=True), lambda: api.policies({"workload": str(SHOP)})):
        with pytest.raises(NotReadyError, match=words):
            ask()


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "places", "missing"),
    [
        ({"workloads": [str(SHOP)]}, ("a",), ""),
        ({"workloads": [str(SHOP), str(OTHER)]}, ("a",), "in namespace b"),
        (
            {"chosen": [{"workload": str(OTHER), "change": {"container": "c", "target": "a:2"}}]},
            ("a",),
            "in namespace b",
        ),
        ({"all": True}, ("a",), "in namespace b"),
        ({"all": True}, (), "in any namespace"),
        ({"all": True}, ("a", "b"), ""),
        ({"all": True}, ("",), ""),
        ({"all": True, "namespace": "a"}, ("a",), ""),
        ({"all": True, "namespace": "c"}, ("a", "b"), "in namespace c"),
        ({"workloads": [str(SHOP)]}, (), "in namespace a"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_release_takes_the_right_in_every_namespace_that_it_may_touch(api, fields, places, missing, dry_run):
    access = api.grants(RELEASE_WORKLOADS, *places)
    if not missing:
        assert api.release(access, dry_run=dry_run, **fields)
        assert (api.asked.caller, api.asked.credential_id) == (ANN.name, "JTI=1")
        return
    with pytest.raises(ForbiddenError, match=f"may not release images {missing}"):
        api.release(access, dry_run=dry_run, **fields)
    assert api.tickets == []


def test_all_of_what_one_may_touch_stays_so_whatever_is_pushed_meanwhile(api):
    api.release(api.grants(RELEASE_WORKLOADS, "a", "b"), all=True)
    assert api.asked.spec.within == Visible(everything=False, namespaces=frozenset({"a", "b"}))
    api.release(api.grants(RELEASE_WORKLOADS, ""), all=True)
    assert api.asked.spec.within == Visible()


def test_with_nothing_known_of_git_all_takes_the_right_everywhere(api):
    api.reads.state = Status(repository=READY)
    with pytest.raises(ForbiddenError, match="in the cluster as a whole"):
        api.release(api.grants(RELEASE_WORKLOADS, "a"), all=True)
    assert api.release(api.grants(RELEASE_WORKLOADS, ""), all=True)


def test_policies_take_a_right_of_their_own(api):
    change = {"workload": str(SHOP)}
    assert api.policies(change, access=api.grants(CHANGE_POLICIES, "a"))
    for access in (api.grants(RELEASE_WORKLOADS, ""), api.grants(CHANGE_POLICIES, "b")):
        with pytest.raises(ForbiddenError, match="may not change policies in namespace a"):
            api.policies(change, access=access)


def test_the_log_says_who_asked(api, monkeypatch):
    log = Log()
    monkeypatch.setattr(audit, "_log", log)
    job_id = api.release(api.grants(RELEASE_WORKLOADS, ""), all=True, cause={"user": "Ann"}, dry_run=True)
    api.policies({"workload": str(SHOP)})
    told = {"method": "Release", "caller": ANN.name, "credential_id": "JTI=1", "user": "Ann", "dry_run": True}
    assert log.lines[0] == ("a change was asked for", told | {"job": job_id})
    assert log.lines[1][1]["caller"] == "anybody (--auth=none)"


# --- jobs ------------------------------------------------------------------------------------------------------------


def test_a_job_goes_from_the_queue_to_its_end(api):
    job_id = api.release(all=True, dry_run=True)
    (ticket,) = api.tickets
    assert (api.jobs.get(job_id).state, api.jobs.get(job_id).change.dry_run) == (JobState.QUEUED, True)
    ticket.running()
    assert api.jobs.get(job_id).state is JobState.RUNNING
    ticket.succeeded(Done({SHOP: Outcome("success")}, "c", "c", ("a note",)))
    ended = api.jobs.get(job_id)
    assert (ended.state, ended.version) == (JobState.SUCCEEDED, 3)
    assert (ended.change.commit, ended.change.notices, ended.change.dry_run) == ("c", ("a note",), True)
    failing = api.release(all=True)
    api.tickets[-1].failed("no", "try")
    ended = api.jobs.get(failing)
    assert (ended.state, ended.error, ended.hint, ended.change.commit) == (JobState.FAILED, "no", "try", "")


def test_outcomes_that_are_too_many_make_room_the_oldest_first(api, monkeypatch):
    monkeypatch.setattr(jobs_module, "MAX_OUTCOMES", 10)
    waiting = api.release(all=True)
    ended = []
    for _ in range(4):
        ended.append(api.release(all=True))
        api.tickets[-1].succeeded(Done({SHOP._replace(name=str(number)): Outcome("success") for number in range(4)}))
    assert [job_id in api.jobs._jobs for job_id in (waiting, *ended)] == [True, False, False, True, True]
    api.tickets[0].succeeded(
        Done(dict.fromkeys((SHOP._replace(name=str(number)) for number in range(99)), Outcome("x")))
    )
    assert list(api.jobs._jobs) == [waiting]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, {"acme/shop": built("1.0.0", "1.1.0")})
    bench.write({"shop.yaml": app("shop") + "---\n" + app("side")}, "first")
    return bench


def writes(bench, **git_settings):
    """The writing part of an agent that has just started over this repository, with scanning on."""
    settings = Settings(git=GitSettings(url=bench.remote.url, **git_settings), registry=RegistrySettings())
    parts = Parts(Board(READY), Log(), Gauges())
    around = WriteSurroundings(bench.mirror, bench.fetch, bench.snapshot, bench.library, lambda: None, parts)
    return WriteParts(settings, "default", around)


JOB = "11111111-2222-3333-4444-555555555555"


def test_a_job_is_found_again_by_its_commit_after_a_restart(bench):
    done = bench.release("shop", image="acme/shop:1.1.0", job=JOB)
    bench.write({}, f"Somebody writes\n\nFlux-Job: {JOB}\n\nwas it")
    bench.restart("fresh")
    bench.fetch()
    jobs = Jobs(lambda _: None, recall=writes(bench).recall)
    job = jobs.get(JOB)
    assert (job.state, job.change.commit) == (JobState.SUCCEEDED, done.commit)
    assert dict(job.change.outcomes) == dict(done.outcomes)
    assert job.created_at == float(git(bench.remote.bare, "log", "-1", "--format=%ct", done.commit))
    for unknown in (JOB.replace("1", "9"), "nope", "--all"):
        with pytest.raises(NotFoundError, match="there is no job"):
            jobs.get(unknown)


@pytest.mark.parametrize("change", ["release", "policies"])
def test_a_job_whose_commit_has_no_note_is_told_by_its_trailers(bench, change):
    bench.settings = GitSettings(url=bench.remote.url, notes_ref="")
    bench.restart("without")
    if change == "release":
        done = bench.release("shop", image="acme/shop:1.1.0", job=JOB)
    else:
        done = bench.policies("shop", job=JOB, locked="true")
    job = writes(bench, notes_ref="").recall(JOB)
    assert job.change.commit == done.commit
    assert {id_.name: (each.status, each.changes) for id_, each in job.change.outcomes.items()} == {
        "shop": ("success", next(each for id_, each in done.outcomes.items() if id_.name == "shop").changes)
    }


def test_before_git_is_fetched_no_job_is_known(bench):
    bench.restart("empty")
    assert writes(bench).recall(JOB) is None


@pytest.mark.parametrize(
    ("fields", "library", "automates"),
    [({}, True, True), ({"readonly": True}, True, False), ({"url": ""}, True, False), ({}, False, False)],
)
def test_automation_is_off_where_git_may_not_be_written_or_nothing_is_scanned(bench, fields, library, automates):
    settings = Settings(git=GitSettings(**({"url": bench.remote.url} | fields)))
    board = Board(READY)
    board.publish(revision_seen=bench.head())
    parts = Parts(board, Log(), Gauges())
    shelf = bench.library if library else None
    around = WriteSurroundings(bench.mirror, bench.fetch, bench.snapshot, shelf, lambda: None, parts)
    assert (WriteParts(settings, "default", around).lane.due(board.status(), 1.0) <= 1.0) is automates


def test_a_change_that_was_asked_for_is_performed_as_asked(bench):
    api = Api()
    api.reads.state = Status(repository=READY)
    api.release(workloads=["demo:deployment/shop"], image="acme/shop:1.1.0", cause={"user": "Ann"})
    done = bench.performer.perform(api.asked)
    assert statuses(done)["shop"] == ("success", "")
    assert ("Flux-User", "Ann") in bench.trailers()
    assert isinstance(api.asked, Asked)
