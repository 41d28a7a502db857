"""Deletions: their answers, preconditions, finalizers, collections, namespaces."""

from __future__ import annotations

from conformance_api import config_map, deployment, fresh


def test_a_deletion_answers_with_success(api, maps, deployments):
    made = api.create(maps, config_map("one"))
    done = api.call("DELETE", f"{maps}/one").json()
    details = {"name": "one", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (done["kind"], done["status"], done["details"]) == ("Status", "Success", details)
    assert api.call("GET", f"{maps}/one").status_code == 404
    assert api.refused(404, "DELETE", f"{maps}/one")["reason"] == "NotFound"
    api.create(deployments, deployment("one", replicas=0))
    done = api.call("DELETE", f"{deployments}/one", {"propagationPolicy": "Background"}).json()
    assert (done["status"], done["details"]["group"]) == ("Success", "apps")


def test_preconditions_are_held(api, maps):
    made = api.create(maps, config_map("one"))
    uid, revision = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    status = api.refused(409, "DELETE", f"{maps}/one", {"preconditions": {"uid": "other"}})
    assert status["reason"] == "Conflict"
    assert status["message"] == (
        f'Operation cannot be fulfilled on ConfigMap "one": the UID in the precondition (other) does not match the '
        f"UID in record ({uid}). The object might have been deleted and then recreated"
    )
    status = api.refused(409, "DELETE", f"{maps}/one", {"preconditions": {"resourceVersion": "1"}})
    assert f"the ResourceVersion in record ({revision})" in status["message"]
    assert api.call("DELETE", f"{maps}/one", {"preconditions": {"uid": uid}}).status_code == 200


def test_finalizers_are_waited_for(api, maps):
    api.create(maps, config_map("one", finalizers=["suite.example/hold"]))
    done = api.call("DELETE", f"{maps}/one").json()
    assert done["kind"] == "ConfigMap"
    assert done["metadata"]["deletionTimestamp"]
    assert api.get(f"{maps}/one")["metadata"]["deletionTimestamp"]
    status = api.refused(409, "POST", maps, config_map("one"))
    assert status["message"] == 'object is being deleted: configmaps "one" already exists'
    api.patch(f"{maps}/one", {"metadata": {"finalizers": None}})
    assert api.call("GET", f"{maps}/one").status_code == 404


def test_a_deletion_in_the_foreground_comes_to_its_end(api, deployments):
    api.create(deployments, deployment("one", replicas=0))
    done = api.call("DELETE", f"{deployments}/one", {"propagationPolicy": "Foreground"}).json()
    assert done["kind"] == "Deployment"
    assert done["metadata"]["finalizers"] == ["foregroundDeletion"]
    api.gone(f"{deployments}/one")


def test_a_dry_run_deletes_nothing(api, maps):
    api.create(maps, config_map("one"))
    assert api.call("DELETE", f"{maps}/one", dryRun="All").status_code == 200
    assert api.get(f"{maps}/one")


def test_a_collection_is_deleted_by_selector(api, maps):
    for name in ("one", "two"):
        api.create(maps, config_map(name, labels={"name": name}))
    done = api.call("DELETE", maps, labelSelector="name=one").json()
    assert [item["metadata"]["name"] for item in done["items"]] == ["one"]
    assert api.get(f"{maps}/two")
    assert api.call("GET", f"{maps}/one").status_code == 404


def test_a_namespace_goes_with_all_that_is_in_it(api):
    name = fresh("suite")
    path = f"/api/v1/namespaces/{name}"
    api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    api.create(f"{path}/configmaps", config_map("one", finalizers=["suite.example/hold"]))
    done = api.call("DELETE", path).json()
    assert (done["kind"], done["status"]["phase"]) == ("Namespace", "Terminating")
    status = api.refused(403, "POST", f"{path}/configmaps", config_map("two"))
    assert status["message"] == (
        f'configmaps "two" is forbidden: unable to create new content in namespace {name} because it is being '
        "terminated"
    )
    api.until(f"{path}/configmaps/one", lambda live: "deletionTimestamp" in live["metadata"])
    api.patch(f"{path}/configmaps/one", {"metadata": {"finalizers": None}})
    api.gone(path)
