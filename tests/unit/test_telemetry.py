"""The log's lines and the metrics' names: what dashboards and log pipelines of v1's users read."""

import io
import json
import logging
import re

import pytest
import structlog

from agent import telemetry


@pytest.fixture
def written():
    """A stream that the log goes to; whatever was set up before is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    queue = logging.getLogger("waitress.queue").level
    yield io.StringIO()
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("waitress.queue").setLevel(queue)
    structlog.reset_defaults()


def only_line(stream):
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_a_logfmt_line_begins_with_time_level_component_and_message(written):
    telemetry.configure("fmt", stream=written)
    telemetry.logger("sync").info("sync finished", revision="24e9eae", applied=3, complete=True, error="")
    line = only_line(written)
    assert re.fullmatch(
        r'ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z level=info component=sync msg="sync finished"'
        r" revision=24e9eae applied=3 complete=true error=",
        line,
    )


def test_a_json_line_carries_the_same_keys(written):
    telemetry.configure("json", stream=written)
    telemetry.logger("git").warning("fetch failed", url="ssh://git@example.com/a", tries=2)
    line = json.loads(only_line(written))
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "warning",
        "component": "git",
        "msg": "fetch failed",
        "url": "ssh://git@example.com/a",
        "tries": 2,
    }


def test_an_unknown_format_is_refused(written):
    with pytest.raises(KeyError):
        telemetry.configure("xml", stream=written)


def test_lines_below_the_level_are_dropped(written):
    telemetry.configure(stream=written)
    telemetry.logger("git").debug("noise")
    assert written.getvalue() == ""


def test_a_library_speaks_from_warning_up_and_through_the_same_pipe(written):
    telemetry.configure("json", stream=written)
    logging.getLogger("urllib3.pool").info("not this")
    logging.getLogger("urllib3.pool").warning("retrying %s", "GET")
    line = json.loads(only_line(written))
    assert (line["component"], line["level"], line["msg"]) == ("urllib3.pool", "warning", "retrying GET")


def test_waitress_does_not_warn_of_its_queue(written):
    telemetry.configure(stream=written)
    logging.getLogger("waitress.queue").warning("Task queue depth is 1")
    assert written.getvalue() == ""


def test_a_broken_library_line_does_not_reach_its_caller(written, capsys):
    telemetry.configure(stream=written)
    logging.getLogger("lib").warning("%d apples", "many")
    assert written.getvalue() == ""
    assert "apples" in capsys.readouterr().err


@pytest.mark.parametrize("log_format", ["fmt", "json"])
def test_no_value_breaks_out_of_its_line(written, log_format):
    telemetry.configure(log_format, stream=written)
    telemetry.logger("git").error("no\r\nlevel=info msg=forged", said="\x1b[31mred\x1b[0m\nlevel=info\u2028x")
    line = only_line(written)
    assert "\x1b" not in line
    assert len(line.splitlines()) == 1


def test_a_long_value_keeps_its_beginning(written):
    telemetry.configure("json", stream=written)
    telemetry.logger("git").error("refused", said="a" * 5_000)
    said = json.loads(only_line(written))["said"]
    assert said.startswith("a" * telemetry.MAX_VALUE + "… (3000 characters cut)")


def test_a_trace_keeps_its_end(written):
    telemetry.configure("json", stream=written)
    error = RuntimeError("x" * 3_000 + " the cause")
    telemetry.logger("api").error("unexpected", exc_info=error)
    line = json.loads(only_line(written))
    assert line["level"] == "error"
    assert line["exception"].endswith("the cause")
    assert len(line["exception"]) < telemetry.MAX_VALUE + 50


@pytest.mark.parametrize(
    ("told", "written_as"),
    [
        ("https://ann:s3cret@example.com/a.git", "https://***@example.com/a.git"),
        ("https://ghp_token@example.com/a.git", "https://***@example.com/a.git"),
        ("ssh://git@example.com/a.git", "ssh://git@example.com/a.git"),
        ("ssh://git:s3cret@example.com/a.git", "ssh://git:***@example.com/a.git"),
        ("clone 'https://u:p@h/x' failed at 12:30", "clone 'https://***@h/x' failed at 12:30"),
        ("git@example.com:acme/a.git", "git@example.com:acme/a.git"),
        ("https://example.com/a@b", "https://example.com/a@b"),
    ],
)
def test_a_password_in_a_url_does_not_get_through(told, written_as):
    assert telemetry.bounded(None, "info", {"url": told}) == {"url": written_as}


def test_a_password_does_not_get_through_where_a_value_is_cut():
    url = "https://ann:s3cret@example.com/a.git"
    for room in range(len(url)):
        shown = telemetry.bounded(None, "info", {"said": "x" * (telemetry.MAX_VALUE - room - 1) + " " + url * 2})
        assert "ann" not in shown["said"]


def test_objects_are_written_as_text_and_numbers_stay_numbers():
    event = {"a": 1, "b": 0.5, "c": None, "d": True, "e": ("x", 1)}
    assert telemetry.bounded(None, "info", event) == event | {"e": "('x', 1)"}


def test_timed_hands_over_seconds_and_success():
    seen = []
    clock = iter([10.0, 12.5, 20.0, 21.0, 30.0, 33.0]).__next__
    with telemetry.timed(lambda *result: seen.append(result), clock):
        pass
    with telemetry.timed(lambda *result: seen.append(result), clock) as watch:
        watch.success = False
    with pytest.raises(ValueError, match="boom"), telemetry.timed(lambda *result: seen.append(result), clock):
        raise ValueError("boom")
    assert seen == [(2.5, True), (1.0, False), (3.0, False)]


def test_the_metrics_have_exactly_v1s_names():
    metrics = telemetry.Metrics()
    metrics.observe_sync(1.0, True)
    metrics.observe_sync(1.0, False)
    metrics.observe_job(0.2, True)
    metrics.observe_queue(0.1)
    metrics.set_queue_length(2)
    metrics.set_manifests(succeeded=7, failed=1)
    metrics.set_git_ready(ready=True)
    text = metrics.render().decode()
    names = {re.split(r"[ {]", line)[0] for line in text.splitlines() if re.match("flux_(?!api_)", line)}
    assert names == {
        "flux_daemon_sync_duration_seconds_bucket",
        "flux_daemon_sync_duration_seconds_sum",
        "flux_daemon_sync_duration_seconds_count",
        "flux_daemon_job_duration_seconds_bucket",
        "flux_daemon_job_duration_seconds_sum",
        "flux_daemon_job_duration_seconds_count",
        "flux_daemon_queue_duration_seconds_bucket",
        "flux_daemon_queue_duration_seconds_sum",
        "flux_daemon_queue_duration_seconds_count",
        "flux_daemon_queue_length_count",
        "flux_daemon_sync_manifests",
        "flux_git_ready",
        "flux_registry_scan_age_seconds",
    }
    lines = text.splitlines()
    for line in (
        'flux_daemon_sync_duration_seconds_count{success="true"} 1.0',
        'flux_daemon_sync_duration_seconds_count{success="false"} 1.0',
        'flux_daemon_sync_duration_seconds_bucket{le="240.0",success="true"} 1.0',
        'flux_daemon_sync_manifests{success="true"} 7.0',
        'flux_daemon_sync_manifests{success="false"} 1.0',
        "flux_daemon_queue_length_count 2.0",
        "flux_git_ready 1.0",
    ):
        assert line in lines


def test_calls_that_wait_are_counted_and_not_measured():
    metrics = telemetry.Metrics()
    metrics.observe_call("GetJob", "OK", 0.002, waited=False)
    metrics.observe_call("GetJob", "OK", 25.0, waited=True)
    metrics.observe_reviews("access", asked=2, remembered=3)
    lines = metrics.render().decode().splitlines()
    for line in (
        'flux_api_request_duration_seconds_bucket{code="OK",le="0.0025",method="GetJob"} 1.0',
        'flux_api_request_duration_seconds_count{code="OK",method="GetJob"} 1.0',
        'flux_api_waits_total{code="OK",method="GetJob"} 1.0',
        'flux_api_reviews_total{kind="access",source="asked"} 2.0',
        'flux_api_reviews_total{kind="access",source="remembered"} 3.0',
    ):
        assert line in lines


def test_registries_cannot_make_up_hosts_without_end():
    metrics = telemetry.Metrics()
    for number in range(telemetry.MAX_HOSTS + 5):
        metrics.observe_registry(f"r{number}.example.com", "tags", 200, 0.1)
    lines = [
        line for line in metrics.render().decode().splitlines() if line.startswith("flux_registry_requests_total{")
    ]
    assert (
        len(lines) == telemetry.MAX_HOSTS + 1
        and 'flux_registry_requests_total{host="other",kind="tags",status="200"} 5.0' in lines
    )


def test_two_sets_of_metrics_live_side_by_side():
    one, two = telemetry.Metrics(), telemetry.Metrics()
    one.set_queue_length(5)
    assert b"flux_daemon_queue_length_count 0.0" in two.render()
