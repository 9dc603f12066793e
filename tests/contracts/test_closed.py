"""What the reading of the contract itself lets through, and what not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.contracts import contract, derive

# Harbor 2.15.2's swagger.yaml, put through `tests/contracts/derive.py`.
DERIVED = "507826702d3fcabeab44620f85161bccad18a4f73f5ecd9200ac93623367a114"
OPERATIONS_OF_HARBOR = 203

THING = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer", "format": "int32", "x-omitempty": False},
        "made": {"type": "string", "format": "date-time"},
        "gone": {"type": "string", "x-nullable": True},
        "more": {"type": "object"},
        "words": {"type": "object", "additionalProperties": {"type": "string"}},
        "tag": {"$ref": "#/definitions/Tag"},
    },
}


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        ({"count": 0}, ""),
        ({"count": 0, "name": "x", "made": "2024-01-31T12:00:00.000Z", "gone": None, "more": "any"}, ""),
        ({"count": 0, "words": {"any": "word"}, "tag": {"immutable": False}}, ""),
        ({"name": "x"}, "'count' is a required property"),
        ({"count": 2**31}, "greater than the maximum"),
        ({"count": True}, "is not of type 'integer'"),
        ({"count": 0, "colour": "red"}, "'colour' was unexpected"),
        ({"count": 0, "name": None}, "is not of type 'string'"),
        ({"count": 0, "made": "2024-01-31T12:00:00Z"}, "is not a 'date-time'"),
        ({"count": 0, "words": {"any": 1}}, "is not of type 'string'"),
        ({"count": 0, "tag": {"immutable": False, "colour": "red"}}, "'colour' was unexpected"),
        ({"count": 0, "tag": {}}, "'immutable' is a required property"),
    ],
)
def test_a_closed_schema_refuses_what_it_does_not_name(answer: Any, mistake: str) -> None:
    found = contract.mistakes(THING, answer, contract.definitions({}))
    assert [mistake] == [mistake for said in found if mistake in said] if mistake else found == []


def test_a_file_is_a_text() -> None:
    found = [contract.mistakes({"type": "file"}, answer, {}) for answer in ("-----BEGIN", {"name": "x"})]
    assert [len(mistakes) for mistakes in found] == [0, 1]


def test_a_word_that_would_be_ignored_is_refused() -> None:
    with pytest.raises(ValueError, match="allOf is no word of a schema"):
        contract.closed({"allOf": [{"type": "string"}]})


def test_fields_are_told_by_their_definition() -> None:
    schema = {"type": "array", "items": {"$ref": "#/definitions/Reference"}}
    assert {"Reference.child_id", "Reference.platform", "Platform.os"} <= contract.fields_of(schema)
    answer = [{"child_id": 1, "urls": [], "platform": {"os": "linux", "variant": ""}}]
    assert set(contract.filled(schema, answer)) == {"Reference.child_id", "Reference.platform", "Platform.os"}


def test_the_derived_contract_has_no_prose_but_keeps_fields_that_are_called_like_it() -> None:
    field = {"type": "string", "description": "Words", "example": "x"}
    described = {
        "paths": {
            "/x": {
                "parameters": [],
                "get": {"summary": "Words", "tags": ["x"], "responses": {"200": {"description": "Words"}}},
            }
        },
        "definitions": {"Thing": {"type": "object", "properties": {"description": field, "summary": field}}},
        "parameters": {},
        "responses": {"200": {"description": "Words", "headers": {"Link": field}}},
    }
    assert derive.derive(described) == {
        "operations": {"GET /x": {"tags": ["x"], "responses": {"200": {}}}},
        "definitions": {
            "Thing": {
                "type": "object",
                "properties": {"description": {"type": "string"}, "summary": {"type": "string"}},
            }
        },
        "parameters": {},
        "responses": {"200": {"headers": {"Link": {"type": "string"}}}},
    }


def test_the_contract_is_kept_as_it_was_derived() -> None:
    """Nobody mends it by hand to let an answer pass: a newer contract is derived anew, as `derive` says."""
    content = (Path(__file__).parent / "harbor-v2.0.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() == DERIVED
    assert len(contract.OPERATIONS) == OPERATIONS_OF_HARBOR
