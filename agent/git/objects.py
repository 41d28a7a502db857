"""Reading a revision: its files, their contents, its commits, and who touched a line last.

The only module that imports GitPython, which parses commits. The bytes come through `command`: to list and read a
packed tree of 1,000 files (1 MB, delta chains up to 50) took `git ls-tree` and `git cat-file --batch` 15 ms, GitPython
over its kept `cat-file` children 120 ms, and GitPython over gitdb, its own pack reader (deprecated since 3.2), 400 ms.
Those children also inherit the whole environment and have no deadline. So GitPython gets an object store that was
filled beforehand, and starts no process.

Every read names a commit by its full id, so a fetch in another thread cannot change the answer.
"""

from __future__ import annotations

import posixpath
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO

import git
from gitdb import OStream  # type: ignore[import-untyped]
from gitdb.db import LooseObjectDB  # type: ignore[import-untyped]

from agent.git.command import MAX_OUTPUT, CommandError
from agent.git.repository import Repository
from agent.model.errors import GitError, NotReadyError

MAX_SUBJECT = 200
"""Characters of a commit's subject or author that are kept."""

_BATCH = 1000
"""Blobs per cat-file, so that only these are in memory twice."""
_COMMIT_ID = re.compile(r"[0-9a-f]{40}")
_BLAMED = re.compile(rb"([0-9a-f]{40}) \d+ \d+")
_HISTORY = 1000
"""Commits of one file that are looked at to tell which of several is the newest."""
_SYMLINK = b"120000"


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of a revision: path from the root, id of its content, size in bytes.

    A symbolic link to a file of the same revision has that file's content; any other link has its target as content
    and is `lost`. A byte of the path that is no UTF-8 is written as an escape.
    """

    path: str
    sha: str
    size: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: full id, author as `Name <email>`, first line of the message, commit time in Unix seconds."""

    sha: str
    author: str = ""
    subject: str = ""
    time: int = 0


class RevisionReader:
    """Reads commits of a bare repository; any thread may, while one other fetches."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._doubted = threading.Event()

    def files(self, revision: str, paths: Collection[str] = ()) -> tuple[TreeFile, ...]:
        """All files of the commit under these paths, ordered by path; without paths, all there are.

        Submodules are left out, as Flux v1 left them.

        Raises:
            NotReadyError: A path is not in the revision, is a link to no file, or leads out of the repository.
            GitError: The commit cannot be read.
        """
        wanted = tuple(_normal(path) for path in paths)
        under = () if "" in wanted else wanted
        listing = self._read("ls-tree", "-r", "-l", "-z", "--full-tree", _full(revision), "--", *under)
        entries = [self._entry(line) for line in listing.split(b"\0") if line]
        files = self._resolved(revision, [entry for entry in entries if entry is not None])
        for path in under:
            _require(path, revision, files)
        return files

    def read(self, shas: Collection[str]) -> Mapping[str, bytes]:
        """The contents of blobs by their ids.

        Raises:
            GitError: One is missing, or together they are larger than `command.MAX_OUTPUT`.
        """
        wanted = list(dict.fromkeys(_full(sha) for sha in shas))
        contents: dict[str, bytes] = {}
        total = 0
        for start in range(0, len(wanted), _BATCH):
            batch = self._objects(wanted[start : start + _BATCH])
            total += sum(map(len, batch.values()))
            if total > MAX_OUTPUT:
                raise GitError(f"the files to read are larger than {MAX_OUTPUT} bytes together")
            contents |= batch
        return contents

    def commit(self, revision: str) -> Commit:
        """One commit.

        Raises:
            GitError: It is not in the repository.
        """
        return self._commits([_full(revision)])[0]

    def commits_between(self, old: str, new: str, limit: int = 100) -> tuple[Commit, ...]:
        """The commits that `new` has and `old` has not, the newest first, at most `limit`.

        An `old` that is empty, or gone since the branch was rewritten, excludes nothing.

        Raises:
            GitError: `new` is not in the repository.
        """
        excluded = [f"^{_full(old)}"] if old and self._repository.has_commit(_full(old)) else []
        listing = self._read("rev-list", f"--max-count={limit}", _full(new), *excluded)
        return self._commits(listing.decode().split())

    def blame(self, revision: str, path: str, line: int = 0, last: int = 0) -> Commit | None:
        """The newest commit that touched these lines (from 1), or the file as a whole (0); None where there is none."""
        try:
            listing = self._repository.local(
                "rev-list", "--topo-order", f"--max-count={_HISTORY}", _full(revision), "--", path
            )
            shas = listing.decode().split()
            if line:
                lines = ("-L", f"{line},{max(line, last)}")
                answer = self._repository.local("blame", "--porcelain", *lines, _full(revision), "--", path)
                touched = {found[1].decode() for row in answer.splitlines() if (found := _BLAMED.match(row))}
                shas = [sha for sha in shas if sha in touched] or sorted(touched)
        except CommandError as error:
            if error.status is None:
                raise
            return None
        return self._commits(shas[:1])[0] if shas else None

    def _commits(self, shas: list[str]) -> tuple[Commit, ...]:
        objects = self._objects(shas)
        if not objects:
            return ()
        try:
            with git.Repo(self._repository.directory, odbt=_FilledObjects, expand_vars=False) as repo:
                repo.odb.contents = objects
                return tuple(_parsed(git.Commit(repo, bytes.fromhex(sha))) for sha in shas)
        except git.GitError as error:  # the folder went away between the two reads
            raise GitError(f"the mirror cannot be read: {error}", temporary=True) from error

    def _resolved(self, revision: str, entries: list[tuple[bytes, bytes, TreeFile]]) -> tuple[TreeFile, ...]:
        """The files, with links inside the repository followed."""
        links = [path for mode, path, _ in entries if mode == _SYMLINK and b"\n" not in path]
        asked = b"".join(b"%s:%s\n" % (revision.encode(), path) for path in links)
        answers = self._read("cat-file", "--batch-check", "--follow-symlinks", stdin=asked) if asked else b""
        targets = dict(zip(links, _followed(answers), strict=True))
        return tuple(_led(file, targets.get(path)) if mode == _SYMLINK else file for mode, path, file in entries)

    def _entry(self, line: bytes) -> tuple[bytes, bytes, TreeFile] | None:
        """Mode, raw path and file of `MODE TYPE SHA SIZE<tab>PATH`; None for a submodule."""
        facts, _, path = line.partition(b"\t")
        mode, kind, sha, size = facts.split()
        if kind != b"blob":
            return None
        if not size.isdigit():  # git writes BAD for the size of what it cannot find
            raise self._missing(sha.decode())
        return mode, path, TreeFile(path.decode(errors="backslashreplace"), sha.decode(), int(size))

    def _objects(self, shas: list[str]) -> dict[str, bytes]:
        """The raw objects of these ids."""
        if not shas:
            return {}
        answer = self._read("cat-file", "--batch", "--buffer", stdin="".join(f"{sha}\n" for sha in shas).encode())
        objects = dict(_split(answer))
        missing = [sha for sha in shas if sha not in objects]
        if missing:
            raise self._missing(missing[0])
        return objects

    def _missing(self, sha: str) -> GitError:
        self._doubted.set()
        return GitError(f"the object {sha} is missing in the mirror", hint="the next fetch mends it")

    def _read(self, *args: str, stdin: bytes = b"") -> bytes:
        """A local read; when git refuses it, the next fetch looks whether the mirror is whole."""
        try:
            return self._repository.local(*args, stdin=stdin)
        except CommandError as error:
            if error.status is not None:
                self._doubted.set()
            raise


class _FilledObjects(LooseObjectDB):  # type: ignore[misc] # gitdb publishes no types
    """GitPython's object store, holding what was read before it asks."""

    contents: Mapping[str, bytes]

    def stream(self, binsha: bytes) -> OStream:
        data = self.contents[binsha.hex()]
        return OStream(binsha, b"commit", len(data), BytesIO(data))


