"""Why automation is off: the first obstacle is named, and none that is not there."""

import pytest

from agent import features


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, ""),
        ({"repository": False, "read_only": True}, features.NO_REPOSITORY),
        ({"read_only": True, "scans": False}, features.READ_ONLY),
        ({"scans": False}, features.SCANNING_OFF),
    ],
)
def test_automation_says_what_is_in_its_way(given, reason):
    found = features.automation(**{"repository": True, "read_only": False, "scans": True, **given})
    assert (found.enabled, found.reason) == (not reason, reason)
