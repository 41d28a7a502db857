"""The plugin's errors: each a finished sentence, the next thing to try, and the exit code it means.

    PluginError            1: the operation failed
    ├── UsageError         2: wrong usage
    ├── UnreachableError   3: the agent cannot be reached
    │   └── SilentError    3: it was connected to, and did not answer in time
    ├── RefusedError       1: the agent or the API server refused
    │   ├── NotFoundError  1: the agent does not know what was asked for
    │   └── BusyError      1: the agent has no room for this call now
    └── TimedOutError      1: the time given by --timeout is over

`main` has the one converter to stderr and exit code; nothing else prints errors or exits.
"""

from __future__ import annotations

from typing import ClassVar


class PluginError(Exception):
    """What happened, to which object, and the next thing to try.

    Attributes:
        message: One sentence, without secrets.
        hint: The next thing to try; empty where there is none.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def hint_beside(sentence: str, hint: str) -> str:
    """The plugin's own hint for a sentence of the agent's; empty where the agent gave a better one.

    The agent writes an error as `sentence (hint)`, so a sentence that ends in a parenthesis brings its hint along.
    """
    return "" if sentence.rstrip().endswith(")") else hint


def without_hint(sentence: str) -> str:
    """The agent's sentence without the hint in the parenthesis at its end."""
    text = sentence.rstrip()
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(text[at], 0)
        if depth == 0:
            return text[:at].rstrip() if text[at] == "(" else text
    return text


class UsageError(PluginError):
    """The command line makes no sense as it stands; its words are pflag's, as Flux v1's were.

    Attributes:
        command: The command whose help tells more; empty for the plugin's own.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, command: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.command = command


class UnreachableError(PluginError):
    """Nothing of the agent's answered; the call may never have arrived."""

    exit_code: ClassVar[int] = 3


class SilentError(UnreachableError):
    """A connection was made, and no answer came in time."""


class RefusedError(PluginError):
    """The call arrived and was refused or failed there."""


class NotFoundError(RefusedError):
    """The agent does not know what was asked for."""


class BusyError(RefusedError):
    """The agent has no room for this call at present."""


class TimedOutError(PluginError):
    """The time given by --timeout is over."""
