"""Releases: which image a workload should run, and how git is changed to say so."""
