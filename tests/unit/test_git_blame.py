"""Who is asked for blame, and for how long."""

import itertools

import pytest

from agent.git import blame
from agent.git.objects import Commit
from agent.model.errors import GitError
from agent.model.resources import Failure, Origin


class Repository:
    def __init__(self):
        self.asked = []

    def blame(self, revision, path, line, last):
        self.asked.append(path)
        if path == "1.yaml":
            raise GitError("git blame did not finish within 20 s")
        return Commit("c" * 40, "Ann <ann@example.com>")


@pytest.mark.parametrize(("seconds", "asked"), [(0.1, blame.MAX_BLAMED), (7.0, 2)], ids=["quick", "slow"])
def test_blame_costs_so_many_questions_and_so_much_time(monkeypatch, seconds, asked):
    clock = itertools.count(0.0, seconds)
    monkeypatch.setattr(blame.time, "monotonic", lambda: next(clock))
    failures = [Failure("", "bad", Origin(f"{number}.yaml", 1)) for number in range(60)]
    repository = Repository()
    told = blame.blamed(repository, "r", failures)
    assert repository.asked == [f"{number}.yaml" for number in range(asked)]
    assert [failure.commit != "" for failure in told] == [number < asked and number != 1 for number in range(60)]
