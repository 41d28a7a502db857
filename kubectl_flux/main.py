"""The entry of `kubectl flux`: reads the command line, runs the command, and turns every error into words and a code.

Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 the agent cannot be reached, 130 interrupted, 141 nobody reads
the output any more; `diff` has its own, as kubectl's. Start-up is the plugin's cost: nothing here or in `commands/` may
import protobuf, yaml, http.client or json before a command needs it. What takes long is imported inside `main`, so that
an interrupt ends it in silence from the first moment on.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kubectl_flux.errors import PluginError, UsageError
from kubectl_flux.streams import abandon, prepare

if TYPE_CHECKING:
    import click

INTERRUPTED = 130
UNREAD = 141
COMPLETE = "__complete"
SHOWN = 64
"""Characters of a value that an error repeats."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, `sys.argv` by default; returns the exit code."""
    prepare()
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except PluginError as error:
        return _explain(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except UnicodeEncodeError as error:
        return _explain(UsageError(f"{error.object[:SHOWN]!r} is no UTF-8 text"))
    except BrokenPipeError:
        abandon()
        return UNREAD
    except OSError as error:
        code = _explain(PluginError(f"cannot read or write: {error.strerror}: {error.filename or 'the output'}"))
        abandon()
    return code


def complete() -> int:
    """Run the program `kubectl_complete-flux`; returns the exit code."""
    return main([COMPLETE, *sys.argv[1:]])


def _run(argv: Sequence[str]) -> int:
    """Run the command; returns the code it ends with where nothing went wrong."""
    import click  # noqa: PLC0415 - within reach of an interrupt, as the next two

    from kubectl_flux.arguments import PROGRAM, parse  # noqa: PLC0415
    from kubectl_flux.commands.root import command_tree  # noqa: PLC0415

    if argv and argv[0] == COMPLETE:
        from kubectl_flux.completion import write_candidates  # noqa: PLC0415 - for shells only

        write_candidates(argv[1:])
        return 0
    root = command_tree()
    parsed = parse(argv, root)
    if parsed.wants_help:
        from kubectl_flux.usage import command_help, root_help  # noqa: PLC0415 - for help only

        command = root.commands.get(parsed.command)
        sys.stdout.write(command_help(root, command) if command else root_help(root))
        return 0
    try:
        with root.make_context(PROGRAM, parsed.for_click()) as context:
            root.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        raise _in_our_words(error, parsed.command) from error
    except UsageError as error:
        error.command = error.command or parsed.command
        raise
    return 0


def _in_our_words(error: click.ClickException, command: str) -> PluginError:
    """Click's complaint about a value as pflag would have put it."""
    return UsageError(error.format_message().rstrip("."), command=command)


def _explain(error: PluginError) -> int:
    """Write what happened and what to try next to stderr; returns the exit code."""
    from kubectl_flux.arguments import PROGRAM  # noqa: PLC0415 - loaded by now

    lines = [f"Error: {error.message}"]
    if error.hint:
        lines.append(error.hint)
    if isinstance(error, UsageError):
        lines.append(f"Run '{' '.join([PROGRAM, *filter(None, [error.command])])} --help' for usage.")
    with contextlib.suppress(OSError):
        sys.stderr.write("\n".join(lines) + "\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
