"""Edits change the bytes of the value and nothing else."""

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.manifests import edit as edit_module
from agent.manifests.edit import EditError, ImageEdit, PolicyEdit, Target, edited
from agent.manifests.edit_values import ANNOTATIONS, policy_changes, wanted
from agent.manifests.yaml_reader import documents

GOLDEN = pathlib.Path(__file__).parent / "edit_golden"
SHOP = Target("Deployment", "default", "shop")
HELM = Target("deployment", "default", "release-shop")
HAND = Target("statefulset", "demo", "shop")
LOGS = Target("daemonset", "demo", "logs")
MORE = Target("DaemonSet", "default", "more")
CLEAN = Target("cronjob", "default", "clean")


@dataclass(frozen=True)
class AnnotationEdit:
    """Annotations of any key; the agent itself edits those that are policies."""

    target: Target
    changes: Mapping[str, str | None]

    def values(self, body):
        return {(*ANNOTATIONS, key): value for key, value in self.changes.items()}


def set_annotations(text, target, changes):
    return edited(text, [AnnotationEdit(target, changes)])


def verify(before, after, edits, *, allow_shared=False):
    """What `edited` asks of its own result."""
    found = list(documents(before))
    edit_module._check(found, after, wanted(found, edits, "default"), allow_shared=allow_shared)


# The result's name: the file to edit, and the edits.
CASES = {
    "kubectl-image": ("kubectl", [ImageEdit(SHOP, "shop", "registry.example.com:5000/acme/shop:1.10")]),
    "kubectl-policies": ("kubectl", [PolicyEdit(SHOP, {"automated": "true", "tag.shop": "semver:~1.0"})]),
    "helm-both": ("helm", [ImageEdit(HELM, "shop", "nginx:1.17.0"), PolicyEdit(HELM, {"locked": "true"})]),
    "hand4-images": (
        "hand4",
        [
            ImageEdit(HAND, "init", "busybox@sha256:0f"),
            ImageEdit(HAND, "web", "nginx:1"),
            ImageEdit(HAND, "log", "fluentd:v2"),
        ],
    ),
    "hand4-policies": (
        "hand4",
        [PolicyEdit(HAND, {"automated": None, "tag.web": "glob:*", "locked_msg": "it's - 'ours'", "ignore": "true"})],
    ),
    "hand4-emptied": (
        "hand4",
        [AnnotationEdit(HAND, dict.fromkeys(("flux.weave.works/automated", "filter.fluxcd.io/web", "note")))],
    ),
    "flow-images": ("flow", [ImageEdit(LOGS, "logs", "fluentd:v1.3"), ImageEdit(LOGS, "side", "busybox:1")]),
    "flow-added": ("flow", [PolicyEdit(LOGS, {"automated": "true"}), AnnotationEdit(MORE, {"c": "x, y"})]),
    "flow-removed": ("flow", [AnnotationEdit(MORE, {"a": None})]),
    "flow-exchanged": ("flow", [AnnotationEdit(MORE, {"a": None, "b": None, "c": "3"})]),
    "flow-emptied": ("flow", [AnnotationEdit(MORE, {"a": None, "b": None})]),
    "json-changed": (
        "pretty-json",
        [ImageEdit(SHOP, "shop", "shop:2"), PolicyEdit(SHOP, {"automated": "false", "ignore": "true"})],
    ),
    "json-exchanged": ("pretty-json", [AnnotationEdit(SHOP, {"team": None, "crew": "b"})]),
    "json-emptied": ("pretty-json", [AnnotationEdit(SHOP, {"team": None, "fluxcd.io/automated": None})]),
    "list-images": ("list", [ImageEdit(CLEAN, "clean", "busybox:1.31@sha256:1"), ImageEdit(SHOP, "shop", "shop:1.1")]),
    "list-annotations": ("list", [PolicyEdit(CLEAN, {"locked": "true"}), PolicyEdit(SHOP, {"locked": "true"})]),
    "anchors-own": (
        "anchors",
        [ImageEdit(SHOP, "free", "2"), AnnotationEdit(Target("Deployment", "default", "shop"), {})],
    ),
    "crlf-all": (
        "crlf",
        [ImageEdit(SHOP, "shop", "shop:2"), PolicyEdit(SHOP, {"automated": "true"})],
    ),
    "bom-added": ("bom", [AnnotationEdit(SHOP, {"c": "1e3", "d": "1.10", "e": "12:30", "f": ""})]),
    "bom-exchanged": ("bom", [AnnotationEdit(SHOP, {"c": "d", "a": None})]),
    "bom-emptied": ("bom", [AnnotationEdit(SHOP, {"a": None})]),
    "block-messages": (
        "block",
        [
            PolicyEdit(SHOP, {"locked_msg": "Thawed.", "locked_user": "Bob\n"}),
            AnnotationEdit(SHOP, {"folded": "three", "quoted": 'a "b"\tc', "kept": "y\nz\n", "new": "n"}),
        ],
    ),
    "block-quoted": ("block", [PolicyEdit(SHOP, {"locked_msg": " x", "locked_user": "a\nb"})]),
    "block-removed": ("block", [PolicyEdit(SHOP, {"locked_msg": None, "locked_user": None})]),
}


