import subprocess

import pytest

from agent.sandbox.repo import RepoError, SandboxRepo


@pytest.fixture
def repo(tmp_path):
    return SandboxRepo(tmp_path / "config.git")


def test_files_are_committed_changed_and_deleted(repo):
    first = repo.commit({"a.yaml": "one\n", 'deep/"odd" näme.yaml': b"\x00bytes"}, "Begin")
    second = repo.commit({"a.yaml": "two\n", 'deep/"odd" näme.yaml': None}, "Change\n\nwith a body")
    assert (repo.read("a.yaml"), repo.read("a.yaml", first)) == ("two\n", "one\n")
    assert repo.log() == ["Change", "Begin"]
    assert repo.head() == second
    assert repo.refs() == {"refs/heads/master": second}
    with pytest.raises(RepoError, match="git show: "):
        repo.read('deep/"odd" näme.yaml')


def test_an_empty_repository_has_no_head(repo):
    assert (repo.head(), repo.log()) == ("", [])


def test_commits_alternate_with_pushes(repo, tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", *identity, *arguments], check=True, timeout=30, capture_output=True)

    repo.commit({"a": "1"}, "One")
    clone = tmp_path / "clone"
    git("clone", repo.url, str(clone))
    (clone / "b").write_text("2")
    git("-C", str(clone), "add", "b")
    git("-C", str(clone), "commit", "-m", "Two")
    git("-C", str(clone), "push")
    repo.commit({"a": "3"}, "Three", author="Someone <s@example.com>")
    assert repo.log() == ["Three", "Two", "One"]
    assert (repo.read("a"), repo.read("b")) == ("3", "2")


def test_a_repository_that_is_there_is_used_again(repo):
    commit = repo.commit({"a": "1"}, "One")
    assert SandboxRepo(repo.folder).head() == commit


def test_another_branch_may_be_the_one(tmp_path):
    repo = SandboxRepo(tmp_path / "x.git", branch="main")
    assert list(SandboxRepo(repo.folder, "main").refs()) == []
    repo.commit({"a": "1"}, "One")
    assert list(repo.refs()) == ["refs/heads/main"]
