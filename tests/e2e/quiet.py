"""An agent that does nothing by the clock, and the fixtures of modules whose tests start one with their own flags."""

from __future__ import annotations

import pytest
from config_repository import ConfigRepository

QUIET = ("--auth=none", "--git-poll-interval=1h", "--sync-interval=1h")
"""Nobody is asked who they are, and syncs come with what is asked for."""
COLLECT = ("--sync-garbage-collection", "--sync-garbage-collection-limit=none")
USUAL = (*QUIET, *COLLECT, "--sync-garbage-collection-hold-kinds=")
"""What a test leaves behind goes with the next commit, whatever it is."""


@pytest.fixture
def own_repository(tmp_path):
    """An empty repository of this test alone."""
    return ConfigRepository(tmp_path)


@pytest.fixture(scope="module")
def deployed(start_agent):
    """The one agent of the module, which may do everything; it is not running."""
    agent = start_agent("--auth=none")
    agent.stop()
    return agent


@pytest.fixture
def stopped_agent(deployed):
    """The same, for one test to start and restart; it is stopped in between."""
    yield deployed
    deployed.stop()
