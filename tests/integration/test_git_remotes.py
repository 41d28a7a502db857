"""The mirror, the sync tag, commits and notes over ssh and https, against real servers."""

from __future__ import annotations

import os
import shutil
import threading

import pytest
from git_servers import HttpsServer, Listener, SshServer, missing, run, seed, trusted_certificate

from agent.git.mirror import Mirror
from agent.git.notes import Notes
from agent.git.push import PushRefusedError
from agent.git.state import TagMarker
from agent.git.writer import Writer
from agent.model.errors import GitError, StoppedError
from agent.settings import GitSettings


@pytest.fixture(autouse=True)
def _servers_can_run(tmp_path, monkeypatch):
    if lacking := missing():
        reason = f"git servers need {', '.join(lacking)} (Debian: openssh-server, openssh-client, openssl)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def repositories(tmp_path):
    folder = tmp_path / "repositories"
    folder.mkdir()
    return folder


@pytest.fixture
def new_mirror(tmp_path):
    def make(url, key="", timeout=30.0):
        settings = GitSettings(url=url, ssh_key_path=str(key), timeout=timeout)
        mirror = Mirror(settings, tmp_path / "mirror", threading.Event())
        return mirror, TagMarker(mirror, settings)

    return make


@pytest.fixture
def sshd(tmp_path, repositories):
    folder = tmp_path / "sshd"
    folder.mkdir()
    server = SshServer(folder, repositories)
    yield server
    server.close()


@pytest.fixture
def known_hosts(tmp_path, sshd, monkeypatch):
    """The client's known_hosts. ssh looks for it in the account's real home, so one in front of it names another."""
    file = tmp_path / "known_hosts"
    file.write_text(sshd.known_hosts())
    config = tmp_path / "ssh_config"
    config.write_text(f"UserKnownHostsFile {file}\nGlobalKnownHostsFile /dev/null\nIdentityFile none\n")
    front = tmp_path / "bin" / "ssh"
    front.parent.mkdir()
    front.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    front.chmod(0o755)
    monkeypatch.setenv("PATH", f"{front.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return file


@pytest.fixture
def key(sshd):
    path = sshd.new_key("deploy")
    sshd.authorize(path)
    return path


@pytest.mark.usefixtures("known_hosts")
def test_ssh_fetches_and_moves_the_tag(sshd, repositories, key, new_mirror):
    first = seed(repositories)
    mirror, marker = new_mirror(sshd.url(), key)
    assert mirror.fetch().sha == first
    marker.advance(first)
    second = seed(repositories, text="a: 2\n")
    assert mirror.fetch().sha == second
    assert marker.read() == first
    marker.advance(second)
    assert run("git", "rev-parse", "flux-sync^{commit}", cwd=repositories / "cluster.git") == second
    assert mirror.read([mirror.files(second)[0].sha]).popitem()[1] == b"a: 2\n"


def test_ssh_refuses_an_unknown_host(sshd, repositories, key, known_hosts, new_mirror):
    seed(repositories)
    known_hosts.write_text("")
    with pytest.raises(GitError, match="Host key verification failed") as caught:
        new_mirror(sshd.url(), key)[0].fetch()
    assert "host key is unknown" in caught.value.hint
    assert not caught.value.temporary


def test_ssh_refuses_a_host_whose_key_has_changed(sshd, repositories, key, known_hosts, new_mirror):
    seed(repositories)
    known_hosts.write_text(sshd.known_hosts(sshd.new_key("other")))
    with pytest.raises(GitError) as caught:
        new_mirror(sshd.url(), key)[0].fetch()
    assert "host key has changed" in caught.value.hint


@pytest.mark.usefixtures("known_hosts")
def test_ssh_says_when_the_key_is_refused_and_takes_a_key_that_comes_later(sshd, repositories, new_mirror):
    sha = seed(repositories)
    key = sshd.new_key("deploy")
    mirror, _ = new_mirror(sshd.url(), key)
    with pytest.raises(GitError, match="Permission denied") as caught:
        mirror.fetch()
    assert "Secret flux-git-deploy" in caught.value.hint
    sshd.authorize(key)
    assert mirror.fetch().sha == sha


@pytest.mark.usefixtures("known_hosts")
def test_ssh_says_when_others_may_read_the_key(sshd, repositories, key, new_mirror):
    seed(repositories)
    key.chmod(0o644)
    with pytest.raises(GitError) as caught:
        new_mirror(sshd.url(), key)[0].fetch()
    assert "0400" in caught.value.hint


@pytest.mark.usefixtures("known_hosts")
def test_a_read_only_key_may_fetch_but_not_move_the_tag(sshd, repositories, new_mirror):
    sha = seed(repositories)
    key = sshd.new_key("reader")
    sshd.authorize(key, read_only=True)
    mirror, marker = new_mirror(sshd.url(), key)
    assert mirror.fetch().sha == sha
    with pytest.raises(GitError, match="has been marked as read only") as caught:
        marker.advance(sha)
    assert "--sync-state=secret" in caught.value.hint
    assert not caught.value.temporary


@pytest.mark.usefixtures("known_hosts")
def test_ssh_says_when_the_repository_is_not_there(sshd, key, new_mirror):
    with pytest.raises(GitError) as caught:
        new_mirror(sshd.url("nothing.git"), key)[0].fetch()
    assert "--git-url" in caught.value.hint


@pytest.fixture
def silent():
    server = Listener()
    yield server
    server.close()


@pytest.mark.parametrize("scheme", ["ssh", "https"])
def test_a_server_that_never_answers_is_given_up(silent, new_mirror, scheme):
    with pytest.raises(GitError) as caught:
        new_mirror(f"{scheme}://git@127.0.0.1:{silent.port}/x", timeout=2)[0].fetch()
    assert caught.value.temporary


@pytest.mark.parametrize("scheme", ["ssh", "https"])
def test_a_stopping_agent_does_not_wait_for_a_server_that_never_answers(silent, new_mirror, scheme):
    mirror, _ = new_mirror(f"{scheme}://git@127.0.0.1:{silent.port}/x", timeout=600)
    stopper = threading.Thread(target=lambda: silent.accepted.wait(60) and mirror.repository.stop.set())
    stopper.start()
    with pytest.raises(StoppedError):
        mirror.fetch()
    stopper.join()


@pytest.fixture
def certificates(tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir()
    return trusted_certificate(folder)


@pytest.fixture
def https(certificates, repositories, monkeypatch):
    server = HttpsServer(certificates[1], repositories)
    server.writers.add("flux:p@ss/w:rd")
    server.readers.add("reader:only")
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificates[0]))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.close()


