"""The mirror against real repositories in folders: what it brings, what it survives, what it says."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
import zlib

import pytest
from git_remote import Remote, git

from agent.git import repository
from agent.git.command import CommandError
from agent.git.mirror import Mirror
from agent.git.state import TagMarker
from agent.model.errors import GitError, NotReadyError, StoppedError
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
def new_mirror(tmp_path, settings):
    """Makes the mirror of a fresh agent, always in the same folder."""

    def make(**changes):
        return Mirror(dataclasses.replace(settings, **changes), tmp_path / "cache" / "mirror", threading.Event())

    return make


def test_it_brings_the_head_of_the_branch(remote, new_mirror):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    revision = new_mirror().fetch()
    assert (revision.sha, revision.author, revision.committed_at) == (sha, "Foo <foo@example.com>", 1700000000)
    assert str(revision) == sha


def test_a_new_commit_comes_with_the_next_fetch(remote, new_mirror):
    mirror = new_mirror()
    remote.commit({"a.yaml": "a: 1\n"})
    mirror.fetch()
    second = remote.commit({"a.yaml": "a: 2\n"})
    assert mirror.fetch().sha == second


def test_an_unchanged_repository_costs_one_question(remote, new_mirror, monkeypatch):
    mirror = new_mirror()
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror.fetch()
    asked = []
    plain = mirror.repository.remote
    monkeypatch.setattr(mirror.repository, "remote", lambda *args: asked.append(args[0]) or plain(*args))
    assert mirror.fetch().sha == sha
    assert asked == ["ls-remote"]


def test_a_rewritten_branch_is_followed(remote, new_mirror):
    mirror = new_mirror()
    old = remote.commit({"a.yaml": "a: 1\n"})
    mirror.fetch()
    git(remote.work, "checkout", "-q", "--orphan", "other")
    new = remote.commit({"b.yaml": "b: 1\n"})
    assert mirror.fetch().sha == new
    assert mirror.commits_between(old, new)[-1].sha == new


def test_other_branches_and_tags_stay_away(remote, new_mirror):
    remote.commit({"a.yaml": "a: 1\n"})
    git(remote.work, "tag", "v1")
    git(remote.work, "push", "-q", "origin", "v1", "HEAD:refs/heads/other")
    mirror = new_mirror()
    mirror.fetch()
    assert list(mirror.repository.refs()) == ["refs/heads/master"]


def test_without_a_url_the_repository_is_not_configured(new_mirror):
    with pytest.raises(NotReadyError, match="no git repository is configured"):
        new_mirror(url="").fetch()


def test_an_empty_repository_is_not_ready_yet(remote, new_mirror):
    mirror = new_mirror()
    with pytest.raises(NotReadyError, match="is empty") as caught:
        mirror.fetch()
    assert "push a first commit to branch master" in caught.value.hint
    sha = remote.commit({"a.yaml": "a: 1\n"})
    assert mirror.fetch().sha == sha


def test_a_missing_branch_is_named_with_those_that_exist(remote, new_mirror):
    remote.commit({"a.yaml": "a: 1\n"})
    git(remote.work, "push", "-q", "origin", *(f"HEAD:refs/heads/b{number:02}" for number in range(12)))
    with pytest.raises(NotReadyError, match=r"has no branch main, only b00, b01, .*, b09, …") as caught:
        new_mirror(branch="main").fetch()
    assert "--git-branch" in caught.value.hint


def test_a_repository_that_is_not_there_is_told(tmp_path, new_mirror):
    with pytest.raises(GitError, match="does not appear to be a git repository") as caught:
        new_mirror(url=f"file://{tmp_path}/nothing").fetch()
    assert not caught.value.temporary
    assert "--git-url" in caught.value.hint


def test_a_server_that_does_not_listen_may_come_back(new_mirror):
    with pytest.raises(GitError) as caught:
        new_mirror(url="http://127.0.0.1:1/x").fetch()
    assert caught.value.temporary


def test_a_changed_url_and_branch_need_no_care(remote, new_mirror, tmp_path):
    remote.commit({"a.yaml": "a: 1\n"})
    git(remote.work, "push", "-q", "origin", "HEAD:refs/tags/flux-sync")
    new_mirror().fetch()
    other = Remote(tmp_path / "other", branch="master/below")
    sha = other.commit({"b.yaml": "b: 1\n"})
    mirror = new_mirror(url=other.url, branch="master/below")
    assert mirror.fetch().sha == sha
    assert list(mirror.repository.refs()) == ["refs/heads/master/below"]


def test_the_sync_tag_comes_along_and_goes_with_the_servers(remote, new_mirror, settings):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    git(remote.work, "tag", "-a", "-m", "x", "flux-sync")
    git(remote.work, "push", "-q", "origin", "flux-sync")
    mirror = new_mirror()
    mirror.fetch()
    assert TagMarker(mirror, settings).read() == sha
    git(remote.work, "push", "-q", "origin", ":flux-sync")
    mirror.fetch()
    assert TagMarker(mirror, settings).read() == ""


def _without_folder(directory):
    shutil.rmtree(directory)


def _without_objects(directory):
    shutil.rmtree(directory / "objects")
    (directory / "objects").mkdir()


def _without_head(directory):
    (directory / "HEAD").unlink()


def _with_broken_config(directory):
    (directory / "config").write_text("[core")


def _with_broken_ref(directory):
    (directory / "refs/heads/master").write_text("nonsense\n")


def _with_dangling_ref(directory):
    (directory / "refs/heads/master").write_text("1" * 40 + "\n")


@pytest.mark.parametrize(
    "damage",
    [_without_folder, _without_objects, _without_head, _with_broken_config, _with_broken_ref, _with_dangling_ref],
)
@pytest.mark.parametrize("restarted", [True, False])
def test_a_damaged_mirror_is_made_anew(remote, new_mirror, damage, restarted):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    mirror.fetch()
    damage(mirror.repository.directory)
    mirror = new_mirror() if restarted else mirror
    assert mirror.fetch().sha == sha
    assert mirror.read([mirror.files(sha)[0].sha])
    assert mirror.repository.is_intact()


def test_an_object_found_missing_is_mended_by_the_next_fetch(remote, new_mirror):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    mirror.fetch()
    blob = mirror.files(sha)[0].sha
    (mirror.repository.directory / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(GitError, match="missing in the mirror"):
        mirror.read([blob])
    mirror.fetch()
    assert mirror.read([blob]) == {blob: b"a: 1\n"}


def test_an_object_found_broken_is_mended_by_the_next_fetch(remote, new_mirror):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    mirror.fetch()
    blob = mirror.files(sha)[0].sha
    path = mirror.repository.directory / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(zlib.compress(b"blob 5\0wrong")[:-6])
    with pytest.raises(GitError):
        mirror.read([blob])
    mirror.fetch()
    assert mirror.read([blob]) == {blob: b"a: 1\n"}


def test_a_question_for_an_unknown_commit_does_not_cost_the_mirror(remote, new_mirror, monkeypatch):
    remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    mirror.fetch()
    with pytest.raises(GitError):
        mirror.files("1" * 40)
    monkeypatch.setattr(mirror.repository, "create", lambda: pytest.fail("made anew"))
    mirror.fetch()


def test_what_a_killed_git_left_is_removed_at_start(remote, new_mirror):
    remote.commit({"a.yaml": "a: 1\n"})
    directory = new_mirror().repository.directory
    new_mirror().fetch()
    left = [
        directory / "refs/heads/master.lock",
        directory / "packed-refs.lock",
        directory / "config.lock",
        directory / "objects/pack/tmp_pack_x",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    second = remote.commit({"a.yaml": "a: 2\n"})
    assert new_mirror().fetch().sha == second
    assert not [path for path in left if path.exists()]


def test_an_unfinished_fetch_leaves_nothing(remote, new_mirror, monkeypatch):
    remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    mirror.fetch()
    remote.commit({"a.yaml": "a: 2\n"})
    tmp = mirror.repository.directory / "objects/pack/tmp_pack_x"
    plain = mirror.repository.remote

    def interrupted(*args):
        if args[0] == "fetch":
            tmp.touch()
            raise CommandError("too slow", status=None, temporary=True)
        return plain(*args)

    monkeypatch.setattr(mirror.repository, "remote", interrupted)
    with pytest.raises(CommandError, match="too slow"):
        mirror.fetch()
    assert not tmp.exists()


def test_a_folder_with_other_things_in_it_is_left_alone(new_mirror):
    mirror = new_mirror()
    mirror.repository.directory.mkdir(parents=True)
    precious = mirror.repository.directory / "precious"
    precious.touch()
    with pytest.raises(GitError, match="is left alone"):
        mirror.fetch()
    assert precious.exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path, new_mirror):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(GitError, match="cannot be written"):
        new_mirror().fetch()


def test_the_mirror_is_readable_for_its_owner_only(remote, new_mirror):
    remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    mirror.fetch()
    assert mirror.repository.directory.stat().st_mode & 0o077 == 0


def test_the_password_stays_off_the_disk(remote, new_mirror, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(remote.work / "config"))
    git(remote.work, "config", "-f", "config", f"url.{remote.url}.insteadOf", "https://user:pa55word@example.com/x")
    remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror(url="https://user:pa55word@example.com/x")
    mirror.fetch()
    files = [path for path in mirror.repository.directory.rglob("*") if path.is_file()]
    assert not [path for path in files if b"pa55word" in path.read_bytes()]


def test_a_stopped_agent_does_not_fetch(remote, new_mirror):
    remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    mirror.repository.stop.set()
    with pytest.raises(StoppedError):
        mirror.fetch()


def test_reads_of_one_revision_go_on_while_another_thread_fetches(remote, new_mirror):
    mirror = new_mirror()
    first = remote.commit({f"{number}.yaml": f"a: {number}\n" for number in range(50)})
    mirror.fetch()
    expected = mirror.files(first)
    done = threading.Event()
    seen = []

    def read():
        while not done.is_set():
            files = mirror.files(first)
            seen.append(files == expected and len(mirror.read([file.sha for file in files])) == 50)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(10):
        remote.commit({"0.yaml": f"b: {number}\n"})
        mirror.fetch()
        mirror.repository.local("gc", "--quiet", "--prune=now")
    done.set()
    reader.join(30)
    assert seen
    assert all(seen)


def test_the_users_hooks_and_templates_do_not_run(remote, new_mirror, tmp_path, monkeypatch):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "reference-transaction").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "reference-transaction").chmod(0o755)
    configuration = tmp_path / "configuration"
    git(tmp_path, "config", "-f", str(configuration), "core.hooksPath", str(hooks))
    remote.commit({"a.yaml": "a: 1\n"})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    new_mirror().fetch()
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_mirror_that_belongs_to_another_user_is_still_ours(remote, new_mirror):
    remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    mirror.fetch()
    for path in (mirror.repository.directory, *mirror.repository.directory.rglob("*")):
        os.chown(path, 12345, 12345)
    second = remote.commit({"a.yaml": "a: 2\n"})
    assert new_mirror().fetch().sha == second


def test_a_check_that_takes_too_long_takes_the_mirror_for_whole(remote, new_mirror, monkeypatch):
    remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    mirror.fetch()
    monkeypatch.setattr(repository, "UPKEEP_TIMEOUT", 1e-9)
    assert mirror.repository.is_intact()


def test_a_server_whose_copy_is_shallow_is_followed(remote, new_mirror, tmp_path):
    remote.commit({"a.yaml": "a: 1\n"})
    whole = new_mirror(url=remote.url)
    whole.fetch()
    remote.commit({"a.yaml": "a: 2\n"})
    sha = remote.commit({"a.yaml": "a: 3\n"})
    git(tmp_path, "clone", "-q", "--bare", "--depth=1", remote.url, str(tmp_path / "shallow.git"))
    mirror = new_mirror(url=f"file://{tmp_path}/shallow.git")
    assert mirror.fetch().sha == sha
    assert mirror.blame(sha, "a.yaml", 1).sha == sha


def test_a_branch_that_the_server_keeps_back_is_told(remote, new_mirror, monkeypatch):
    remote.commit({"a.yaml": "a: 1\n"})
    mirror = new_mirror()
    monkeypatch.setattr(mirror, "_bring", lambda wanted: None)
    with pytest.raises(GitError, match="did not give the branch master") as caught:
        mirror.fetch()
    assert caught.value.temporary


@pytest.mark.parametrize("content", [None, b""], ids=["gone", "empty"])
def test_a_listing_without_one_of_its_files_is_mended_by_the_next_fetch(remote, new_mirror, content):
    sha = remote.commit({"a.yaml": "a: 1\n", "b.yaml": "b: 1\n"})
    mirror = new_mirror()
    mirror.fetch()
    expected = mirror.files(sha)
    path = mirror.repository.directory / "objects" / expected[0].sha[:2] / expected[0].sha[2:]
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GitError, match="missing in the mirror"):
        mirror.files(sha)
    mirror.fetch()
    assert mirror.files(sha) == expected
