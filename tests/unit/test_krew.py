"""krew's manifest of the plugin, as it stands in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from krew_rules import faults

from kubectl_flux import __version__

SOURCE = Path(__file__).parents[2] / "krew.yaml"


@pytest.fixture
def manifest():
    return yaml.safe_load(SOURCE.read_text())


def test_the_manifest_is_what_krew_wants(manifest):
    assert faults(manifest, released=False) == []
    assert (manifest["metadata"]["name"], manifest["spec"]["version"]) == ("flux", f"v{__version__}")


def test_it_cannot_be_taken_for_a_released_one(manifest):
    assert "sha256" in faults(manifest)
    assert {platform["sha256"] for platform in manifest["spec"]["platforms"]} == {
        "PLACEHOLDER-FOR-THE-CHECKSUM-OF-THE-RELEASED-ARCHIVE"
    }


def test_every_platform_names_its_own_archive_of_this_version(manifest):
    for platform in manifest["spec"]["platforms"]:
        system, machine = (platform["selector"]["matchLabels"][key] for key in ("os", "arch"))
        assert platform["uri"].endswith(f"/kubectl-flux-{__version__}-{system}-{machine}.tar.gz")


def test_the_rules_notice_faults(manifest):
    manifest["spec"]["platforms"][0]["bin"] = "/kubectl-flux"
    manifest["spec"]["shortDescription"] = "a\nb"
    found = faults(manifest, released=False)
    assert found == ["shortDescription is one line of at most 50", "bin"]
