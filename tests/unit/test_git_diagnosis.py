from __future__ import annotations

import pytest

from agent.git.command import one_line
from agent.git.diagnosis import diagnose

ACCESS = "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n"


@pytest.mark.parametrize(
    ("words", "hint", "temporary"),
    [
        ("git@github.com: Permission denied (publickey).\n" + ACCESS, "Secret flux-git-deploy", False),
        ("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nPermission denied (publickey).", "0400", False),
        ("Host key verification failed.\n" + ACCESS, "known_hosts", False),
        ("No ED25519 host key is known for example.com and you have requested strict checking.", "known_hosts", False),
        ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.", "has changed", False),
        ("fatal: Authentication failed for 'https://example.com/x/'", "user and token", False),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "user and token", False),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 403", "user and token", False),
        ("remote: Repository not found.\nfatal: repository 'https://x/' not found", "check --git-url", False),
        ("fatal: '/git/x' does not appear to be a git repository\n" + ACCESS, "check --git-url", False),
        ("ERROR: The project you were looking for could not be found.", "check --git-url", False),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "DNS", True),
        ("ssh: connect to host x port 22: Connection refused\n" + ACCESS, "cannot be reached", True),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 503", "cannot be reached", True),
        ("fatal: the remote end hung up unexpectedly", "cannot be reached", True),
        ("fatal: unable to access 'https://x/': SSL certificate problem: self-signed", "GIT_SSL_CAINFO", False),
        ("fatal: detected dubious ownership in repository at '/git/x'", "safe.directory", False),
        ("error: file write error: No space left on device", "--cache-dir", False),
        ("fatal: something new", "", False),
    ],
)
def test_gits_words_become_a_hint(words, hint, temporary):
    diagnosis = diagnose(one_line(words))
    assert hint in diagnosis.hint
    assert bool(diagnosis.hint) == bool(hint)
    assert diagnosis.temporary is temporary


def test_a_complaint_becomes_one_line_without_advice_and_control_characters():
    words = "remote: \x1b[31mno\x1b[0m\x07 way   \r\nhint: try\n\nTo https://example.com/x\n ! [remote rejected] a\n"
    assert one_line(words) == "remote: no way; ! [remote rejected] a"
