"""Patterns for repository and tag names, as doublestar writes them and Harbor's users know them.

`*` any characters but `/`, `?` one of them, `**` any number of path components, `{a,b}` either. Everything
else means itself. A pattern becomes a regular expression of the few constructs that Python and PostgreSQL
read alike, so that a list is filtered where its rows are (docs/decisions/0010); `compiled` is for names that Python
has before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from core import errors

MOST_CHARACTERS = 255
# `{a,b}{c,d}…` multiplies.
MOST_ALTERNATIVES = 64
_ALLOWED = re.compile(r"[A-Za-z0-9._/*?{},-]+")
_INNERMOST_BRACES = re.compile(r"\{([^{}]*)\}")


def regex(pattern: str) -> str:
    """The anchored regular expression that matches a whole name; BadRequest when the pattern is malformed."""
    return f"^(?:{'|'.join(_one(alternative) for alternative in alternatives(pattern))})$"


@lru_cache(maxsize=1000)
def compiled(pattern: str) -> re.Pattern[str]:
    """The same to match whole names with in Python. BadRequest as above.

    Python's engine goes back and tries again where PostgreSQL's does not: a pattern of many stars could take for ever.
    So what stands between two stars is an atomic group, taken where it first occurs: that leaves the most to the rest.
    """
    return re.compile("|".join(_atomic(alternative) for alternative in alternatives(pattern)))


def likes(pattern: str) -> list[str]:
    """SQL's LIKE patterns, for names without a slash: any number of them cost no compiling. BadRequest as above."""
    marks = {"*": "%", "?": "_", "_": "\\_"}
    return ["".join(marks.get(mark, mark) for mark in text) for text in alternatives(pattern)]


def alternatives(pattern: str) -> list[str]:
    """The pattern with its braces written out; BadRequest when it is malformed."""
    if len(pattern) > MOST_CHARACTERS or not _ALLOWED.fullmatch(pattern):
        raise errors.BadRequest(
            f"the pattern {pattern[:80]!r} must have 1 to {MOST_CHARACTERS} characters of names and of * ? {{ , }}"
        )
    open_ones, done = [pattern], set[str]()
    while open_ones:
        text = open_ones.pop()
        if braces := _INNERMOST_BRACES.search(text):
            open_ones += [text[: braces.start()] + word + text[braces.end() :] for word in braces[1].split(",")]
        else:
            done.add(text)
        if len(open_ones) + len(done) > MOST_ALTERNATIVES:
            raise errors.BadRequest(f"the pattern {pattern[:80]!r} stands for more than {MOST_ALTERNATIVES} patterns")
    if any(set(text) & set("{},") for text in done):
        raise errors.BadRequest(f"the pattern {pattern[:80]!r} has a brace without its partner, or a comma outside")
    return sorted(done)


def _one(pattern: str) -> str:
    """A pattern without braces."""
    *components, last = pattern.split("/")
    before = "".join("(?:[^/]+/)*" if part == "**" else f"{_component(part)}/" for part in components)
    return before + (".*" if last == "**" else _component(last))


def _component(text: str) -> str:
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(mark) or re.escape(mark) for mark in re.sub(r"\*+", "*", text))


def _atomic(pattern: str) -> str:
    """A pattern without braces, for Python."""
    first, *others = _split(map(_atomic_component, pattern.split("/")), "**")
    if not others:
        return "/".join(first)
    *middle, last = others
    ahead = "(?:[^/]+/)*"
    between = "".join(f"(?>{ahead}?{_slashed(part)})" for part in middle)
    return _slashed(first) + between + (ahead + "/".join(last) if last else ".*")


def _atomic_component(text: str) -> str:
    if text == "**":
        return text
    first, *others = (re.escape(part).replace("\\?", "[^/]") for part in re.split(r"\*+", text))
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + f"[^/]*{last}"


def _slashed(components: Iterable[str]) -> str:
    return "".join(f"{component}/" for component in components)


def _split(components: Iterable[str], at: str) -> Iterator[list[str]]:
    """The components before, between and after each `at`."""
    part: list[str] = []
    for component in components:
        if component == at:
            yield part
            part = []
        else:
            part.append(component)
    yield part
