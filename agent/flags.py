"""From the command line and the environment to Settings; the rows are in `agent/flag_table.py`.

Two layers, each read by `agent/pflag.py`'s rules: the environment's FLUX_AGENT_<FLAG> and the words of the command
line, which win flag by flag. Old names become their replacements inside their layer, so that an old name on the
command line beats a new one in the environment. What has no effect is told in `Settings.notices`, never silently
dropped. Values of flags that are ignored, and URLs, are not repeated in any text: they may hold passwords.

`python -m agent.flags` prints docs/flags.md.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.flag_docs import help_text, markdown
from agent.flag_row import Flag
from agent.flag_table import BY_NAME, FLAGS
from agent.model.errors import UsageError
from agent.pflag import UnknownFlagError, Value, convert, invalid, scan
from agent.settings import ApiSettings, ClusterSettings, GitSettings, RegistrySettings, Settings, SyncSettings

__all__ = ["HelpRequested", "VersionRequested", "help_text", "markdown", "parse"]

SLIPS = {
    "gpg-verify-signatures": "git-verify-signatures-mode",
    "ci-skip": "git-ci-skip",
    "ci-skip-message": "git-ci-skip-message",
}
"""Names that Flux v1's manual uses and that no release of it had, and what was meant."""

_GENERATING = ("manifest-generation", "git-secret", "sops")
"""Flags without effect yet that make objects appear in what is read: without them those objects look removed."""
_WRITERS = ("git-user", "git-email", "git-label", "git-sync-tag")
_LISTENERS = ("listen", "listen-grpc", "listen-metrics")

_Layer = dict[str, Value]
_Given = tuple[Flag, str, str]
"""A flag, its text, and the place it was given at, as errors tell it."""


class HelpRequested(Exception):  # noqa: N818 -- a request, not an error
    """The flags ask for `help_text()` and nothing else."""


class VersionRequested(Exception):  # noqa: N818 -- a request, not an error
    """The flags ask for the version and nothing else."""


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Read the flags.

    Args:
        argv: The words behind the program's name.
        environ: The environment; an empty variable counts as not set.

    Raises:
        UsageError: A flag is unknown or its value makes no sense.
        HelpRequested: With --help, unless something before it is wrong.
        VersionRequested: With --version.
    """
    line = _layer(_words(argv))
    if line.get("version"):
        raise VersionRequested
    variables = _layer(_variables(environ))
    given = _renamed(variables) | _renamed(line)
    values = {flag.name: given.get(flag.name, flag.default) for flag in FLAGS}
    _check_listeners(values)
    notices = (*_notices(line.keys() | variables.keys()), *_conflicts(given))
    return _settings(_implied(values), notices)


def _words(argv: Sequence[str]) -> Iterator[_Given]:
    kinds = {flag.name: flag.kind for flag in FLAGS}
    shorthands = {flag.shorthand: flag.name for flag in FLAGS if flag.shorthand}
    try:
        for name, text in scan(argv, kinds, shorthands):
            if name == "help":
                raise HelpRequested
            yield BY_NAME[name], text, f'"{BY_NAME[name].label}" flag'
    except UnknownFlagError as error:
        raise UsageError(error.message, hint=_hint(error)) from None


def _hint(error: UnknownFlagError) -> str:
    """Say which flag may have been meant."""
    if error.name in SLIPS:
        return f"Flux v1's manual misspells --{SLIPS[error.name]}"
    if error.name in BY_NAME:
        return f"a long flag takes two dashes: --{error.name}"
    names = [flag.name for flag in FLAGS if flag.status == "active"]
    close = difflib.get_close_matches(error.name.lower().replace("_", "-"), names, n=1, cutoff=0.8)
    return f"did you mean --{close[0]}?" if close else "--help lists all flags"


def _variables(environ: Mapping[str, str]) -> Iterator[_Given]:
    for flag in FLAGS:
        if flag.variable and (text := environ.get(flag.variable)):
            yield flag, text, f'"{flag.variable}" variable'


def _layer(given: Iterable[_Given]) -> _Layer:
    """Convert and check; a repeated list adds, anything else repeated keeps the last."""
    layer: _Layer = {}
    for flag, text, place in given:
        value = "" if flag.status == "gone" else _value(flag, text, place)
        before = layer.get(flag.name)
        layer[flag.name] = before + value if isinstance(before, tuple) and isinstance(value, tuple) else value
    return layer


def _value(flag: Flag, text: str, place: str) -> Value:
    try:
        value = convert(flag.kind, text)
        flag.check(value)
    except ValueError as error:
        raise invalid(text, place, error) from None
    return value


def _renamed(layer: _Layer) -> _Layer:
    """Give each old name's value to its replacement: lists are joined, otherwise the new name wins, as in v1."""
    renamed = dict(layer)
    for flag in FLAGS:
        if not flag.replacement or flag.name not in layer:
            continue
        name, _, stands_for = flag.replacement.partition("=")
        value = layer[flag.name]
        new = renamed.get(name)
        if stands_for and not value:
            continue
        if isinstance(value, tuple) and isinstance(new, tuple):
            renamed[name] = value + new
        elif new is None:
            renamed[name] = stands_for or value
    return renamed


