"""The agent's threads."""

import threading

from agent.supervisor import Supervisor


def run(*loops, grace=5.0):
    stop, crashes = threading.Event(), []
    supervisor = Supervisor(stop, lambda name, trace: crashes.append((name, trace)))
    for name, loop, wake in loops:
        supervisor.add(name, lambda loop=loop: loop(stop), wake)
    supervisor.start()
    return supervisor, stop, crashes


def test_the_first_crash_stops_all_and_is_told_with_its_trace():
    def crash(stop):
        raise ValueError("boom")

    supervisor, stop, crashes = run(("bad", crash, None), ("good", lambda stop: stop.wait(60), None))
    assert supervisor.wait(60.0) == ()
    assert stop.is_set()
    assert supervisor.crashed == "bad"
    assert "boom" in crashes[0][1]


def test_a_loop_that_just_ends_counts_as_crashed():
    supervisor, _, crashes = run(("quiet", lambda stop: None, None))
    assert supervisor.wait(60.0) == ()
    assert crashes == [("quiet", "quiet ended although nobody asked it to")]


def test_waiting_loops_are_woken_and_late_ones_named():
    woken, ended, forever = (threading.Event() for _ in range(3))

    def waits(stop):
        woken.wait(60)
        ended.set()

    def wake():
        woken.set()
        assert ended.wait(60)

    supervisor, stop, crashes = run(("waiter", waits, wake), ("stuck", lambda stop: forever.wait(60), None))
    stop.set()
    assert supervisor.wait(0.2) == ("stuck",)
    forever.set()
    assert supervisor.wait(60.0) == ()
    assert crashes == []
