"""The runner, against real git; a slow ssh stands for a server that does not answer."""

from __future__ import annotations

import os
import resource
import select
import threading

import pytest
from git_remote import Remote, git

from agent.git import command, environment
from agent.git.command import CommandError, run
from agent.model.errors import StoppedError
from agent.settings import GitSettings


@pytest.fixture(autouse=True)
def _clean_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def stop():
    return threading.Event()


class SlowSsh:
    """An ssh that says it is there, then hangs; every process of it keeps the pipe open as long as it lives."""

    def __init__(self, folder, before=""):
        fifo = folder / "alive"
        os.mkfifo(fifo)
        self.script = folder / "slow-ssh"
        self.script.write_text(f"#!/bin/sh\n{before}\nexec 9>{fifo}\necho up >&9\nsleep 600 &\nsleep 600\n")
        self.script.chmod(0o755)
        self._pipe = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def _read(self):
        ready, _, _ = select.select([self._pipe], [], [], 20)
        assert ready, "still alive after 20 s"
        return os.read(self._pipe, 100)

    def wait_until_up(self):
        assert self._read() == b"up\n"

    def wait_until_gone(self):
        assert self._read() == b""

    def close(self):
        os.close(self._pipe)


@pytest.fixture
def slow_ssh(tmp_path, request):
    ssh = SlowSsh(tmp_path, getattr(request, "param", ""))
    yield ssh
    ssh.close()


LS_REMOTE = ("ls-remote", "ssh://git@example.invalid/x")


def test_it_returns_what_git_wrote(tmp_path, stop):
    assert run(["version"], cwd=tmp_path, timeout=20, stop=stop).startswith(b"git version")


def test_much_input_and_output_at_once_do_not_block_each_other(tmp_path, stop):
    git(tmp_path, "init", "-q", "--bare", str(tmp_path / "x"))
    asked = b"".join(b"%040x\n" % number for number in range(20_000))
    answer = run(["cat-file", "--batch-check"], cwd=tmp_path / "x", timeout=20, stop=stop, stdin=asked)
    assert answer.count(b" missing\n") == 20_000


@pytest.mark.parametrize("slow_ssh", ["", "trap '' TERM"], ids=["obedient", "deaf to SIGTERM"], indirect=True)
def test_the_deadline_ends_git_and_everything_it_started(tmp_path, stop, slow_ssh):
    with pytest.raises(CommandError, match="git ls-remote did not finish within 1 s") as caught:
        run(LS_REMOTE, cwd=tmp_path, timeout=1, stop=stop, env={"GIT_SSH_COMMAND": str(slow_ssh.script)})
    assert caught.value.temporary
    assert "--git-timeout" in caught.value.hint
    slow_ssh.wait_until_up()
    slow_ssh.wait_until_gone()


def test_the_stop_event_ends_git_at_once(tmp_path, stop, slow_ssh):
    caught = []

    def call():
        with pytest.raises(StoppedError) as error:
            run(LS_REMOTE, cwd=tmp_path, timeout=600, stop=stop, env={"GIT_SSH_COMMAND": str(slow_ssh.script)})
        caught.append(error.value)

    thread = threading.Thread(target=call)
    thread.start()
    slow_ssh.wait_until_up()
    stop.set()
    slow_ssh.wait_until_gone()
    thread.join(20)
    assert not thread.is_alive()
    assert caught


def test_nothing_is_started_once_the_agent_stops(tmp_path, stop):
    stop.set()
    with pytest.raises(StoppedError):
        run(["version"], cwd=tmp_path, timeout=20, stop=stop)


def test_a_grandchild_that_keeps_the_pipes_open_does_not_hold_the_answer(tmp_path, stop):
    run(["init", "-q", "x"], cwd=tmp_path, timeout=20, stop=stop)
    alias = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "alias.leave", "GIT_CONFIG_VALUE_0": "!sleep 600 & echo done"}
    assert run(["leave"], cwd=tmp_path, timeout=60, stop=stop, env=alias) == b"done\n"