WRITER = "flux:p%40ss%2Fw%3Ard"


def test_https_fetches_and_moves_the_tag(https, repositories, new_mirror):
    first = seed(repositories)
    mirror, marker = new_mirror(https.url(WRITER))
    assert mirror.fetch().sha == first
    marker.advance(first)
    second = seed(repositories, text="a: 2\n")
    assert mirror.fetch().sha == second
    marker.advance(second)
    assert run("git", "rev-parse", "flux-sync^{commit}", cwd=repositories / "cluster.git") == second


def test_https_refuses_a_certificate_of_an_unknown_authority(https, repositories, new_mirror, monkeypatch):
    seed(repositories)
    monkeypatch.delenv("GIT_SSL_CAINFO")
    with pytest.raises(GitError, match="certificate") as caught:
        new_mirror(https.url(WRITER))[0].fetch()
    assert "GIT_SSL_CAINFO" in caught.value.hint
    assert not caught.value.temporary


@pytest.mark.parametrize("user_info", ["flux:wr0ngpw", "", "flux"])
def test_https_says_when_the_password_is_refused_and_does_not_show_it(https, repositories, new_mirror, user_info):
    seed(repositories)
    with pytest.raises(GitError) as caught:
        new_mirror(https.url(user_info))[0].fetch()
    assert "user and token" in caught.value.hint
    assert "wr0ngpw" not in str(caught.value)


