"""What `make dist` makes: the wheel with its two programs, and the archive of the plugin that needs no Python."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from krew_rules import faults
from packaging.requirements import Requirement

from kubectl_flux import __version__

ROOT = Path(__file__).parents[2]
RELEASES = "https://releases.example.com/v0"
TIMEOUT = 600
PLUGIN_NEEDS = ("click", "protobuf", "PyYAML", "typer")

pytestmark = pytest.mark.timeout(900)  # PyInstaller takes its time


def run(*command, **environ):
    """Run a program to its end, in this environment if one is given; what it said is kept."""
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environ or None, timeout=TIMEOUT)


def lacking():
    """What this machine lacks to build the archive; empty where nothing is missing."""
    done = run(sys.executable, ROOT / "scripts" / "dist.py", "--check")
    return done.stderr.strip() if done.returncode else ""


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder dist/, built once."""
    if reason := lacking():
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    target = tmp_path_factory.mktemp("made") / "dist"
    environ = {**os.environ, "RELEASES": RELEASES}
    done = run(sys.executable, ROOT / "scripts" / "dist.py", target, **environ)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def archive(dist):
    (found,) = dist.glob(f"kubectl-flux-{__version__}-*.tar.gz")
    return found


@pytest.fixture(scope="module")
def alone(archive, tmp_path_factory):
    """An environment with nothing but kubectl and the unpacked archive, and the function that runs programs in it."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "flux").mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", folder / "flux"], check=True, timeout=TIMEOUT)
    (folder / "bin").mkdir()
    if shutil.which("kubectl"):
        (folder / "bin" / "kubectl").symlink_to(Path(shutil.which("kubectl")).resolve())
    path = f"{folder}/flux:{folder}/bin"

    assert shutil.which("python3", path=path) is None
    return lambda program, *arguments: run(shutil.which(program, path=path), *arguments, PATH=path)


def test_the_archive_holds_the_plugin_the_helper_and_the_licence_and_no_agent(archive):
    with tarfile.open(archive) as tar:
        entries = tar.getmembers()
    names = [entry.name for entry in entries]
    assert {"kubectl-flux", "kubectl_complete-flux", "LICENSE"} <= set(names)
    assert {name.partition("/")[0] for name in names} == {"kubectl-flux", "kubectl_complete-flux", "LICENSE", "lib"}
    assert not [name for name in names if any(word in name for word in ("agent", "grpc", "kubernetes", "rich"))]
    # krew unpacks plain files only.
    assert all(entry.isreg() for entry in entries)


def test_the_archive_tells_nothing_of_the_machine_that_built_it(archive):
    with tarfile.open(archive) as tar:
        entries = tar.getmembers()
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries} == {(946684800, 0, 0, "")}
    assert {entry.mode for entry in entries} == {0o644, 0o755}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kubectl_runs_the_plugin_without_any_python(alone):
    done = alone("kubectl", "flux", "version", "--client")
    assert (done.stdout, done.stderr, done.returncode) == (f"{__version__}\n", "", 0)
    done = alone("kubectl", "flux", "--help")
    assert done.stdout.startswith("Drive GitOps for Kubernetes")
    done = alone("kubectl", "__complete", "flux", "list-wor")
    assert done.stdout.splitlines() == ["list-workloads\tList workloads currently running in the cluster", ":4"]


def test_what_commands_load_later_is_in_the_archive(alone):
    for address in ("http://127.0.0.1:9", "https://127.0.0.1:9"):
        done = alone("kubectl-flux", "list-workloads", "--url", address)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith(f"Error: the agent at {address} cannot be reached")
    done = alone("kubectl-flux", "install", "--git-url=git@example.com:a/b", "--git-email=a@example.com")
    assert done.returncode == 0, done.stderr
    assert "Deployment" in [document["kind"] for document in yaml.safe_load_all(done.stdout)]


def test_kubectl_is_started_with_the_callers_libraries(alone, tmp_path):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho "libraries: ${LD_LIBRARY_PATH-none}" >&2\n')
    kubectl.chmod(0o755)
    program = alone("kubectl-flux", "version", "--client").args[0]
    for own in ("none", "/opt/lib"):
        environ = {"PATH": str(tmp_path), **({} if own == "none" else {"LD_LIBRARY_PATH": own})}
        done = run(program, "list-workloads", **environ)
        assert f"libraries: {own}\n" in done.stderr


def test_krews_manifest_names_the_archive_and_its_checksum(dist, archive):
    manifest = yaml.safe_load((dist / "krew.yaml").read_text())
    assert faults(manifest) == []
    (platform,) = manifest["spec"]["platforms"]
    assert platform["uri"] == f"{RELEASES}/{archive.name}"
    assert platform["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert archive.name.endswith("-{os}-{arch}.tar.gz".format(**platform["selector"]["matchLabels"]))


@pytest.fixture(scope="module")
def wheel(dist):
    (found,) = dist.glob("*.whl")
    return found


def test_the_wheel_brings_exactly_two_packages_and_three_programs(wheel):
    with zipfile.ZipFile(wheel) as packed:
        tops = {name.partition("/")[0] for name in packed.namelist()}
        info = next(name for name in tops if name.endswith(".dist-info"))
        programs = packed.read(f"{info}/entry_points.txt").decode()
    assert tops - {info} == {"agent", "kubectl_flux"}
    assert {line.partition(" ")[0] for line in programs.splitlines() if "=" in line} == {
        "flux-agent",
        "kubectl-flux",
        "kubectl_complete-flux",
    }


@pytest.fixture(scope="module")
def plain_environment(wheel, tmp_path_factory):
    """A virtual environment's programs, with the wheel and what the plugin alone needs; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("plain") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=TIMEOUT)
    install = [
        Path(sys.executable).with_name("uv"),
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-index",
        "--no-deps",
    ]
    subprocess.run([*install, "--python", folder / "bin" / "python", wheel], check=True, timeout=TIMEOUT)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in closure(PLUGIN_NEEDS):
        found = importlib.metadata.distribution(name)
        for file in found.files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found.locate_file(file), site / file)
    return folder / "bin"


def closure(names):
    """Distributions and all that they need in this environment."""
    needed = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            wanted = map(Requirement, importlib.metadata.requires(name) or ())
            waiting.extend(r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""}))
    return needed


def test_the_plugin_runs_on_its_own_few_libraries(plain_environment):
    done = run(plain_environment / "kubectl-flux", "list-workloads", "--url", "http://127.0.0.1:9")
    assert (done.returncode, done.stderr.startswith("Error: the agent at http://127.0.0.1:9 cannot")) == (3, True)


def test_the_agent_without_its_libraries_says_how_to_get_them(plain_environment):
    done = run(plain_environment / "flux-agent", "--git-url=git@example.com:a/b")
    assert done.returncode == 2, done.stderr
    assert done.stderr.endswith("pip install 'kubectl-flux[agent]'\n")
    assert "Traceback" not in done.stderr
