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
        try:
            document = json.loads(stream.read().decode(), parse_constant=_no_number, object_pairs_hook=_once)
            if nesting.is_too_deep(document):
                raise RecursionError
            # Written out again: shows null bytes and surrogates wherever they are.
            text = json.dumps(document, ensure_ascii=False)
            text.encode()
        except ValueError as error:
            raise errors.BadRequest(f"The body is not valid JSON: {type(error).__name__}") from error
        except RecursionError as error:
            raise errors.BadRequest(f"The body is nested more than {nesting.MOST_LEVELS} levels deep") from error
        if "\\u0000" in text.replace("\\\\", ""):
            raise errors.BadRequest("The body holds a null byte")
        return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: which of two values counts is another one for every reader."""
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        key = next(key for key, count in counts.items() if count > 1)
        raise errors.BadRequest(f"The body says {key[:40]!r} twice")
    return made


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")