def _notices(names: set[str]) -> Iterator[str]:
    """Yield one line for each flag given that is old or has no effect, in the table's order."""
    for flag in FLAGS:
        if flag.name not in names:
            continue
        if flag.status == "later":
            yield f"--{flag.name} has no effect yet: {flag.note}."
        elif flag.status == "gone":
            yield f"--{flag.name} is ignored: {flag.note}."
        elif flag.status == "deprecated":
            replacement = BY_NAME[flag.replacement.partition("=")[0]]
            effect = f"; it has no effect yet: {replacement.note}" if replacement.status == "later" else ""
            yield f"--{flag.name} is deprecated: use --{flag.replacement} instead{effect}."


def _conflicts(given: _Layer) -> Iterator[str]:
    """Yield a line where one flag takes another's effect away."""
    for name in ("git-sync-tag", "git-notes-ref"):
        if given.get("git-label") and name in given:
            yield f"--git-label overrides --{name}."
    generating = [f"--{name}" for name in _GENERATING if given.get(name)]
    if generating and (given.get("sync-garbage-collection") or given.get("sync-garbage-collection-dry")):
        yield (
            f"Garbage collection is off: what {', '.join(generating)} would make is missing from what is read, "
            "and would be deleted."
        )
    if not given.get("git-readonly"):
        return
    if given.get("sync-state") == "git":
        yield "--git-readonly prevents --sync-state=git: the state is kept in the Secret."
    if idle := [f"--{name}" for name in _WRITERS if name in given]:
        yield f"--git-readonly prevents writing to git, so there is no effect of {', '.join(idle)}."


def _check_listeners(values: _Layer) -> None:
    """Refuse two listeners at one address; port 0 is a free one each time."""
    seen: dict[Value, str] = {}
    for name in _LISTENERS:
        address = values[name]
        if not address or str(address).endswith(":0"):
            continue
        if address in seen:
            raise UsageError(f"--{seen[address]} and --{name} are the same address, {address}.")
        seen[address] = name


def _implied(values: _Layer) -> _Layer:
    """Carry out what one flag says about another."""
    implied = dict(values)
    if values["git-label"]:
        implied["git-sync-tag"] = implied["git-notes-ref"] = values["git-label"]
    if values["git-readonly"]:
        implied["sync-state"] = "secret"
    if values["sync-garbage-collection-dry"]:
        implied["sync-garbage-collection"] = True
    if any(values[name] for name in _GENERATING):
        implied["sync-garbage-collection"] = implied["sync-garbage-collection-dry"] = False
    # The key's target is a path: the Secret's keys are files below its mount.
    folder = str(values["k8s-secret-volume-mount-path"]).rstrip("/")
    implied["k8s-secret-data-key"] = f"{folder}/{values['k8s-secret-data-key']}"
    return implied


def _settings(values: _Layer, notices: tuple[str, ...]) -> Settings:
    fields: dict[str, dict[str, Any]] = {
        "git": {},
        "sync": {},
        "cluster": {},
        "api": {},
        "registry": {},
        "": {},
    }
    for flag in FLAGS:
        if flag.target:
            section, _, name = flag.target.rpartition(".")
            fields[section][name] = values[flag.name]
    return Settings(
        git=GitSettings(**fields["git"]),
        sync=SyncSettings(**fields["sync"]),
        cluster=ClusterSettings(**fields["cluster"]),
        api=ApiSettings(**fields["api"]),
        registry=RegistrySettings(**fields["registry"]),
        notices=notices,
        **fields[""],
    )


if __name__ == "__main__":
    sys.stdout.write(markdown())
