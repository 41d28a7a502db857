"""The generated stubs are what protoc makes of the contract today."""

import importlib.resources
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUBS = ("flux_pb2.py", "flux_pb2.pyi", "flux_pb2_grpc.py")


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    out = tmp_path_factory.mktemp("stubs")
    with importlib.resources.as_file(importlib.resources.files("grpc_tools") / "_proto") as well_known:
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", "-I", "kubectl_flux/rpc=proto", "-I", well_known]
            + [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
            + ["kubectl_flux/rpc/flux/v1/flux.proto"],
            cwd=ROOT,
            check=True,
            timeout=60,
        )
    return out / "kubectl_flux/rpc/flux/v1"


@pytest.mark.parametrize("name", STUBS)
def test_the_stub_is_up_to_date(generated, name):
    committed = ROOT / "kubectl_flux/rpc/flux/v1" / name
    assert committed.read_bytes() == (generated / name).read_bytes(), "run: make proto"


def test_every_message_field_and_method_of_the_contract_has_a_comment():
    lines = (ROOT / "proto/flux/v1/flux.proto").read_text().splitlines()
    bare = [
        line
        for before, line in itertools.pairwise(lines)
        if line.strip().endswith((";", "{"))
        and not line.strip().startswith(("//", "syntax", "package", "import", "option"))
        and not before.strip().startswith("//")
    ]
    assert bare == []
