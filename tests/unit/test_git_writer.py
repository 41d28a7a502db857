"""Commits made in the mirror and pushed, against real repositories in folders."""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import threading

import pytest
from git_remote import Remote, git

from agent.git import repository as repository_module
from agent.git.authors import Author
from agent.git.command import CommandError
from agent.git.mirror import Mirror
from agent.git.push import PushRaceError, PushRefusedError
from agent.git.writer import EmptyChangeError, Writer
from agent.model.errors import GitError, StoppedError
from agent.settings import GitSettings


@pytest.fixture(autouse=True)
def _clean_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def remote(tmp_path):
    return Remote(tmp_path / "server")


@pytest.fixture
def settings(remote):
    return GitSettings(url=remote.url)


@pytest.fixture
def mirror(settings, tmp_path):
    return Mirror(settings, tmp_path / "mirror", threading.Event())


@pytest.fixture
def writer(mirror, settings):
    return Writer(mirror, settings)


@pytest.fixture
def base(remote, mirror):
    sha = remote.commit({"a.yaml": "a: 1\n", "b/c.yaml": "c: 1\n", "run.sh": "#!/bin/sh\n"})
    mirror.fetch()
    return sha


@pytest.fixture
def started(monkeypatch):
    """The verbs of the git processes that were started."""
    verbs = []
    plain = repository_module.run
    monkeypatch.setattr(repository_module, "run", lambda args, **rest: verbs.append(args[0]) or plain(args, **rest))
    return verbs


def tree(mirror, sha):
    files = mirror.files(sha)
    contents = mirror.read([file.sha for file in files])
    return {file.path: contents[file.sha] for file in files}


def test_a_commit_changes_the_bytes_asked_for_and_nothing_else(remote, mirror, writer, base):
    remote.commit({})
    exact = b"\xef\xbb\xbfa: 1\r\nb:\t\x00\xff"
    sha = writer.commit(base, {"a.yaml": exact, "b/c.yaml": None, "new/ü .yaml": b""}, "Change\n\nmore\n\n")
    assert tree(mirror, sha) == {"a.yaml": exact, "new/ü .yaml": b"", "run.sh": b"#!/bin/sh\n"}
    raw = mirror.repository.local("cat-file", "commit", sha).decode()
    assert f"\nparent {base}\nauthor Weave Flux <support@weave.works> " in raw
    assert "\ncommitter Weave Flux <support@weave.works> " in raw
    assert raw.endswith("\n\nChange\n\nmore\n")
    assert mirror.repository.local("fsck", "--strict", "--no-dangling") == b""


def test_a_file_keeps_its_mode_and_a_new_one_is_plain(remote, mirror, writer):
    (remote.work / "run.sh").touch(mode=0o755)
    base = remote.commit({"run.sh": "#!/bin/sh\n"})
    mirror.fetch()
    sha = writer.commit(base, {"run.sh": b"#!/bin/sh\ntrue\n", "new.sh": b"#!/bin/sh\n"}, "x")
    modes = mirror.repository.local("ls-tree", "-r", sha).decode().split("\n")
    assert [line[:6] + line[-7:] for line in modes if line] == ["100644\tnew.sh", "100755\trun.sh"]


def test_the_author_is_the_one_given_whatever_the_users_configuration_says(writer, mirror, base, tmp_path):
    (tmp_path / ".gitconfig").write_text("[author]\nname=Eve\nemail=e@e\n[committer]\nname=Eve\nemail=e@e\n")
    given = writer.commit(base, {"a.yaml": b""}, "x", Author("Änn\0 <x\ny>", "ann@example.com"))
    none = writer.commit(base, {"a.yaml": b""}, "x")
    assert mirror.commit(given).author == "Änn xy <ann@example.com>"
    assert mirror.commit(none).author == "Weave Flux <support@weave.works>"
    assert b"Eve" not in mirror.repository.local("cat-file", "commit", none)


def test_what_the_agents_own_commits_leave_is_packed_in_time(mirror, writer, base, started):
    """Nobody else may push for months; git itself decides when it is due."""
    for number in range(2):
        base = writer.commit(base, {"a.yaml": b"a: %d\n" % (number + 2)}, "x")
        writer.push(base)
        started.clear()
        assert mirror.fetch().sha == base
        assert started.count("gc") == 1
        mirror.fetch()
        assert started.count("gc") == 1


def test_a_thousand_files_cost_a_handful_of_processes(remote, mirror, writer, started):
    names = [f"apps/{number % 50}/{number}.yaml" for number in range(1000)]
    base = remote.commit(dict.fromkeys(names, "image: shop:1\n"))
    mirror.fetch()
    started.clear()
    changes = {name: f"image: shop:2 # {name}\n".encode() for name in names}
    sha = writer.commit(base, changes, "x")
    assert len(started) == 7
    assert tree(mirror, sha) == changes
    started.clear()
    writer.push(sha)
    assert started == ["rev-parse", "push", "update-ref"]


