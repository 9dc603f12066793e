"""What bodies may hold: strict fields, because JSON's types mean something to Harbor's clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

INT64_MOST = 2**63 - 1


class Form(serializers.Serializer[Any]):
    """A request's body. As in Harbor, null means absent and unknown fields are ignored."""

    default_error_messages = {"invalid": "a JSON object, {{...}}, is expected here"}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            data = {key: value for key, value in data.items() if value is not None}
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A string as it is: numbers are no strings, and blanks at its ends are the caller's. Empty is allowed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, "allow_blank": True, **options})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A 64-bit whole number; no strings, no booleans."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"min_value": -INT64_MOST - 1, "max_value": INT64_MOST, **options})

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """true or false, and nothing that looks like it."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Choice(serializers.ChoiceField):
    """One of some words; a refusal names them."""

    def __init__(self, choices: Iterable[str], **options: Any) -> None:
        words = list(choices)
        wrong: dict[str, Any] = {"invalid_choice": "'{input}' is none of " + ", ".join(map(repr, words))}
        super().__init__(words, error_messages=wrong, **options)
