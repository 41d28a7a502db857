"""Reads of a revision: files, contents, commits and blame."""

from __future__ import annotations

import os
import threading

import pytest
from git_remote import Remote, git

from agent.git import objects
from agent.git.mirror import Mirror
from agent.git.objects import Commit, TreeFile
from agent.model.errors import GitError, NotReadyError
from agent.settings import GitSettings


@pytest.fixture(autouse=True)
def _clean_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def remote(tmp_path):
    return Remote(tmp_path / "server")


@pytest.fixture
def mirror(remote, tmp_path):
    return Mirror(GitSettings(url=remote.url), tmp_path / "mirror", threading.Event())


def _paths(files):
    return [file.path for file in files]


def test_files_are_listed_with_id_and_size(remote, mirror):
    remote.commit({"a/b/c.yaml": "a: 1\n", "top.yaml": ""})
    files = mirror.files(mirror.fetch().sha)
    assert files == (
        TreeFile("a/b/c.yaml", git(remote.work, "hash-object", "a/b/c.yaml"), 5),
        TreeFile("top.yaml", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", 0),
    )


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ((), ["apps/a.yaml", "apps/sub/b.yaml", "appsy/c.yaml", "one.yaml"]),
        (("",), ["apps/a.yaml", "apps/sub/b.yaml", "appsy/c.yaml", "one.yaml"]),
        (("apps", "."), ["apps/a.yaml", "apps/sub/b.yaml", "appsy/c.yaml", "one.yaml"]),
        (("apps",), ["apps/a.yaml", "apps/sub/b.yaml"]),
        (("./apps/",), ["apps/a.yaml", "apps/sub/b.yaml"]),
        (("apps/sub", "apps"), ["apps/a.yaml", "apps/sub/b.yaml"]),
        (("one.yaml", "apps/sub"), ["apps/sub/b.yaml", "one.yaml"]),
        (("apps/../appsy",), ["appsy/c.yaml"]),
    ],
)
def test_only_what_is_under_the_paths_is_listed(remote, mirror, paths, found):
    remote.commit(dict.fromkeys(["apps/a.yaml", "apps/sub/b.yaml", "appsy/c.yaml", "one.yaml"], "x"))
    assert _paths(mirror.files(mirror.fetch().sha, paths)) == found


@pytest.mark.parametrize("path", ["nothing", "app", "apps/a.yaml/x", "../apps", "app*", ":(glob)apps"])
def test_a_path_that_is_not_there_is_named(remote, mirror, path):
    remote.commit({"apps/a.yaml": "x"})
    with pytest.raises(NotReadyError) as caught:
        mirror.files(mirror.fetch().sha, ["apps", path])
    assert path in str(caught.value)
    assert "--git-path" in caught.value.hint


def test_any_name_is_listed_and_blamed(remote, mirror):
    names = ["grüße/日本.yaml", 'quo"te.yaml', "tab\there.yaml", "new\nline.yaml", "star*.yaml", "-dash.yaml", " a b "]
    sha = remote.commit(dict.fromkeys(names, "a: 1\n"))
    mirror.fetch()
    assert sorted(_paths(mirror.files(sha))) == sorted(names)
    for name in names:
        assert mirror.files(sha, [name])[0].path == name
        assert mirror.blame(sha, name).sha == sha
        assert mirror.blame(sha, name, 1).sha == sha


def test_a_name_that_is_no_utf8_is_escaped(remote, mirror):
    (remote.work / "x").mkdir()
    (remote.work / "x" / os.fsdecode(b"\xe9.yaml")).touch()
    sha = remote.commit({})
    mirror.fetch()
    assert _paths(mirror.files(sha)) == ["x/\\xe9.yaml"]


def test_links_to_files_are_followed_and_others_tell_where_they_lead(remote, mirror):
    remote.commit({"base/a.yaml": "a: 1\n"})
    links = {
        "apps/in.yaml": "../base/a.yaml",
        "apps/twice.yaml": "in.yaml",
        "folder.yaml": "base",
        "gone.yaml": "nowhere/at\nall",
        "loop.yaml": "loop.yaml",
        "out.yaml": "../../etc/passwd",
        "absolute.yaml": "/etc/passwd",
        "new\nline.yaml": "base/a.yaml",
    }
    for name, target in links.items():
        path = remote.work / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(target)
    sha = remote.commit({})
    mirror.fetch()
    files = {file.path: file for file in mirror.files(sha)}
    contents = mirror.read([file.sha for file in files.values()])
    read = {name: contents[file.sha].decode() for name, file in files.items()}
    followed = {"base/a.yaml", "apps/in.yaml", "apps/twice.yaml"}
    assert read == {name: "a: 1\n" if name in followed else links[name] for name in files}
    assert all(files[name].size == len(read[name]) for name in files)
    assert {name for name in files if files[name].lost} == files.keys() - followed


def test_a_path_that_is_a_link_to_no_file_is_told(remote, mirror):
    (remote.work / "current").symlink_to("envs/prod")
    (remote.work / "one.yaml").symlink_to("envs/prod/a.yaml")
    sha = remote.commit({"envs/prod/a.yaml": "a: 1\n"})
    mirror.fetch()
    assert _paths(mirror.files(sha, ["one.yaml"])) == ["one.yaml"]
    with pytest.raises(NotReadyError, match="current is a symbolic link") as caught:
        mirror.files(sha, ["envs", "current"])
    assert "--git-path" in caught.value.hint


