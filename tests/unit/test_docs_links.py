"""Every relative link in the documents leads to a file that is there, and to a heading that is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FENCE = re.compile(r"^( *)(`{3,})[^\n]*\n.*?^\1\2 *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`]*`")
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?\s*\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def prose(text):
    """A page without its blocks of code."""
    return FENCE.sub("", text)


def links(text):
    """What a page links to, without the web's addresses."""
    found = LINK.findall(CODE.sub("`code`", prose(text)))
    return [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(text):
    """The names under which a page's headings are reached, as GitHub makes them."""
    found = {}
    for heading in HEADING.findall(prose(text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found[name] = found.get(name, 0) + 1
    return {f"{name}-{number}" if number else name for name, times in found.items() for number in range(times)}


def dead(page):
    """The links of a page that lead nowhere."""
    return [target for target in links(page.read_text()) if not leads_somewhere(page, target)]


def leads_somewhere(page, target):
    """Whether a link of a page finds its file, in the repository, and its heading."""
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.exists() or not there.is_relative_to(ROOT):
        return False
    return not anchor or (there.suffix == ".md" and anchor in anchors(there.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    assert dead(page) == []


def test_the_check_sees_a_missing_file_and_a_missing_heading(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n## `two` of [it](page.md), twice\n## `two` of it, twice\n"
        "[a](page.md#one) [b](#two-of-it-twice-1) [c](gone.md) [d](#three) [e](../page.md) [f](https://example.com)\n"
        "`[g](gone.md)`\n\n```text\n[h](gone.md)\n# three\n```\n"
    )
    assert dead(page) == ["gone.md", "#three", "../page.md"]


def test_the_first_page_leads_to_every_document():
    readme = {target.partition("#")[0] for target in links((ROOT / "README.md").read_text())}
    assert {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")} - readme == set()
