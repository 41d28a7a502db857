"""Bringing the cluster to a revision: plan (pure), apply, prune; `engine` is the shell that performs them."""
