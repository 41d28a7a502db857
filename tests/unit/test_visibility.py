"""What of the answers a caller may see, and the methods that cut them."""

import threading
from dataclasses import replace

import pytest
from served_api import Reads, Served, absent_handlers

from agent.api.auth import admit_everybody
from agent.api.call import Call, Slots
from agent.api.errors import UnavailableError
from agent.api.jobs import Jobs
from agent.api.progress import Place, progress
from agent.api.service import Service
from agent.api.visibility import (
    ELSEWHERE,
    Details,
    Discretion,
    approved,
    candidates,
    details,
    namespace_of,
    workloads,
)
from agent.model.access import CREATE_SYNCS, LIST_WORKLOADS, Caller, ForbiddenError, Visible
from agent.model.ids import WorkloadId
from agent.model.resources import Failure, Origin
from agent.model.status import Feature, PendingDeletion, RepositoryStatus, Status, SyncProgress, SyncReport
from agent.model.updates import Cause, Outcome, ReleaseSpec
from agent.model.workloads import Workload, WorkloadSnapshot
from agent.releases.contract import Asked, Done
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

OURS = Visible(everything=False, namespaces=frozenset({"ours"}))
FILE = Failure("", "the file is no YAML", Origin("broken.yaml", 1))
FAILURES = (FILE, Failure("ours:service/web", "no"), Failure("theirs:service/web", "no"))
WIDE = Failure("<cluster>:namespace/x", "no")
OUR_END = PendingDeletion("ours:configmap/a", "held: …", "1", held=True)
THEIR_END = PendingDeletion("theirs:configmap/a", "held: …", "2", held=True)
THEIR_LEAVING = PendingDeletion("theirs:configmap/b", "is being deleted", "3")
REPORT = SyncReport("24e9eae", 1.0, failures=(*FAILURES, WIDE), pending_deletions=(OUR_END,), deletions_hash="abc")
SNAPSHOT = WorkloadSnapshot(
    tuple(Workload(WorkloadId(name, "deployment", "web"), ()) for name in ("ours", "theirs")), 7.0
)


@pytest.mark.parametrize(
    ("object_id", "namespace"),
    [("demo:service/web", "demo"), ("<cluster>:namespace/demo", ""), ("a:clusterrole/b:c", "a")],
)
def test_an_object_belongs_to_its_namespace(object_id, namespace):
    assert namespace_of(object_id) == namespace


def test_who_sees_everything_sees_it_all():
    report = replace(REPORT, notices=("ours:service/a is left alone", "b"))
    assert details(report, Visible(), (), ("c",)) == Details(
        report.failures, report.pending_deletions, "abc", (*report.notices, "c")
    )
    assert details(None, OURS, ()) == Details()


def test_others_see_their_namespaces_and_files():
    shown = details(REPORT, OURS, ())
    assert shown.failures == FAILURES[:2]
    assert (shown.pending, shown.deletions_hash, shown.restricted) == ((OUR_END,), "abc", True)
    assert not details(replace(REPORT, failures=FAILURES[:2]), OURS, ()).restricted


@pytest.mark.parametrize(
    ("pending", "shown"),
    [((OUR_END,), "abc"), ((OUR_END, THEIR_END), ""), ((OUR_END, THEIR_LEAVING), "abc"), ((THEIR_END,), "")],
)
def test_the_hash_is_for_who_sees_all_that_is_held(pending, shown):
    assert details(replace(REPORT, pending_deletions=pending), OURS, ()).deletions_hash == shown


