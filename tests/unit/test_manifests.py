"""From files to manifests and problems."""

from dataclasses import dataclass

import pytest

from agent.manifests.helm import chart_folders, in_chart
from agent.manifests.load import ManifestLoader, parse
from agent.model.resources import Origin, ProblemKind

GOOD = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: good\n  namespace: demo\n"


@dataclass(frozen=True)
class File:
    path: str
    sha: str
    size: int = 1
    lost: bool = False


class Blobs:
    """A repository's content, counting what is read."""

    def __init__(self, **files):
        self.content = dict(files)
        self.asked = []

    def files(self):
        return [File(path, f"sha-{hash(text):x}", len(text)) for path, text in self.content.items()]

    def read(self, shas):
        self.asked += shas
        return {f"sha-{hash(text):x}": text for text in self.content.values() if f"sha-{hash(text):x}" in shas}


def load(files, loader=None):
    blobs = Blobs(**files)
    return (loader or ManifestLoader()).load(blobs.files(), blobs.read)


def test_every_document_of_every_yaml_file_becomes_a_manifest_with_its_place():
    loaded = load(
        {"b/x.yml": GOOD, "a.yaml": b"# top\n" + GOOD + b"---\n" + GOOD.replace(b"good", b"two"), "c.json": b"{"}
    )
    assert [(item.name, str(item.origin)) for item in loaded.manifests] == [
        ("good", "a.yaml:2"),
        ("two", "a.yaml:8"),
        ("good", "b/x.yml:1"),
    ]
    assert loaded.problems == ()


def test_a_file_that_does_not_parse_fails_alone():
    loaded = load({"good.yaml": GOOD, "bad.yaml": GOOD + b"---\na: b: c\n"})
    assert [item.name for item in loaded.manifests] == ["good"]
    [problem] = loaded.holding
    assert (problem.kind, problem.origin) == (ProblemKind.SYNTAX, Origin("bad.yaml", 7))


def test_a_document_without_kind_is_no_manifest_and_holds_nothing():
    loaded = load(
        {
            "values.yaml": b"replicas: 3\n",
            "list.yaml": b"- a\n",
            "k/kustomization.yaml": b"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n",
        }
    )
    assert loaded.manifests == () and loaded.holding == ()
    assert {problem.kind for problem in loaded.problems} == {ProblemKind.NO_MANIFEST}
    assert str(loaded.problems[0]) == "k/kustomization.yaml:1: is a Kustomization for a tool, not for a cluster"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"kind: X\nmetadata: {name: a}\n", "is a X without apiVersion"),
        (b"kind: X\napiVersion: v1\n", "is a X without metadata.name"),
        (b"kind: X\napiVersion: v1\nmetadata: {name: 1}\n", "is a X without metadata.name"),
        (b"kind: [X]\napiVersion: v1\n", "has a kind that is not a word"),
        (b"kind: X\napiVersion: v1\nmetadata: {name: a, labels: []}\n", ""),
        (
            b"kind: X\napiVersion: v1\nmetadata: {name: a, labels: [b]}\n",
            "is a X whose metadata.labels is not a mapping",
        ),
        (b"kind: X\napiVersion: v1\nmetadata: {name: a, namespace: {}}\n", ""),
        (
            b'kind: X\napiVersion: v1\nmetadata: {name: "a\\n\\e[31m"}\n',
            "has a name that holds what cannot be printed: 'a\\n\\x1b[31m'",
        ),
    ],
)
def test_an_incomplete_document_is_a_problem_of_its_own(text, reason):
    parsed = parse(text)
    assert [problem.reason for problem in parsed.problems] == ([reason] if reason else [])


def test_the_items_of_lists_are_manifests_with_lines_of_their_own():
    text = b"apiVersion: v1\nkind: ConfigMapList\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n"
    text += b"- oops\n"
    parsed = parse(text)
    assert [(item.name, item.origin.line) for item in parsed.manifests] == [("a", 4)]
    assert [(problem.kind, problem.origin.line) for problem in parsed.problems] == [(ProblemKind.NO_MANIFEST, 7)]


