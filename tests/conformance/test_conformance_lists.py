"""Collections: selected, in pages, as metadata, as tables; and watches of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from conformance_api import config_map, deployment

OURS = "suite=yes"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
def five(api, maps):
    """Five ConfigMaps, a to e, labelled; a real cluster puts one more into every namespace."""
    for name in "edcba":
        labels = {"suite": "yes", "vowel": "yes"} if name in "ae" else {"suite": "yes"}
        api.create(maps, config_map(name, {"n": name}, labels=labels))
    return maps


def _names(listed):
    return "".join(item["metadata"]["name"] for item in listed["items"])


class TestLists:
    def test_a_list_has_a_kind_a_revision_and_its_items_in_order(self, api, five):
        listed = api.get(five, labelSelector=OURS)
        assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
        assert int(listed["metadata"]["resourceVersion"]) > 0
        assert _names(listed) == "abcde"
        assert "kind" not in listed["items"][0]

    def test_items_of_custom_kinds_carry_their_kind(self, api, namespace, widgets):
        body = {"apiVersion": "suite.example/v1", "kind": "Widget", "metadata": {"name": "w"}}
        api.create(widgets(namespace), body)
        listed = api.get(widgets(namespace))
        assert (listed["kind"], listed["items"][0]["kind"]) == ("WidgetList", "Widget")

    def test_an_unknown_namespace_is_empty(self, api):
        assert api.get("/api/v1/namespaces/nowhere-at-all/configmaps")["items"] == []

    def test_all_namespaces_are_listed_at_once(self, api, five):
        namespace = five.split("/")[4]
        listed = api.get("/api/v1/configmaps", labelSelector=OURS)
        assert (
            _names({"items": [one for one in listed["items"] if one["metadata"]["namespace"] == namespace]}) == "abcde"
        )

    @pytest.mark.parametrize(
        ("labels", "found"),
        [
            ("suite=yes,vowel=yes", "ae"),
            ("suite==yes,vowel", "ae"),
            ("suite=yes,!vowel", "bcd"),
            ("suite=yes,vowel!=yes", "bcd"),
            ("suite in (yes, no),vowel in (yes)", "ae"),
            ("suite=yes,vowel notin (yes,no)", "bcd"),
            ("suite=no", ""),
        ],
    )
    def test_labels_select(self, api, five, labels, found):
        assert _names(api.get(five, labelSelector=labels)) == found

    def test_names_select(self, api, five):
        assert _names(api.get(five, fieldSelector="metadata.name=b")) == "b"
        assert _names(api.get(five, fieldSelector="metadata.name!=b", labelSelector=OURS)) == "acde"
        status = api.refused(400, "GET", five, fieldSelector="data.n=b")
        assert status["message"].startswith('"data.n" is not a known field selector: only "metadata.name"')

    def test_a_selector_that_makes_no_sense_is_a_bad_request(self, api, five):
        assert api.refused(400, "GET", five, labelSelector="a===b")["reason"] == "BadRequest"

    def test_metadata_alone_can_be_listed(self, api, five):
        listed = api.call("GET", five, headers={"Accept": METADATA}, labelSelector=OURS, limit="2").json()
        assert (listed["kind"], listed["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
        assert [sorted(item) for item in listed["items"]] == [["apiVersion", "kind", "metadata"]] * 2
        assert {item["kind"] for item in listed["items"]} == {"PartialObjectMetadata"}
        assert listed["items"][0]["metadata"]["managedFields"]
        assert listed["metadata"]["continue"]


class TestPages:
    def test_pages_follow_one_another_under_one_revision(self, api, five):
        pages, token = [], ""
        while True:
            page = api.get(five, labelSelector=OURS, limit="2", **({"continue": token} if token else {}))
            pages.append(page)
            token = page["metadata"].get("continue", "")
            if not token:
                break
        assert [_names(page) for page in pages] == ["ab", "cd", "e"]
        assert len({page["metadata"]["resourceVersion"] for page in pages}) == 1

    def test_what_remains_is_counted_where_nothing_is_selected(self, api, five):
        whole = len(api.get(five)["items"])
        assert api.get(five, limit="2")["metadata"]["remainingItemCount"] == whole - 2
        assert "remainingItemCount" not in api.get(five, limit="2", labelSelector=OURS)["metadata"]
        assert "continue" not in api.get(five, limit=str(whole))["metadata"]

    def test_a_token_that_makes_no_sense_is_a_bad_request(self, api, five):
        status = api.refused(400, "GET", five, **{"limit": "1", "continue": "nonsense"})
        assert status["message"].startswith("invalid continue token: ")


class TestTables:
    def test_a_deployment_shows_its_rollout(self, api, deployments):
        api.create(deployments, deployment("one", replicas=0))
        table = api.call("GET", deployments, headers={"Accept": TABLE}).json()
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
        columns = [(column["name"], column["priority"]) for column in table["columnDefinitions"]]
        assert columns == [
            ("Name", 0),
            ("Ready", 0),
            ("Up-to-date", 0),
            ("Available", 0),
            ("Age", 0),
            ("Containers", 1),
            ("Images", 1),
            ("Selector", 1),
        ]
        cells = table["rows"][0]["cells"]
        assert [*cells[:4], *cells[5:]] == ["one", "0/0", 0, 0, "c", "registry.example/app:1", "app=one"]
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"

    @pytest.mark.parametrize(
        "path",
        [
            "/api/v1/namespaces",
            "/api/v1/configmaps",
            "/api/v1/secrets",
            "/api/v1/services",
            "/api/v1/serviceaccounts",
            "/apis/apps/v1/statefulsets",
            "/apis/apps/v1/daemonsets",
            "/apis/batch/v1/cronjobs",
            "/apis/networking.k8s.io/v1/ingresses",
            "/apis/networking.k8s.io/v1/networkpolicies",
            "/apis/rbac.authorization.k8s.io/v1/roles",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        ],
    )
    def test_the_columns_of_common_kinds_are_known(self, api, path):
        table = api.call("GET", path, headers={"Accept": TABLE}).json()
        found = [(c["name"], c["type"], c["format"], c["priority"]) for c in table["columnDefinitions"]]
        assert found == [
            (name, kind, "name" if name == "Name" else "", wide) for name, kind, wide in _COLUMNS[path.split("/")[-1]]
        ]

    def test_rows_can_carry_the_objects_or_nothing(self, api, five):
        for include, kinds in (("Object", {"ConfigMap"}), ("Metadata", {"PartialObjectMetadata"}), ("None", {None})):
            table = api.call("GET", five, headers={"Accept": TABLE}, includeObject=include).json()
            assert {(row.get("object") or {}).get("kind") for row in table["rows"]} == kinds


def _plain(names):
    return [(name, "string", 0) for name in names.split("|")]


_WIDE = [("Containers", "string", 1), ("Images", "string", 1), ("Selector", "string", 1)]
_COLUMNS = {
    "namespaces": _plain("Name|Status|Age"),
    "configmaps": _plain("Name|Data|Age"),
    "secrets": _plain("Name|Type|Data|Age"),
    "services": [*_plain("Name|Type|Cluster-IP|External-IP|Port(s)|Age"), ("Selector", "string", 1)],
    "serviceaccounts": _plain("Name|Age"),
    "statefulsets": [*_plain("Name|Ready|Age"), *_WIDE[:2]],
    "daemonsets": [
        ("Name", "string", 0),
        *((name, "integer", 0) for name in ("Desired", "Current", "Ready", "Up-to-date", "Available")),
        *_plain("Node Selector|Age"),
        *_WIDE,
    ],
    "cronjobs": [
        *_plain("Name|Schedule|Timezone"),
        ("Suspend", "boolean", 0),
        ("Active", "integer", 0),
        *_plain("Last Schedule|Age"),
        *_WIDE,
    ],
    "ingresses": _plain("Name|Class|Hosts|Address|Ports|Age"),
    "networkpolicies": _plain("Name|Pod-Selector|Age"),
    "roles": [("Name", "string", 0), ("Created At", "date", 0)],
    "customresourcedefinitions": [("Name", "string", 0), ("Created At", "date", 0)],
}


def _seen(events):
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


class TestWatches:
    def test_changes_after_a_revision_are_told_in_order(self, api, five):
        start = api.get(five, labelSelector=OURS)["metadata"]["resourceVersion"]
        api.patch(f"{five}/a", {"data": {"x": "1"}})
        api.create(five, config_map("f", labels={"suite": "yes"}))
        api.call("DELETE", f"{five}/b")
        events = api.watch(five, 3, resourceVersion=start, labelSelector=OURS)
        assert _seen(events) == [("MODIFIED", "a"), ("ADDED", "f"), ("DELETED", "b")]
        assert events[0]["object"]["kind"] == "ConfigMap"
        assert events[0]["object"]["data"] == {"n": "a", "x": "1"}
        revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
        assert revisions == sorted(revisions)
        assert revisions[0] > int(start)

    @pytest.mark.parametrize("revision", ["", "0"])
    def test_without_a_revision_a_watch_begins_with_what_is_there(self, api, five, revision):
        events = api.watch(five, 5, resourceVersion=revision, labelSelector=OURS)
        assert sorted(_seen(events)) == [("ADDED", name) for name in "abcde"]

    def test_what_enters_or_leaves_a_selection_is_added_or_deleted(self, api, five):
        start = api.get(five)["metadata"]["resourceVersion"]
        api.patch(f"{five}/a", {"metadata": {"labels": {"vowel": None}}})
        api.patch(f"{five}/b", {"metadata": {"labels": {"vowel": "yes"}}})
        api.patch(f"{five}/c", {"data": {"x": "1"}})
        events = api.watch(five, 2, resourceVersion=start, labelSelector="suite=yes,vowel=yes")
        assert _seen(events) == [("DELETED", "a"), ("ADDED", "b")]
        assert events[0]["object"]["metadata"]["labels"] == {"suite": "yes", "vowel": "yes"}

    def test_one_object_can_be_watched(self, api, five):
        start = api.get(five)["metadata"]["resourceVersion"]
        for name in "ab":
            api.patch(f"{five}/{name}", {"data": {"x": "1"}})
        assert _seen(api.watch(five, 1, resourceVersion=start, fieldSelector="metadata.name=b")) == [("MODIFIED", "b")]
        assert api.get(f"{five}/b", watch="1", resourceVersion=start)["kind"] == "ConfigMap"

    def test_events_arrive_as_they_happen(self, api, five):
        start = api.get(five)["metadata"]["resourceVersion"]
        with ThreadPoolExecutor(1) as pool:
            events = pool.submit(api.watch, five, 1, resourceVersion=start, labelSelector=OURS)
            api.patch(f"{five}/a", {"data": {"x": "1"}})
            assert _seen(events.result()) == [("MODIFIED", "a")]

    def test_bookmarks_are_all_that_comes_where_nothing_happens(self, api, five):
        """The real server aims at two seconds before the end, and sometimes misses it."""
        start = api.get(five)["metadata"]["resourceVersion"]
        query = {"resourceVersion": start, "timeoutSeconds": "3", "labelSelector": OURS}
        for bookmark in api.watch(five, 1, allowWatchBookmarks="true", **query):
            assert (bookmark["type"], bookmark["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
            assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= int(start)

    def test_a_watch_ends_by_its_timeout(self, api, five):
        start = api.get(five)["metadata"]["resourceVersion"]
        assert api.watch(five, 1, resourceVersion=start, timeoutSeconds="1", labelSelector=OURS) == []

    def test_metadata_and_tables_can_be_watched(self, api, five):
        start = api.get(five)["metadata"]["resourceVersion"]
        for name in "ab":
            api.patch(f"{five}/{name}", {"data": {"x": "1"}})
        accept = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
        events = api.watch(five, 2, headers=accept, resourceVersion=start, labelSelector=OURS)
        assert {event["object"]["kind"] for event in events} == {"PartialObjectMetadata"}
        events = api.watch(five, 2, headers={"Accept": TABLE}, resourceVersion=start, labelSelector=OURS)
        tables = [event["object"] for event in events]
        assert [table["rows"][0]["cells"][0] for table in tables] == ["a", "b"]
        assert [bool(table.get("columnDefinitions")) for table in tables] == [True, False]
