"""Who a commit is by: what people write, and what git makes of it.

`Name <email>` is taken as it stands. Only a name or only an address is looked up as `git commit --author` does: the
newest commit whose author contains it, in any case of letters. Unlike there it is plain text and no regular
expression, so that `Ann [ops]` is found and a pattern cannot keep git busy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.git.repository import Repository
from agent.model.errors import UsageError

MAX_AUTHOR = 500
"""Characters of what people may write."""

_WHOLE = re.compile(r"([^<>]*[^<>\s])\s*<\s*([^<>\s][^<>]*)>")


@dataclass(frozen=True, slots=True)
class Author:
    """A name and an e-mail address, as git writes them into a commit."""

    name: str
    email: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


def parsed_author(text: str) -> Author | None:
    """The author that `Name <email>` names; None for any other text."""
    match = _WHOLE.fullmatch(_plain(text))
    return Author(match[1].strip(), match[2].strip()) if match else None


def resolved_author(repository: Repository, text: str, base: str) -> Author:
    """The author that this text names, looked up in the history of the commit `base` where it is not whole.

    Raises:
        UsageError: It is empty or too long, or no author there matches.
        GitError: The history cannot be read.
    """
    plain = _plain(text)
    if len(plain) > MAX_AUTHOR:
        raise UsageError(f"the author is longer than {MAX_AUTHOR} characters", hint="give it as 'Name <email>'")
    author = parsed_author(plain)
    if author is None and plain and ">" not in plain:
        author = _known(repository, plain, base)
    if author is None:
        raise UsageError(
            f"git commit: fatal: --author '{plain}' is not 'Name <email>' and matches no existing author",
            hint="give it as 'Name <email>'",
        )
    return author


def _known(repository: Repository, text: str, base: str) -> Author | None:
    """The author of the newest commit whose author contains the text."""
    search = ("--fixed-strings", "--regexp-ignore-case", f"--author={text}")
    answer = repository.local("rev-list", "--max-count=1", *search, "--format=%an%x00%ae", base, "--")
    _, _, line = answer.decode(errors="replace").strip("\n").partition("\n")
    name, _, email = line.partition("\0")
    return Author(name, email) if name and email else None


def _plain(text: str) -> str:
    """The text without what git would drop from a commit's header."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
