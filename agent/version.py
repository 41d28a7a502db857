"""What is running."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """The version of the installed package, such as `0.1.0`."""
    return metadata.version("kubectl-flux")
