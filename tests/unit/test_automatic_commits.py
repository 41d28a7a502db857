"""What automation commits, and when it does not even fetch."""

import pytest
from change_standins import Bench, app, automated, ids, statuses
from git_remote import git
from release_standins import built

from agent.releases import perform

IMAGES = {"acme/shop": built("1.0.0", "1.1.0", "1.2.0", "2.0.0"), "acme/side": built("v1", "v2")}


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setattr(perform, "PAUSE", 0.0)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, IMAGES)


def test_automation_changes_all_that_is_due_in_one_commit(bench):
    bench.write({
        "a.yaml": automated("a") + "---\n" + automated("b", "acme/side:v1", "glob:v*"),
        "c.yaml": automated("c", pattern="semver:<1.2"),
        "left.yaml": "---\n".join([
            automated("locked", locked="true"),
            automated("ignored", ignore="true"),
            automated("absent"),
            automated("bad", pattern="semver:no"),
            app("plain"),
        ]),
    })  # fmt: skip
    bench.absent = set(ids("absent"))
    done = bench.automate()
    assert bench.log() == ["Auto-release multiple (3) images", "change"]
    assert [line for line in bench.diff() if line[0] == "+"] == [
        f'+        image: "{image}"  # bumped by flux'
        for image in ("acme/shop:1.2.0", "acme/side:v2", "acme/shop:1.1.0")
    ]
    assert bench.trailers()[0] == ("Flux-Kind", "automation")
    told = statuses(done)
    assert told.pop("bad")[0] == "skipped"
    assert told == {
        "a": ("success", ""),
        "b": ("success", ""),
        "c": ("success", ""),
        "locked": ("skipped", "locked"),
        "ignored": ("skipped", "ignore"),
        "absent": ("skipped", "not accessible in cluster"),
    }
    assert bench.follow() == []
    assert '"type":"auto"' in git(bench.remote.bare, "notes", "--ref=flux", "show", done.commit)


def test_automation_fetches_only_where_it_changes_something(bench):
    head = bench.write({"shop.yaml": automated("shop", "acme/shop:1.2.0")})
    bench.fetch()
    before = bench.fetches
    assert not bench.performer.automate("a", head).commit
    assert bench.fetches == before
    head = bench.write({"shop.yaml": automated("shop").replace('"acme/shop:1.0.0"', "&a acme/shop:1.0.0") + "x: *a\n"})
    bench.fetch()
    before = bench.fetches
    assert statuses(bench.performer.automate("a", head))["shop"][0] == "failed"
    assert bench.fetches == before


def test_automation_plans_anew_on_what_was_pushed_meanwhile(bench):
    head = bench.write({"shop.yaml": automated("shop")})
    bench.fetch()
    bench.write({"shop.yaml": automated("shop", locked="true")}, "locked")
    done = bench.performer.automate("a", head)
    assert (done.commit, bench.log()[0]) == ("", "locked")


def test_automation_asks_for_what_it_would_have_to_know(bench):
    bench.library.images.pop("index.docker.io/acme/shop")
    bench.write({"shop.yaml": automated("shop")})
    assert not bench.automate().commit
    assert bench.library.asked == ["index.docker.io/acme/shop"]
    assert bench.library.fetched == []
