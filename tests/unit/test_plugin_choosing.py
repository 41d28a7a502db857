"""`release --interactive`: the menu, the numbers, and a terminal that is as it was before."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios

import pytest
from plugin_change_standins import SHOP, agent_of, done, idle, outcome, updated
from plugin_standins import ScriptedAgent, serving

from kubectl_flux.choosing import Menu, lines_of, numbers, offers_of
from kubectl_flux.main import main
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

MARKS = (">", "x", "-")
PROPOSED = (
    outcome(SHOP, "success", "", "web: shop:1 -> shop:2", "side: side:1 -> side:3"),
    outcome("demo:deployment/held", "failed", "defined more than once"),
    outcome("demo:statefulset/db", "success", "", "db: db:a -> db:b"),
)


def menu(count=3, **more):
    return Menu(tuple("abcdefghij"[:count]), frozenset(range(count)), **more)


@pytest.mark.parametrize(
    ("keys", "at", "chosen"),
    [
        ("", 0, {0, 1, 2}),
        ("up", 0, {0, 1, 2}),
        ("down down down", 2, {0, 1, 2}),
        ("j SPACE k", 0, {0, 2}),
        ("SPACE SPACE", 0, {0, 1, 2}),
        ("a", 0, set()),
        ("a down SPACE ?", 1, {1}),
        ("SPACE a", 0, {0, 1, 2}),
    ],
)
def test_keys_move_the_arrow_and_choose(keys, at, chosen):
    shown = menu()
    for key in keys.split():
        shown = shown.after(key.replace("SPACE", " "))
    assert (shown.at, shown.chosen) == (at, chosen)


def test_a_menu_fits_its_terminal_and_follows_the_arrow():
    assert menu().after("down").after(" ").drawn(30, 24, MARKS) == [
        "  x a",
        "> - b",
        "  x c",
        "",
        "2 of 3 chosen. Arrows move, s",
    ]
    small = menu(10, at=9).drawn(80, 7, MARKS)
    assert small[:4] == ["  x g", "  x h", "  x i", "> x j"]
    assert len(small) < 7


def test_each_container_can_be_chosen_and_its_workload_is_named_once():
    offers = offers_of(idle(*PROPOSED))
    assert [offer.workload for offer in offers] == [SHOP, SHOP, "demo:statefulset/db"]
    assert lines_of(offers) == [
        "demo:deployment/shop  web: shop:1 -> 2",
        "                      side: side:1 -> 3",
        "demo:statefulset/db   db: db:a -> b",
    ]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("\n", set()),
        ("all\n", {0, 1, 2, 3}),
        ("1,3-4\n", {0, 2, 3}),
        (" 2 2 \n", {1}),
        ("0", None),
        ("5", None),
        ("3-1", None),
        ("1-", None),
        ("web", None),
    ],
)
def test_numbers_choose_too(text, chosen):
    assert numbers(text, 4) == chosen


def test_without_a_terminal_there_is_nobody_to_choose(capsys):
    agent = agent_of(idle(*PROPOSED))
    with serving(agent) as url:
        assert main(["release", "--all", "--update-all-images", "--interactive", "--url", url]) == 1
    assert "--interactive needs a terminal" in capsys.readouterr().err
    assert agent.calls == []


class Terminal:
    """The plugin on a terminal of its own."""

    def __init__(self, url, *argv, **environment):
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (24, 100))
        self.before = termios.tcgetattr(self.slave)
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kubectl_flux.main", "release", *argv, "--update-all-images", "--url", url],
            stdin=self.slave,
            stdout=subprocess.PIPE,
            stderr=self.slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        os.close(self.slave)
        os.close(self.master)

    def wait_for(self, text):
        while text not in self.seen:
            self.seen += os.read(self.master, 4096).decode()

    def press(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        """Its exit code and stdout; the terminal must be as it was."""
        out = self.process.communicate(timeout=20)[0].decode()
        assert termios.tcgetattr(self.slave) == self.before
        return self.process.returncode, out


@pytest.fixture
def agent():
    """Proposes, and then does what was chosen."""
    proposal, result = idle(*PROPOSED, dry_run=True), done(updated())

    def job(request):
        return pb.GetJobResponse(job=proposal if request.job_id == "dry" else result)

    def release(request):
        return pb.ReleaseResponse(job_id="dry" if request.dry_run else "real")

    return ScriptedAgent({**agent_of(result).answers, "Release": release, "GetJob": job})


def releases(agent):
    return [call.message for call in agent.calls if call.method == "Release"]


def test_what_is_chosen_with_the_arrow_keys_is_released(agent):
    with serving(agent) as url, Terminal(url, f"--workload={SHOP}", "--interactive", "--user=Bob", "-f") as terminal:
        terminal.wait_for("3 of 3 chosen")
        assert "demo:deployment/held: defined more than once" in terminal.seen
        terminal.press("\x1b[B ")
        terminal.wait_for("2 of 3 chosen")
        terminal.press("\x1bOB\r")
        terminal.wait_for("Commit applied")
        code, out = terminal.end()
    assert (code, out.splitlines()[1].split()[0]) == (0, SHOP)
    assert "Submitting selected release ..." in terminal.seen
    dry, real = releases(agent)
    assert (dry.dry_run, list(dry.chosen)) == (True, [])
    assert (real.dry_run, real.force, real.cause.user) == (False, True, "Bob")
    chosen = [(each.workload, each.change.container, each.change.target) for each in real.chosen]
    assert chosen == [(SHOP, "web", "shop:2"), ("demo:statefulset/db", "db", "db:b")]


@pytest.mark.parametrize("leave", ["\x03", "q", signal.SIGTERM], ids=["ctrl-c", "q", "terminated"])
def test_leaving_changes_nothing_and_restores_the_terminal(leave, agent):
    with serving(agent) as url, Terminal(url, "--all", "--interactive") as terminal:
        terminal.wait_for("3 of 3 chosen")
        if isinstance(leave, str) and leave != "\x03":
            terminal.press(leave)
        else:  # a session of its own has no terminal that sends signals
            terminal.process.send_signal(signal.SIGINT if leave == "\x03" else leave)
        assert terminal.end() == (130, "")
    assert len(releases(agent)) == 1


def test_a_plain_terminal_asks_for_numbers(agent):
    with serving(agent) as url, Terminal(url, "--all", "--interactive", TERM="dumb") as terminal:
        terminal.wait_for("for none: ")
        terminal.press("7\n")
        terminal.wait_for("That is no list of numbers from 1 to 3.")
        terminal.press("1-2\n")
        terminal.wait_for("Commit applied")
        assert terminal.end()[0] == 0
        assert [each.change.container for each in releases(agent)[1].chosen] == ["web", "side"]
    with serving(agent) as url, Terminal(url, "--all", "--interactive", TERM="dumb") as terminal:
        terminal.wait_for("for none: ")
        terminal.press("\n")
        terminal.wait_for("Nothing was chosen, and nothing was changed.")
        assert terminal.end() == (0, "")
    assert len(releases(agent)) == 3


def test_where_there_is_nothing_to_choose_the_table_says_why(agent):
    job = idle(outcome(SHOP, "skipped", "image(s) up to date"), dry_run=True)
    agent.answers["GetJob"] = pb.GetJobResponse(job=job)
    with serving(agent) as url, Terminal(url, "--all", "--interactive") as terminal:
        terminal.wait_for("Error: there is nothing to choose")
        code, out = terminal.end()
    assert (code, out.splitlines()[1:]) == (1, [f"{SHOP}  skipped  image(s) up to date"])