@pytest.mark.parametrize(
    ("notice", "told"),
    [
        ("apps/a.yaml:3: the document has no kind", True),
        ("ours:service/web is outside the allowed namespaces and is left alone", True),
        ("nowhere:service/web is outside the allowed namespaces and is left alone", False),
        ("<cluster>:namespace/x is outside the allowed namespaces and is left alone", False),
        ("secrets may not be listed in theirs, so none of them are deleted there", False),
        ('pods is forbidden: cannot list in the namespace "theirs"', False),
        ("secrets may not be listed in ours, so none of them are deleted there", True),
        ("secrets may not be listed, so none of them are deleted there", True),
        ("theirs-too.yaml has no kind", True),
    ],
)
def test_a_notice_that_mentions_what_is_hidden_is_left_out(notice, told):
    shown = details(SyncReport("x", 1.0), OURS, ["ours", "theirs"], [notice])
    assert (shown.notices == (notice,), shown.restricted) == (told, not told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a/b.yaml:1: theirs:deployment/web is defined a second time; the first is a/c.yaml:1", ELSEWHERE),
        ("a/b.yaml:1: <cluster>:namespace/x is defined a second time; the first is a/c.yaml:1", ELSEWHERE),
        ("a/b.yaml:1: ours:deployment/web is defined a second time; the first is a/c.yaml:1", ""),
        ('secrets is forbidden: cannot list them in the namespace "theirs"', f"secrets is forbidden: {ELSEWHERE}"),
        ("held by what did not load: a.yaml:1: theirs:secret/x …", f"held by what did not load: {ELSEWHERE}"),
        ("it is in namespace theirs: no", ELSEWHERE),
        ('namespaces "theirs" not found', ELSEWHERE),
        ("/api/v1/namespaces/theirs/secrets was not answered by an API server", ELSEWHERE),
        ("held: deleting a Namespace cannot be undone", ""),
        ("registry.example.com:5000/acme/theirs:1.0 cannot be reached", ""),
        ("may not be read with Secret ours/key", ""),
        ("may not be read with Secret theirs/key", "may not be read with a Secret of another namespace"),
    ],
)
def test_a_text_that_names_what_is_hidden_gives_way_to_one_that_says_so(text, told):
    assert Discretion(OURS).told(text) == (told or text)
    assert Discretion(Visible()).told(text) == text


def test_an_approval_takes_the_right_where_the_held_objects_are():
    report = replace(REPORT, pending_deletions=(OUR_END, THEIR_END, THEIR_LEAVING))
    assert approved(report, "abc") == ["ours", "theirs"]
    assert approved(report, "other") == approved(None, "abc") == [""]
    wide = PendingDeletion("<cluster>:namespace/x", "held: …", "4", held=True)
    assert approved(replace(REPORT, pending_deletions=(wide,)), "abc") == [""]


def test_a_list_is_cut_to_what_is_visible():
    part, restricted = workloads(SNAPSHOT, OURS)
    assert ([item.id.namespace for item in part.workloads], part.as_of, restricted) == (["ours"], 7.0, True)
    assert workloads(SNAPSHOT, Visible()) == (SNAPSHOT, False)
    assert workloads(part, OURS) == (part, False)


def test_candidates_are_all_that_answers_may_mention():
    status = Status(policies={WorkloadId("git", "deployment", "x"): {}}, last_sync=REPORT)
    late = SyncReport("y", 1.0, pending_deletions=(PendingDeletion("old:configmap/x", ""),))
    assert set(candidates(status, SNAPSHOT, late)) == {"ours", "theirs", "git", "old", ""}


# --- the methods ---------------------------------------------------------------------------------------------------


class Team:
    """The access of who may look and sync in one namespace."""

    caller = Caller("system:serviceaccount:ours:team", "JTI=7")

    def visible(self, right, namespaces):
        assert right in (LIST_WORKLOADS, CREATE_SYNCS) and "ours" in set(namespaces)
        return OURS

    def require(self, right, namespaces):
        if missing := set(namespaces) - {"ours"}:
            raise ForbiddenError(f"{right} in {sorted(missing)}")


class Nobody(Team):
    def visible(self, right, namespaces):
        raise ForbiddenError("nowhere")


@pytest.fixture
def agent():
    """A service whose cluster and last sync have more in them than the team's."""
    reads = Reads(
        Status(RepositoryStatus("ssh://git@h/a", "master", ready=True), last_sync=REPORT, notices=("rights",)), SNAPSHOT
    )
    tickets = []
    service = Service(reads, Jobs(tickets.append), absent_handlers(), "1")
    service.reads, service.tickets = reads, tickets
    return service


def call(access):
    return Call(Slots(1), threading.Event(), lambda: True, lambda: None, lambda _: "", access)


def test_every_method_asks_before_it_answers(agent):
    job_id = agent.sync(pb.SyncRequest(), call(Team())).job_id
    nobody = call(Nobody())
    for method, request in (
        (agent.get_status, pb.GetStatusRequest()),
        (agent.get_repository, pb.GetRepositoryRequest()),
        (agent.list_workloads, pb.ListWorkloadsRequest()),
        (agent.sync, pb.SyncRequest()),
        (agent.get_job, pb.GetJobRequest(job_id=job_id)),
        (lambda *words: next(agent.watch_job(*words)), pb.WatchJobRequest(job_id=job_id)),
    ):
        with pytest.raises(ForbiddenError):
            method(request, nobody)
    assert len(agent.tickets) == 1
    assert agent.version(pb.VersionRequest(), nobody).version == "1"