@pytest.mark.parametrize("changes", [{}, {"a.yaml": b"a: 1\n"}, {"nothing.yaml": None}])
def test_a_commit_that_changes_nothing_is_refused(writer, base, changes):
    with pytest.raises(EmptyChangeError, match="no changes made in repo"):
        writer.commit(base, changes, "x")


@pytest.mark.parametrize("path", ["a.yaml/x", "b", "link", "module", "link/x", "../x", "/x", "b//x", ".git/config", ""])
def test_what_would_change_more_or_less_than_asked_is_refused(remote, mirror, writer, path, base):
    (remote.work / "link").symlink_to("b")
    git(remote.work, "update-index", "--add", "--cacheinfo", f"160000,{base},module")
    (remote.work / "module").mkdir()
    base = remote.commit({})
    mirror.fetch()
    with pytest.raises(GitError) as caught:
        writer.commit(base, {"a.yaml": b"a: 2\n", path: b"new\n"}, "x")
    assert not isinstance(caught.value, EmptyChangeError)
    assert not caught.value.temporary


def test_a_folder_may_become_a_file_when_its_files_are_deleted_with_it(writer, mirror, base):
    sha = writer.commit(base, {"b/c.yaml": None, "b": b"b: 1\n"}, "x")
    assert tree(mirror, sha)["b"] == b"b: 1\n"


def test_a_name_that_is_no_utf8_is_written_under_its_own_bytes(remote, mirror, writer):
    (remote.work / os.fsdecode(b"\xff.yaml")).write_text("a: 1\n")
    base = remote.commit({})
    mirror.fetch()
    (file,) = mirror.files(base)
    sha = writer.commit(base, {file.path: b"a: 2\n"}, "x")
    assert mirror.repository.local("ls-tree", "-z", "--name-only", sha) == b"\xff.yaml\0"


def test_a_base_that_is_no_full_id_is_no_option_for_git(writer, base):
    with pytest.raises(GitError, match="no full commit id"):
        writer.commit("--output=x", {"a.yaml": b""}, "x")
    with pytest.raises(GitError, match="no full commit id"):
        writer.push("HEAD")


def test_a_pushed_commit_is_what_the_next_read_sees(remote, mirror, writer, base, started):
    sha = writer.commit(base, {"a.yaml": b"a: 2\n"}, "x")
    assert "refs/heads/master" in remote.refs() and sha not in remote.refs()["refs/heads/master"]
    assert not writer.is_on_branch(sha)
    writer.push(sha)
    assert remote.refs()["refs/heads/master"] == f"commit {sha}"
    assert mirror.repository.refs()["refs/heads/master"] == sha
    assert writer.is_on_branch(sha) and writer.is_on_branch(base)
    started.clear()
    assert mirror.fetch().sha == sha
    assert "fetch" not in started
    writer.push(sha)  # again, as after a lost answer


def test_who_loses_a_race_fetches_and_tries_again(remote, mirror, writer, base):
    lost = writer.commit(base, {"a.yaml": b"a: 2\n"}, "x")
    other = remote.commit({"b/c.yaml": "c: 2\n"})
    with pytest.raises(PushRaceError, match=r"stale info|fetch first") as caught:
        writer.push(lost)
    assert caught.value.temporary
    assert remote.refs()["refs/heads/master"] == f"commit {other}"
    head = mirror.fetch().sha
    assert not writer.is_on_branch(lost)
    won = writer.commit(head, {"a.yaml": b"a: 2\n"}, "x")
    writer.push(won)
    assert tree(mirror, won)["b/c.yaml"] == b"c: 2\n"


def test_a_race_that_the_server_notices_is_one_too(remote, writer, base):
    (remote.bare / "refs/heads/master.lock").touch()
    with pytest.raises(PushRaceError, match=r"File exists.*failed to update ref"):
        writer.push(writer.commit(base, {"a.yaml": b"a: 2\n"}, "x"))


