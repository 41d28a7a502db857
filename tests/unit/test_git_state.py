"""The sync tag: as Flux v1 made it, moved only where the server takes it."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from git_remote import Remote, git

from agent.git.mirror import Mirror
from agent.git.state import TagMarker
from agent.model.errors import GitError
from agent.settings import GitSettings


@pytest.fixture(autouse=True)
def _clean_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def remote(tmp_path):
    return Remote(tmp_path / "server")


@pytest.fixture
def settings(remote):
    return GitSettings(url=remote.url, user="Weave Flux", email="support@weave.works")


@pytest.fixture
def mirror(settings, tmp_path):
    return Mirror(settings, tmp_path / "mirror", threading.Event())


@pytest.fixture
def marker(mirror, settings):
    return TagMarker(mirror, settings)


def test_the_tag_is_made_as_v1_made_it(remote, mirror, marker):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror.fetch()
    assert marker.read() == ""
    marker.advance(sha)
    assert marker.read() == sha
    assert remote.refs()["refs/tags/flux-sync"].startswith("tag ")
    raw = git(remote.bare, "cat-file", "tag", "flux-sync")
    assert raw.startswith(f"object {sha}\ntype commit\ntag flux-sync\ntagger Weave Flux <support@weave.works> ")
    assert raw.endswith("\n\nSync pointer")
    assert git(remote.bare, "fsck", "--strict") == ""


def test_the_tag_moves_forth_and_back(remote, mirror, marker, settings):
    first = remote.commit({"a.yaml": "a: 1\n"})
    second = remote.commit({"a.yaml": "a: 2\n"})
    mirror.fetch()
    for sha in (first, second, first):
        marker.advance(sha)
        assert git(remote.bare, "rev-parse", "flux-sync^{commit}") == sha
        assert marker.read() == sha
        mirror.fetch()
        assert marker.read() == sha


def test_nothing_is_pushed_when_the_tag_is_there_already(remote, mirror, marker):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    git(remote.work, "push", "-q", "origin", "HEAD:refs/tags/flux-sync")
    mirror.fetch()
    before = remote.refs()
    marker.advance(sha)
    assert remote.refs() == before


@pytest.mark.parametrize("target", ["HEAD^{tree}", "HEAD:a.yaml"])
def test_a_tag_that_names_no_commit_is_none_and_is_replaced(remote, mirror, marker, target):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    git(remote.work, "push", "-q", "origin", f"{git(remote.work, 'rev-parse', target)}:refs/tags/flux-sync")
    mirror.fetch()
    assert marker.read() == ""
    marker.advance(sha)
    assert marker.read() == sha


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_refusal_carries_the_servers_words_and_a_way_out(remote, mirror, marker, hook):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    remote.hook(hook, "echo 'GL-HOOK-ERR: tags are protected here' >&2\nexit 1")
    mirror.fetch()
    with pytest.raises(GitError, match=r"refused to move the tag flux-sync: .*tags are protected here") as caught:
        marker.advance(sha)
    assert "--sync-state=secret" in caught.value.hint
    assert not caught.value.temporary
    assert marker.read() == ""
    assert "refs/tags/flux-sync" not in remote.refs()


def test_only_the_tag_is_pushed(remote, mirror, marker, monkeypatch, tmp_path):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror.fetch()
    configuration = tmp_path / "configuration"
    git(tmp_path, "config", "-f", str(configuration), "push.followTags", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    mirror.repository.local("tag", "-a", "-m", "x", "other", sha)
    marker.advance(sha)
    assert sorted(remote.refs()) == ["refs/heads/master", "refs/tags/flux-sync"]


def test_a_server_that_is_gone_is_no_refusal(remote, mirror, settings, marker):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror.fetch()
    mirror.repository.settings = dataclasses.replace(settings, url="http://127.0.0.1:1/x")
    with pytest.raises(GitError) as caught:
        marker.advance(sha)
    assert caught.value.temporary


def test_a_name_that_git_would_not_take_is_cleaned(remote, tmp_path):
    settings = GitSettings(url=remote.url, user="  Flux <the\nbot> ", email="flux@example.com", sync_tag="my/tag")
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror = Mirror(settings, tmp_path / "mirror", threading.Event())
    mirror.fetch()
    TagMarker(mirror, settings).advance(sha)
    assert "tagger Flux thebot <flux@example.com> " in git(remote.bare, "cat-file", "tag", "my/tag")
