"""krew's rules for a plugin manifest, as its documentation and its own validation state them."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from urllib.parse import urlsplit

SEMVER = r"v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"


def faults(manifest, *, released=True):
    """What krew would refuse, as sentences; without `released` a checksum may still be a placeholder."""
    metadata, spec = manifest["metadata"], manifest["spec"]
    checks = {
        "apiVersion": manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2",
        "kind": manifest["kind"] == "Plugin",
        "name": re.fullmatch(r"[\w-]+", metadata["name"]) is not None,
        "version": re.fullmatch(SEMVER, spec["version"]) is not None,
        "homepage": urlsplit(spec["homepage"]).scheme == "https",
        "shortDescription is one line of at most 50": 0 < len(spec["shortDescription"].strip()) <= 50
        and "\n" not in spec["shortDescription"],
        "description": bool(spec["description"].strip()),
        "platforms": bool(spec["platforms"]),
        "unknown fields": set(spec)
        <= {"version", "homepage", "shortDescription", "description", "caveats", "platforms"},
    }
    found = [name for name, holds in checks.items() if not holds]
    selectors = [tuple(sorted(platform["selector"]["matchLabels"].items())) for platform in spec["platforms"]]
    if len(set(selectors)) != len(selectors):
        found.append("a platform stands there twice")
    return found + [fault for platform in spec["platforms"] for fault in _of_platform(platform, released=released)]


def _of_platform(platform, *, released):
    files = platform["files"]
    checks = {
        "unknown fields": set(platform) == {"selector", "uri", "sha256", "files", "bin"},
        "selector": set(platform["selector"]["matchLabels"]) == {"os", "arch"},
        "uri": urlsplit(platform["uri"]).scheme == "https" and platform["uri"].endswith((".tar.gz", ".zip")),
        "sha256": not released or re.fullmatch("[0-9a-f]{64}", platform["sha256"]) is not None,
        "files": bool(files) and all(set(file) == {"from", "to"} and all(file.values()) for file in files),
        "files stay inside": not any(part == ".." for file in files for part in file["to"].split("/")),
        "bin": bool(platform["bin"]) and not platform["bin"].startswith("/"),
        "bin is among the files": any(fnmatch(platform["bin"], file["from"]) for file in files),
    }
    return [name for name, holds in checks.items() if not holds]
