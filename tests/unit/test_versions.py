"""Versions and constraints against what Masterminds' library documents and tests of itself."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.errors import UsageError
from agent.model.versions import Constraint, parse_version

FITS = """
=2.0.0        | 2.0.0          | 1.2.3 2.0.1
4.1           | 4.1.0 4.1.9    | 4.0.0 4.2.0
!=4.1.0       | 4.1.1          | 4.1.0
!=4.1         | 4.2.0          | 4.1.0 4.1.7
!=4           | 5.0.0 3.9.0    | 4.0.0 4.7.1
>1.1          | 1.2.0 4.1.0    | 1.1.0 1.1.1
>1.1.0        | 1.1.1          | 1.1.0
>11           | 12.0.0         | 11.0.0 11.1.0
>0            | 1.1.1          | 0.0.1 0.9.0
<1.1          | 0.1.0 1.0.9    | 1.1.0 1.1.1
<0            |                | 0.0.0 0.1.0
>=1.1         | 4.1.0 1.1.0    | 0.0.9 1.0.9
>=11          | 11.1.2 12.0.0  | 10.9.0
<=1.1         | 0.1.0 1.1.0 1.1.9 | 1.2.0 2.0.0
<=11          | 11.9.9         | 12.0.0
^1.2.3        | 1.2.3 1.8.9    | 1.1.1 2.0.0
^1.1          | 1.1.1          | 2.1.0 1.0.9
^1            | 1.0.0 1.9.9    | 0.9.0 2.0.0
^0.2.3        | 0.2.3 0.2.9    | 0.3.0 0.2.2 1.2.3
^0.2          | 0.2.0 0.2.9    | 0.3.0
^0.0.3        | 0.0.3          | 0.0.4 0.1.3
^0.0          | 0.0.0 0.0.9    | 0.1.0
^0            | 0.0.0 0.9.9    | 1.0.0
~1            | 1.0.0 1.9.9    | 2.0.0 0.9.9
~1.2          | 1.2.0 1.2.9    | 1.3.0
~1.2.3        | 1.2.3 1.2.9    | 1.3.0 1.2.2
~>1.2.3       | 1.2.4          | 1.3.0
~0.0.0        | 0.0.0 9.0.0    |
~*            | 2.1.1 0.0.0    |
*             | 0.0.0 v3.1 4   | 1.0.0-alpha
1.x           | 1.0.0 1.9.9    | 2.0.0 0.9.0
1.2.X         | 1.2.0 1.2.9    | 1.3.0
1.2 - 1.4.5   | 1.2.0 1.4.5 1.3.9 | 1.1.9 1.4.6
1 - 3 || ^7   | 1.0.0 3.9.0 7.1.0 | 4.0.0 8.0.0
>1.1 <2       | 1.5.0          | 1.1.0 2.0.0
>1.1, <2 || > 3 | 1.5.0 4.0.0  | 3.0.0
>= 1.1 , !=1.2.5 | 1.2.4       | 1.2.5
>=1.2.3       | 1.2.3 1.3      | 1.3.0-alpha
>=1.2.3-0     | 1.2.3-alpha 1.3.0-rc.1 1.2.3 | 1.2.2
~1.2.3-0      | 1.2.4-beta     | 1.3.0-beta
*-0           | 1.0.0-alpha 1.0.0 |
=1.2.3-rc.1   | 1.2.3-rc.1+b5  | 1.2.3 1.2.3-rc.2
<2.0.0-0      | 1.9.0-beta     | 2.0.0
v1.2          | v1.2.7 1.2.7   | 1.3
=1.2.3        | 1.2.3+build    |
"""
ROWS = [line.rsplit("|", 2) for line in FITS.strip().splitlines()]


@pytest.mark.parametrize(("constraint", "fit", "unfit"), ROWS, ids=[row[0].strip() for row in ROWS])
def test_constraints_mean_what_they_meant(constraint, fit, unfit):
    parsed = Constraint.parse(constraint.strip())
    for tag in fit.split():
        assert parsed.allows(parse_version(tag)), tag
    for tag in unfit.split():
        assert not parsed.allows(parse_version(tag)), tag


@pytest.mark.parametrize(
    "text", ["", "not a range", "1.2.3.4", ">", "~~1", "1..2", ">=a", "1.2 -", "||", "1 || ", "1" * 600]
)
def test_what_is_no_constraint_is_refused(text):
    with pytest.raises(UsageError, match="improper constraint"):
        Constraint.parse(text)


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("1", "1.0.0"),
        ("v1.2", "1.2.0"),
        ("1.2.3-alpha.1+b", "1.2.3-alpha.1+b"),
        ("01.2.3", "1.2.3"),
        ("V1", None),
        ("1.2.3.4", None),
        ("1.2.3-01", None),
        ("master-a1b2c3d", None),
        ("1.2-", None),
        ("", None),
        ("\uff11.\uff12", None),
    ],
)
def test_tags_are_read_as_versions(tag, version):
    assert str(parse_version(tag)) == str(version)


NUMBERS = st.integers(0, 30)
VERSIONS = st.builds("{}.{}.{}{}".format, NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["", "-0", "-rc.1", "-a"]))
BOUNDS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "=", ">", "<", ">=", "<=", "~", "^", "!="]),
    NUMBERS,
    st.sampled_from(["", ".x", ".3", ".2.1"]),
)


@given(BOUNDS, VERSIONS)
def test_a_condition_and_its_opposite_part_all_releases(bound, version):
    parsed = parse_version(version)
    opposites = {">": "<=", "<": ">=", "=": "!=", "": "!="}
    sign = bound.rstrip("0123456789.x")
    if parsed.prerelease or sign not in opposites:
        return
    opposite = opposites[sign] + bound.removeprefix(sign)
    assert Constraint.parse(bound).allows(parsed) != Constraint.parse(opposite).allows(parsed)


@given(st.text(max_size=40))
def test_no_text_breaks_the_readers(text):
    parse_version(text)
    with contextlib.suppress(UsageError):
        Constraint.parse(text)
