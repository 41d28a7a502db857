"""What `sync --allow-deletions` says of a hash that lets nothing through."""

from __future__ import annotations

import pytest

from kubectl_flux.commands.sync import aftermath
from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

HELD = [pb.PendingDeletion(object="demo:deployment/old", reason="held: 12 of 20 objects would go at once")]
FAILURE = [pb.Failure(object="demo:deployment/old", reason="could not be deleted: forbidden")]


@pytest.mark.parametrize(
    ("done", "warned"),
    [
        ({"summary": pb.SyncSummary(objects=3)}, True),
        ({"summary": pb.SyncSummary(), "pending_deletions": HELD, "deletions_hash": "new"}, True),
        ({"summary": pb.SyncSummary(deleted=1), "pending_deletions": HELD, "deletions_hash": "new"}, True),
        ({"summary": pb.SyncSummary(deleted=12)}, False),
        ({"summary": pb.SyncSummary(), "pending_deletions": HELD}, False),
        ({"summary": pb.SyncSummary(failed=1), "failures": FAILURE}, False),
        ({"summary": pb.SyncSummary(error="the cluster is away")}, False),
        ({}, False),
    ],
)
def test_a_hash_that_fits_nothing_held_is_told(done, warned):
    job = pb.Job(state=pb.JOB_STATE_SUCCEEDED, sync=pb.SyncJob(**done))
    warning = "Warning: the hash old fits nothing that is held now"
    assert (warning in list(aftermath(job, "old"))) == warned
    assert warning not in list(aftermath(job))


def test_that_something_failed_which_one_may_not_see_is_told():
    note = "Note: what failed in namespaces that you may not see is left out"
    failed = pb.SyncSummary(failed=1)
    assert list(aftermath(pb.Job(sync=pb.SyncJob(summary=failed)))) == [note]
    assert note not in list(aftermath(pb.Job(sync=pb.SyncJob(summary=failed, failures=FAILURE))))