def test_what_somebody_took_out_of_the_branch_is_not_brought_back(remote, mirror, writer, base):
    removed = remote.commit({"a.yaml": "secret\n"})
    mirror.fetch()
    sha = writer.commit(removed, {"b/c.yaml": b"c: 2\n"}, "x")
    git(remote.work, "reset", "-q", "--hard", base)
    remote.push()
    with pytest.raises(PushRaceError):
        writer.push(sha)
    git(remote.bare, "update-ref", "-d", "refs/heads/master")
    with pytest.raises(PushRaceError):
        writer.push(sha)
    assert "refs/heads/master" not in remote.refs()


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_refusal_carries_the_hooks_own_lines(remote, mirror, writer, base, hook):
    remote.hook(hook, "echo 'GL-HOOK-ERR: fetch first;' >&2\necho 'ask ops' >&2\nexit 1")
    with pytest.raises(PushRefusedError, match=r"refused the push to master: .*GL-HOOK-ERR: .*ask ops") as caught:
        writer.push(writer.commit(base, {"a.yaml": b"a: 2\n"}, "x"))
    assert not caught.value.temporary
    assert "push to master" in caught.value.hint
    assert remote.refs()["refs/heads/master"] == f"commit {base}"
    assert mirror.repository.refs()["refs/heads/master"] == base


@pytest.mark.parametrize(("hook", "arrived"), [("pre-receive", False), ("post-receive", True)])
def test_after_a_server_died_in_mid_push_the_commits_id_tells_whether_it_arrived(
    remote, mirror, writer, base, hook, arrived
):
    sha = writer.commit(base, {"a.yaml": b"a: 2\n"}, "x")
    remote.hook(hook, "kill -9 $PPID")
    with pytest.raises(GitError) as caught:
        writer.push(sha)
    assert caught.value.temporary
    assert not isinstance(caught.value, PushRaceError | PushRefusedError)
    (remote.bare / "hooks" / hook).unlink()
    mirror.fetch()
    assert writer.is_on_branch(sha) is arrived
    if not arrived:
        writer.push(sha)
    assert git(remote.bare, "rev-list", "master").split() == [sha, base]


def test_a_commit_that_arrived_is_found_beneath_the_next_one(remote, mirror, writer, base):
    sha = writer.commit(base, {"a.yaml": b"a: 2\n"}, "x")
    remote.hook("post-receive", "kill -9 $PPID")
    with pytest.raises(GitError):
        writer.push(sha)
    (remote.bare / "hooks" / "post-receive").unlink()
    git(remote.work, "pull", "-q", "--ff-only", "origin", "master")
    remote.commit({"b/c.yaml": "c: 2\n"})
    with pytest.raises(PushRaceError):
        writer.push(sha)
    mirror.fetch()
    assert writer.is_on_branch(sha)


def test_a_server_that_is_gone_and_a_deadline_are_no_answers(mirror, writer, base, settings):
    sha = writer.commit(base, {"a.yaml": b"a: 2\n"}, "x")
    for changed in ({"url": "http://user:pa55word@127.0.0.1:1/x"}, {"timeout": 1e-9}):
        mirror.repository.settings = dataclasses.replace(settings, **changed)
        with pytest.raises(CommandError) as caught:
            writer.push(sha)
        assert caught.value.temporary
        assert "pa55word" not in str(caught.value)


def test_a_stopping_agent_makes_no_commit(mirror, writer, base):
    mirror.repository.stop.set()
    with pytest.raises(StoppedError):
        writer.commit(base, {"a.yaml": b""}, "x")


def test_a_lock_left_in_the_mirror_fails_no_push_and_goes_away(remote, mirror, writer, base):
    (mirror.repository.directory / "refs/heads/master.lock").touch()
    sha = writer.commit(base, {"a.yaml": b"a: 2\n"}, "x")
    writer.push(sha)
    assert remote.refs()["refs/heads/master"] == f"commit {sha}"
    assert mirror.fetch().sha == sha
    assert mirror.repository.refs()["refs/heads/master"] == sha


def test_contents_that_cannot_be_laid_down_are_an_error_and_leave_nothing(mirror, writer, base):
    changes = {"a.yaml": os.urandom(200_000)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(GitError, match="could not be written"):
            writer.commit(base, changes, "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tree(mirror, writer.commit(base, changes, "x"))["a.yaml"] == changes["a.yaml"]


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root on a machine of its own can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_leaves_nothing_and_loses_no_push(remote, settings, small_disk, base):
    mirror = Mirror(settings, small_disk / "mirror", threading.Event())
    writer = Writer(mirror, settings)
    mirror.fetch()
    before = sorted(mirror.repository.directory.rglob("*"))
    with pytest.raises(GitError, match="Out of diskspace") as caught:
        writer.commit(base, {"a.yaml": os.urandom(3_000_000)}, "x")
    assert "--cache-dir" in caught.value.hint and not caught.value.temporary
    assert sorted(mirror.repository.directory.rglob("*")) == before
    sha = writer.commit(base, {"a.yaml": b"a: 2\n"}, "x")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize))
    writer.push(sha)
    filler.unlink()
    assert mirror.fetch().sha == sha
    assert writer.is_on_branch(sha)
    assert mirror.repository.is_intact()