def test_the_answers_are_cut(agent):
    status = agent.get_status(pb.GetStatusRequest(), call(Team()))
    assert [item.object for item in status.failures] == ["", "ours:service/web"]
    assert (status.restricted, status.last_sync.failed, list(status.notices)) == (True, 4, ["rights"])
    listed = agent.list_workloads(pb.ListWorkloadsRequest(), call(Team()))
    assert ([item.id for item in listed.workloads], listed.restricted) == (["ours:deployment/web"], True)
    own = agent.list_workloads(pb.ListWorkloadsRequest(namespace="ours"), call(Team()))
    assert (len(own.workloads), own.restricted) == (1, False)
    with pytest.raises(ForbiddenError, match="theirs"):
        agent.list_workloads(pb.ListWorkloadsRequest(namespace="theirs"), call(Team()))


def test_jobs_and_their_streams_are_cut(agent):
    job_id = agent.sync(pb.SyncRequest(), call(Team())).job_id
    late = replace(REPORT, failures=(FAILURES[2],))
    agent.tickets[0].failed(SyncProgress("u", "master", "24e9eae", late), "1 object could not be synced", "")
    seen = agent.get_job(pb.GetJobRequest(job_id=job_id), call(Team())).job
    assert (list(seen.sync.failures), seen.sync.summary.failed) == ([], 1)
    (streamed,) = agent.watch_job(pb.WatchJobRequest(job_id=job_id), call(Team()))
    assert streamed.job == seen
    whole = agent.get_job(pb.GetJobRequest(job_id=job_id), call(admit_everybody(""))).job
    assert [item.object for item in whole.sync.failures] == ["theirs:service/web"]


TWICE = "x.yaml:1: theirs:deployment/web is defined a second time; the first is y.yaml:1"
IN_THEIRS = 'secrets could not be listed: forbidden in the namespace "theirs"'


def test_no_text_of_the_status_names_what_is_hidden(agent):
    held = replace(OUR_END, reason=f"waits until all of the revision loads: {TWICE}", held=False)
    scanning = Feature(enabled=True, reason="1 of 2 repositories cannot be scanned: h/theirs/x: no", brief="1 of 2")
    agent.reads.state = replace(
        agent.reads.state,
        marker_error=f"held by what did not load: {TWICE}",
        last_sync=replace(REPORT, error=IN_THEIRS, pending_deletions=(held,)),
        automation=Feature(reason=TWICE),
        scanning=scanning,
        notices=("the agent may not ask what callers may in theirs",),
    )
    agent.reads.snapshot = replace(SNAPSHOT, not_ready=IN_THEIRS)
    status = agent.get_status(pb.GetStatusRequest(), call(Team()))
    assert "theirs" not in str(status)
    assert status.marker_error == f"held by what did not load: {ELSEWHERE}"
    assert status.last_sync.error == status.not_ready == f"secrets could not be listed: {ELSEWHERE}"
    assert status.pending_deletions[0].reason == f"waits until all of the revision loads: {ELSEWHERE}"
    assert (status.automation.reason, status.scanning.reason) == (ELSEWHERE, "1 of 2")
    whole = agent.get_status(pb.GetStatusRequest(), call(admit_everybody("")))
    assert str(whole).count("theirs") == 8
    for namespace in ("", "ours"):
        with pytest.raises(UnavailableError, match=ELSEWHERE):
            agent.list_workloads(pb.ListWorkloadsRequest(namespace=namespace), call(Team()))


def test_no_text_of_a_job_names_what_is_hidden(agent):
    report = replace(REPORT, error=IN_THEIRS)
    job_id = agent.sync(pb.SyncRequest(), call(Team())).job_id
    agent.tickets[0].failed(SyncProgress("u", "master", "24e9eae", report, TWICE), IN_THEIRS, TWICE)
    job = agent.get_job(pb.GetJobRequest(job_id=job_id), call(Team())).job
    cut = f"secrets could not be listed: {ELSEWHERE}"
    assert (job.error, job.hint, job.sync.marker_error, job.sync.summary.error) == (cut, ELSEWHERE, ELSEWHERE, cut)
    assert "theirs" not in str(job)