def test_submodules_are_left_out(remote, mirror):
    first = remote.commit({"a.yaml": "a: 1\n"})
    git(remote.work, "update-index", "--add", "--cacheinfo", f"160000,{first},module")
    git(remote.work, "commit", "-q", "-m", "module")
    sha = remote.push()
    mirror.fetch()
    assert _paths(mirror.files(sha)) == ["a.yaml"]


def test_many_contents_are_read_at_once(remote, mirror, monkeypatch):
    monkeypatch.setattr(objects, "_BATCH", 7)
    texts = {f"{number}.yaml": f"line\n\0{number}" * (number % 5) for number in range(50)}
    sha = remote.commit(texts)
    mirror.fetch()
    files = mirror.files(sha)
    contents = mirror.read([file.sha for file in files] * 2)
    assert {file.path: contents[file.sha].decode() for file in files} == texts


def test_reading_nothing_is_nothing(remote, mirror):
    remote.commit({})
    mirror.fetch()
    assert mirror.read([]) == {}


def test_what_is_read_at_once_is_bounded(remote, mirror, monkeypatch):
    sha = remote.commit({"a.yaml": "x" * 60, "b.yaml": "y" * 60})
    mirror.fetch()
    monkeypatch.setattr(objects, "MAX_OUTPUT", 100)
    with pytest.raises(GitError, match="larger than 100 bytes together"):
        mirror.read([file.sha for file in mirror.files(sha)])


@pytest.mark.parametrize("name", ["master", "--all", "abc123", "", "HEAD"])
def test_only_full_ids_name_a_commit(remote, mirror, name):
    remote.commit({"a.yaml": "x"})
    mirror.fetch()
    with pytest.raises(GitError, match="is no full commit id"):
        mirror.files(name)


def test_the_commits_between_two_are_listed_newest_first(remote, mirror):
    shas = [remote.commit({"a.yaml": str(number)}, f"change {number}\n\nmore") for number in range(5)]
    mirror.fetch()
    between = mirror.commits_between(shas[1], shas[4])
    assert between == tuple(
        Commit(shas[number], "Foo <foo@example.com>", f"change {number}", 1700000000) for number in (4, 3, 2)
    )
    assert [commit.sha for commit in mirror.commits_between("", shas[4], 2)] == [shas[4], shas[3]]
    assert [commit.sha for commit in mirror.commits_between("1" * 40, shas[1])] == [shas[1], shas[0]]
    assert mirror.commits_between(shas[4], shas[4]) == ()
    with pytest.raises(GitError):
        mirror.commits_between("", "1" * 40)


def test_a_long_subject_with_odd_characters_is_tidied(remote, mirror):
    (remote.work / "message").write_bytes(("Grüße\x07 " + "x" * 400).encode())
    git(remote.work, "commit", "-q", "--allow-empty", "-F", "message", GIT_AUTHOR_NAME="Jörg")
    sha = remote.push()
    mirror.fetch()
    commit = mirror.commit(sha)
    assert commit.author == "Jörg <foo@example.com>"
    assert commit.subject.startswith("Grüße  xxx")
    assert len(commit.subject) == objects.MAX_SUBJECT


def test_a_commit_of_a_careless_tool_is_read_as_far_as_it_goes(remote, mirror):
    remote.commit({})
    tree = git(remote.work, "rev-parse", "HEAD^{tree}")
    raw = remote.work / "raw"
    raw.write_text(f"tree {tree}\nauthor nobody\ncommitter nobody\nencoding klingon\n\nx\n")
    sha = git(remote.work, "hash-object", "--literally", "-t", "commit", "-w", str(raw))
    git(remote.work, "reset", "-q", "--soft", sha)
    remote.push()
    assert mirror.fetch().sha == sha
    assert mirror.commit(sha) == Commit(sha, "nobody <>", "x", 0)


def test_what_is_no_commit_keeps_its_id_only(remote, mirror):
    sha = remote.commit({"a.yaml": "a: 1\n"})
    mirror.fetch()
    blob = mirror.files(sha)[0].sha
    assert mirror.commit(blob) == Commit(blob)


def test_blame_finds_the_last_commit_of_a_line_and_of_a_file(remote, mirror):
    first = remote.commit({"a.yaml": "one\ntwo\n", "b.yaml": "b\n"})
    second = remote.commit({"a.yaml": "one\nTWO\n"})
    third = remote.commit({"b.yaml": "bb\n"})
    mirror.fetch()
    assert mirror.blame(third, "a.yaml", 1).sha == first
    assert mirror.blame(third, "a.yaml", 2).sha == second
    assert mirror.blame(third, "a.yaml", 1, 2).sha == second
    assert mirror.blame(third, "a.yaml").sha == second
    assert mirror.blame(third, "b.yaml").sha == third
    assert mirror.blame(first, "a.yaml", 2).sha == first


@pytest.mark.parametrize(("path", "line"), [("none.yaml", 0), ("none.yaml", 1), ("a.yaml", 9)])
def test_what_is_not_there_has_nobody_to_blame(remote, mirror, path, line):
    sha = remote.commit({"a.yaml": "one\n"})
    mirror.fetch()
    assert mirror.blame(sha, path, line) is None


def test_a_packed_repository_with_deltas_reads_the_same(remote, mirror):
    lines = "line\n" * 200
    shas = [remote.commit({f"{n}.yaml": f"{lines}{step}{n}" for n in range(20)}) for step in range(5)]
    mirror.fetch()
    loose = mirror.files(shas[2])
    contents = mirror.read([file.sha for file in loose])
    mirror.repository.local("repack", "-adfq", "--depth=50")
    mirror.repository.local("prune-packed", "-q")
    assert mirror.files(shas[2]) == loose
    assert mirror.read([file.sha for file in loose]) == contents
