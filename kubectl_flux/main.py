"""The entry of `kubectl flux`: reads the command line, runs the command, and turns every error into words and a code.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 the agent cannot be reached, 130 interrupted. Start-up is the
plugin's cost: nothing here or in `commands/` may import protobuf, yaml, http.client or json before a command needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from kubectl_flux.arguments import PROGRAM, parse
from kubectl_flux.commands.root import command_tree
from kubectl_flux.errors import PluginError, UsageError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, `sys.argv` by default; returns the exit code."""
    try:
        _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except PluginError as error:
        return _explain(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; what is left in the buffer must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PluginError.exit_code
    return 0


def _run(argv: Sequence[str]) -> None:
    root = command_tree()
    parsed = parse(argv, root)
    if parsed.wants_help:
        from kubectl_flux.usage import command_help, root_help  # noqa: PLC0415 - for help only

        command = root.commands.get(parsed.command)
        sys.stdout.write(command_help(root, command) if command else root_help(root))
        return
    try:
        with root.make_context(PROGRAM, parsed.for_click()) as context:
            root.invoke(context)
    except click.ClickException as error:
        raise _in_our_words(error, parsed.command) from error
    except UsageError as error:
        error.command = error.command or parsed.command
        raise


def _in_our_words(error: click.ClickException, command: str) -> PluginError:
    """Click's complaint about a value as pflag would have put it."""
    return UsageError(error.format_message().rstrip("."), command=command)


def _explain(error: PluginError) -> int:
    """Write what happened and what to try next to stderr; returns the exit code."""
    lines = [f"Error: {error.message}"]
    if error.hint:
        lines.append(error.hint)
    if isinstance(error, UsageError):
        lines.append(f"Run '{' '.join([PROGRAM, *filter(None, [error.command])])} --help' for usage.")
    sys.stderr.write("\n".join(lines) + "\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
