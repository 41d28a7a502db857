"""Help as kubectl and cobra lay it out, made from the declared commands; the command reference is made of the same.

A command's docstring is its long text, its first line the one in lists; `epilog` holds its examples and
`rich_help_panel` the group it stands in.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping

import click

from kubectl_flux.arguments import HELP, PROGRAM, Flag


def root_help(root: click.Group) -> str:
    """The help of the plugin: what it is, its commands by groups, the global flags."""
    groups: dict[str, list[click.Command]] = {}
    for command in root.commands.values():
        if not command.hidden:
            groups.setdefault(str(getattr(command, "rich_help_panel", None) or "Other Commands"), []).append(command)
    return _joined(
        long_text(root),
        f"Usage:\n  {PROGRAM} [command]",
        _examples(root),
        *(
            f"{title}:\n{_columns({str(c.name): short_text(c) for c in commands})}"
            for title, commands in groups.items()
        ),
        f"Flags:\n{_flags(_options(root), f'help for {PROGRAM}')}",
        f'Use "{PROGRAM} [command] --help" for more information about a command.',
    )


def command_help(root: click.Group, command: click.Command) -> str:
    """The help of one command: its text, examples, its own flags and the global ones."""
    arguments = "".join(f" [{p.human_readable_name}]" for p in command.params if isinstance(p, click.Argument))
    return _joined(
        long_text(command),
        f"Usage:\n  {PROGRAM} {command.name}{arguments} [flags]",
        _examples(command),
        f"Flags:\n{_flags(_options(command), f'help for {command.name}')}",
        f"Global Flags:\n{_flags(_inherited(root, command))}",
    )


def reference(root: click.Group) -> str:
    """The command reference as Markdown."""
    parts = [
        "# Commands",
        "Made from the plugin's own declarations by `python -m kubectl_flux.reference`; do not edit.",
        f"## {PROGRAM}\n\n```text\n{root_help(root)}```",
        *(
            f"## {PROGRAM} {command.name}\n\n```text\n{command_help(root, command)}```"
            for command in root.commands.values()
            if not command.hidden
        ),
    ]
    return "\n\n".join(parts) + "\n"


def long_text(command: click.Command) -> str:
    """All of a command's text."""
    return inspect.cleandoc(command.help or "")


def short_text(command: click.Command) -> str:
    """The first line of a command's text, without its full stop."""
    return long_text(command).partition("\n")[0].rstrip(".")


def _examples(command: click.Command) -> str:
    if not command.epilog:
        return ""
    lines = inspect.cleandoc(command.epilog).splitlines()
    return "Examples:\n" + "\n".join(f"  {line}".rstrip() for line in lines)


def _options(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option) and not param.hidden]


def _inherited(root: click.Group, command: click.Command) -> list[click.Option]:
    """The global flags but for those that the command declares anew."""
    own = {name for option in _options(command) for name in option.opts}
    return [option for option in _options(root) if own.isdisjoint(option.opts)]


def _flags(options: Iterable[click.Option], help_text: str = "") -> str:
    rows = {_signature(Flag.of(option)): _explained(option) for option in options}
    if help_text:
        rows[_signature(HELP)] = help_text
    return _columns(dict(sorted(rows.items(), key=lambda row: row[0].partition("--")[2])))


def _signature(flag: Flag) -> str:
    """`-n, --namespace string`, or the long name alone where the short one would stand."""
    short = "".join(f"-{name}, " for name in flag.short) or "    "
    kind = "" if flag.kind == "bool" else f" {flag.kind}"
    return f"{short}--{flag.long[0]}{kind}"


def _explained(option: click.Option) -> str:
    default = option.show_default if isinstance(option.show_default, str) else ""
    return (option.help or "") + (f" (default {default})" if default else "")


def _columns(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows), default=0)
    return "\n".join(f"  {left.ljust(width)}   {right}".rstrip() for left, right in rows.items())


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
