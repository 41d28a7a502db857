"""Single objects: created, read, replaced, patched, scaled, deleted; and the words of refusals."""

from __future__ import annotations

import pytest
from conformance_api import JSON, MERGE, STRATEGIC, config_map, deployment, managed


class TestCreating:
    def test_a_new_object_gets_an_identity_and_comes_back_whole(self, api, maps, namespace):
        made = api.create(maps, config_map("one", {"a": "1"}))
        metadata = made["metadata"]
        assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", {"a": "1"})
        assert (metadata["name"], metadata["namespace"]) == ("one", namespace)
        assert metadata["uid"]
        assert int(metadata["resourceVersion"]) > 0
        assert metadata["creationTimestamp"].endswith("Z")
        assert "generation" not in metadata
        assert api.get(f"{maps}/one") == made

    def test_a_name_can_be_made_up(self, api, maps):
        made = api.create(maps, {"metadata": {"generateName": "some-"}})
        assert made["metadata"]["name"].startswith("some-")
        assert len(made["metadata"]["name"]) == len("some-") + 5

    def test_the_same_name_again_exists_already(self, api, maps):
        api.create(maps, config_map("one"))
        status = api.refused(409, "POST", maps, config_map("one"))
        assert (status["reason"], status["message"]) == ("AlreadyExists", 'configmaps "one" already exists')
        assert status["details"] == {"name": "one", "kind": "configmaps"}

    @pytest.mark.parametrize("body", [config_map("one"), config_map("one", namespace="nowhere")])
    def test_a_namespace_that_is_not_there_is_not_found(self, api, body):
        status = api.refused(404, "POST", "/api/v1/namespaces/nowhere/configmaps", body)
        assert (status["reason"], status["message"]) == ("NotFound", 'namespaces "nowhere" not found')
        assert status["details"] == {"name": "nowhere", "kind": "namespaces"}

    def test_names_are_checked(self, api, maps):
        status = api.refused(422, "POST", maps, config_map("Not_Good"))
        assert status["reason"] == "Invalid"
        assert status["message"].startswith(
            'ConfigMap "Not_Good" is invalid: metadata.name: Invalid value: "Not_Good": a lowercase RFC 1123'
        )
        assert [cause["field"] for cause in status["details"]["causes"]] == ["metadata.name"]
        nameless = api.refused(422, "POST", maps, {"metadata": {}})
        assert nameless["message"] == (
            'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
        )

    def test_another_namespace_in_the_body_is_a_bad_request(self, api, maps):
        status = api.refused(400, "POST", maps, config_map("one", namespace="other"))
        assert status["message"] == (
            "the namespace of the provided object does not match the namespace sent on the request"
        )

    def test_numbers_where_strings_belong_are_a_bad_request(self, api, maps):
        status = api.refused(400, "POST", maps, config_map("one", {"a": 1}))
        assert status["reason"] == "BadRequest"
        assert status["message"].startswith(
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct'
        )

    def test_a_dry_run_answers_and_stores_nothing(self, api, maps):
        made = api.create(maps, config_map("one", {"a": "1"}), dryRun="All")
        assert made["metadata"]["uid"]
        assert "resourceVersion" not in made["metadata"]
        assert api.call("GET", f"{maps}/one").status_code == 404

    def test_a_secrets_texts_become_data(self, api, namespace):
        body = {"metadata": {"name": "one"}, "stringData": {"a": "text"}, "data": {"b": "Yg=="}}
        made = api.create(f"/api/v1/namespaces/{namespace}/secrets", body)
        assert (made["type"], made["data"]) == ("Opaque", {"a": "dGV4dA==", "b": "Yg=="})
        assert "stringData" not in made

    def test_a_namespace_is_active_and_labelled(self, api, namespace):
        made = api.get(f"/api/v1/namespaces/{namespace}")
        assert made["status"]["phase"] == "Active"
        assert made["spec"]["finalizers"] == ["kubernetes"]
        assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": namespace}


