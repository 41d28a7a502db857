"""Notes on commits: as Flux v1 kept them, on top of others', and never in the way of a job."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from git_remote import Remote, git

from agent.git import notes as notes_module
from agent.git import repository as repository_module
from agent.git.mirror import Mirror
from agent.git.notes import MAX_NOTE, MAX_WAITING, Notes
from agent.git.push import PushRaceError, PushRefusedError
from agent.model.errors import GitError, StoppedError
from agent.settings import GitSettings


@pytest.fixture(autouse=True)
def _clean_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def remote(tmp_path):
    return Remote(tmp_path / "server")


@pytest.fixture
def new_agent(remote, tmp_path):
    """Makes the mirror and the notes of an agent, by the name of its folder."""

    def make(name="mirror", **changes):
        settings = dataclasses.replace(GitSettings(url=remote.url), **changes)
        mirror = Mirror(settings, tmp_path / name, threading.Event())
        mirror.fetch()
        return mirror, Notes(mirror, settings)

    return make


def shown(remote, commit, ref="flux"):
    return git(remote.bare, "notes", "--ref", ref, "show", commit)


def test_a_note_is_read_at_once_pushed_and_found_after_a_restart(remote, new_agent, tmp_path):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    _, notes = new_agent()
    assert notes.read(sha) is None
    notes.write(sha, '{"jobID": "ü",\n\n\n "x": 1}')
    assert notes.read(sha) == '{"jobID": "ü",\n\n\n "x": 1}'
    assert notes.latest(10) == [(sha, notes.read(sha))]
    assert notes.push() is None
    assert shown(remote, sha) == notes.read(sha)
    notes.write(sha, "second")
    assert notes.push() is None
    for folder in ("mirror", "new"):
        assert new_agent(folder)[1].read(sha) == "second"
        assert new_agent(folder)[1].latest(10) == [(sha, "second")]
    assert git(remote.bare, "log", "-1", "--format=%an <%ae>", "refs/notes/flux") == "Weave Flux <support@weave.works>"


def test_notes_that_v1_wrote_are_read(remote, new_agent):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    git(remote.work, "notes", "--ref", "flux", "add", "-m", '{"jobID":"18c93d7b"}', sha)
    git(remote.work, "push", "-q", "origin", "refs/notes/flux")
    assert new_agent()[1].read(sha) == '{"jobID":"18c93d7b"}'


def test_the_mirror_follows_the_servers_notes_by_the_one_question(remote, new_agent, monkeypatch):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror, notes = new_agent()
    git(remote.work, "notes", "--ref", "flux", "add", "-m", "one", sha)
    git(remote.work, "notes", "--ref", "other", "add", "-m", "other", sha)
    git(remote.work, "push", "-q", "origin", "refs/notes/*")
    mirror.fetch()
    assert notes.read(sha) == "one"
    assert sorted(mirror.repository.refs()) == ["refs/heads/master", "refs/notes/flux"]
    asked = []
    plain = mirror.repository.remote
    monkeypatch.setattr(mirror.repository, "remote", lambda *args: asked.append(args[0]) or plain(*args))
    mirror.fetch()
    assert asked == ["ls-remote"]
    git(remote.work, "push", "-q", "origin", ":refs/notes/flux")
    mirror.fetch()
    assert notes.read(sha) is None


def test_without_a_name_there_are_no_notes(remote, new_agent):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    git(remote.work, "notes", "--ref", "flux", "add", "-m", "one", sha)
    git(remote.work, "push", "-q", "origin", "refs/notes/flux")
    mirror, notes = new_agent(notes_ref="")
    notes.write(sha, "x")
    assert (notes.read(sha), notes.latest(10), notes.push()) == (None, [], None)
    assert list(mirror.repository.refs()) == ["refs/heads/master"]


def test_the_latest_notes_come_by_a_bounded_number_of_processes(remote, new_agent, monkeypatch):
    shas = [remote.commit({}, GIT_COMMITTER_DATE=f"@{1700000000 + day} +0000") for day in range(12)]
    for sha in (*shas[:8], git(remote.work, "write-tree")):
        git(remote.work, "notes", "--ref", "team/flux", "add", "-m", f"note {sha}", sha)
    git(remote.work, "checkout", "-q", "--orphan", "elsewhere")
    git(remote.work, "commit", "-q", "--allow-empty", "-m", "not in the mirror")
    git(remote.work, "notes", "--ref", "team/flux", "add", "-m", "far", "HEAD")
    git(remote.work, "push", "-q", "origin", "refs/notes/*")
    _, notes = new_agent(notes_ref="team/flux")
    notes.write(shas[9], "waiting")
    started = []
    plain = repository_module.run
    monkeypatch.setattr(repository_module, "run", lambda args, **rest: started.append(args[0]) or plain(args, **rest))
    expected = [(shas[9], "waiting"), *((sha, f"note {sha}") for sha in reversed(shas[:8]))]
    assert notes.latest(100) == expected
    assert len(started) == 4
    assert notes.latest(3) == expected[:3]


def test_a_note_that_is_too_large_is_neither_written_nor_read(remote, new_agent):
    sha = remote.commit({"a.yaml": "x" * (MAX_NOTE + 1)})
    git(remote.work, "notes", "--ref", "flux", "add", "-C", git(remote.work, "rev-parse", "HEAD:a.yaml"), sha)
    git(remote.work, "push", "-q", "origin", "refs/notes/flux")
    _, notes = new_agent()
    assert notes.read(sha) is None
    assert notes.latest(1) == []
    with pytest.raises(GitError, match="larger than"):
        notes.write(sha, "ü" * MAX_NOTE)
    with pytest.raises(GitError, match="no full commit id"):
        notes.write("HEAD", "x")


def test_a_race_is_lost_and_won_without_overwriting_others(remote, new_agent):
    first, second = remote.commit({"a.yaml": "a: 1\n"}), remote.commit({"a.yaml": "a: 2\n"})
    _, notes = new_agent()
    _, others = new_agent("other")
    others.write(first, "theirs")
    others.write(second, "theirs, older")
    assert others.push() is None
    notes.write(second, "ours")
    assert notes.push() is None
    assert (shown(remote, first), shown(remote, second)) == ("theirs", "ours")
    assert notes.read(first) == "theirs"
    others.write(first, "theirs again")
    assert others.push() is None
    assert (shown(remote, first), shown(remote, second)) == ("theirs again", "ours")


def test_a_race_that_never_ends_is_given_up_and_the_note_waits(remote, new_agent, monkeypatch):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    _, notes = new_agent()
    (remote.bare / "refs/notes").mkdir()
    lock = remote.bare / "refs/notes/flux.lock"
    lock.touch()
    attempts = []
    plain = notes_module.push
    monkeypatch.setattr(notes_module, "push", lambda *args: attempts.append(args) or plain(*args))
    notes.write(sha, "x")
    assert isinstance(notes.push(), PushRaceError)
    assert 1 < len(attempts) < 10
    lock.unlink()
    assert notes.push() is None
    assert shown(remote, sha) == "x"


def test_a_server_that_refuses_notes_is_told_and_no_more(remote, new_agent):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror, notes = new_agent()
    remote.hook("update", 'case "$1" in refs/notes/*) echo "no notes here" >&2; exit 1;; esac')
    notes.write(sha, "x")
    error = notes.push()
    assert isinstance(error, PushRefusedError)
    assert "no notes here" in error.message
    assert notes.push() is None
    assert mirror.fetch().sha == sha
    assert notes.read(sha) is None


def test_notes_wait_for_a_server_that_is_away_also_across_a_fetch(remote, new_agent):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror, notes = new_agent()
    settings = mirror.repository.settings
    mirror.repository.settings = dataclasses.replace(settings, url="http://127.0.0.1:1/x")
    notes.write(sha, "x")
    error = notes.push()
    assert error is not None and error.temporary
    mirror.repository.settings = settings
    mirror.fetch()
    assert notes.read(sha) == "x"
    assert notes.push() is None
    assert shown(remote, sha) == "x"


def test_an_answer_that_was_lost_does_not_write_the_note_twice(remote, new_agent):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror, notes = new_agent()
    remote.hook("post-receive", "kill -9 $PPID")
    notes.write(sha, "x")
    assert notes.push() is not None
    (remote.bare / "hooks/post-receive").unlink()
    mirror.fetch()
    assert notes.push() is None
    assert git(remote.bare, "rev-list", "--count", "refs/notes/flux") == "1"


def test_a_lock_left_in_the_mirror_hinders_one_push_only(remote, new_agent):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror, notes = new_agent()
    lock = mirror.repository.directory / "refs/notes/flux.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    notes.write(sha, "x")
    assert notes.push() is not None
    assert notes.push() is None
    assert shown(remote, sha) == "x"


def test_a_note_on_a_commit_that_is_gone_is_forgotten(remote, new_agent):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    _, notes = new_agent()
    notes.write("1" * 40, "gone")
    notes.write(sha, "x")
    assert notes.push() is None
    assert shown(remote, sha) == "x"
    assert notes.read("1" * 40) is None


def test_of_too_many_that_wait_the_oldest_go(remote, new_agent):
    remote.commit({"a.yaml": "a: 1\n"})
    _, notes = new_agent()
    for number in range(MAX_WAITING + 1):
        notes.write(f"{number:040x}", "x")
    assert notes.read(f"{0:040x}") is None
    assert notes.read(f"{MAX_WAITING:040x}") == "x"


def test_a_stopping_agent_does_not_push_notes(remote, new_agent):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror, notes = new_agent()
    notes.write(sha, "x")
    mirror.repository.stop.set()
    with pytest.raises(StoppedError):
        notes.push()
