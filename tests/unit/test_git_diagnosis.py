from __future__ import annotations

import pytest

from agent.git.command import one_line
from agent.git.diagnosis import PushVerdict, diagnose, diagnose_push

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


NOT_PUSHED = "\nerror: failed to push some refs to 'https://example.com/x'"


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (" ! [rejected]  1f -> master (fetch first)" + NOT_PUSHED, PushVerdict.LOST_RACE),
        (" ! [rejected]  1f -> master (non-fast-forward)" + NOT_PUSHED, PushVerdict.LOST_RACE),
        (" ! [rejected]  1f -> master (stale info)" + NOT_PUSHED, PushVerdict.LOST_RACE),
        (
            "remote: error: cannot lock ref 'refs/heads/master': is at 1f but expected 2e\n"
            " ! [remote rejected] 1f -> master (failed to update ref)" + NOT_PUSHED,
            PushVerdict.LOST_RACE,
        ),
        (" ! [remote rejected] 1f -> master (incorrect old value provided)", PushVerdict.LOST_RACE),
        (" ! [remote rejected] 1f -> master (unpacker error)" + NOT_PUSHED, PushVerdict.SERVER_TROUBLE),
        (" ! [remote rejected] 1f -> master (Internal Server Error)" + NOT_PUSHED, PushVerdict.SERVER_TROUBLE),
        (
            "remote: fetch first, then ! [rejected] x -> y (fetch first)\n"
            " ! [remote rejected] 1f -> master (pre-receive hook declined)" + NOT_PUSHED,
            PushVerdict.REFUSED,
        ),
        (" ! [remote rejected] 1f -> m (protected branch hook declined)" + NOT_PUSHED, PushVerdict.REFUSED),
        (" ! [remote rejected] 1f -> m (TF402455: not permitted; use a pull request.)", PushVerdict.REFUSED),
        ("ERROR: Permission to acme/x.git denied to deploy key\n" + ACCESS, PushVerdict.REFUSED),
        ("ERROR: The key you are authenticating with has been marked as read only.\n" + ACCESS, PushVerdict.REFUSED),
        ("remote: You are not allowed to push code to this project.\n" + ACCESS, PushVerdict.REFUSED),
        ("FATAL: W any cluster flux DENIED by fallthru\n" + ACCESS, PushVerdict.REFUSED),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 403", PushVerdict.REFUSED),
        ("ERROR: Repository not found.\n" + ACCESS, PushVerdict.OTHER),
        ("fatal: unable to create '/cache/x.lock': Read-only file system", PushVerdict.OTHER),
        ("Host key verification failed.\n" + ACCESS, PushVerdict.OTHER),
        ("fatal: the remote end hung up unexpectedly" + NOT_PUSHED, PushVerdict.OTHER),
    ],
)
def test_the_words_about_a_push_tell_a_lost_race_from_a_refusal(words, verdict):
    assert diagnose_push(one_line(words)) is verdict
