"""What a ref means in the mirror, and which commit holds which."""

from __future__ import annotations

import subprocess
import threading

import pytest
from git_remote import Remote, git

from agent.git.history import History
from agent.git.mirror import Mirror
from agent.model.errors import UsageError
from agent.settings import GitSettings


@pytest.fixture
def remote(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return Remote(tmp_path / "server")


@pytest.fixture
def mirror(remote, tmp_path):
    return Mirror(GitSettings(url=remote.url), tmp_path / "mirror", threading.Event())


@pytest.fixture
def history(mirror):
    return History(mirror.repository)


def test_a_commit_is_found_by_its_ids_the_branch_and_the_sync_tag(remote, mirror, history):
    first = remote.commit({"a": "1"})
    git(remote.work, "tag", "-a", "-m", "synced", "flux-sync")
    git(remote.work, "push", "-q", "origin", "flux-sync")
    head = remote.commit({"a": "2"})
    mirror.fetch()
    found = [history.resolve(ref) for ref in (head, head.upper(), head[:7], "master", "refs/heads/master")]
    assert found == [head] * 5
    assert history.resolve("flux-sync") == first


def test_what_nobody_has_is_no_error(remote, mirror, history):
    remote.commit({"a": "1"})
    mirror.fetch()
    git(remote.work, "commit", "-q", "--allow-empty", "-m", "not pushed")
    missing = git(remote.work, "rev-parse", "HEAD")
    assert [history.resolve(ref) for ref in (missing, missing[:10], "main", "v1.0")] == [""] * 4
    blob = git(remote.work, "rev-parse", "HEAD:a")
    assert [history.resolve(blob), history.resolve(blob[:8])] == ["", ""]


@pytest.mark.parametrize(
    "ref", ["", "-h", "--all", "HEAD", "a..b", "a:b", "@{1}", "a b", "a\n", ":/fix", "a^", "x" * 300]
)
def test_what_can_be_no_ref_is_refused_before_git_sees_it(history, ref):
    with pytest.raises(UsageError, match="names no revision here"):
        history.resolve(ref)


def test_an_ambiguous_id_is_refused_with_what_it_may_mean(remote, mirror, history):
    remote.commit({"a": "1"})
    seen: dict[str, str] = {}
    made = _many_commits(remote, 1000)
    twice = next(sha[:4] for sha in made if seen.setdefault(sha[:4], sha) != sha)
    remote.push()
    mirror.fetch()
    with pytest.raises(UsageError, match=f"the commit id {twice} is ambiguous: {twice}"):
        history.resolve(twice)


def _many_commits(remote, number):
    """A line of so many commits, made by one process; among 1,000 some begin with the same four digits."""
    commit = "commit refs/heads/master\ncommitter Foo <foo@example.com> 1700000000 +0000\ndata 0\n"
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force"], cwd=remote.work, input=commit * number, text=True, check=True
    )
    return git(remote.work, "rev-list", "master").split()


def test_a_revision_holds_itself_and_its_ancestors(remote, mirror, history):
    first, second = remote.commit({"a": "1"}), remote.commit({"a": "2"})
    mirror.fetch()
    assert [history.contains(second, commit) for commit in (first, second)] == [True, True]
    assert not history.contains(first, second)
    assert not (history.contains("", first) or history.contains(first, "") or history.contains("", ""))
