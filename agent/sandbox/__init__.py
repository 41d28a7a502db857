"""Embedded stand-ins for a cluster, a registry and a git repository: for `make demo` and fast tests, nothing else."""
