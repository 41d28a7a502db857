"""The control plane as a fixture, for every folder of tests that wants it, and the list of what was left out.

The control plane is built before the first test, so that compiling does not run into a test's timeout, and started on
first use. Without what it needs its tests are skipped; where CI=true they fail instead.
"""

from __future__ import annotations

import collections
import os
import signal
from pathlib import Path

import pytest
from controlplane.build import build
from controlplane.needs import missing
from controlplane.plane import ControlPlane

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it runs in the background with SIGINT ignored, and the programs under test inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session):
    """Builds the control plane when a collected test uses it."""
    wanted = any("plane" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly and not missing():
        build(_say(session.config))


def pytest_terminal_summary(terminalreporter):
    """Says loudly which tests were left out, by folder and reason."""
    reasons = collections.Counter(
        (Path(report.nodeid).parts[1], str(report.longrepr[2]).removeprefix("Skipped: "))
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section("LEFT OUT", red=True, bold=True)
    for (folder, reason), number in sorted(reasons.items()):
        terminalreporter.write_line(f"{folder}: {number} of the tests: {reason}", red=True, bold=True)


@pytest.fixture(scope="session")
def plane(request):
    """A running control plane, one for the whole run; see `controlplane.plane.ControlPlane`."""
    if lacking := missing():
        reason = f"a real control plane needs {', '.join(lacking)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with ControlPlane(_say(request.config)) as running:
        yield running


def _say(config):
    reporter = config.pluginmanager.getplugin("terminalreporter")
    return reporter.write_line if reporter else print
