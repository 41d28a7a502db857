"""The joins behind the reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.api.views import MAX_PAGE, Window, list_workloads
from agent.model.errors import UsageError
from agent.model.ids import WorkloadId
from agent.model.resources import Failure
from agent.model.status import RepositoryStatus, Status, SyncReport
from agent.model.workloads import Container, Workload, WorkloadSnapshot

READY = RepositoryStatus(url="ssh://git@example.com/a", branch="master", ready=True)


def workload(text, **more):
    return Workload(WorkloadId.parse(text), (Container("web", "nginx:1.19"),), **more)


def snapshot(*texts):
    return WorkloadSnapshot(tuple(workload(text) for text in texts))


def ids(page):
    return [str(row.workload.id) for row in page.rows]


def only_row(item, status):
    (row,) = list_workloads(WorkloadSnapshot((item,)), status, Window()).rows
    return row


@pytest.mark.parametrize(
    ("repository", "in_git", "system", "read_only"),
    [
        (READY, True, False, ""),
        (READY, True, True, ""),
        (READY, False, False, "NotInRepo"),
        (READY, False, True, "System"),
        (RepositoryStatus(), False, False, "NoRepo"),
        (RepositoryStatus(), False, True, "System"),
        (RepositoryStatus(url="x"), False, False, "NotReady"),
        (RepositoryStatus(url="x", read_only=True), False, False, "NotReady"),
        (RepositoryStatus(url="x", ready=True, read_only=True), False, False, "ReadOnlyMode"),
    ],
)
def test_why_a_workload_cannot_be_changed(repository, in_git, system, read_only):
    item = workload("demo:deployment/shop", system=system)
    status = Status(repository=repository, policies={item.id: {}} if in_git else {})
    assert only_row(item, status).read_only == read_only


@pytest.mark.parametrize(
    ("policies", "automated", "locked", "ignore"),
    [
        ({}, False, False, False),
        ({"automated": "true", "locked": "true", "ignore": "true"}, True, True, True),
        ({"automated": "false", "locked": "yes", "ignore": "1"}, False, False, False),
        ({"ignore": "sync_only"}, False, False, False),
    ],
)
def test_policies_come_from_git_and_count_as_in_v1(policies, automated, locked, ignore):
    item = workload("demo:deployment/shop")
    row = only_row(item, Status(repository=READY, policies={item.id: policies}))
    assert (row.automated, row.locked, row.ignore, row.policies) == (automated, locked, ignore, policies)


def test_a_failure_of_the_last_sync_stands_beside_its_workload():
    failures = (
        Failure("", "the file is no YAML"),
        Failure("demo:deployment/shop", "the port is taken"),
        Failure("demo:deployment/shop", "and something else"),
        Failure("demo:service/shop", "not a workload"),
    )
    status = Status(repository=READY, last_sync=SyncReport("24e9eae", 0.0, failures=failures))
    page = list_workloads(snapshot("demo:deployment/shop", "demo:deployment/other"), status, Window())
    assert {str(row.workload.id): row.sync_error for row in page.rows} == {
        "demo:deployment/other": "",
        "demo:deployment/shop": "the port is taken",
    }


def test_a_workload_that_only_git_knows_is_not_listed():
    status = Status(repository=READY, policies={WorkloadId.parse("demo:deployment/coming"): {"automated": "true"}})
    assert list_workloads(WorkloadSnapshot(), status, Window()).rows == ()


def test_rows_are_ordered_by_their_id_as_text():
    page = list_workloads(snapshot("a:statefulset/x", "a-b:deployment/x", "a:daemonset/x"), Status(), Window())
    assert ids(page) == ["a-b:deployment/x", "a:daemonset/x", "a:statefulset/x"]


def test_a_namespace_narrows_the_list():
    everything = snapshot("a:deployment/x", "ab:deployment/x", "b:deployment/x")
    assert ids(list_workloads(everything, Status(), Window("a"))) == ["a:deployment/x"]
    assert ids(list_workloads(everything, Status(), Window("nosuch"))) == []


@pytest.mark.parametrize("size", [0, MAX_PAGE, MAX_PAGE + 1, 10**6])
def test_a_page_holds_a_thousand_at_most(size):
    everything = snapshot(*(f"a:deployment/x{number:05}" for number in range(MAX_PAGE + 1)))
    page = list_workloads(everything, Status(), Window(size=size))
    assert len(page.rows) == MAX_PAGE
    rest = list_workloads(everything, Status(), Window(size=size, token=page.next_token))
    assert (ids(rest), rest.next_token) == ([f"a:deployment/x{MAX_PAGE:05}"], "")


names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@given(
    st.sets(st.tuples(names, st.sampled_from(["deployment", "daemonset"]), names), max_size=30),
    st.integers(min_value=1, max_value=31),
)
def test_the_pages_together_are_the_list(objects, size):
    everything = WorkloadSnapshot(tuple(Workload(WorkloadId(*item), ()) for item in sorted(objects)))
    collected, token = [], None
    while token != "":
        page = list_workloads(everything, Status(), Window(size=size, token=token or ""))
        assert len(page.rows) <= size
        collected += ids(page)
        token = page.next_token
    assert collected == sorted(f"{namespace}:{kind}/{name}" for namespace, kind, name in objects)


def test_a_page_goes_on_where_its_last_workload_has_gone():
    page = list_workloads(snapshot("a:deployment/a", "a:deployment/b", "a:deployment/c"), Status(), Window(size=2))
    rest = list_workloads(snapshot("a:deployment/a", "a:deployment/c"), Status(), Window(token=page.next_token))
    assert ids(rest) == ["a:deployment/c"]


@pytest.mark.parametrize("token", ["a", "!!!!", "a:deployment/b", "_____w", "é", "x" * 10_000 + "="])
def test_a_foreign_token_is_refused(token):
    with pytest.raises(UsageError, match="page_token") as caught:
        list_workloads(snapshot("a:deployment/a"), Status(), Window(token=token))
    assert len(str(caught.value)) < 300


def test_a_negative_size_is_refused():
    with pytest.raises(UsageError, match="page_size is -1"):
        list_workloads(WorkloadSnapshot(), Status(), Window(size=-1))
