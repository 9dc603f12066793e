"""Reads JSON bodies so that nothing strange gets further: what cannot be stored is refused here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from rest_framework.parsers import JSONParser

from core import errors, nesting


class JsonBody(JSONParser):
    """A JSON document that nothing strange is in.

    No null bytes, lone surrogates, numbers that are none, keys that are there twice, and not too many levels.
    """

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        document = _document(_text(stream.read()))
        _refuse_what_cannot_be_stored(document)
        return document


def _text(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        place, byte = error.start + 1, content[error.start]
        raise errors.BadRequest(
            f"The body is no UTF-8: its byte {place} is 0x{byte:02x}, which cannot stand there"
        ) from error
    if text.startswith("\ufeff"):
        raise errors.BadRequest("The body begins with a byte order mark, which JSON must not have")
    return text


def _document(text: str) -> Any:
    try:
        document = json.loads(text, parse_int=_whole, parse_constant=_no_number, object_pairs_hook=_once)
        if nesting.is_too_deep(document):
            raise RecursionError
    except json.JSONDecodeError as error:
        place, what = f"line {error.lineno}, column {error.colno}", error.msg[:1].lower() + error.msg[1:]
        raise errors.BadRequest(f"The body is not valid JSON at {place}: {what}") from error
    except RecursionError as error:
        raise errors.BadRequest(f"The body is nested more than {nesting.MOST_LEVELS} levels deep") from error
    return document


def _refuse_what_cannot_be_stored(document: Any) -> None:
    # Written out again: shows null bytes and surrogates wherever they are.
    text = json.dumps(document, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise errors.BadRequest("The body holds half of a surrogate pair, which is no character") from error
    if "\\u0000" in text.replace("\\\\", ""):
        raise errors.BadRequest("The body holds a null byte")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: which of two values counts is another one for every reader."""
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        key = next(key for key, count in counts.items() if count > 1)
        raise errors.BadRequest(f"The body says {key[:40]!r} twice")
    return made


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:
        # Python reads no more than some thousands: the time grows with their square.
        raise errors.BadRequest(f"The body holds a number of {len(digits)} digits; nothing here is so large") from error


def _no_number(text: str) -> NoReturn:
    raise errors.BadRequest(f"The body says {text}, which is no number of JSON")
