"""Patterns, as doublestar documents them, read alike by Python and by PostgreSQL."""

from __future__ import annotations

import re

import hypothesis
import pytest
from django.db import connection
from hypothesis import strategies as st

from core import errors, globs

TABLE = [
    # pattern, what it matches, what it does not
    ("*", ["v1", ".hidden", "a-b_c.d"], ["a/b", "a/"]),
    ("**", ["v1", "a/b/c"], []),
    ("v1.*", ["v1.0", "v1.", "v1.2.3"], ["v1", "v10", "xv1.0"]),
    ("v?.1", ["v2.1"], ["v.1", "v22.1", "v/.1"]),
    ("{v1,v2}.0", ["v1.0", "v2.0"], ["v3.0", "{v1,v2}.0"]),
    ("a{,-b{1,2}}", ["a", "a-b1", "a-b2"], ["a-b", "a-b3"]),
    ("app", ["app"], ["apps", "app/x", "App"]),
    ("app/**", ["app/x", "app/x/y"], ["app", "apps/x"]),
    ("**/app", ["app", "x/app", "x/y/app"], ["xapp", "app/x"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
    ("lib/*/core", ["lib/x/core"], ["lib/core", "lib/x/y/core"]),
    ("*-*-*", ["a-b-c", "--"], ["a-b"]),
    ("a**b", ["ab", "axb"], ["a/b"]),
    ("a_b", ["a_b"], ["axb"]),
    # Nothing of a regular expression means anything here.
    ("a.b", ["a.b"], ["axb"]),
    ("v1.0-rc.1", ["v1.0-rc.1"], ["v1.0-rcx1"]),
]


@pytest.mark.parametrize(("pattern", "matched", "unmatched"), TABLE, ids=[row[0] for row in TABLE])
def test_python_and_postgres_read_a_pattern_alike(
    pattern: str, matched: list[str], unmatched: list[str], db: None
) -> None:
    found = globs.regex(pattern)
    for name in [*matched, *unmatched]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s ~ %s", [name, found])
            answers = {
                bool(re.search(found, name)),
                cursor.fetchone()[0],
                bool(globs.compiled(pattern).fullmatch(name)),
            }
        assert answers == {name in matched}, name


@hypothesis.settings(max_examples=2000, database=None, deadline=None, derandomize=True)
@hypothesis.given(
    pattern=st.lists(st.sampled_from(["a", "b", "/", "*", "?", "**/", "/**", "{a,b/}"]), min_size=1, max_size=9),
    name=st.lists(st.sampled_from(["a", "b", "/a", "/b"]), min_size=1, max_size=9),
)
def test_both_of_pythons_readings_are_one(pattern: list[str], name: list[str]) -> None:
    text, whole = "".join(pattern), "".join(name)
    assert bool(globs.compiled(text).fullmatch(whole)) is bool(re.search(globs.regex(text), whole)), (text, whole)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 120 + "b", "a" * 128),
        ("*?a" * 60 + "b", "a" * 128),
        ("**/a/" * 50 + "b", "a/" * 120 + "a"),
        ("**/*a*/" * 30 + "b", "aa/" * 80 + "a"),
        ("**/" * 80 + "b", "a/" * 120 + "a"),
        ("{a,*a*}" + "*a" * 120 + "b", "a" * 128),
    ],
)
def test_no_pattern_takes_for_ever(pattern: str, name: str) -> None:
    """Going back at every star would take longer than the stars will shine."""
    assert globs.compiled(pattern).fullmatch(name) is None
    assert globs.compiled(pattern).fullmatch(f"{name[:-1]}b") is not None


SLASHLESS = [row for row in TABLE if "/" not in row[0]]


@pytest.mark.parametrize(("pattern", "matched", "unmatched"), SLASHLESS, ids=[row[0] for row in SLASHLESS])
def test_like_patterns_say_the_same_of_names_without_a_slash(
    pattern: str, matched: list[str], unmatched: list[str], db: None
) -> None:
    for name in [name for name in [*matched, *unmatched] if "/" not in name]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s LIKE ANY(%s)", [name, globs.likes(pattern)])
            assert cursor.fetchone()[0] is (name in matched), name


@pytest.mark.parametrize(
    "pattern",
    ["", "a b", "a\\b", "[ab]", "(a|b)", "a$", "^a", "a+", "x" * 256, "{a,b", "a,b}", "a,b", "}{", "é", "a\0", "!a"],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(errors.BadRequest, match="the pattern"):
        globs.regex(pattern)


def test_braces_that_multiply_without_end_are_refused() -> None:
    with pytest.raises(errors.BadRequest, match="more than 64"):
        globs.regex("{a,b}" * 40)