class TestDefaults:
    def test_a_deployment_gets_its_defaults(self, api, deployments):
        container = {
            "name": "c",
            "image": "registry.example/app:1",
            "ports": [{"containerPort": 80}],
            "env": [
                {"name": "EMPTY", "value": ""},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ],
            "resources": {"limits": {"cpu": "2000m", "memory": "1024Mi"}},
            "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
        }
        body = deployment("one", container, replicas=0)
        body["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "configMap": {"name": "x"}}]
        spec = api.create(deployments, body)["spec"]
        assert spec["strategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
        }
        assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
        assert spec["template"]["spec"] == {
            "volumes": [{"name": "v", "configMap": {"name": "x", "defaultMode": 420}}],
            "containers": [
                {
                    "name": "c",
                    "image": "registry.example/app:1",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [
                        {"name": "EMPTY"},
                        {"name": "NODE", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}},
                    ],
                    "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
                    "readinessProbe": {
                        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                        "timeoutSeconds": 1,
                        "periodSeconds": 10,
                        "successThreshold": 1,
                        "failureThreshold": 3,
                    },
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "imagePullPolicy": "IfNotPresent",
                }
            ],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            "schedulerName": "default-scheduler",
        }

    def test_a_service_gets_an_address_and_keeps_it(self, api, namespace):
        path = f"/api/v1/namespaces/{namespace}/services"
        spec = {"selector": {"app": "x"}, "ports": [{"port": 80}]}
        made = api.create(path, {"metadata": {"name": "one"}, "spec": spec})
        assert made["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
        assert (made["spec"]["type"], made["spec"]["sessionAffinity"]) == ("ClusterIP", "None")
        assert made["spec"]["clusterIPs"] == [made["spec"]["clusterIP"]]
        assert made["spec"]["clusterIP"].startswith("10.96.")
        replaced = api.call("PUT", f"{path}/one", {"metadata": {"name": "one"}, "spec": spec}).json()
        assert replaced["spec"]["clusterIP"] == made["spec"]["clusterIP"]
        headless = {"metadata": {"name": "two"}, "spec": {**spec, "clusterIP": "None"}}
        assert api.create(path, headless)["spec"]["clusterIP"] == "None"

    @pytest.mark.parametrize(
        ("path", "spec", "expected"),
        [
            (
                "apis/apps/v1/namespaces/NS/statefulsets",
                {"serviceName": "x", "replicas": 0},
                {
                    "podManagementPolicy": "OrderedReady",
                    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                },
            ),
            (
                "apis/apps/v1/namespaces/NS/daemonsets",
                {},
                {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}},
            ),
        ],
    )
    def test_other_workloads_get_theirs(self, api, namespace, path, spec, expected):
        body = deployment("one", **spec)
        body.pop("kind")
        body["spec"]["template"]["spec"]["nodeSelector"] = {"nowhere": "at-all"}
        made = api.create("/" + path.replace("NS", namespace), body)
        assert made["spec"] == made["spec"] | expected
        assert made["metadata"]["generation"] == 1


class TestReading:
    def test_what_is_not_there_is_not_found(self, api, maps, deployments):
        status = api.refused(404, "GET", f"{maps}/none")
        assert (status["message"], status["details"]) == (
            'configmaps "none" not found',
            {"name": "none", "kind": "configmaps"},
        )
        grouped = api.refused(404, "GET", f"{deployments}/none")
        assert grouped["message"] == 'deployments.apps "none" not found'
        assert grouped["details"] == {"name": "none", "group": "apps", "kind": "deployments"}

    def test_an_object_can_be_asked_for_its_metadata(self, api, maps):
        made = api.create(maps, config_map("one", {"a": "1"}))
        accept = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
        answer = api.call("GET", f"{maps}/one", headers=accept).json()
        assert answer == {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": made["metadata"],
        }


