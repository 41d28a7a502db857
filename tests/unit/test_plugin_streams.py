"""What stdout may be, and what it must not do to the plugin; through the real program."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_standins import listing, serving

PROGRAM = Path(sys.executable).with_name("kubectl-flux")
TIMEOUT = 60.0
UMLAUTS = "team:deployment/bücher"
PLAIN = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture(scope="module")
def url():
    with serving(listing(*(f"team:deployment/a-rather-long-name-{n}" for n in range(20_000)), UMLAUTS)) as address:
        yield address


def command(url):
    return [PROGRAM, "list-workloads", "-a", "-o", "name", "--url", url]


def run(words, environ, stdout=subprocess.PIPE):
    return subprocess.run(words, stdout=stdout, stderr=subprocess.PIPE, env=environ, timeout=TIMEOUT, check=False)


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def environ(request):
    return {**os.environ, "PYTHONUNBUFFERED": request.param}


def test_who_reads_only_the_first_line_ends_it_in_silence(url, environ):
    process = subprocess.Popen(command(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)
    assert process.stdout.readline() == b"team:deployment/a-rather-long-name-0\n"
    process.stdout.close()
    with process.stderr as stderr:
        assert stderr.read() == b""
    assert process.wait(TIMEOUT) == 128 + signal.SIGPIPE


@pytest.mark.parametrize("shell", ["exec >&-", "exec 2>&-", "exec >&- 2>&-"])
def test_a_closed_stdout_or_stderr_is_no_error(url, environ, shell):
    words = " ".join(f"'{word}'" for word in command(url))
    done = run(["sh", "-c", f"{shell}; {words}"], environ)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_sentence(url, environ):
    with Path("/dev/full").open("wb") as full:
        done = run(command(url), environ, stdout=full)
    said = "Error: cannot read or write: No space left on device: the output\n"
    assert (done.returncode, done.stderr.decode()) == (1, said)


def test_a_pipe_gets_utf_8_whatever_the_locale(url, environ):
    done = run(command(url), {**environ, **PLAIN})
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert (len(lines), lines[-1]) == (20_001, UMLAUTS)


def test_a_terminal_gets_what_it_can_show(environ):
    with serving(listing(UMLAUTS)) as url:
        assert on_terminal(url, {**environ, **PLAIN}) == b"team:deployment/b?cher\r\n"
        assert on_terminal(url, {**environ, "LC_ALL": "C.UTF-8"}) == f"{UMLAUTS}\r\n".encode()


def test_a_narrow_terminal_cuts_and_wraps_nothing():
    with serving(listing(f"team:deployment/{'long-' * 20}name")) as url:
        assert on_terminal(url, {**os.environ, "COLUMNS": "40"}) == f"team:deployment/{'long-' * 20}name\r\n".encode()


def on_terminal(url, environ):
    """What the command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(url), stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        written = b""
        while chunk := read_terminal(ours):
            written += chunk
        os.close(ours)
        assert process.wait(TIMEOUT) == 0
    return written


def read_terminal(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux says that nobody has it open any more
        return b""
