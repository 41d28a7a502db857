"""A plan's edits, made in the bytes of the files they are in. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from agent.manifests.edit import Edit, EditError, Target, edited
from agent.manifests.edit import ImageEdit as ImageValue
from agent.manifests.edit import PolicyEdit as PolicyValue
from agent.model.ids import WorkloadId
from agent.model.updates import AnnotationEdit, ImageEdit, Plan

PlannedEdit = ImageEdit | AnnotationEdit


def edited_files(
    plan: Plan, read: Callable[[Collection[str]], Mapping[str, bytes]], default_namespace: str
) -> tuple[Plan, dict[str, bytes]]:
    """The new contents by path; a workload whose file cannot be edited safely fails alone.

    Args:
        plan: What is to be written.
        read: The contents of files by their paths.
        default_namespace: That of objects which name none.
    """
    wanted: dict[str, list[PlannedEdit]] = {}
    planned: tuple[PlannedEdit, ...] = (*plan.images, *plan.annotations)
    for edit in planned:
        wanted.setdefault(edit.path, []).append(edit)
    before = read(wanted) if wanted else {}
    contents: dict[str, bytes] = {}
    for path, edits in wanted.items():
        after, failed = _edited(before[path], edits, default_namespace)
        for id_, reason in failed.items():
            plan = plan.without(id_, f"{path}: {reason}")
        if after != before[path]:
            contents[path] = after
    return plan, contents


def _edited(text: bytes, edits: Sequence[PlannedEdit], default_namespace: str) -> tuple[bytes, dict[WorkloadId, str]]:
    """A file's new content, and why some of its workloads were left out.

    It is read once where all goes well; else it is tried by halves, so that one bad workload among many is found soon.
    """
    try:
        return edited(text, [_value(edit) for edit in edits], default_namespace=default_namespace), {}
    except EditError as error:
        workloads = list(dict.fromkeys(edit.workload for edit in edits))
        if len(workloads) < 2:
            return text, dict.fromkeys(workloads, str(error))
    first = frozenset(workloads[: len(workloads) // 2])
    text, failed = _edited(text, [edit for edit in edits if edit.workload in first], default_namespace)
    text, more = _edited(text, [edit for edit in edits if edit.workload not in first], default_namespace)
    return text, failed | more


def _value(edit: PlannedEdit) -> Edit:
    target = Target(edit.workload.kind, edit.workload.namespace, edit.workload.name)
    if isinstance(edit, ImageEdit):
        return ImageValue(target, edit.container, edit.image)
    return PolicyValue(target, edit.changes)
