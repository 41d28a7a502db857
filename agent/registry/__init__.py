"""Registries: which images exist, when they were built, at a request cost that no registry objects to.

    refresh (what is due; pure) ─▶ scanner ─▶ client (auth, limits) ─▶ cache

Tags are listed always. A manifest is fetched only where a policy orders by build time or somebody looks, and each
digest once for ever: what a digest names never changes. HEAD tells which digest a tag stands for.
"""
