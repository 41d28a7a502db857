"""The flag table as people read it: the usage text, and docs/flags.md.

Pure text from `agent/flag_table.py`. A test compares docs/flags.md with `markdown()`, so that it never drifts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from agent.flag_row import Flag
from agent.flag_table import FLAGS
from agent.pflag import format_value

_INTRODUCTION = """\
<!-- Written by `python -m agent.flags > docs/flags.md`; edit agent/flag_table.py and agent/flag_docs.py instead. -->

# Flags of flux-agent

`flux-agent` takes all flags of Flux v1's `fluxd`, so that its argument lists work unchanged, and some of its own.

## How they are read

- `--flag=value` and `--flag value` are the same. A boolean is `--flag` or `--flag=false`, never `--flag false`;
  1, t, T, TRUE, true, True and their opposites are understood. Names are never abbreviated.
- `-l :3030`, `-l:3030` and `-l=:3030` are the same; short flags can be bundled.
- A duration is a number with a unit, or several of them: `300ms`, `1.5h`, `1h30m`. The units are `ns`, `us`, `ms`,
  `s`, `m` and `h`. 0 needs no unit.
- A list is separated by commas; `"a,b"` in double quotes is one item. A flag given again adds to its list; any other
  flag given again replaces what it was. A list's default is replaced by what is given; `--flag=` makes it empty.
- `--` ends the flags. There are no other arguments.
- Every flag but `--help` and `--version` is also read from the environment: `--git-url` from `FLUX_AGENT_GIT_URL`.
  The command line wins, also over lists. An empty variable counts as not set.
- What makes no sense stops the agent at once with exit code 2: an unknown flag, a value of the wrong kind, two
  listeners at one address.

Status tells whether a flag has an effect. *later*: accepted, its feature comes in a later release. *gone*: accepted and
ignored, what it named no longer exists. *deprecated*: acts as its replacement. Each of these given is told once in the
log when the agent starts.
"""

_CHANGES = """\
## Changes from Flux v1

- **Nothing in the repository is run** unless `--manifest-generation`: `.flux.yaml` holds shell commands, and whoever
  may push would run them with the agent's rights.
- **`--memcached-hostname` is empty.** What v1 kept in memcached belongs into an embedded database in `--cache-dir`, one
  thing less to run and to secure; memcached is for those who name it.
- **`--sync-garbage-collection` has a brake.** A wrong path or a bad merge looks like a wish to delete everything, so
  deletions that are more than `--sync-garbage-collection-limit` are held until they are approved: by default when they
  are more than 10 objects and more than 20 % of what the source holds, or all objects of a source that has three or
  more. `20%` or `10` alone asks for that one only; `none` switches the brake off.
- **Some kinds are held by themselves**, `--sync-garbage-collection-hold-kinds`: with a Namespace, a
  CustomResourceDefinition, a PersistentVolume or a PersistentVolumeClaim goes what git cannot bring back. The rest of
  the deletions goes on. `--sync-garbage-collection-hold-kinds=` empties the list.
- **`--listen-grpc` is new and `:3032`**, because v1's installations use 3031 for metrics. `--listen` carries the same
  API over HTTP for the API server's proxy, `/healthz`, `/readyz`, and `/metrics` unless `--listen-metrics`.
- **`--auth` is new and `token`**: v1 let everybody in who could reach its port.
- **`--registry-rps` is 200 and `--registry-burst` 125**, as v1's documentation has them (its last release had 50 and
  10). Both are ceilings, below which each host finds its own pace.
- **`--kubeconfig` and `--context` are new**, to run the agent outside a cluster; `--kube-config` acts as the former.
  `--kubernetes-kubectl` and `--k8s-in-cluster` are ignored: the agent applies without kubectl and sees where it runs.
- **`--connect`, `--token` and `--rpc-timeout` are ignored**: the hosted service is gone.
- **Wrong values stop the agent.** v1 took every `--log-format` and ignored words that are no flags; both hid typing
  errors.
- **The environment is read**, so that values can come from a Secret or ConfigMap without a shell.
"""


def help_text() -> str:
    """Return the usage text: pflag's columns, under the table's headings, without what is deprecated or gone."""
    shown = [flag for flag in FLAGS if flag.status in ("active", "later")]
    width = max(len(_usage_name(flag)) for flag in shown) + 3
    lines = ["flux-agent keeps a cluster equal to a git repository.", "", "Usage:", "  flux-agent [flags]"]
    for title, flags in groupby(shown, lambda flag: flag.group):
        lines += ["", f"{title}:"]
        lines += [f"{_usage_name(flag):<{width}}{_usage_meaning(flag)}" for flag in flags]
    lines += ["", "Every flag is also read from the environment: --git-url from FLUX_AGENT_GIT_URL."]
    return "\n".join(lines) + "\n"


def _usage_name(flag: Flag) -> str:
    indent = "  " if flag.shorthand else "      "
    return f"{indent}{flag.label}{'' if flag.kind == 'bool' else f' {flag.kind}'}"


def _usage_meaning(flag: Flag) -> str:
    default = format_value(flag.kind, flag.default)
    later = " (no effect yet)" if flag.status == "later" else ""
    return f"{flag.help}{f' (default {default})' if default else ''}{later}"


def markdown() -> str:
    """Return docs/flags.md."""
    return "\n".join((_INTRODUCTION, *_tables(), _CHANGES))


def _tables() -> Iterator[str]:
    for title, flags in groupby(FLAGS, lambda flag: flag.group):
        rows = [f"| {_name(flag)} | {_default(flag)} | {_cell(flag.help)} | {_status(flag)} |" for flag in flags]
        yield "\n".join((f"## {title}", "", "| flag | default | meaning | status |", "|---|---|---|---|", *rows, ""))


def _name(flag: Flag) -> str:
    names = f"`--{flag.name}`" + (f", `-{flag.shorthand}`" if flag.shorthand else "")
    return names if flag.kind == "bool" else f"{names} *{flag.kind}*"


def _default(flag: Flag) -> str:
    text = format_value(flag.kind, flag.default).strip('[]"')
    return f"`{_cell(text)}`" if text else ""


def _status(flag: Flag) -> str:
    if flag.status == "deprecated":
        return f"deprecated: use `--{flag.replacement}`"
    return f"{flag.status}: {flag.note}" if flag.note else flag.status


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
