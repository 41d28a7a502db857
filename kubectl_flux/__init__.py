"""The kubectl plugin of kubectl-flux: `kubectl flux …`."""

__version__ = "0.1.0"
