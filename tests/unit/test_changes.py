"""Waiting for changes: nobody misses one, and a busy cluster wakes nobody for each."""

import threading

from agent.changes import PAUSE, Changes


class Clock:
    """A clock that moves a little whenever someone who waits looks around."""

    def __init__(self):
        self.now = 100.0
        self.looks = 0

    def __call__(self):
        return self.now

    def look(self):
        self.now += PAUSE / 4
        self.looks += 1
        return False


def test_who_waits_is_let_go_at_once_after_a_quiet_time_and_then_no_sooner_than_the_pause():
    clock = Clock()
    changes = Changes(clock)
    changes.touch()
    assert changes.wait(1, 60, clock.look) == 2
    assert clock.looks == 0
    let_go = clock.now
    for _ in range(100):
        changes.touch()
    assert changes.wait(2, 60, clock.look) == 102
    assert clock.now >= let_go + PAUSE


def test_who_has_seen_less_than_somebody_who_was_let_go_need_not_wait():
    clock = Clock()
    changes = Changes(clock)
    changes.touch()
    changes.wait(1, 60, clock.look)
    changes.touch()
    assert changes.wait(1, 60, clock.look) == 3
    assert clock.looks == 0


def test_a_version_of_an_earlier_run_is_past():
    clock = Clock()
    assert Changes(clock).wait(99, 60, clock.look) == 1
    assert clock.looks == 0


def test_the_wait_ends_with_its_time_and_when_nobody_waits_any_more():
    clock = Clock()
    changes = Changes(clock)
    assert changes.wait(1, PAUSE, clock.look) == 1
    assert clock.now >= 100.0 + PAUSE
    assert changes.wait(1, 60, lambda: True) == 1


def test_a_change_wakes_everybody():
    changes, seen = Changes(), []
    begun = threading.Barrier(9)

    def wait():
        begun.wait(60)
        seen.append(changes.wait(1, 60, lambda: False))

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    changes.touch()
    for thread in threads:
        thread.join(60)
    assert seen == [2] * 8
