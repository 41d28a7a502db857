"""The rules of Go's pflag; the expectations were checked against pflag 1.0.10 itself."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.errors import UsageError
from agent.pflag import UnknownFlagError, convert, format_value, invalid, parse_duration, read_list, scan

KINDS = {"bool": "bool", "other": "bool", "string": "string", "strings": "strings", "int": "int"}
SHORTHANDS = {"b": "bool", "o": "other", "s": "string", "m": "strings", "i": "int"}


def scanned(*argv):
    return list(scan(argv, KINDS, SHORTHANDS))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], []),
        (["--string=a"], [("string", "a")]),
        (["--string", "a"], [("string", "a")]),
        (["--string="], [("string", "")]),
        (["--string", ""], [("string", "")]),
        (["--string=a=b"], [("string", "a=b")]),
        (["--string", "--bool"], [("string", "--bool")]),
        (["--string", "--"], [("string", "--")]),
        (["--string", "-"], [("string", "-")]),
        (["--bool"], [("bool", "true")]),
        (["--bool=false"], [("bool", "false")]),
        (["--bool="], [("bool", "")]),
        (["-b"], [("bool", "true")]),
        (["-b=false"], [("bool", "false")]),
        (["-s", "a"], [("string", "a")]),
        (["-sa"], [("string", "a")]),
        (["-s=a"], [("string", "a")]),
        (["-s="], [("string", "=")]),
        (["-s==a"], [("string", "=a")]),
        (["-bo"], [("bool", "true"), ("other", "true")]),
        (["-bosa"], [("bool", "true"), ("other", "true"), ("string", "a")]),
        (["-bos", "a"], [("bool", "true"), ("other", "true"), ("string", "a")]),
        (["-bo=false"], [("bool", "true"), ("other", "false")]),
        (["--string=a", "--string=b"], [("string", "a"), ("string", "b")]),
        (["--bool", "--"], [("bool", "true")]),
        (["--int", "-3"], [("int", "-3")]),
    ],
)
def test_words_become_names_and_texts(argv, expected):
    assert scanned(*argv) == expected


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--nope=secret"], "unknown flag: --nope"),
        (["--strin=a"], "unknown flag: --strin"),
        (["--Bool"], "unknown flag: --Bool"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-bx"], "unknown shorthand flag: 'x' in -x"),
        (["-xyz=secret"], "unknown shorthand flag: 'x' in -xyz"),
        (["--string"], "flag needs an argument: --string"),
        (["-s"], "flag needs an argument: 's' in -s"),
        (["-bs"], "flag needs an argument: 's' in -s"),
        (["--=a"], "bad flag syntax: --="),
        (["---string=a"], "bad flag syntax: ---string="),
    ],
)
def test_what_is_badly_written_is_told_in_the_words_of_pflag(argv, message):
    with pytest.raises(UsageError) as caught:
        scanned(*argv)
    assert caught.value.message == message
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("argv", [["a"], ["-"], ["--bool", "true"], ["--", "--bool"], ["a", "--bool"]])
def test_a_word_that_is_no_flag_is_an_error(argv):
    with pytest.raises(UsageError, match="unexpected argument"):
        scanned(*argv)


def test_a_stray_url_is_told_without_its_password():
    with pytest.raises(UsageError) as caught:
        scanned("https://user:p@ss/word@example.com/repo")
    assert '"https://…@example.com/repo"' in str(caught.value)


def test_flags_before_a_stray_word_are_yielded_first():
    seen = scan(["stray", "--bool"], KINDS, SHORTHANDS)
    assert next(seen) == ("bool", "true")
    with pytest.raises(UsageError):
        next(seen)


def test_an_unknown_flag_tells_its_name_alone():
    with pytest.raises(UnknownFlagError) as caught:
        scanned("-git-url=https://user:secret@example.com")
    assert caught.value.name == "git-url"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("+0", 0),
        ("0s", 0),
        ("5m", 300),
        ("5m0s", 300),
        ("1h30m", 5400),
        ("300ms", 0.3),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("-5s", -5),
        ("+5s", 5),
        ("1us", 1e-6),
        ("1\N{MICRO SIGN}s", 1e-6),
        ("1\N{GREEK SMALL LETTER MU}s", 1e-6),
        ("1ns", 1e-9),
        ("1m1m", 120),
        ("2562047h47m16.854775807s", 9223372036.854775807),
    ],
)
def test_durations_are_those_of_go(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("1h-2m", 'time: unknown unit "h-" in duration "1h-2m"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1h1", 'time: missing unit in duration "1h1"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1 h", 'time: unknown unit " h" in duration "1 h"'),
        ("2562047h47m16.854775808s", 'time: invalid duration "2562047h47m16.854775808s"'),
    ],
)
def test_what_is_no_duration_is_told_in_the_words_of_go(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the message is compared whole
        parse_duration(text)
    assert str(caught.value) == message


@given(st.integers(0, 999), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_duration_is_the_sum_of_its_parts(hours, minutes, seconds, milliseconds):
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"
    assert parse_duration(text) == pytest.approx(hours * 3600 + minutes * 60 + seconds + milliseconds / 1000)


@given(st.integers(1, 10**6))
def test_a_written_duration_is_read_back(seconds):
    assert parse_duration(format_value("duration", float(seconds))) == seconds


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("a,", ("a", "")),
        (",", ("", "")),
        (" a, b", (" a", " b")),
        ('"a,b",c', ("a,b", "c")),
        ('"a""b"', ('a"b',)),
        ('""', ("",)),
        ("a,b\n", ("a", "b")),
        ('"a\nb"', ("a\nb",)),
        ("docker.io/*,quay.io/*", ("docker.io/*", "quay.io/*")),
    ],
)
def test_lists_are_commas_with_csv_quoting(text, items):
    assert read_list(text) == items


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a"b', 'parse error on line 1, column 2: bare " in non-quoted-field'),
        ('a,b"', 'parse error on line 1, column 4: bare " in non-quoted-field'),
        ('"a"b', 'parse error on line 1, column 3: extraneous or missing " in quoted-field'),
        ('"a', 'parse error on line 1, column 3: extraneous or missing " in quoted-field'),
        ('a,"', 'parse error on line 1, column 4: extraneous or missing " in quoted-field'),
        ("a\nb", "a list is one line"),
    ],
)
def test_a_stray_quote_in_a_list_is_an_error(text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the message is compared whole
        read_list(text)
    assert str(caught.value) == message


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"), min_size=1), min_size=1))
def test_a_quoted_list_is_read_back(items):
    text = ",".join('"' + item.replace('"', '""') + '"' for item in items)
    assert read_list(text) == tuple(items)


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_true_has_six_spellings(text):
    assert convert("bool", text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_false_has_six_spellings(text):
    assert convert("bool", text) is False


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "11211", 11211),
        ("int", "-3", -3),
        ("int", "+4", 4),
        ("int", "010", 8),
        ("int", "0x1F", 31),
        ("int", "0b101", 5),
        ("int", "0o17", 15),
        ("int", "1_000", 1000),
        ("int", "9223372036854775807", 2**63 - 1),
        ("uint", "2048", 2048),
        ("uint", "18446744073709551615", 2**64 - 1),
        ("float", "200", 200.0),
        ("float", "1e3", 1000.0),
        ("float", ".5", 0.5),
        ("float", "-Inf", -math.inf),
        ("string", " a ", " a "),
    ],
)
def test_numbers_are_those_of_go(kind, text, value):
    assert convert(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("bool", "yes", 'strconv.ParseBool: parsing "yes": invalid syntax'),
        ("bool", "", 'strconv.ParseBool: parsing "": invalid syntax'),
        ("bool", "tRUE", 'strconv.ParseBool: parsing "tRUE": invalid syntax'),
        ("int", "", 'strconv.ParseInt: parsing "": invalid syntax'),
        ("int", " 1", 'strconv.ParseInt: parsing " 1": invalid syntax'),
        ("int", "08", 'strconv.ParseInt: parsing "08": invalid syntax'),
        ("int", "1.5", 'strconv.ParseInt: parsing "1.5": invalid syntax'),
        ("int", "1__0", 'strconv.ParseInt: parsing "1__0": invalid syntax'),
        ("int", "\N{ARABIC-INDIC DIGIT ONE}", 'strconv.ParseInt: parsing "\N{ARABIC-INDIC DIGIT ONE}": invalid syntax'),
        ("int", "9223372036854775808", 'strconv.ParseInt: parsing "9223372036854775808": value out of range'),
        ("uint", "-1", 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ("uint", "18446744073709551616", 'strconv.ParseUint: parsing "18446744073709551616": value out of range'),
        ("float", "a", 'strconv.ParseFloat: parsing "a": invalid syntax'),
        ("float", "1__0", 'strconv.ParseFloat: parsing "1__0": invalid syntax'),
        ("float", "1e999", 'strconv.ParseFloat: parsing "1e999": value out of range'),
    ],
)
def test_a_text_of_the_wrong_kind_is_told_in_the_words_of_go(kind, text, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the message is compared whole
        convert(kind, text)
    assert str(caught.value) == message


def test_an_invalid_argument_is_told_with_its_flag_and_cause():
    error = invalid("x", '"--git-timeout" flag', 'time: invalid duration "x"')
    assert str(error) == 'invalid argument "x" for "--git-timeout" flag: time: invalid duration "x"'


def test_a_long_invalid_argument_is_cut():
    assert len(str(invalid("x" * 5000, '"--listen" flag', "no"))) < 200


@given(st.sampled_from(["bool", "int", "uint", "float", "duration", "strings"]), st.text())
def test_any_text_is_read_or_refused(kind, text):
    with contextlib.suppress(ValueError):
        convert(kind, text)


@given(st.lists(st.text(st.characters(max_codepoint=127), max_size=6), max_size=5))
def test_any_words_are_read_or_refused(argv):
    with contextlib.suppress(UsageError):
        scanned(*argv)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("string", "master", '"master"'),
        ("string", "", ""),
        ("strings", ("a", "b"), "[a,b]"),
        ("strings", (), ""),
        ("bool", False, ""),
        ("bool", True, "true"),
        ("duration", 300.0, "5m0s"),
        ("duration", 20.0, "20s"),
        ("duration", 3661.0, "1h1m1s"),
        ("float", 200.0, "200"),
        ("int", 125, "125"),
        ("int", 0, ""),
    ],
)
def test_defaults_are_written_as_pflag_writes_them(kind, value, text):
    assert format_value(kind, value) == text
