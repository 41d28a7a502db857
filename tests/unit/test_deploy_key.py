"""The deploy key's public half, by the real ssh-keygen."""

import json
import os
import shutil
import subprocess
import threading

import pytest
from served_api import Served

from agent.api.call import Call, Slots
from agent.api.keys import IDENTITY_PATH, PublicKeys, identity_page
from agent.git import keys
from agent.git.keys import DeployKey, PublicKey
from agent.model.access import LIST_WORKLOADS, Caller, ForbiddenError, Visible
from agent.model.errors import GitError
from agent.model.ids import WorkloadId
from agent.model.workloads import Workload, WorkloadSnapshot
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

pytestmark = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")


def keygen(path, *more, passphrase=""):
    """Make a key there; its public half without the line break."""
    path.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "flux of acme", *more, "-f", path]
    subprocess.run(command, check=True, timeout=20, stdin=subprocess.DEVNULL)
    return path.with_name(f"{path.name}.pub").read_text().strip()


def test_the_public_half_is_that_of_the_file_and_follows_it(tmp_path):
    path = tmp_path / "identity"
    key = DeployKey(str(path))
    assert key.public() == PublicKey()
    public = keygen(path)
    found = key.public()
    assert found.key == public
    assert found.fingerprint.startswith("256 SHA256:")
    assert found.fingerprint.endswith(" flux of acme (ED25519)")
    assert found.randomart.startswith("+--[ED25519 256]--+\n")
    assert key.public() is found
    replaced = keygen(path)
    assert replaced != public
    assert key.public().key == replaced
    path.unlink()
    assert key.public() == PublicKey()
    assert DeployKey("").public() == PublicKey()


def test_an_old_pem_key_will_do(tmp_path):
    path = tmp_path / "identity"
    public = keygen(path, "-t", "rsa", "-m", "PEM")
    assert DeployKey(str(path)).public().key.split()[:2] == public.split()[:2]


@pytest.mark.parametrize("form", ["RFC4716", "PEM"])
def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path, form, monkeypatch):
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    program.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(program))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    monkeypatch.setenv("DISPLAY", ":0")
    path = tmp_path / "identity"
    keygen(path, "-t", "rsa", "-m", form, passphrase="secret")
    with pytest.raises(GitError, match=r"incorrect passphrase.*\(the agent has nobody to ask"):
        DeployKey(str(path)).public()
    assert not asked.exists()


def test_what_is_no_key_is_told_with_the_next_thing_to_try(tmp_path):
    path = tmp_path / "identity"
    path.write_text("not a key\n")
    path.chmod(0o600)
    key = DeployKey(str(path))
    with pytest.raises(GitError, match=r"^the deploy key cannot be used: Load key .* private ssh key\)$"):
        key.public()
    path.chmod(0o644)
    with pytest.raises(GitError, match=r"^the deploy key cannot be used: Load key .*defaultMode: 0400\)$"):
        key.public()


def test_a_file_that_never_ends_does_not_hang_the_agent(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "TIMEOUT", 0.2)
    path = tmp_path / "identity"
    os.mkfifo(path, 0o600)
    with pytest.raises(GitError, match=r"within 0\.2 s"):
        DeployKey(str(path)).public()


def test_a_machine_without_ssh_keygen_is_told(tmp_path, monkeypatch):
    path = tmp_path / "identity"
    keygen(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match=r"could not be started.*\(install OpenSSH\)"):
        DeployKey(str(path)).public()


class Rights:
    caller = Caller()

    def __init__(self, namespaces):
        self.namespaces = frozenset(namespaces)

    def visible(self, right, namespaces):
        assert right == LIST_WORKLOADS
        if not self.namespaces & set(namespaces):
            raise ForbiddenError("nowhere")
        return Visible(everything=False, namespaces=self.namespaces)


def test_who_may_list_workloads_anywhere_may_see_the_key():
    class Reads:
        def workloads(self):
            return WorkloadSnapshot((Workload(WorkloadId("demo", "deployment", "a"), ()),))

    def call(*namespaces):
        return Call(Slots(1), threading.Event(), lambda: True, lambda: None, lambda _: "", Rights(namespaces))

    handler = PublicKeys(lambda: PublicKey("ssh-ed25519 A", "256 SHA256:x flux (ED25519)", "+-+\n"), Reads())
    answer = handler(pb.GetPublicKeyRequest(), call("demo"))
    assert (answer.key, answer.fingerprint, answer.randomart) == (
        "ssh-ed25519 A",
        "256 SHA256:x flux (ED25519)",
        "+-+\n",
    )
    with pytest.raises(ForbiddenError):
        handler(pb.GetPublicKeyRequest(), call("other"))


def test_flux_v1s_probe_is_answered_with_or_without_a_key(tmp_path):
    path = tmp_path / "identity"
    api = Served(pages={IDENTITY_PATH: identity_page(DeployKey(str(path)).public)})
    try:
        status, body = api.get(IDENTITY_PATH)
        assert (status, json.loads(body)) == (200, {"key": "", "fingerprints": None})
        public = keygen(path)
        status, body = api.get(IDENTITY_PATH)
        found = json.loads(body)
        assert (status, found["key"]) == (200, f"{public}\n")
        assert found["fingerprints"]["sha256"].keys() == {"hash", "randomart"}
        assert ":" not in found["fingerprints"]["sha256"]["hash"]
        path.write_text("no key")
        assert api.get(IDENTITY_PATH)[0] == 200
        assert api.get(IDENTITY_PATH, method="POST")[0] == 405
    finally:
        api.close()
