"""What git's complaints mean: one table from its words to the next thing to try.

Git tells causes in text only, so the text is read here and nowhere else. Children run with LC_ALL=C, which keeps git
and ssh to these words. The first row that matches counts: more telling ones stand before the general ones.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class Diagnosis(NamedTuple):
    """The next thing to try, and whether waiting alone may help."""

    hint: str = ""
    temporary: bool = False


_UNREACHABLE = Diagnosis("the git server cannot be reached at present; the agent tries again", temporary=True)

_TABLE: tuple[tuple[re.Pattern[str], Diagnosis], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), diagnosis)
    for pattern, diagnosis in (
        (
            r"unprotected private key|bad permissions",
            Diagnosis("ssh ignores a key that others may read: mount the Secret with defaultMode 0400"),
        ),
        (
            r"remote host identification has changed",
            Diagnosis("the server's host key has changed: if that is right, put the new one into known_hosts"),
        ),
        (
            r"host key verification failed|no matching host key|host key is known for",
            Diagnosis("the server's host key is unknown: put it into known_hosts (ConfigMap flux-ssh-config)"),
        ),
        (
            r"permission denied \(|too many authentication failures",
            Diagnosis(
                "the server does not accept the key: give the deploy key in Secret flux-git-deploy write access "
                "at the git server"
            ),
        ),
        (
            r"authentication failed|could not read (username|password)|error: 40[13]\b|access denied",
            Diagnosis("the server does not accept the user and token in --git-url"),
        ),
        (
            r"repository (not found|'.*' not found)|error: 404\b|could not be found|not appear to be a git repository",
            Diagnosis("check --git-url, and that the key or token may read the repository"),
        ),
        (
            r"dubious ownership",
            Diagnosis("the repository belongs to another user: set safe.directory in the agent's ~/.gitconfig"),
        ),
        (
            r"could not resolve|temporary failure in name resolution|name or service not known",
            Diagnosis("check the host name in --git-url, and the cluster's DNS", temporary=True),
        ),
        (
            r"connection (refused|timed out|reset|closed)|operation timed out|no route to host|network is unreachable",
            _UNREACHABLE,
        ),
        (r"(failed|couldn't|unable) to connect|early eof|hung up|rpc failed|unexpected disconnect", _UNREACHABLE),
        (r"error: (429|5\d\d)\b", _UNREACHABLE),
        (
            r"certificate|\bssl\b.*\b(verif|problem|error)",
            Diagnosis("mount the authority's certificate and name it in GIT_SSL_CAINFO"),
        ),
        (r"no space left on device|disk quota|out of diskspace", Diagnosis("make room in --cache-dir")),
        (r"read-only file system", Diagnosis("mount a writable volume at --cache-dir")),
    )
)

_STATUS = re.compile(r"(?:^|; )! \[(?:remote )?rejected\] .*? \((.*?)\)(?:; |$)")
"""How git reports what became of a ref that was pushed; the group is the reason."""
_LOST_RACE = re.compile(
    r"fetch first|non-fast-forward|stale info|needs force|remote ref (updated|changed)|failed to (update ref|lock)"
    r"|lock (error|fail)|cannot lock ref|incorrect old value|reference already exists",
    re.IGNORECASE,
)
_SERVER_TROUBLE = re.compile(r"unpacker error|internal (server )?error|out of memory|index-pack", re.IGNORECASE)
_MAY_NOT_WRITE = re.compile(
    r"ERROR: (?!.*not (be )?found)|FATAL: |\bDENIED\b|[Pp]ermission to \S+ denied|as read.only"
    r"|[Rr]ead.only (key|access|repository|mirror|mode)"
    r"|(not allowed|no permission|not authori[sz]ed) to (push|write)|error: 403\b|was archived"
)


class PushVerdict(Enum):
    """What became of a push that failed."""

    LOST_RACE = "somebody else moved the ref first"
    REFUSED = "the server does not want it"
    SERVER_TROUBLE = "the server could not store it"
    OTHER = "the words tell nothing about the push itself; see diagnose"


def diagnose_push(complaint: str) -> PushVerdict:
    """What git and the server said of a push: first the status of the ref, then words of servers that sent none."""
    if status := _STATUS.search(complaint):
        for pattern, verdict in (
            (_LOST_RACE, PushVerdict.LOST_RACE),
            (_SERVER_TROUBLE, PushVerdict.SERVER_TROUBLE),
        ):
            if pattern.search(status[1]):
                return verdict
        return PushVerdict.REFUSED
    return PushVerdict.REFUSED if _MAY_NOT_WRITE.search(complaint) else PushVerdict.OTHER


def diagnose(complaint: str) -> Diagnosis:
    """What to try when git said this; nothing, and not temporary, for words that are not in the table."""
    for pattern, diagnosis in _TABLE:
        if pattern.search(complaint):
            return diagnosis
    return Diagnosis()