def test_helm_charts_are_left_alone():
    chart = {
        "charts/web/Chart.yaml": b"name: web\n",
        "charts/web/values.yaml": b"a: 1\n",
        "charts/web/templates/x.yaml": b"{{ if }}\n",
        "charts/web/sub/deep/y.yaml": GOOD,
        "web/values.yaml": GOOD,
    }
    loaded = load(chart)
    assert [str(item.origin) for item in loaded.manifests] == ["web/values.yaml:1"]
    assert loaded.problems == ()


def test_a_chart_at_the_root_takes_everything():
    charts = chart_folders(["Chart.yaml", "values.yaml", "x/y.yaml"])
    assert in_chart("x/y.yaml", charts) and in_chart("values.yaml", charts)


def test_flux_v1s_own_configuration_files_are_no_manifests():
    assert load({".flux.yaml": b"version: 1\n", "a/.flux.yaml": b"version: 1\n"}).problems == ()


def test_a_blob_is_parsed_once_however_often_it_appears():
    loader, blobs = ManifestLoader(), Blobs(**{"a.yaml": GOOD, "b.yaml": GOOD})
    loader.load(blobs.files(), blobs.read)
    assert len(blobs.asked) == 1
    blobs.content["c.yaml"] = GOOD.replace(b"good", b"new")
    loaded = loader.load(blobs.files(), blobs.read)
    assert len(blobs.asked) == 2
    assert [item.name for item in loaded.manifests] == ["good", "good", "new"]


def test_a_link_that_leads_nowhere_is_a_problem_and_no_text():
    blobs = Blobs(**{"good.yaml": GOOD, "link.yaml": b"nowhere", "link": b"a folder"})
    files = [File(file.path, file.sha, file.size, lost=file.path != "good.yaml") for file in blobs.files()]
    loaded = ManifestLoader().load(files, blobs.read)
    assert [item.name for item in loaded.manifests] == ["good"]
    assert [str(problem) for problem in loaded.holding] == [
        "link.yaml: is a symbolic link that leads to no file of the repository"
    ]


def test_a_file_kept_in_lfs_is_a_problem_and_no_text_without_kind():
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 300\n"
    [problem] = load({"a.yaml": pointer}).holding
    assert problem.origin == Origin("a.yaml", 1)
    assert "Git LFS" in problem.reason


def test_only_so_much_is_read_at_once(monkeypatch):
    monkeypatch.setattr("agent.manifests.load._BATCH", 3 * len(GOOD))
    blobs = Blobs(**{f"{number}.yaml": GOOD.replace(b"good", b"map%d" % number) for number in range(7)})
    asked = []
    loaded = ManifestLoader().load(blobs.files(), lambda shas: asked.append(len(shas)) or blobs.read(shas))
    assert [item.name for item in loaded.manifests] == [f"map{number}" for number in range(7)]
    assert asked == [3, 3, 1]


def test_a_place_is_shown_on_one_line():
    assert str(Origin("a\nb\x1b[31m/ü \\xff.yaml", 3)) == "a\\nb\\x1b[31m/ü \\xff.yaml:3"


def test_a_huge_file_is_refused_unread():
    asked = []
    loaded = ManifestLoader().load([File("big.yaml", "x", 20 << 20)], lambda shas: asked.append(shas) or {})
    assert asked == []
    assert [str(problem) for problem in loaded.holding] == ["big.yaml: is larger than 16 MiB or could not be read"]


def test_policies_are_read_from_annotations_with_and_without_quotes():
    text = GOOD + b"  annotations:\n    fluxcd.io/ignore: true\n    flux.weave.works/locked: 'true'\n"
    [manifest] = parse(text).manifests
    assert dict(manifest.policies) == {"ignore": "true", "locked": "true"}


@pytest.mark.parametrize(
    "text",
    [
        b"kind: X\napiVersion: v1\nmetadata: {name: a}\nn: " + b"9" * 5000,
        b"kind: X\napiVersion: v1\nmetadata: {name: a}\nn: " + b"9" * 309,
        b"x: &x [1, 2]\ny: [1]\nkind: XList\nitems: *x\n",
    ],
)
def test_strange_content_fails_alone_whatever_it_is(text):
    assert parse(text).manifests == ()
    assert parse(text).problems != ()