def golden(folder, name):
    return (GOLDEN / folder / f"{name}.yaml").read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_edited_as_a_person_would(name):
    original, edits = CASES[name]
    before = golden("original", original)
    after = edited(before, edits)
    assert after == golden("expected", name)
    assert edited(after, edits) == after
    verify(before, after, edits)


def test_every_golden_file_has_its_case():
    assert {file.stem for file in (GOLDEN / "expected").iterdir()} == set(CASES)
    assert {file.stem for file in (GOLDEN / "original").iterdir()} == {original for original, _ in CASES.values()}


def deployment(annotations="", container="{name: shop, image: 'shop:1'}"):
    return f"""kind: Deployment
metadata:
  name: shop
{annotations}spec:
  template:
    spec:
      containers:
      - {container}
""".encode()


def annotations_of(data):
    return next(documents(data)).value["metadata"].get("annotations")


IMAGE = ImageEdit(SHOP, "shop", "shop:2")
TWICE = b"---\n" + deployment() + b"---\n" + deployment()


@pytest.mark.parametrize(
    ("text", "edit", "reason"),
    [
        (b"a: {{ .Values.a }}\n", IMAGE, "line 1: the file cannot be read"),
        (b"kind: Deployment\nkind: Deployment\n", IMAGE, "line 2: the file cannot be read: the key"),
        (b"# nothing\n", IMAGE, "the file has no Deployment shop in namespace default"),
        (deployment(), ImageEdit(Target("deployment", "demo", "shop"), "shop", "x"), "the file has no deployment shop"),
        (TWICE, IMAGE, "line 11: Deployment shop in namespace default is there on lines 2 and 11"),
        (deployment(), ImageEdit(SHOP, "web", "x"), "line 1: .* has no container web with an image .it has: shop"),
        (deployment(container="name: shop"), IMAGE, "line 1: .* has no container shop with an image"),
        (deployment(container="name: shop\n      - {name: shop, image: x}\n      - {name: shop, image: y}"), IMAGE,
         "line 1: .* has several containers shop"),
        (b"kind: Service\nmetadata: {name: x}\n", ImageEdit(Target("service", "default", "x"), "a", "b"),
         "line 1: a Service has no containers"),
        (deployment(container="{name: shop, image: {tag: x}}"), IMAGE, "line 8: image is a mapping, not a text"),
        (deployment(container="{name: shop, image: !!int '1'}"), IMAGE, "line 8: image has a tag"),
        (deployment("  annotations: [a]\n"), PolicyEdit(SHOP, {"a": "b"}), "line 1: the annotations are not a"),
        (deployment("  annotations:\n    ? a\n    : b\n    c: d\n"), AnnotationEdit(SHOP, {"a": None}),
         "line 5: a does not stand on lines of its own"),
        (deployment("  annotations: {a: b, # why\n    c: d}\n"), AnnotationEdit(SHOP, {"c": None}),
         "line 5: a comment stands between these braces"),
        (deployment("  annotations: {a: b # why\n    }\n"), AnnotationEdit(SHOP, {"a": None}),
         "line 4: a comment stands between these braces"),
        (deployment("  annotations: { # why\n    }\n"), AnnotationEdit(SHOP, {"a": "b"}),
         "line 4: a comment stands between these braces"),
        (deployment("  annotations:\n    a: &a b\n    c: *a\n"), AnnotationEdit(SHOP, {"a": None}),
         "line 5: a has an anchor that line 6 needs"),
        (deployment("  annotations:\n    a: |\n      b\n    c: d\n"), AnnotationEdit(SHOP, {"c": "\ud800"}),
         "the new text is not Unicode"),
    ],
)  # fmt: skip
def test_what_cannot_be_edited_safely_is_told_with_its_line(text, edit, reason):
    with pytest.raises(EditError, match=reason):
        edited(text, [edit])


