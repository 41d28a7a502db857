"""The two lanes of a source, each a thread and the one owner of its writes.

The git lane fetches and moves the marker; the cluster lane loads, plans, applies and prunes an immutable revision.
They exchange values through their inboxes, so a slow fetch never delays a sync and a slow sync never delays a fetch.
What to do next is decided by pure functions of what is known; wake-ups only say "look again".

    git lane ── Revision ──▶ cluster lane ── Synced ──▶ git lane
"""