def test_a_token_that_may_only_read_does_not_move_the_tag(https, repositories, new_mirror):
    sha = seed(repositories)
    mirror, marker = new_mirror(https.url("reader:only"))
    assert mirror.fetch().sha == sha
    with pytest.raises(GitError, match=r"refused to move the tag flux-sync: .*403") as caught:
        marker.advance(sha)
    assert "--sync-state=secret" in caught.value.hint


def test_a_protected_tag_is_told_in_the_servers_words(https, repositories, new_mirror):
    sha = seed(repositories)
    hook = repositories / "cluster.git" / "hooks" / "update"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho 'You are not allowed to change protected tags.' >&2\nexit 1\n")
    hook.chmod(0o755)
    mirror, marker = new_mirror(https.url(WRITER))
    mirror.fetch()
    with pytest.raises(GitError, match="You are not allowed to change protected tags"):
        marker.advance(sha)


def test_https_says_when_the_repository_is_not_there(https, new_mirror):
    with pytest.raises(GitError) as caught:
        new_mirror(https.url(WRITER, "nothing.git"))[0].fetch()
    assert "--git-url" in caught.value.hint


def test_a_server_in_trouble_may_come_back(https, repositories, new_mirror):
    sha = seed(repositories)
    https.failing = 503
    mirror, _ = new_mirror(https.url(WRITER))
    with pytest.raises(GitError) as caught:
        mirror.fetch()
    assert caught.value.temporary
    https.failing = 0
    assert mirror.fetch().sha == sha


def pushed(mirror):
    """Change a file, push that with a note; the commit's id."""
    settings = mirror.repository.settings
    writer, notes = Writer(mirror, settings), Notes(mirror, settings)
    sha = writer.commit(mirror.fetch().sha, {"a.yaml": b"a: 2\n"}, "change")
    writer.push(sha)
    notes.write(sha, "why")
    assert notes.push() is None
    return sha


@pytest.mark.usefixtures("known_hosts")
def test_ssh_takes_a_commit_and_its_note(sshd, repositories, key, new_mirror):
    seed(repositories)
    sha = pushed(new_mirror(sshd.url(), key)[0])
    assert run("git", "show", "master:a.yaml", cwd=repositories / "cluster.git") == "a: 2"
    assert run("git", "notes", "--ref", "flux", "show", sha, cwd=repositories / "cluster.git") == "why"


def test_https_takes_a_commit_and_its_note(https, repositories, new_mirror):
    seed(repositories)
    sha = pushed(new_mirror(https.url(WRITER))[0])
    assert run("git", "rev-parse", "master", cwd=repositories / "cluster.git") == sha
    assert run("git", "notes", "--ref", "flux", "show", sha, cwd=repositories / "cluster.git") == "why"


@pytest.mark.usefixtures("known_hosts")
def test_a_read_only_key_is_refused_a_commit_for_good(sshd, repositories, new_mirror):
    seed(repositories)
    key = sshd.new_key("reader")
    sshd.authorize(key, read_only=True)
    mirror, _ = new_mirror(sshd.url(), key)
    with pytest.raises(PushRefusedError, match=r"refused the push to master: .*marked as read only") as caught:
        pushed(mirror)
    assert not caught.value.temporary


def test_a_token_that_may_only_read_is_refused_a_commit_for_good(https, repositories, new_mirror):
    seed(repositories)
    with pytest.raises(PushRefusedError, match=r"refused the push to master: .*403") as caught:
        pushed(new_mirror(https.url("reader:only"))[0])
    assert "reader" not in str(caught.value)


def test_a_server_in_trouble_refuses_no_commit(https, repositories, new_mirror):
    mirror, _ = new_mirror(https.url(WRITER))
    writer = Writer(mirror, mirror.repository.settings)
    seed(repositories)
    sha = writer.commit(mirror.fetch().sha, {"a.yaml": b"a: 2\n"}, "change")
    https.failing = 503
    with pytest.raises(GitError) as caught:
        writer.push(sha)
    assert caught.value.temporary
    https.failing = 0
    writer.push(sha)
    assert run("git", "rev-parse", "master", cwd=repositories / "cluster.git") == sha