class TestReplacing:
    def test_a_replacement_raises_the_revision_and_keeps_the_identity(self, api, maps):
        made = api.create(maps, config_map("one", {"a": "1", "b": "2"}, labels={"l": "1"}))
        done = api.call("PUT", f"{maps}/one", config_map("one", {"a": "2"})).json()
        assert done["data"] == {"a": "2"}
        assert "labels" not in done["metadata"]
        assert done["metadata"]["uid"] == made["metadata"]["uid"]
        assert int(done["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])

    def test_a_write_that_changes_nothing_keeps_the_revision(self, api, maps):
        made = api.create(maps, config_map("one", {"a": "1"}))
        assert api.call("PUT", f"{maps}/one", config_map("one", {"a": "1"})).json() == made
        assert api.patch(f"{maps}/one", {"data": {"a": "1"}}) == made

    def test_an_old_revision_is_a_conflict(self, api, maps):
        made = api.create(maps, config_map("one", {"a": "1"}))
        api.patch(f"{maps}/one", {"data": {"a": "2"}})
        for method, media in (("PUT", "application/json"), ("PATCH", MERGE)):
            status = api.refused(409, method, f"{maps}/one", {**made, "data": {"a": "3"}}, media=media)
            assert status["reason"] == "Conflict"
            assert status["message"] == (
                'Operation cannot be fulfilled on configmaps "one": the object has been modified; please apply your '
                "changes to the latest version and try again"
            )

    def test_what_is_not_there_is_not_created(self, api, maps):
        assert api.refused(404, "PUT", f"{maps}/none", config_map("none"))["reason"] == "NotFound"
        assert api.refused(404, "PATCH", f"{maps}/none", {}, media=MERGE)["reason"] == "NotFound"

    def test_some_kinds_are_created_by_a_replacement(self, api, namespace):
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/one"
        body = {"metadata": {"name": "one"}, "rules": []}
        assert [api.call("PUT", path, body).status_code for _ in range(2)] == [201, 200]

    def test_custom_kinds_are_replaced_by_their_revision_only(self, api, namespace, widgets):
        body = {"apiVersion": "suite.example/v1", "kind": "Widget", "metadata": {"name": "w"}}
        made = api.create(widgets(namespace), body)
        status = api.refused(422, "PUT", f"{widgets(namespace)}/w", body)
        assert status["message"] == (
            'widgets.suite.example "w" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for '
            "an update"
        )
        assert api.call("PUT", f"{widgets(namespace)}/w", {**made, "spec": {"size": 2}}).status_code == 200

    def test_another_name_in_the_body_is_a_bad_request(self, api, maps):
        api.create(maps, config_map("one"))
        status = api.refused(400, "PUT", f"{maps}/one", config_map("two"))
        assert status["message"] == "the name of the object (two) does not match the name on the URL (one)"


class TestPatching:
    def test_a_merge_patch_sets_and_removes(self, api, maps):
        api.create(maps, config_map("one", {"a": "1", "b": "2"}))
        done = api.patch(f"{maps}/one", {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"x": "y"}}})
        assert (done["data"], done["metadata"]["labels"]) == ({"b": "2", "c": "3"}, {"x": "y"})

    def test_a_json_patch_acts_in_order_and_tests(self, api, maps):
        made = api.create(maps, config_map("one", {"a": "1"}))
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/metadata/annotations", "value": {}},
            {"op": "add", "path": "/metadata/annotations/example.com~1note", "value": "n"},
            {"op": "copy", "from": "/data/a", "path": "/data/b"},
            {"op": "move", "from": "/data/a", "path": "/data/c"},
            {"op": "replace", "path": "/data/b", "value": "2"},
        ]
        done = api.patch(f"{maps}/one", patch, JSON)
        assert (done["data"], done["metadata"]["annotations"]) == ({"b": "2", "c": "1"}, {"example.com/note": "n"})

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "test", "path": "/data/a", "value": "other"},
            {"op": "remove", "path": "/data/none"},
            {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
            {"op": "add", "path": "/nowhere/at/all", "value": "x"},
        ],
    )
    def test_a_json_patch_that_does_not_fit_is_refused_as_a_whole(self, api, maps, operation):
        api.create(maps, config_map("one", {"a": "1"}))
        status = api.refused(
            422, "PATCH", f"{maps}/one", [{"op": "add", "path": "/data/z", "value": "1"}, operation], media=JSON
        )
        assert (status["reason"], status["message"]) == (
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
        assert api.get(f"{maps}/one")["data"] == {"a": "1"}

    def test_a_strategic_patch_merges_lists_by_their_keys(self, api, deployments):
        first = {"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
        api.create(deployments, deployment("one", first, {"name": "d", "image": "i:1"}, replicas=0))
        patch = {
            "spec": {
                "template": {
                    "spec": {
                        "$setElementOrder/containers": [{"name": "d"}, {"name": "c"}],
                        "containers": [
                            {"name": "d", "args": ["x"]},
                            {"name": "c", "image": "i:2", "env": [{"name": "A", "$patch": "delete"}]},
                        ],
                    }
                }
            }
        }
        containers = api.patch(f"{deployments}/one", patch, STRATEGIC)["spec"]["template"]["spec"]["containers"]
        assert [(c["name"], c["image"], c.get("env"), c.get("args")) for c in containers] == [
            ("d", "i:1", None, ["x"]),
            ("c", "i:2", [{"name": "B", "value": "2"}], None),
        ]

    def test_custom_kinds_know_no_strategic_patch(self, api, namespace, widgets):
        api.create(widgets(namespace), {"apiVersion": "suite.example/v1", "kind": "Widget", "metadata": {"name": "w"}})
        status = api.refused(415, "PATCH", f"{widgets(namespace)}/w", {}, media=STRATEGIC)
        assert status["reason"] == "UnsupportedMediaType"

    def test_plain_json_is_no_patch(self, api, maps):
        api.create(maps, config_map("one"))
        assert api.refused(415, "PATCH", f"{maps}/one", {})["reason"] == "UnsupportedMediaType"


class TestGeneration:
    def test_it_counts_changes_of_the_spec(self, api, deployments):
        made = api.create(deployments, deployment("one", replicas=0))
        assert made["metadata"]["generation"] == 1
        assert api.patch(f"{deployments}/one", {"metadata": {"labels": {"a": "b"}}})["metadata"]["generation"] == 1
        assert api.patch(f"{deployments}/one", {"spec": {"minReadySeconds": 3}})["metadata"]["generation"] == 2
        assert api.patch(f"{deployments}/one", {"metadata": {"annotations": {"a": "b"}}})["metadata"]["generation"] == 3

    def test_the_status_is_not_written_by_the_main_endpoint(self, api, namespace, widgets):
        path = widgets(namespace)
        body = {"apiVersion": "suite.example/v1", "kind": "Widget", "metadata": {"name": "w"}}
        made = api.create(path, {**body, "spec": {"size": 1}, "status": {"seen": 1}})
        assert "status" not in made
        done = api.patch(f"{path}/w/status", {"spec": {"size": 2}, "status": {"seen": 2}})
        assert (done["spec"], done["status"], done["metadata"]["generation"]) == ({"size": 1}, {"seen": 2}, 1)
        assert list(managed(done)) == [("suite", "Update", ""), ("suite", "Update", "status")]
        again = api.patch(f"{path}/w", {"spec": {"size": 3}, "status": {"seen": 3}})
        assert (again["spec"], again["status"], again["metadata"]["generation"]) == ({"size": 3}, {"seen": 2}, 2)

    def test_selectors_of_workloads_cannot_change(self, api, deployments):
        api.create(deployments, deployment("one", replicas=0))
        changed = {"spec": {"selector": {"matchLabels": {"app": "other"}}}}
        status = api.refused(422, "PATCH", f"{deployments}/one", changed, media=MERGE)
        assert status["message"] == (
            'Deployment.apps "one" is invalid: [spec.template.metadata.labels: Invalid value: {"app":"one"}: '
            "`selector` does not match template `labels`, spec.selector: Invalid value: "
            '{"matchLabels":{"app":"other"}}: field is immutable]'
        )

    def test_containers_need_an_image(self, api, deployments):
        status = api.refused(422, "POST", deployments, deployment("one", {"name": "c"}))
        assert status["reason"] == "Invalid"
        assert status["message"] == (
            'Deployment.apps "one" is invalid: spec.template.spec.containers[0].image: Required value'
        )
        assert status["details"] == {
            "name": "one",
            "group": "apps",
            "kind": "Deployment",
            "causes": [
                {
                    "reason": "FieldValueRequired",
                    "message": "Required value",
                    "field": "spec.template.spec.containers[0].image",
                }
            ],
        }


class TestScaling:
    def test_the_scale_is_an_object_of_its_own(self, api, deployments):
        api.create(deployments, deployment("one", replicas=0))
        scale = api.get(f"{deployments}/one/scale")
        assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {})
        done = api.patch(f"{deployments}/one/scale", {"spec": {"replicas": 2}})
        assert (done["kind"], done["spec"], done["status"]["selector"]) == ("Scale", {"replicas": 2}, "app=one")
        live = api.get(f"{deployments}/one")
        assert live["spec"]["replicas"] == 2
        assert managed(live)[("suite", "Update", "scale")] == {"f:spec": {"f:replicas": {}}}
        assert "f:replicas" not in managed(live)[("suite", "Update", "")]["f:spec"]

    def test_workloads_become_ready(self, api, deployments):
        api.create(deployments, deployment("one", replicas=2))
        done = api.until(f"{deployments}/one", lambda live: live["status"].get("availableReplicas") == 2)
        status = done["status"]
        assert (status["replicas"], status["updatedReplicas"], status["readyReplicas"]) == (2, 2, 2)
        assert {"Available", "Progressing"} <= {one["type"] for one in status["conditions"]}
        assert status["observedGeneration"] == 1


def test_a_body_that_is_no_object_is_a_bad_request(api, maps):
    assert api.refused(400, "POST", maps, "{")["reason"] == "BadRequest"
    assert api.refused(400, "POST", maps, {**config_map("x"), "kind": "Secret"})["reason"] == "BadRequest"


def test_verbs_that_are_not_served_are_told_so(api, maps):
    assert api.refused(405, "PUT", maps, {})["reason"] == "MethodNotAllowed"


def test_connections_are_kept(api, maps):
    for _ in range(3):
        answer = api.call("GET", maps)
        assert answer.headers.get("Connection", "").lower() != "close"
