"""Server-side apply and managedFields: who owns what, who loses it when, and what goes with its owner."""

from __future__ import annotations

import copy
import json

import pytest
from conformance_api import APPLY, JSON, MERGE, changed, config_map, deployment, managed, with_fields


def test_applying_what_is_not_there_creates_it(api, maps):
    answer = api.call("PATCH", f"{maps}/one", config_map("one", {"a": "1"}), media=APPLY, fieldManager="flux")
    assert answer.status_code == 201
    made = answer.json()
    assert managed(made) == {("flux", "Apply", ""): {"f:data": with_fields("a")}}
    entry = made["metadata"]["managedFields"][0]
    assert list(entry) == ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"]
    assert (entry["apiVersion"], entry["fieldsType"]) == ("v1", "FieldsV1")
    assert entry["time"].endswith("Z")


def test_applying_the_same_again_changes_nothing(api, maps):
    made = api.apply(f"{maps}/one", config_map("one", {"a": "1"}))
    answer = api.call("PATCH", f"{maps}/one", config_map("one", {"a": "1"}), media=APPLY, fieldManager="flux")
    assert (answer.status_code, answer.json()) == (200, made)


def test_a_manager_must_be_named(api, maps):
    status = api.refused(422, "PATCH", f"{maps}/one", config_map("one"), media=APPLY)
    assert status["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )


def test_yaml_is_read(api, maps):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\ndata:\n  a: text\n"
    assert api.call("PATCH", f"{maps}/one", text, media=APPLY, fieldManager="flux").json()["data"] == {"a": "text"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (config_map("two"), "the name of the object (two) does not match the name on the URL (one)"),
        (
            config_map("one", namespace="other"),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ({**config_map("one"), "kind": "Secret"}, "invalid object type: /v1, Kind=Secret"),
        (config_map("one", managedFields=[]), "metadata.managedFields must be nil"),
    ],
)
def test_an_intent_for_another_place_is_a_bad_request(api, maps, body, words):
    status = api.refused(400, "PATCH", f"{maps}/one", body, media=APPLY, fieldManager="flux")
    assert status["message"] == words


class TestRemoving:
    def test_what_its_only_owner_no_longer_wants_goes(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", {"a": "1", "b": "2"}, labels={"l": "1", "m": "2"}))
        done = api.apply(f"{maps}/one", config_map("one", {"a": "1"}, labels={"m": "2"}))
        assert (done["data"], done["metadata"]["labels"]) == ({"a": "1"}, {"m": "2"})
        last = api.apply(f"{maps}/one", config_map("one"))
        assert "data" not in last
        assert "labels" not in last["metadata"]

    def test_what_another_also_applies_stays(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", {"a": "1", "b": "2"}))
        api.apply(f"{maps}/one", config_map("one", {"b": "2"}), manager="other")
        assert api.apply(f"{maps}/one", config_map("one", {"a": "1"}))["data"] == {"a": "1", "b": "2"}

    def test_what_another_updated_stays(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", {"a": "1", "b": "2"}))
        api.patch(f"{maps}/one", {"data": {"b": "3"}})
        assert api.apply(f"{maps}/one", config_map("one", {"a": "1"}))["data"] == {"a": "1", "b": "3"}

    def test_a_containers_list_loses_the_element_that_is_dropped(self, api, deployments):
        first, second = {"name": "c", "image": "i:1"}, {"name": "d", "image": "i:1"}
        api.apply(f"{deployments}/one", deployment("one", first, second, replicas=0))
        done = api.apply(f"{deployments}/one", deployment("one", second, replicas=0))
        assert [c["name"] for c in done["spec"]["template"]["spec"]["containers"]] == ["d"]

    def test_a_default_comes_back_when_its_value_is_dropped(self, api, deployments):
        assert api.apply(f"{deployments}/one", deployment("one", replicas=2))["spec"]["replicas"] == 2
        assert api.apply(f"{deployments}/one", deployment("one"))["spec"]["replicas"] == 1

    def test_a_value_given_away_first_survives_its_removal(self, api, deployments):
        api.apply(f"{deployments}/one", deployment("one", replicas=2))
        api.apply(
            f"{deployments}/one",
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "one"}, "spec": {"replicas": 2}},
            manager="keeper",
        )
        assert api.apply(f"{deployments}/one", deployment("one"))["spec"]["replicas"] == 2


class TestOwning:
    def test_an_update_that_changes_a_value_takes_it(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", {"a": "1", "b": "2"}))
        done = api.patch(f"{maps}/one", {"data": {"a": "9"}})
        assert managed(done) == {
            ("flux", "Apply", ""): {"f:data": with_fields("b")},
            ("suite", "Update", ""): {"f:data": with_fields("a")},
        }

    def test_an_update_that_sets_the_same_value_takes_nothing(self, api, maps):
        made = api.apply(f"{maps}/one", config_map("one", {"a": "1"}))
        assert managed(api.patch(f"{maps}/one", {"data": {"a": "1", "b": "2"}})) == {
            **managed(made),
            ("suite", "Update", ""): {"f:data": with_fields("b")},
        }

    def test_two_appliers_may_own_the_same_value(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", {"a": "1"}))
        done = api.apply(f"{maps}/one", config_map("one", {"a": "1"}), manager="other", force=False)
        assert managed(done) == {
            ("flux", "Apply", ""): {"f:data": with_fields("a")},
            ("other", "Apply", ""): {"f:data": with_fields("a")},
        }

    def test_what_is_removed_by_an_update_is_owned_by_nobody(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", {"a": "1", "b": "2"}))
        assert managed(api.patch(f"{maps}/one", {"data": {"a": None}})) == {
            ("flux", "Apply", ""): {"f:data": with_fields("b")}
        }

    def test_the_manager_of_an_update_is_named_or_taken_from_the_user_agent(self, api, maps):
        api.create(maps, config_map("one", {"a": "1"}), fieldManager="named")
        api.call("PATCH", f"{maps}/one", {"data": {"b": "1"}}, media=MERGE, headers={"User-Agent": "tool/v1.2 (linux)"})
        done = api.call("PATCH", f"{maps}/one", {"data": {"c": "1"}}, media=MERGE, headers={"User-Agent": "bare"})
        assert managed(done.json()) == {
            ("named", "Update", ""): {"f:data": {".": {}, "f:a": {}}},
            ("tool", "Update", ""): {"f:data": with_fields("b")},
            ("bare", "Update", ""): {"f:data": with_fields("c")},
        }

    def test_a_write_that_changes_nothing_enters_nobody(self, api, maps):
        made = api.apply(f"{maps}/one", config_map("one", {"a": "1"}))
        assert api.call("PUT", f"{maps}/one", config_map("one", {"a": "1"})).json() == made

    def test_a_dry_run_shows_the_ownership_it_would_make(self, api, maps):
        made = api.apply(f"{maps}/one", config_map("one", {"a": "1"}))
        shown = api.apply(f"{maps}/one", config_map("one", {"a": "2"}), manager="other", dryRun="All")
        assert managed(shown) == {("other", "Apply", ""): {"f:data": with_fields("a")}}
        assert shown["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert api.get(f"{maps}/one") == made


class TestConflicts:
    def test_one_conflict_names_manager_and_field(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", {"a": "1"}), manager="other")
        body = config_map("one", {"a": "2"})
        status = api.refused(409, "PATCH", f"{maps}/one", body, media=APPLY, fieldManager="flux")
        assert status["reason"] == "Conflict"
        assert status["message"] == 'Apply failed with 1 conflict: conflict with "other": .data.a'
        assert status["details"] == {
            "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "other"', "field": ".data.a"}]
        }
        assert managed(api.apply(f"{maps}/one", body)) == {("flux", "Apply", ""): {"f:data": with_fields("a")}}

    def test_several_are_listed(self, api, deployments):
        api.create(deployments, deployment("one", replicas=0))
        body = deployment("one", {"name": "c", "image": "registry.example/app:2"}, minReadySeconds=1)
        body = changed(body, replicas=3)
        status = api.refused(409, "PATCH", f"{deployments}/one", body, media=APPLY, fieldManager="flux")
        assert status["message"] == (
            'Apply failed with 2 conflicts: conflicts with "suite" using apps/v1:\n- .spec.replicas\n'
            '- .spec.template.spec.containers[name="c"].image'
        )

    def test_an_old_revision_in_the_intent_is_a_conflict(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", {"a": "1"}))
        body = config_map("one", {"a": "2"}, resourceVersion="1")
        status = api.refused(409, "PATCH", f"{maps}/one", body, media=APPLY, fieldManager="flux", force="true")
        assert "the object has been modified" in status["message"]


class TestTypedPatches:
    """What cannot be merged is an internal error there, and permanent."""

    def test_a_duplicate_in_a_keyed_list_is_refused(self, api, namespace, deployments):
        twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
        body = deployment("one", {"name": "c", "image": "i", "env": twice})
        body["metadata"]["namespace"] = namespace
        status = api.refused(500, "PATCH", f"{deployments}/one", body, media=APPLY, fieldManager="flux")
        assert status["message"] == (
            f"failed to create typed patch object ({namespace}/one; apps/v1, Kind=Deployment): "
            '.spec.template.spec.containers[name="c"].env: duplicate entries for key [name="A"]'
        )
        assert "reason" not in status

    def test_a_number_where_a_string_belongs_is_refused(self, api, namespace, maps):
        body = config_map("one", {"a": True}, namespace=namespace)
        status = api.refused(500, "PATCH", f"{maps}/one", body, media=APPLY, fieldManager="flux")
        assert status["message"] == (
            f"failed to create typed patch object ({namespace}/one; /v1, Kind=ConfigMap): "
            ".data.a: expected string, got &value.valueUnstructured{Value:true}"
        )


class TestLists:
    def test_elements_are_told_apart_by_their_keys(self, api, namespace):
        path = f"/api/v1/namespaces/{namespace}/services/one"
        body = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "one"},
            "spec": {"selector": {"app": "x"}, "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
        }
        done = api.apply(path, body)
        assert managed(done)["flux", "Apply", ""] == {
            "f:spec": {
                "f:ports": {
                    'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}},
                    'k:{"port":81,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}},
                },
                "f:selector": {},
            }
        }
        other = copy.deepcopy(body)
        other["spec"] = {"ports": [{"name": "c", "port": 82}]}
        merged = api.apply(path, other, manager="other")
        assert [port["name"] for port in merged["spec"]["ports"]] == ["a", "b", "c"]
        body["spec"]["ports"].reverse()
        assert [port["name"] for port in api.apply(path, body)["spec"]["ports"]] == ["b", "c", "a"]

    def test_sets_merge_by_value(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", finalizers=["suite.example/a", "suite.example/b"]))
        done = api.apply(f"{maps}/one", config_map("one", finalizers=["suite.example/c"]), manager="other")
        assert done["metadata"]["finalizers"] == ["suite.example/a", "suite.example/b", "suite.example/c"]
        assert managed(done)["other", "Apply", ""] == {"f:metadata": {"f:finalizers": {'v:"suite.example/c"': {}}}}
        left = api.apply(f"{maps}/one", config_map("one", finalizers=["suite.example/a"]))
        assert left["metadata"]["finalizers"] == ["suite.example/a", "suite.example/c"]
        api.patch(f"{maps}/one", {"metadata": {"finalizers": None}})

    def test_other_lists_and_selectors_are_owned_as_a_whole(self, api, deployments):
        container = {"name": "c", "image": "i:1", "args": ["a", "b"]}
        body = deployment("one", container, replicas=0)
        body["spec"]["template"]["spec"] |= {"nodeSelector": {"a": "1"}, "imagePullSecrets": [{"name": "s"}]}
        done = api.apply(f"{deployments}/one", body)
        fields = managed(done)["flux", "Apply", ""]["f:spec"]
        assert fields["f:selector"] == {}
        pod = fields["f:template"]["f:spec"]
        assert pod["f:nodeSelector"] == {}
        assert pod["f:imagePullSecrets"] == {'k:{"name":"s"}': {}}
        assert pod["f:containers"] == {'k:{"name":"c"}': {".": {}, "f:args": {}, "f:image": {}, "f:name": {}}}

    def test_a_container_applied_by_another_keeps_its_place(self, api, deployments):
        side = {"name": "side", "image": "i:1"}
        api.apply(f"{deployments}/one", deployment("one", side, {"name": "c", "image": "i:1"}, replicas=0))
        body = deployment("one", {"name": "c", "image": "i:2"}, replicas=0)
        done = api.apply(f"{deployments}/one", body, manager="other")
        names = [(c["name"], c["image"]) for c in done["spec"]["template"]["spec"]["containers"]]
        assert names == [("side", "i:1"), ("c", "i:2")]

    def test_limits_and_requests_merge_by_name(self, api, deployments):
        def limited(**limits):
            return deployment("one", {"name": "c", "image": "i:1", "resources": {"limits": limits}}, replicas=0)

        api.apply(f"{deployments}/one", limited(cpu="1"))
        done = api.apply(f"{deployments}/one", limited(memory="1Gi"), manager="other")
        resources = done["spec"]["template"]["spec"]["containers"][0]["resources"]
        assert resources == {"limits": {"cpu": "1", "memory": "1Gi"}}


class TestUpdates:
    def test_a_created_deployment_belongs_to_its_creator_with_its_defaults(self, api, deployments):
        container = {
            "name": "c",
            "image": "i:1",
            "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1"}},
        }
        made = api.create(deployments, deployment("one", container, replicas=0))
        assert managed(made)["suite", "Update", ""] == {
            "f:spec": {
                **with_fields("progressDeadlineSeconds", "replicas", "revisionHistoryLimit", "selector"),
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        **with_fields(
                            "dnsPolicy",
                            "restartPolicy",
                            "schedulerName",
                            "securityContext",
                            "terminationGracePeriodSeconds",
                        ),
                        "f:containers": {
                            'k:{"name":"c"}': {
                                ".": {},
                                **with_fields("image", "imagePullPolicy", "name"),
                                **with_fields("terminationMessagePath", "terminationMessagePolicy"),
                                "f:ports": {
                                    ".": {},
                                    'k:{"containerPort":80,"protocol":"TCP"}': {
                                        ".": {},
                                        **with_fields("containerPort", "protocol"),
                                    },
                                },
                                "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}}},
                            }
                        },
                    },
                },
            }
        }

    def test_a_replacement_owns_what_it_changed(self, api, maps):
        api.apply(f"{maps}/one", config_map("one", {"a": "1", "b": "2", "c": "3"}))
        done = api.call("PUT", f"{maps}/one", config_map("one", {"a": "1", "b": "9"}), fieldManager="putter").json()
        assert managed(done) == {
            ("flux", "Apply", ""): {"f:data": with_fields("a")},
            ("putter", "Update", ""): {"f:data": with_fields("b")},
        }


class TestManagedFieldsAsWritten:
    def test_one_json_patch_hands_fields_from_one_manager_to_another(self, api, maps):
        """How an adoption works: an Update entry becomes part of the Apply entry, guarded by the revision."""
        last = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
        made = api.create(
            maps, config_map("one", {"a": "1", "b": "2"}, annotations=last), fieldManager="kubectl-create"
        )
        live = api.apply(f"{maps}/one", config_map("one", {"a": "1"}))
        entries = live["metadata"]["managedFields"]
        apply = next(entry for entry in entries if entry["operation"] == "Apply")
        folded = {**apply, "fieldsV1": {"f:data": with_fields("a", "b")}}
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/metadata/managedFields", "value": [folded]},
            {"op": "remove", "path": "/metadata/annotations"},
        ]
        done = api.patch(f"{maps}/one", patch, JSON)
        assert managed(done) == {("flux", "Apply", ""): {"f:data": with_fields("a", "b")}}
        assert done["metadata"]["uid"] == made["metadata"]["uid"]
        assert api.apply(f"{maps}/one", config_map("one", {"a": "1"}))["data"] == {"a": "1"}
        assert api.refused(422, "PATCH", f"{maps}/one", patch, media=JSON)["reason"] == "Invalid"

    def test_an_empty_list_stops_the_tracking_until_something_is_applied(self, api, maps):
        api.create(maps, config_map("one", {"a": "1", "b": "2"}))
        done = api.patch(f"{maps}/one", {"metadata": {"managedFields": [{}]}})
        assert "managedFields" not in done["metadata"]
        assert "managedFields" not in api.patch(f"{maps}/one", {"data": {"b": "3"}})["metadata"]
        again = api.apply(f"{maps}/one", config_map("one", {"a": "1"}))
        assert managed(again) == {
            ("flux", "Apply", ""): {"f:data": with_fields("a")},
            ("before-first-apply", "Update", ""): {"f:data": {".": {}, "f:a": {}, "f:b": {}}},
        }

    def test_entries_are_ordered_by_operation_then_time_then_name(self, api, maps):
        api.create(maps, config_map("one", {"a": "1"}), fieldManager="z-update")
        api.apply(f"{maps}/one", config_map("one", {"b": "1"}), manager="z-apply")
        done = api.apply(f"{maps}/one", config_map("one", {"c": "1"}), manager="z-b")
        order = [(e["operation"], e["manager"]) for e in done["metadata"]["managedFields"]]
        assert order == [("Apply", "z-apply"), ("Apply", "z-b"), ("Update", "z-update")]


def test_kubectls_annotation_follows_its_own_server_side_applies(api, maps):
    last = {"kubectl.kubernetes.io/last-applied-configuration": '{"old":true}'}
    api.create(maps, config_map("one", {"a": "1"}, annotations=last))
    done = api.apply(f"{maps}/one", config_map("one", {"a": "2"}), manager="kubectl")
    annotation = done["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(annotation)["data"] == {"a": "2"}
    other = api.apply(f"{maps}/one", config_map("one", {"a": "3"}), manager="flux")
    assert other["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] == annotation
