"""`kubectl_complete-flux`, and `kubectl-flux __complete`: writes what fits at the end of a command line.

kubectl calls the program from its own completion (kubectl 1.26 or newer), the scripts of `kubectl flux completion` call
the command; both speak cobra's protocol: a candidate on each line, a tab and a text after it, and the directive last.
Names of the cluster are asked for with little patience, and nothing but candidates is ever written: an error here
would stand in the middle of somebody's command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from kubectl_flux.arguments import Flag, parse_bool
from kubectl_flux.candidates import CONTEXTS, NAMESPACES, Offer, fitting, offer
from kubectl_flux.commands.root import command_tree
from kubectl_flux.errors import PluginError
from kubectl_flux.options import GlobalFlags, Globals, resolve

if TYPE_CHECKING:
    from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

STDIN, STDERR = 0, 2
PATIENCE = 2.0
"""Seconds for the agent's answer."""


def write_candidates(argv: Sequence[str]) -> None:
    """Complete the last of these words, on stdout."""
    *words, word = argv or [""]
    root = command_tree()
    offered = offer(root, words, word)
    named = fitting(_names(root, offered), offered.typed) if offered.names else ()
    sys.stdout.write(protocol((*offered.candidates, *named), offered.directive))


def protocol(candidates: Iterable[tuple[str, str]], directive: int) -> str:
    """Candidates and directive as cobra writes them; pure."""
    lines = [f"{value}\t{' '.join(text.split())}" if text else value for value, text in candidates]
    return "\n".join([*lines, f":{directive}"]) + "\n"


def settings_of(root: click.Group, given: Sequence[tuple[Flag, str]]) -> Globals:
    """The global settings of an unfinished command line.

    Raises:
        UsageError: A value cannot be read.
    """
    values: dict[str, Any] = {}
    for option in root.params:
        if isinstance(option, click.Option) and option.name:
            flag = Flag.of(option)
            found = [value for other, value in given if other == flag]
            if found and option.is_flag:
                values[option.name] = parse_bool(found[-1], flag)
            elif found:
                values[option.name] = tuple(found) if option.multiple else found[-1]
    return resolve(GlobalFlags(**values), os.environ)


def _names(root: click.Group, offered: Offer) -> list[str]:
    """The names asked for; none where they cannot be had soon."""
    try:
        settings = settings_of(root, offered.global_flags)
        if offered.names == CONTEXTS:
            from kubectl_flux.kubeconfig import context_names  # noqa: PLC0415 - reads YAML

            return context_names(settings.cluster)
        return _of_workloads(_asked(settings, offered.namespace), offered.names, offered.namespace)
    except (PluginError, OSError):
        return []


def _of_workloads(workloads: Iterable[pb.Workload], names: str, namespace: str) -> list[str]:
    """Their namespaces, or their ids: the short ones where the namespace is given already."""
    ids = [workload.id for workload in workloads]
    if names == NAMESPACES:
        return sorted({name.partition(":")[0] for name in ids})
    return [name.partition(":")[2] for name in ids] if namespace else ids


def _asked(settings: Globals, namespace: str) -> list[pb.Workload]:
    """The agent's workloads. Nobody is asked for a password meanwhile, and kubectl's complaints go nowhere."""
    from kubectl_flux.client import connect  # noqa: PLC0415 - needed for names only

    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (STDIN, STDERR):
        os.dup2(nowhere, descriptor)
    with connect(settings, timeout=PATIENCE) as client:
        return list(client.workloads(namespace))
