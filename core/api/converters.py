"""Path converters for Harbor's names and numbers."""

from __future__ import annotations

import re
from urllib.parse import unquote

_NUMBER = re.compile(r"([+-]?)0*([0-9]{1,19})")
_MOST = 2**63 - 1


class NoNumber(str):
    """What stands in a path in the place of a number; `Resource` refuses it."""


class NumberConverter:
    """A number of 64 bits (Harbor's int64), or NoNumber.

    The route matches in either case: it is there, and only what was asked of it has the wrong type.
    """

    regex = "[^/]+"

    def to_python(self, value: str) -> int | NoNumber:
        match = _NUMBER.fullmatch(value)
        if match is None:
            return NoNumber(value)
        number = int(match[1] + match[2])
        return number if -_MOST - 1 <= number <= _MOST else NoNumber(value)

    def to_url(self, value: int) -> str:
        return str(value)


class RepositoryConverter:
    """A repository's name inside its project. Clients encode its slashes twice (`a%252Fb`) or once."""

    regex = ".+"

    def to_python(self, value: str) -> str:
        name = unquote(value)
        if "\0" in name:
            raise ValueError("a null byte is in no name")
        return name

    def to_url(self, value: str) -> str:
        return value.replace("/", "%2F")