def _parsed(commit: git.Commit) -> Commit:
    """The commit as our own value; one that GitPython cannot parse keeps its id only."""
    try:
        author = f"{commit.author.name or ''} <{commit.author.email or ''}>"
        subject = str(commit.message).lstrip().partition("\n")[0]
        return Commit(commit.hexsha, _printable(author), _printable(subject), commit.committed_date)
    except (AttributeError, IndexError, LookupError, ValueError):  # a foreign tool's commit: odd dates and encodings
        return Commit(commit.hexsha)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text).strip()[:MAX_SUBJECT]


def _normal(path: str) -> str:
    """The path from the root without `./` and slashes at its ends; empty for the root."""
    normal = posixpath.normpath(path.strip("/") or ".")
    if normal == ".." or normal.startswith("../"):
        raise NotReadyError(f"the path {path} leads out of the repository", hint="correct --git-path")
    return "" if normal == "." else normal


def _full(commit: str) -> str:
    """The id itself, so that nothing that moves, and no option, is taken for a revision."""
    if not _COMMIT_ID.fullmatch(commit):
        raise GitError(f"{commit!r} is no full commit id")
    return commit


def _require(path: str, revision: str, files: Iterable[TreeFile]) -> None:
    found = [file for file in files if file.path == path or file.path.startswith(f"{path}/")]
    if any(file.lost and file.path == path for file in found):
        raise NotReadyError(
            f"the path {path} is a symbolic link that leads to no file at commit {revision[:7]}",
            hint="name the folder itself in --git-path",
        )
    if not found:
        raise NotReadyError(
            f"the path {path} is not in the repository at commit {revision[:7]}",
            hint="create it, or correct --git-path",
        )


def _led(link: TreeFile, target: tuple[str, int] | None) -> TreeFile:
    """The link with what it leads to."""
    return TreeFile(link.path, *target) if target else replace(link, lost=True)


def _followed(answers: bytes) -> Iterator[tuple[str, int] | None]:
    """For each link, id and size of the file it leads to; None for folders, loops and what is outside.

    An answer is `SHA TYPE SIZE`, or `dangling|loop|notdir|symlink N` with N bytes on the next line.
    """
    rest = answers
    while rest:
        line, _, rest = rest.partition(b"\n")
        words = line.split()
        if words[0] in (b"dangling", b"loop", b"notdir", b"symlink"):
            rest = rest[int(words[1]) + 1 :]
        yield (words[0].decode(), int(words[2])) if words[1] == b"blob" else None


def _split(answer: bytes) -> Iterator[tuple[str, bytes]]:
    """Ids and contents of cat-file's `SHA TYPE SIZE<newline>CONTENT<newline>`; an id that is missing is left out."""
    position = 0
    while position < len(answer):
        end = answer.index(b"\n", position)
        words = answer[position:end].split()
        position = end + 1
        if len(words) == 3:  # else `SHA missing`
            size = int(words[2])
            yield words[0].decode(), answer[position : position + size]
            position += size + 1
