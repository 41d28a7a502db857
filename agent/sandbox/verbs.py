"""What the API server does for each verb, on values: a call goes in, a status code and an object come out.

HTTP is `front`'s, the state is `store`'s. Every writing verb runs under the store's lock from its reading to its
storing, so that no write is lost.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace

from agent.sandbox import answers
from agent.sandbox.apply import ConflictError, Manager, Write, apply, bare, update
from agent.sandbox.calls import APPLY, Call, body_of, intent_of, now, options_of, patched
from agent.sandbox.defaults import blank, decoded
from agent.sandbox.fields import DuplicateError, Path
from agent.sandbox.kinds import Kind, Object
from agent.sandbox.scales import scale_of, scaled, tracks_replicas
from agent.sandbox.selectors import selector
from agent.sandbox.store import Page, Store
from agent.sandbox.strategies import Addresses, created, name_it, status_updated, updated

NAMESPACES = ("", "namespaces")

_SHOWN_WHEN_GONE = (
    "Pod",
    "Service",
    "ServiceAccount",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ResourceQuota",
    "StorageClass",
)
"""Kinds whose deletion is answered with the object, rather than with a Status."""

_CREATED_BY_PUT = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "Endpoints",
        "Event",
        "Lease",
        "LimitRange",
        "Role",
        "RoleBinding",
        "Service",
    }
)
_REPLACED_BY_REVISION = frozenset(
    {
        "CustomResourceDefinition",
        "Lease",
        "MutatingWebhookConfiguration",
        "PodDisruptionBudget",
        "ValidatingWebhookConfiguration",
    }
)


class Verbs:
    """The verbs of the API over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._addresses = Addresses()

    def get(self, call: Call) -> Object:
        """One object, or its scale."""
        live = self._live(call)
        return scale_of(live) if call.subresource == "scale" else live

    def page(self, call: Call) -> Page:
        """A part of a collection.

        Raises:
            Refusal: A selector or continue token is wrong, or the token too old.
        """
        test = selector(call.query.get("labelSelector", ""), call.query.get("fieldSelector", ""))
        limit = call.query.get("limit", "0")
        if not limit.isdigit():
            raise answers.bad_request(f'strconv.ParseInt: parsing "{limit}": invalid syntax')
        namespace = call.namespace if call.kind.namespaced else ""
        page = self._store.page(call.kind.stored_as, namespace, test, int(limit), call.query.get("continue", ""))
        items = tuple(as_version(obj, call.kind) for obj in page.items)
        if call.query.get("labelSelector") or call.query.get("fieldSelector"):
            return replace(page, items=items, remaining=0)
        return replace(page, items=items)

    def create(self, call: Call) -> Object:
        """POST: a new object."""
        obj = body_of(call)
        with self._store.lock:
            return self._create(call, obj, None)

    def update(self, call: Call) -> tuple[int, Object]:
        """PUT: the object as a whole; 201 where it was created, as some kinds are."""
        obj = body_of(call)
        known = call.kind.kind if not call.kind.custom else ""
        with self._store.lock:
            if known in _CREATED_BY_PUT and not self._store.get(call.kind.stored_as, call.namespace, call.name):
                return 201, self._create(call, obj, None)
            live = self._live(call)
            unnamed = not (obj.get("metadata") or {}).get("resourceVersion") and not call.subresource
            if unnamed and (call.kind.custom or known in _REPLACED_BY_REVISION):
                raise answers.revision_needed(call.kind, call.name)
            return 200, self._write(call, live, obj)

    def patch(self, call: Call) -> tuple[int, Object]:
        """PATCH, of the four kinds; 201 where a server-side apply created the object."""
        with self._store.lock:
            if call.media == APPLY:
                return self._apply(call)
            live = self._live(call)
            shown = scale_of(live) if call.subresource == "scale" else live
            return 200, self._write(call, live, patched(call, shown))

    def delete(self, call: Call) -> Object:
        """DELETE: the object if it has to wait for its finalizers, else a Status of success."""
        options = options_of(call)
        with self._store.lock:
            live = self._live(call)
            _preconditions(call, live, options)
            return self._delete(call, live, options)

    def delete_all(self, call: Call) -> Page:
        """DELETE of a collection: what was there."""
        options = options_of(call)
        with self._store.lock:
            page = self.page(call)
            for live in page.items:
                metadata = live["metadata"]
                one = replace(call, namespace=metadata.get("namespace", ""), name=metadata["name"])
                self._delete(one, live, options)
            return page

    def _live(self, call: Call) -> Object:
        live = self._store.get(call.kind.stored_as, call.namespace, call.name)
        if live is None:
            raise answers.not_found(call.kind, call.name)
        return as_version(live, call.kind)

    def _create(self, call: Call, obj: Object, intent: Object | None) -> Object:
        kind = call.kind
        if kind.namespaced:
            obj = {**obj, "metadata": {**obj.get("metadata", {}), "namespace": call.namespace}}
        obj = copy.deepcopy(obj)
        name = name_it(obj, kind)
        self._check_namespace(call, name)
        if known := self._store.get(kind.stored_as, call.namespace, name):
            raise answers.already_exists(kind, name, going="deletionTimestamp" in known["metadata"])
        if intent is not None:
            obj = decoded(obj, kind)
        else:
            obj = update(None, decoded(obj, kind), self._write_of(call, "Update"))
        obj = created(obj, kind, now(), self._addresses)
        return obj if call.dry else self._store.put(kind.stored_as, obj)

    def _check_namespace(self, call: Call, name: str) -> None:
        if not call.kind.namespaced:
            return
        namespace = self._store.get(NAMESPACES, "", call.namespace)
        if namespace is None:
            details = {"name": call.namespace, "kind": "namespaces"}
            raise answers.Refusal(404, "NotFound", f'namespaces "{call.namespace}" not found', details)
        if "deletionTimestamp" in namespace["metadata"]:
            raise answers.terminating(call.kind, name, call.namespace)

    def _apply(self, call: Call) -> tuple[int, Object]:
        intent = intent_of(call)
        write = self._write_of(call, "Apply")
        live = self._store.get(call.kind.stored_as, call.namespace, call.name)
        if live is None and call.subresource:
            raise answers.not_found(call.kind, call.name)
        live = as_version(live, call.kind) if live else None
        _check_revision(call, live, intent)
        try:
            merged = apply(live, intent, write, force=call.query.get("force") in ("true", "1"))
        except DuplicateError as error:
            message = f"failed to create typed patch object ({call.where}): {error}"
            raise answers.Refusal(500, "", message) from error
        except ConflictError as error:
            raise answers.Refusal(409, "Conflict", str(error), {"causes": error.causes()}) from error
        if live is None:
            return 201, self._create(call, merged, intent)
        return 200, self._store_update(call, live, decoded(merged, call.kind))

    def _write(self, call: Call, live: Object, obj: Object) -> Object:
        """The common end of PUT and the patches that are no applies."""
        _check_revision(call, live, obj)
        if call.subresource == "scale":
            new = scaled(live, obj)
        elif call.subresource == "status":
            new = status_updated(live, obj)
        else:
            new = obj
        new = decoded(new, call.kind)
        if call.subresource != "scale" or tracks_replicas(live):
            new = update(live, new, self._write_of(call, "Update"))
        result = self._store_update(call, live, new)
        return scale_of(result) if call.subresource == "scale" else result

    def _store_update(self, call: Call, live: Object, new: Object) -> Object:
        if call.subresource == "status":
            new = status_updated(live, new)
        else:
            new = updated(live, new, call.kind, self._addresses)
        if _unchanged(live, new):
            return live
        if call.dry:
            return {**new, "metadata": {**new["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}}
        over = "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers")
        if over and call.kind.stored_as != NAMESPACES:
            return self._store.remove(call.kind.stored_as, new)
        return self._store.put(call.kind.stored_as, new)

    def _delete(self, call: Call, live: Object, options: Object) -> Object:
        metadata = live["metadata"]
        policy = options.get("propagationPolicy") or call.query.get("propagationPolicy")
        finalizers = list(metadata.get("finalizers") or ())
        waits = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(str(policy))
        if waits and waits not in finalizers:
            finalizers.append(waits)
        if call.kind.stored_as == NAMESPACES or finalizers:
            if "deletionTimestamp" in metadata:
                return live
            fresh = {**metadata, "deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}
            if "generation" in metadata:
                fresh["generation"] = metadata["generation"] + 1
            if finalizers:
                fresh["finalizers"] = finalizers
            gone = {**live, "metadata": fresh}
            if call.kind.stored_as == NAMESPACES:
                del fresh["deletionGracePeriodSeconds"]
                gone["status"] = {**live.get("status", {}), "phase": "Terminating"}
            return gone if call.dry else self._store.put(call.kind.stored_as, gone)
        gone = live if call.dry else self._store.remove(call.kind.stored_as, live)
        if call.kind.kind in _SHOWN_WHEN_GONE and not call.kind.custom:
            return gone
        group = {"group": call.kind.group} if call.kind.group else {}
        details = {"name": call.name, **group, "kind": call.kind.plural, "uid": metadata["uid"]}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _write_of(self, call: Call, operation: str) -> Write:
        manager = Manager(call.writer, operation, call.kind.api_version, call.subresource)
        return Write(call.kind.shape, manager, now(), _keeps(call), blank(call.kind))


def as_version(obj: Object, kind: Kind) -> Object:
    """The object under the version it is asked for; custom kinds only, their versions do not differ else."""
    return {**obj, "apiVersion": kind.api_version} if obj.get("apiVersion") != kind.api_version else obj


def _status_only(path: Path) -> bool:
    return path[:1] == ("f:status",)


def _no_status(path: Path) -> bool:
    return path[:1] != ("f:status",)


def _anything(_path: Path) -> bool:
    return True


def _keeps(call: Call) -> Callable[[Path], bool]:
    if call.subresource == "status":
        return _status_only
    return _no_status if "status" in call.kind.subresources else _anything


def _check_revision(call: Call, live: Object | None, obj: Object) -> None:
    wanted = obj.get("metadata") or {}
    for name in ("resourceVersion", "uid") if live else ("uid",):
        known = live["metadata"].get(name) if live else None
        if wanted.get(name) and wanted[name] != known:
            raise answers.modified(call.kind, call.name)


def _preconditions(call: Call, live: Object, options: Object) -> None:
    wanted, known = options.get("preconditions") or {}, live["metadata"]
    if wanted.get("uid") and wanted["uid"] != known["uid"]:
        why = (
            f"the UID in the precondition ({wanted['uid']}) does not match the UID in record ({known['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise answers.precondition_failed(call.kind, call.name, why)
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != known["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({wanted['resourceVersion']}) does not match the "
            f"ResourceVersion in record ({known['resourceVersion']}). The object might have been modified"
        )
        raise answers.precondition_failed(call.kind, call.name, why)


def _unchanged(live: Object, new: Object) -> bool:
    """Whether nothing but the times of managedFields differs: such writes are not stored."""
    left, right = bare(live), bare(new)
    left["metadata"].pop("resourceVersion", None)
    right["metadata"].pop("resourceVersion", None)
    return left == right and _timeless(live) == _timeless(new)


def _timeless(obj: Object) -> list[Object]:
    entries = obj["metadata"].get("managedFields") or ()
    return sorted(
        ({name: value for name, value in entry.items() if name != "time"} for entry in entries),
        key=lambda entry: json.dumps(entry, sort_keys=True),
    )
