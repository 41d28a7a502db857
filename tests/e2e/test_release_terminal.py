"""`kubectl flux release` as a person at a terminal drives it, with a git configuration of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading

import pytest
from agent_status import until
from controlplane.door import enter_command
from releasing import agent_with_images, app, commit_of, head, note_of, runs

pytestmark = pytest.mark.controlplane

PERSON = "Ann Ångström <ann@example.com>"
DOWN = "\x1b[B"


agent = agent_with_images


@pytest.fixture
def shop(put, images, namespace):
    """A Deployment whose containers `web` and `side` are both behind."""
    images.push("shop", "1.0.0", "1.1.0")
    images.push("side", "v1", "v2")
    put({"shop": app(namespace, "shop", web=images.image("shop", "1.0.0"), side=images.image("side", "v1"))})
    return f"{namespace}:deployment/shop"


@pytest.fixture
def home(agent, tmp_path):
    """The environment of a person who has told git who they are."""
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Ann Ångström\n\temail = ann@example.com\n")
    return {**agent.plane.environment, **agent.plugin_environment(), "HOME": str(tmp_path), "TERM": "xterm"}


class Terminal:
    """A command on a terminal of 100 columns: its stdin and stderr; stdout is a pipe."""

    def __init__(self, command, environment):
        self.screen = ""
        self._person, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.process = subprocess.Popen(
            command, env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                self.screen += os.read(self._person, 4096).decode(errors="replace")
            except OSError:  # nobody holds the other side any more
                return

    def press(self, keys, after):
        """Press keys once the screen shows something."""
        until(lambda: after in self.screen, f"{after!r} on the screen")
        os.write(self._person, keys.encode())

    def end(self):
        """The exit code and stdout; the terminal is as it was."""
        out, _ = self.process.communicate(timeout=60)
        assert termios.tcgetattr(self.theirs) == self.before
        os.close(self.theirs)
        self._reader.join(30)
        os.close(self._person)
        return self.process.returncode, out.decode()


def at_a_terminal(agent, home, *arguments):
    return Terminal([*enter_command(agent.plane.door.pid), "kubectl", "flux", *arguments], home)


def test_what_a_person_leaves_chosen_is_released_and_nothing_else(agent, home, shop, images, namespace, repository):
    terminal = at_a_terminal(agent, home, "release", f"--workload={shop}", "--update-all-images", "--interactive")
    terminal.press(DOWN, "2 of 2 chosen.")
    terminal.press(" ", "⇒ ◉" + " " * (len(shop) + 2) + " side:")
    terminal.press("\r", "1 of 2 chosen.")
    code, out = terminal.end()
    old, new = images.image("shop", "1.0.0"), images.image("shop", "1.1.0")
    assert (code, out) == (0, f"{'WORKLOAD':{len(shop)}}  STATUS   UPDATES\n{shop}  success  web: {old} -> 1.1.0\n")
    assert "Submitting selected release ..." in terminal.screen
    assert f"Commit applied:\t{head(repository)[:7]}" in terminal.screen
    commit = commit_of(repository)
    assert commit.message == f"Update image refs in {shop}\n\n{shop}\n- {new}"
    assert commit.values("Flux-User") == [PERSON]
    assert note_of(repository, commit.sha)["spec"]["type"] == "containers"
    assert runs(agent, namespace, "shop") == [new, images.image("side", "v1")]


def test_who_leaves_the_menu_changes_nothing(agent, home, shop, repository):
    before = head(repository)
    terminal = at_a_terminal(agent, home, "release", f"--workload={shop}", "--update-all-images", "--interactive")
    terminal.press("q", "2 of 2 chosen.")
    assert terminal.end() == (130, "")
    assert head(repository) == before


def test_a_person_is_named_as_their_git_names_them(agent, home, shop, images, repository):
    def flux(*arguments):
        agent.plane.run(["kubectl", "flux", *arguments, f"--workload={shop}"], env=home)
        return commit_of(repository)

    released = flux("release", f"--update-image={images.image('shop', '1.1.0')}")
    assert released.values("Flux-User") == [PERSON]
    assert released.author == "Weave Flux <support@weave.works>"
    assert note_of(repository, released.sha)["spec"]["cause"] == {"Message": "", "User": PERSON}
    locked = flux("lock", "-m", "why not")
    assert any(line.endswith(f"locked_user: {PERSON}") for line in locked.lines)
