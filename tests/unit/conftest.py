"""What the plugin's tests share: an API server's stand-in that the real kubectl is pointed at."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings
from plugin_standins import ApiServer, serving, write_kubeconfig

VARIABLES = (
    "FLUX_URL",
    "FLUX_TOKEN",
    "FLUX_SERVICE_ACCOUNT",
    "FLUX_FORWARD_NAMESPACE",
    "FLUX_FORWARD_LABELS",
    "FLUX_TIMEOUT",
    "KUBERNETES_SERVICE_HOST",
)

# How long an example takes tells of the machine and of what else it does.
settings.register_profile(
    "any machine",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")


@pytest.fixture
def programs():
    """The real programs that these tests run are there."""
    for program in ("kubectl", "openssl"):
        if shutil.which(program) is None:
            assert os.environ.get("CI") != "true", f"{program} is not installed, and CI=true"
            pytest.skip(f"{program} is not installed")


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """Where the plugin makes its folders."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The plugin's cache folder, which is not made yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kubectl-flux"


@pytest.fixture
def cluster(tmp_path, monkeypatch, programs, temp, cache):
    """An API server and a kubeconfig of it, which is this process's; its cache is empty."""
    server = ApiServer()
    with serving(server) as url:
        write_kubeconfig(tmp_path / "config", url)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        for variable in VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        yield server
    assert list(temp.iterdir()) == [], "a folder was left behind"