def test_too_much_output_is_an_error(tmp_path, stop, monkeypatch):
    monkeypatch.setattr(command, "MAX_OUTPUT", 1000)
    alias = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "alias.flood", "GIT_CONFIG_VALUE_0": "!yes"}
    with pytest.raises(CommandError, match="git flood wrote more than 1000 bytes"):
        run(["flood"], cwd=tmp_path, timeout=60, stop=stop, env=alias)


def test_a_long_complaint_keeps_its_end_and_no_half_of_a_secret(tmp_path, stop):
    script = tmp_path / "ssh"
    secret = "s3cret" * 900
    script.write_text(f"#!/bin/sh\necho https://u:{secret}@host/ the end >&2\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(CommandError) as caught:
        run(LS_REMOTE, cwd=tmp_path, timeout=20, stop=stop, env={"GIT_SSH_COMMAND": str(script)})
    assert len(caught.value.complaint) <= command.MAX_COMPLAINT
    assert "the end" in caught.value.complaint
    assert "cret" not in str(caught.value)


def test_git_not_found_is_told(tmp_path, stop, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="could not be started") as caught:
        run(["version"], cwd=tmp_path, timeout=20, stop=stop)
    assert caught.value.hint == "install git"


def test_a_folder_that_is_gone_may_come_back(tmp_path, stop):
    with pytest.raises(CommandError, match="could not be started") as caught:
        run(["version"], cwd=tmp_path / "gone", timeout=20, stop=stop)
    assert caught.value.temporary


@pytest.mark.parametrize("url", ["https://user:pa55word@127.0.0.1:1/x", "http://user:pa55word@127.0.0.1:1/x"])
def test_a_password_is_in_no_error(tmp_path, stop, url):
    added = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "remote.origin.url", "GIT_CONFIG_VALUE_0": url}
    with pytest.raises(CommandError) as caught:
        run(["ls-remote", "origin"], cwd=tmp_path, timeout=20, stop=stop, env=added)
    assert "127.0.0.1:1/x" in str(caught.value)
    assert caught.value.temporary
    assert not any("pa55word" in text for text in (str(caught.value), repr(caught.value), caught.value.complaint))


def test_a_childs_environment_is_an_allow_list(tmp_path, stop, monkeypatch):
    monkeypatch.setenv("FLUX_TOKEN", "t0ken")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "t0ken")
    monkeypatch.setenv("GIT_SSL_CAINFO", "/ca.pem")
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    remote = Remote(tmp_path / "server")
    remote.commit({"a.yaml": "a: 1\n"})
    remote.hook("pre-receive", f"env > {tmp_path}/seen")
    run(["push", "-q", remote.url, "HEAD:refs/heads/b"], cwd=remote.work, timeout=20, stop=stop)
    seen = (tmp_path / "seen").read_text()
    assert "t0ken" not in seen
    for kept in (
        "GIT_SSL_CAINFO=/ca.pem",
        "https_proxy=http://proxy.invalid:3128",
        "GIT_TERMINAL_PROMPT=0",
        "LC_ALL=C",
    ):
        assert kept in seen.splitlines()


def test_the_url_is_in_no_argument_list_and_not_on_disk(tmp_path):
    settings = GitSettings(url="https://u:pa55word@example.com/x")
    added = environment.remote_environment(str(tmp_path), settings, {})
    assert [name for name, value in added.items() if "pa55word" in value] == ["GIT_CONFIG_VALUE_5"]


@pytest.mark.parametrize("name", ["GIT_SSH_COMMAND", "GIT_SSH"])
def test_the_operators_own_ssh_is_kept(tmp_path, name):
    assert "GIT_SSH_COMMAND" not in environment.remote_environment(str(tmp_path), GitSettings(), {name: "/my/ssh"})


def test_ssh_offers_the_key_only_when_it_is_there(tmp_path):
    key = tmp_path / "the key"
    assert environment.ssh_command(str(key), 20) == (
        "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=10"
    )
    key.touch()
    assert environment.ssh_command(str(key), 20).startswith(f"ssh -i '{key}' -o IdentitiesOnly=yes -o BatchMode=yes")


def test_no_room_for_gits_input_is_told(tmp_path, stop):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(
            CommandError, match="git cat-file was not started, its input could not be written"
        ) as caught:
            run(["cat-file", "--batch"], cwd=tmp_path, timeout=20, stop=stop, stdin=bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "temporary files" in caught.value.hint