def test_edits_that_disagree_are_refused():
    with pytest.raises(EditError, match="line 1: two edits disagree on image"):
        edited(deployment(), [IMAGE, ImageEdit(SHOP, "shop", "shop:3")])


@pytest.mark.parametrize(
    ("edit", "reason", "written"),
    [
        (ImageEdit(SHOP, "shop", "nginx:2"), "line 18: image .* line 1 and 19 too", b"x-image: &image nginx:2\n"),
        (ImageEdit(SHOP, "other", "nginx:2"), "line 18: image .* line 1 and 16 too", b"x-image: &image nginx:2\n"),
        (AnnotationEdit(SHOP, {"team": "b"}), "line 6: annotations .* line 13 too", b"team: &team b\n"),
        (AnnotationEdit(SHOP, {"new": "b"}), "line 6: annotations .* line 13 too", b"owner: *team\n    new: b\n"),
        (AnnotationEdit(SHOP, {"owner": None}), "line 6: annotations .* line 13 too", b"team: &team a\nspec:"),
    ],
)
def test_a_shared_value_changes_only_where_that_is_allowed(edit, reason, written):
    before = golden("original", "anchors")
    with pytest.raises(EditError, match=reason):
        edited(before, [edit])
    after = edited(before, [edit], allow_shared=True)
    assert written in after
    verify(before, after, [edit], allow_shared=True)
    with pytest.raises(EditError, match="would change more"):
        verify(before, after, [edit])


def test_an_image_that_a_merge_key_brings_in_is_told_with_the_place_where_it_stands():
    before = b"x: &x {image: 'shop:1'}\n" + deployment(container="{name: shop, <<: *x}")
    with pytest.raises(EditError, match=r"^line 9: image is shared by aliases: it would change on line 1 too "):
        edited(before, [IMAGE])