def test_no_text_of_a_change_names_what_is_hidden():
    tickets = []
    jobs = Jobs(tickets.append, start_change=tickets.append)
    agent = Service(Reads(Status(), SNAPSHOT), jobs, absent_handlers(), "1")
    secret = "h/a may not be read with Secret theirs/key"
    outcome = Outcome("skipped", f"web: {secret}", detail=(f"theirs: {secret}",))
    outcomes = {WorkloadId(name, "deployment", "web"): outcome for name in ("ours", "theirs")}
    for _ in range(2):
        jobs.submit_change(Asked(f"job-{len(tickets)}", ReleaseSpec(), Cause()))
    tickets[0].succeeded(Done(outcomes, notices=(TWICE,)))
    tickets[1].failed(IN_THEIRS, secret)
    done, failed = (agent.get_job(pb.GetJobRequest(job_id=f"job-{n}"), call(Team())).job for n in (0, 1))
    (told,) = done.change.outcomes
    hushed = "h/a may not be read with a Secret of another namespace"
    assert (told.workload, told.reason, list(told.details)) == (
        "ours:deployment/web",
        f"web: {hushed}",
        [f"theirs: {hushed}"],  # a container's name
    )
    assert (list(done.change.notices), failed.hint) == ([ELSEWHERE], hushed)
    assert failed.error == f"secrets could not be listed: {ELSEWHERE}"


def test_why_a_commit_comes_no_further_names_nothing_hidden():
    status = Status(RepositoryStatus("u", "master", ready=True), "new", last_sync=SyncReport("new", 1.0, error=TWICE))
    place = Place("new", seen=True, attempted=True)
    assert progress(place, status, SNAPSHOT, OURS).error == ELSEWHERE
    assert progress(place, status, SNAPSHOT, Visible()).error == TWICE


def test_an_approval_is_refused_where_a_held_object_is_not_ours(agent):
    agent.sync(pb.SyncRequest(allow_deletions="abc"), call(Team()))
    with pytest.raises(ForbiddenError):
        agent.sync(pb.SyncRequest(allow_deletions="unknown"), call(Team()))
    held = replace(REPORT, pending_deletions=(OUR_END, THEIR_END))
    agent.reads.state = replace(agent.reads.state, last_sync=held)
    with pytest.raises(ForbiddenError, match="theirs"):
        agent.sync(pb.SyncRequest(allow_deletions="abc"), call(Team()))
    assert [ticket.allow_deletions for ticket in agent.tickets] == ["abc"]


def test_a_change_is_told_to_the_log_with_what_was_proven(agent, capsys):
    job_id = agent.sync(pb.SyncRequest(allow_deletions="abc"), call(Team())).job_id
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "a change was asked for" in line]
    for word in ("component=api", "method=Sync", "system:serviceaccount:ours:team", "JTI=7", job_id, "abc"):
        assert word in line


def test_before_the_first_list_there_is_no_empty_answer(agent):
    agent.reads.snapshot = replace(SNAPSHOT, not_ready="jobs have not been listed yet")
    with pytest.raises(UnavailableError, match="jobs have not been listed yet"):
        agent.list_workloads(pb.ListWorkloadsRequest(), call(Team()))
    assert agent.get_status(pb.GetStatusRequest(), call(Team())).not_ready == "jobs have not been listed yet"


class Seen:
    """Keeps what is observed of calls."""

    def __init__(self):
        self.calls = []

    def observe_call(self, method, code, seconds, *, waited):
        assert seconds >= 0
        self.calls.append((method, code, waited))


def test_both_fronts_measure_calls_and_set_those_apart_that_wait():
    seen = Seen()
    served = Served(observer=seen)
    try:
        with served.channel() as channel:
            stub = served.stub(channel)
            job_id = stub.Sync(pb.SyncRequest(), timeout=60).job_id
            served.post("GetJob", b'{"jobId": "nosuch"}')
            poll = pb.GetJobRequest(job_id=job_id, after_version=1)
            poll.wait.nanos = 1_000_000
            stub.GetJob(poll, timeout=60)
            served.tickets[0].succeeded(SyncProgress())
            assert len(list(stub.WatchJob(pb.WatchJobRequest(job_id=job_id), timeout=60))) == 1
            watch = served.watch("nosuch")
            assert watch.next()["error"]["code"] == "not_found"
            watch.close()
    finally:
        served.close()
    assert sorted(seen.calls) == [
        ("GetJob", "NOT_FOUND", False),
        ("GetJob", "OK", True),
        ("Sync", "OK", False),
        ("WatchJob", "NOT_FOUND", True),
        ("WatchJob", "OK", True),
    ]
