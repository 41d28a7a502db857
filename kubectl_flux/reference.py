"""Prints the command reference, docs/commands.md: `python -m kubectl_flux.reference`."""

from __future__ import annotations

import sys

from kubectl_flux.commands.root import command_tree
from kubectl_flux.usage import reference

if __name__ == "__main__":
    sys.stdout.write(reference(command_tree()))