def test_what_a_merge_key_brings_in_is_overridden_here_and_nowhere_else():
    before = b"x: &x {a: '1', b: '2'}\n" + deployment("  annotations:\n    <<: *x\n    b: '3'\n")
    after = set_annotations(before, SHOP, {"a": "4"})
    assert after == before.replace(b"    b: '3'\n", b"    b: '3'\n    a: '4'\n")
    with pytest.raises(EditError, match="line 6: a comes in by a merge key"):
        set_annotations(before, SHOP, {"a": None})
    with pytest.raises(EditError, match="line 6: b would still come in by the merge key"):
        set_annotations(before, SHOP, {"b": None})


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        ("  annotations:\n", {"a": "b"}, "  annotations:\n    a: b\n"),
        ("  annotations: ~ # c\n", {"a": "b"}, "  annotations: # c\n    a: b\n"),
        ("  annotations: &x !!map {}\n", {"a": "b"}, "  annotations: &x !!map\n    a: b\n"),
        ("  annotations: # c\n    a: b\n", {"a": None}, "  annotations: {} # c\n"),
        ("  annotations:\n    a: b\n    # c\n", {"a": None}, "  annotations: {}\n    # c\n"),
        ("  annotations:\n    # c\n    a: b\n", {"a": None}, "  annotations: {}\n    # c\n"),
        ("  annotations:\n    a: b # c\n  # d\n", {"a": None}, "  # d\n"),
        ("  annotations: {a: b} # c\n", {"a": None}, "  annotations: {} # c\n"),
        ("  annotations:\n    a:\n", {"a": None}, ""),
        ("  annotations:\n    a:  # c\n", {"a": "x"}, "  annotations:\n    a: x  # c\n"),
        ("  annotations:\n    a: true\n", {"a": "true"}, '  annotations:\n    a: "true"\n'),
        ("  annotations: {a: b,}\n", {"c": "d"}, "  annotations: {a: b, c: d,}\n"),
        ("  annotations: {\n    a: b # c\n    }\n", {"d": "e"}, "  annotations: {\n    a: b, # c\n    d: e\n    }\n"),
        ("  annotations: {\n    a: b, # c\n    }\n", {"d": "e"}, "  annotations: {\n    a: b, # c\n    d: e,\n    }\n"),
        ("  annotations:\n    'a': b\n", {"c": "it's"}, "  annotations:\n    'a': b\n    'c': 'it''s'\n"),
        ("  labels:\n      x: y\n", {"a": "b"}, "  labels:\n      x: y\n  annotations:\n      a: b\n"),
    ],
)
def test_annotations_come_and_go_where_a_person_would_put_them(before, changes, after):
    assert set_annotations(deployment(before), SHOP, changes) == deployment(after)


def test_a_block_that_ends_a_file_without_a_line_break_can_hold_no_last_one():
    before = b"kind: Deployment\nmetadata:\n  name: shop\n  annotations:\n    a: |\n      x"
    assert set_annotations(before, SHOP, {"a": "y"}) == before.replace(b"|\n      x", b"|-\n      y")
    assert set_annotations(before, SHOP, {"a": "y\n"}) == before.replace(b"|\n      x", b'"y\\n"')
    with pytest.raises(EditError, match="would change more"):
        set_annotations(before, SHOP, {"b": "y"})


def test_policies_act_on_the_keys_that_are_there():
    present = ("fluxcd.io/locked", "flux.weave.works/locked", "flux.weave.works/tag.a", "filter.fluxcd.io/a")
    table = {
        ("locked", "true"): {"fluxcd.io/locked": "true"},
        ("locked", None): {"fluxcd.io/locked": None, "flux.weave.works/locked": None},
        ("tag.a", "glob:*"): {"flux.weave.works/tag.a": "glob:*"},
        ("tag.a", None): {"flux.weave.works/tag.a": None, "filter.fluxcd.io/a": None},
        ("tag.b", "glob:*"): {"fluxcd.io/tag.b": "glob:*"},
        ("automated", None): {},
    }
    for (name, value), changes in table.items():
        assert policy_changes(present, {name: value}) == changes
    before = deployment("  annotations: {filter.fluxcd.io/shop: x}\n")
    text = edited(before, [PolicyEdit(SHOP, {"tag.shop": "glob:*"})])
    assert annotations_of(text) == {"filter.fluxcd.io/shop": "glob:*"}


@pytest.mark.parametrize(
    "change", [(b"name: log", b"name: lag"), (b"\n    labels", b"\n    x: 1\n    labels"), (b"...", b"---\na: 1")]
)
def test_a_change_set_with_anything_else_in_it_does_not_pass(change):
    before = golden("original", "hand4")
    edits = [ImageEdit(HAND, "web", "nginx:2")]
    after = edited(before, edits)
    verify(before, after, edits)
    with pytest.raises(EditError, match="would change more"):
        verify(before, after.replace(*change), edits)
    with pytest.raises(EditError, match="would change more"):
        verify(before, before, edits)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["true", "1.10", "1e3", "~", "", "a: b", "a #b", "- a", "'", '"', "*a", "semver:~1.0", "a:", "<<", "12:30", "[x]"]
)
STYLES = {
    "plain": lambda text: text,
    "single": lambda text: "'" + text.replace("'", "''") + "'",
    "double": lambda text: f'"{text}"',
    "literal": lambda text: f"|  # c\n@@{text}",
    "folded": lambda text: f">-\n@@{text}",
    "spread": lambda text: f"{text}\n@@and more",
}


