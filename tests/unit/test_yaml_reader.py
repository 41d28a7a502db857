"""YAML as Kubernetes reads it."""

import contextlib
import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.manifests.yaml_reader import ReadError, documents, scalar

SCALARS = {
    "12:30": "12:30",
    "2020-01-01": "2020-01-01",
    "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00",
    "1e3": 1000,
    "1E-2": 0.01,
    "=": "=",
    "0777": 511,
    "0o17": 15,
    "0x1F": 31,
    "0b101": 5,
    "1_000": 1000,
    "+1": 1,
    "-1": -1,
    "-0": 0,
    "1.50": 1.5,
    "1.": 1,
    ".5": 0.5,
    "-.5": -0.5,
    "0.0": 0,
    "09": 9,
    "1.2.3": "1.2.3",
    "1e": "1e",
    "0xZZ": "0xZZ",
    "0x": "0x",
    "_1": "_1",
    "9223372036854775807": 9223372036854775807,
    "18446744073709551615": 18446744073709552000,
    "18446744073709551616": 18446744073709552000,
    "yes": True,
    "No": False,
    "on": True,
    "OFF": False,
    "y": True,
    "n": False,
    "TRUE": True,
    "False": False,
    "tRUE": "tRUE",
    "~": None,
    "null": None,
    "Null": None,
    "nUll": "nUll",
    "": None,
    "1,000": "1,000",
    "1000m": "1000m",
    "100Mi": "100Mi",
    "<<": "<<",
    ".": ".",
    "-": None,
    "+": "+",
    "...x": "...x",
    "1_": 1,
    "1__0": 10,
    "0b": "0b",
    "0o8": "0o8",
    "-0x10": -16,
    "1e400": "error",
}
BARE = {text: value for text, value in SCALARS.items() if text not in ("-", "<<", "1e400")}


@pytest.mark.parametrize(("text", "value"), BARE.items())
def test_a_plain_scalar_means_what_kubernetes_takes_it_for(text, value):
    found = scalar(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.skipif(shutil.which("kubectl") is None and "CI" not in os.environ, reason="kubectl is not installed")
def test_the_table_of_scalars_agrees_with_kubectl(tmp_path):
    values = {f"k{index}": text for index, text in enumerate(BARE)}
    lines = "".join(f"  {key}: {text}\n" for key, text in values.items())
    keys = "".join(f"  ? {text}\n  : here\n" for text in ("1", "1.5", "yes", "1e3", "0x10", "12:30"))
    document = f"apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: x\nvalues:\n{lines}keys:\n{keys}"
    file = tmp_path / "thing.yaml"
    file.write_text(document)
    run = subprocess.run(
        ["kubectl", "annotate", "--local", "-f", str(file), "a=b", "-o", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    theirs = json.loads(run.stdout)
    ours = next(documents(document.encode())).value
    assert ours["values"] == theirs["values"]
    assert ours["keys"] == theirs["keys"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"a: 1\na: 2\n", 2, 'the key "a" stands here a second time'),
        (b"x:\n  - a\n  b: 1\n", 3, "did not find expected"),
        (b"a: [1, 2\nb: 3\n", 2, "did not find expected ',' or ']'"),
        (b"\ta: 1\n", 1, "cannot start any token"),
        (b"a: 1\nb: \xff\n", 2, "is not UTF-8: byte 0xff"),
        (b"a: 1\nb: \x01\n", 2, "control characters are not allowed"),
        (b"a: *nowhere\n", 1, "an alias stands for nothing defined before it"),
        (b"a: &a [*a]\n", 1, "an alias stands for nothing"),
        (b"a: 1\nb: .inf\n", 2, "infinite or none"),
        (b"a: 1\n? [b]\n: 2\n", 2, "a mapping's key must be a word"),
        (b"a: 1\n? null\n: 2\n", 2, "a mapping's key must be a word"),
        (b"<<: 1\na: 2\n", 1, "map merge requires a map"),
        (b"a: !!binary x\n", 1, "is not base64"),
        (b"[" * 100_000, 1, "nested deeper"),
        (b"- " * 100_000, 1, "nested deeper"),
        (b"? " * 100_000, 1, "a mapping's key must be a word"),
    ],
)
def test_what_is_no_yaml_for_kubernetes_is_told_with_its_line(text, line, reason):
    with pytest.raises(ReadError) as caught:
        list(documents(text))
    assert reason in caught.value.reason
    assert caught.value.line == line


def test_an_alias_bomb_is_refused_before_it_expands():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ReadError, match="expands to more than"):
        list(documents("\n".join(levels).encode()))


def test_every_document_knows_its_first_line():
    text = b"# comment\n---\na: 1\n---\n# nothing here\n---\n\nb: 2\n"
    assert [(document.line, document.value) for document in documents(text)] == [(3, {"a": 1}), (8, {"b": 2})]


def test_the_items_of_a_list_know_their_lines():
    text = b"kind: List\nitems:\n- a: 1\n- # second\n  a: 2\n"
    assert next(documents(text)).item_spans == ((3, 3), (5, 5))


def test_a_document_ends_with_its_last_word_and_not_with_what_comes_behind():
    text = b"a: 1\nb: |\n  x\n  y\n# behind\n\n---\nc: {d: [1,\n  2]}\n"
    assert [(document.line, document.last) for document in documents(text)] == [(1, 4), (8, 9)]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks_change_nothing(newline, bom):
    text = bom + newline.join(["a: 1", "b: |", "  x", "  y", ""]).encode()
    assert next(documents(text)).value == {"a": 1, "b": "x\ny\n"}


def test_merge_keys_yield_to_the_mappings_own():
    text = b"base: &b {u: 1, v: 2}\nmore: &m {v: 3, w: 4}\nuse:\n  <<: [*b, *m]\n  u: 9\n"
    assert next(documents(text)).value["use"] == {"u": 9, "v": 2, "w": 4}


def test_tags_and_quotes_keep_a_word_a_word():
    text = b'a: !!str 123\nb: \'1\'\nc: "yes"\nd: !!int "7"\ne: !!binary aGk=\nf: !Custom 1\n'
    assert next(documents(text)).value == {"a": "123", "b": "1", "c": "yes", "d": 7, "e": "hi", "f": "1"}


_WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters="\x7f\x85\xa0"), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_json_is_read_as_itself(value):
    assert [document.value for document in documents(json.dumps(value).encode())] == (
        [value] if value is not None else []
    )


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_raise_a_read_error(data):
    with contextlib.suppress(ReadError):
        list(documents(data))
