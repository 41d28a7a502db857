"""The agent's own commits, found among those of people."""

import threading

import pytest
from git_remote import Remote, git

from agent.git import records as records_module
from agent.git.mirror import Mirror
from agent.git.records import Records
from agent.model.errors import GitError
from agent.settings import GitSettings


@pytest.fixture
def remote(tmp_path):
    return Remote(tmp_path / "server")


@pytest.fixture
def mirror(remote, tmp_path):
    return Mirror(GitSettings(url=remote.url), tmp_path / "mirror", threading.Event())


@pytest.fixture
def records(mirror):
    return Records(mirror.repository)


def ours(remote, name):
    return remote.commit({}, f"Release {name}\n\nFlux-Job: {name}\nFlux-Updated: a b")


def told(found):
    goes_on, records = found
    return goes_on, [record.commit for record in records]


def test_the_agents_commits_are_told_the_oldest_first(remote, mirror, records, monkeypatch):
    monkeypatch.setattr(records_module, "_BATCH", 2)
    made = [ours(remote, f"j{number}") for number in range(5)]
    remote.commit({}, "a person's\n\nFlux-Job: not the last paragraph\n\nreally")
    head = mirror.fetch().sha
    assert told(records.since("", head)) == (False, made)
    _, (first, *_) = records.since("", head)
    assert first.trailers == (("Flux-Job", "j0"), ("Flux-Updated", "a b"))
    assert first.time == float(git(remote.bare, "log", "-1", "--format=%ct", made[0]))


def test_only_what_is_new_is_read(remote, mirror, records):
    ours(remote, "j0")
    known = mirror.fetch().sha
    assert told(records.since(known, known)) == (True, [])
    remote.commit({}, "a person's")
    new = ours(remote, "j1")
    assert told(records.since(known, mirror.fetch().sha)) == (True, [new])


def test_a_branch_that_was_rewritten_is_read_anew(remote, mirror, records):
    first = ours(remote, "j0")
    gone = ours(remote, "j1")
    known = mirror.fetch().sha
    git(remote.work, "reset", "-q", "--hard", first)
    second = ours(remote, "j2")
    head = mirror.fetch().sha
    assert told(records.since(known, head)) == (False, [first, second])
    assert told(records.since("d" * 40, head)) == (False, [first, second])
    assert gone not in told(records.since(known, head))[1]


def test_a_persons_commits_may_be_rewritten_without_that(remote, mirror, records):
    first = ours(remote, "j0")
    remote.commit({}, "a person's")
    known = mirror.fetch().sha
    git(remote.work, "reset", "-q", "--hard", first)
    second = ours(remote, "j1")
    assert told(records.since(known, mirror.fetch().sha)) == (True, [second])


def test_a_head_that_is_not_there_is_an_error(mirror, remote, records):
    ours(remote, "j0")
    mirror.fetch()
    with pytest.raises(GitError):
        records.since("", "d" * 40)


def test_only_so_many_are_looked_back_at(remote, mirror, records, monkeypatch):
    monkeypatch.setattr(records_module, "MOST", 2)
    made = [ours(remote, f"j{number}") for number in range(4)]
    assert told(records.since("", mirror.fetch().sha)) == (False, made[2:])


@pytest.mark.parametrize(("when", "time"), [("", 0.0), ("-100 +0000", 0.0), ("9" * 17 + " +0000", 253_402_300_799.0)])
def test_a_commit_of_no_time_or_one_beyond_calendars_is_told(remote, mirror, records, when, time):
    remote.commit({"a.yaml": "a: 1\n"})
    tree, job = git(remote.bare, "rev-parse", "master^{tree}"), "12345678-1234-1234-1234-123456789012"
    text = f"tree {tree}\nauthor A <a> {when}\ncommitter A <a> {when}\n\nx\n\nFlux-Job: {job}\n"
    path = remote.work.parent / "commit"
    path.write_text(text)
    sha = git(remote.bare, "hash-object", "-t", "commit", "-w", "--literally", str(path))
    git(remote.bare, "update-ref", "refs/heads/master", sha)
    assert mirror.fetch().sha == sha
    assert records.of_job(sha, job).time == time