@st.composite
def manifests(draw):
    """A Deployment with annotations k0, k1, …, each in a style of its own, and how many."""
    step = draw(st.integers(1, 6))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    entries = []
    for index in range(draw(st.integers(2, 4))):
        word = draw(st.sampled_from(["word", "🛒 x", "it's", "nginx:1"]))
        value = STYLES[draw(st.sampled_from(list(STYLES)))](word).replace("@@", " " * (2 * step + 1))
        comment = draw(st.sampled_from(["", "  # 🐳", "\t# x"])) if "\n" not in value else ""
        above = draw(st.sampled_from(["", "# above\n", "\n"]))
        entries.append((above, f"{' ' * 2 * step}k{index}: {value}{comment}\n"))
    body = "".join(above + entry for above, entry in entries)
    pad = " " * step
    head = f"# 🛒\nkind: Deployment\nmetadata:\n{pad}name: shop\n{pad}annotations:\n"
    tail = draw(st.sampled_from(["", f"{pad}labels: {{a: b}}\n", "---\nkind: Other\n", "# end", "...\n"]))
    mark = draw(st.sampled_from(["", "\ufeff"]))
    return (mark + head + body + tail).replace("\n", newline).encode(), len(entries)


def lines_of_others(data, key):
    """The file without the lines of one annotation."""
    kept, inside = [], False
    for line in data.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(b" "))
        if line.strip().startswith(f"{key}:".encode()):
            inside, depth = True, indent
        elif inside and line.strip() and indent <= depth:
            inside = False
        if not (inside and line.strip()):
            kept.append(line)
    return kept


@given(manifests(), TEXT, st.integers(0, 3))
def test_setting_changes_one_annotation_and_nothing_else(manifest, text, number):
    before, count = manifest
    key = f"k{number % count}"
    after = set_annotations(before, SHOP, {key: text})
    assert annotations_of(after) == {**annotations_of(before), key: text}
    assert lines_of_others(after, key) == lines_of_others(before, key)
    assert set_annotations(after, SHOP, {key: text}) == after


@given(manifests(), TEXT)
def test_setting_and_removing_gives_the_same_bytes(manifest, text):
    before, _ = manifest
    after = set_annotations(before, SHOP, {"new": text})
    assert annotations_of(after) == {**annotations_of(before), "new": text}
    assert set_annotations(after, SHOP, {"new": None}) == before


@given(manifests(), st.integers(0, 3))
def test_removing_takes_the_lines_of_one_annotation(manifest, number):
    before, count = manifest
    key = f"k{number % count}"
    after = set_annotations(before, SHOP, {key: None})
    assert {**annotations_of(after), key: 0} == {**annotations_of(before), key: 0}
    assert b"".join(after.splitlines(keepends=True)) == b"".join(lines_of_others(before, key))


@given(TEXT, st.sampled_from(["shop", "'shop'", '"shop"', "!!str shop", "", "~"]), st.booleans())
def test_any_text_is_read_back_as_itself(text, written, flow):
    container = f"{{name: shop, image: {written} }}" if flow else f"name: shop\n        image: {written}"
    after = edited(deployment(container=container), [ImageEdit(SHOP, "shop", text)])
    found = next(documents(after)).value["spec"]["template"]["spec"]["containers"]
    assert found == [{"name": "shop", "image": text}]


@given(st.sampled_from(sorted(CASES)), st.data())
def test_no_file_does_more_than_raise_an_edit_error(name, data):
    original, edits = CASES[name]
    text = golden("original", original)
    start = data.draw(st.integers(0, len(text)))
    new = data.draw(
        st.sampled_from([b"{}", b"&a ", b"*a", b"# c\n", b": ", b"? ", b"|", b"~", b"\xef\xbb\xbf", b"[", b""])
    )
    text = text[:start] + new + text[start + data.draw(st.integers(0, 8)) :]
    try:
        after = edited(text, edits)
    except EditError:
        return
    verify(text, after, edits)
