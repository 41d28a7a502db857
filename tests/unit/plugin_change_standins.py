"""Stand-ins for the tests of `release` and of the changes of policies: an agent whose change goes through a script."""

from __future__ import annotations

import re

from plugin_standins import ScriptedAgent

from kubectl_flux.rpc.flux.v1 import flux_pb2 as pb

COMMIT = "cf9e4394c927450c32abb6ebd7d3875d2672ff30"
SHOP = "demo:deployment/shop"
SUCCEEDED, FAILED = pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED
READY = pb.REVISION_STAGE_READY


def outcome(identity=SHOP, status="success", reason="", *changes, details=()):
    """An outcome; each change is `container: current -> target`."""
    made = pb.WorkloadOutcome(workload=identity, status=status, reason=reason, details=details)
    for text in changes:
        container, current, target = re.fullmatch(r"([\w-]+): (\S+) -> (\S+)", text).groups()
        made.containers.add(container=container, current=current, target=target)
    return made


def updated(identity=SHOP):
    return outcome(identity, "success", "", "web: a.example/shop:1.0.3 -> a.example/shop:1.2.4")


def done(*outcomes, commit=COMMIT, state=SUCCEEDED, dry_run=False, notices=(), **more):
    change = pb.ChangeJob(outcomes=outcomes, commit=commit, dry_run=dry_run, notices=notices)
    return pb.Job(id="j1", version=3, state=state, change=change, **more)


def idle(*outcomes, **more):
    return done(*outcomes, commit="", **more)


def at(stage, **fields):
    return pb.RevisionProgress(ref=COMMIT, revision=COMMIT, stage=stage, **fields)


def script(answers, wrap):
    """Answers one after the other, the last again and again."""
    rest, count = list(answers), iter(range(1, 1000))

    def answer(_request):
        found = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(found, Exception):
            raise found
        return wrap(found, next(count))

    return answer


def progressing(found, number):
    told = pb.RevisionProgress()
    told.CopyFrom(found)
    told.version = number
    return pb.GetRevisionResponse(progress=told)


def agent_of(*jobs, progress=(), lists=()):
    """An agent whose change goes through these states, and its commit through these stages."""
    return ScriptedAgent(
        {
            "Release": pb.ReleaseResponse(job_id="j1"),
            "UpdatePolicies": pb.UpdatePoliciesResponse(job_id="j1"),
            "GetJob": script(jobs, lambda job, _: pb.GetJobResponse(job=job)),
            "GetRepository": pb.GetRepositoryResponse(repository=pb.Repository(url="ssh://h/a", branch="master")),
            "GetRevision": script(progress or [at(READY)], progressing),
            "ListWorkloads": script(lists, lambda found, n: pb.ListWorkloadsResponse(workloads=found, version=n)),
        }
    )
