"""Harbor's contract as tests ask it: its operations, and its schemas as JSON Schema in which nothing else may stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

Schema = dict[str, Any]

CONTRACT: dict[str, Any] = json.loads((Path(__file__).parent / "harbor-v2.0.json").read_text())
_MOST = {"int32": 2**31 - 1, "int64": 2**63 - 1, "int": 2**63 - 1}
# Words of a schema that ask nothing of an answer.
_SILENT = {"default", "readOnly", "x-omitempty", "x-nullable", "x-isnullable", "x-go-type"}
_KEPT = {"type", "enum", "required", "minimum", "maximum", "minLength", "maxLength", "pattern", "uniqueItems"}
formats = FormatChecker(formats=[])


@formats.checks("date-time")
def _is_time(value: object) -> bool:
    """RFC 3339 in UTC with milliseconds, which is what Harbor writes."""
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value))


@dataclass(frozen=True)
class Operation:
    """One operation of the contract."""

    method: str
    path: str
    """With `{parameters}`, without /api/v2.0."""
    tag: str
    responses: Mapping[str, Any]
    headers: Mapping[str, str]
    """Those that a request may have, each with its type."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    def at(self, values: Mapping[str, object]) -> str:
        """The path with these values for its parameters; KeyError when one is missing."""
        return re.sub(r"{(\w+)}", lambda match: str(values[match[1]]), self.path)

    def response(self, status: int) -> Mapping[str, Any] | None:
        """What is documented for a status; None when it is not documented."""
        found = self.responses.get(str(status))
        if found is None:
            return None
        if "$ref" in found:
            shared: Mapping[str, Any] = CONTRACT["responses"][found["$ref"].removeprefix("#/responses/")]
            return shared
        return dict(found)


def _operation(key: str, said: Mapping[str, Any]) -> Operation:
    method, _, path = key.partition(" ")
    parameters = [_resolved(each) for each in said.get("parameters", ())]
    headers = {each["name"]: each["type"] for each in parameters if each["in"] == "header"}
    return Operation(method, path, said["tags"][0], said["responses"], headers)


def _resolved(parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in parameter:
        return parameter
    shared: Mapping[str, Any] = CONTRACT["parameters"][parameter["$ref"].removeprefix("#/parameters/")]
    return shared


OPERATIONS = {key: _operation(key, said) for key, said in CONTRACT["operations"].items()}


def closed(schema: Mapping[str, Any]) -> Schema:
    """A Swagger 2.0 schema as JSON Schema: fields that it does not name are refused, those it always writes required.

    A file, which JSON Schema does not know, is a text.

    ValueError for a word of Swagger that this does not know: it would be ignored silently otherwise.
    """
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/definitions/")
        return _nullable(schema, {"$ref": f"#/$defs/{name}"})
    if _is_free(schema):
        return {}
    if schema.get("type") == "file":
        return {"type": "string"}
    made: Schema = {}
    for word, value in schema.items():
        if word in _KEPT:
            made[word] = value
        elif word == "properties":
            made["properties"] = {name: closed(field) for name, field in value.items()}
        elif word == "items":
            made["items"] = closed(value)
        elif word == "format":
            made |= _format(value)
        elif word != "additionalProperties" and word not in _SILENT:
            raise ValueError(f"{word} is no word of a schema that is known here")
    if _holds_fields(schema):
        made["additionalProperties"] = _additional(schema.get("additionalProperties", False))
        always = [name for name, field in schema.get("properties", {}).items() if field.get("x-omitempty") is False]
        if required := sorted({*made.get("required", ()), *always}):
            made["required"] = required
    return _nullable(schema, made)


def definitions(amended: Mapping[str, Mapping[str, Any]]) -> dict[str, Schema]:
    """All definitions, closed; `amended` gives some of them fields in JSON Schema, in place of Harbor's or besides."""
    made = {name: closed(schema) for name, schema in CONTRACT["definitions"].items()}
    for name, fields in amended.items():
        made[name] = {**made[name], "properties": {**made[name].get("properties", {}), **fields}}
    return made


def mistakes(schema: Mapping[str, Any], answer: Any, defs: Mapping[str, Schema]) -> list[str]:
    """Where an answer's JSON leaves a schema of the contract, in words."""
    validator = Draft202012Validator({**closed(schema), "$defs": defs}, format_checker=formats)
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(answer)]


def fields_of(schema: Mapping[str, Any]) -> set[str]:
    """`Definition.field` for all fields that an answer of this schema could fill."""
    found: set[str] = set()
    _gather(schema, "", found)
    return found


def filled(schema: Mapping[str, Any], answer: Any, owner: str = "") -> Iterator[str]:
    """`Definition.field` for the fields that this answer fills with more than nothing."""
    if "$ref" in schema:
        owner = schema["$ref"].removeprefix("#/definitions/")
        yield from filled(CONTRACT["definitions"][owner], answer, owner)
    elif isinstance(answer, list):
        for item in answer:
            yield from filled(schema.get("items", {}), item, owner)
    elif isinstance(answer, dict):
        fields, more = schema.get("properties", {}), schema.get("additionalProperties")
        for name, value in answer.items():
            if name in fields and value not in (None, "", [], {}):
                yield f"{owner}.{name}"
            yield from filled(fields.get(name) or (more if isinstance(more, dict) else {}), value, owner)


def _gather(schema: Any, owner: str, found: set[str]) -> None:
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        owner = schema["$ref"].removeprefix("#/definitions/")
        schema = CONTRACT["definitions"][owner]
    for name, field in schema.get("properties", {}).items():
        if f"{owner}.{name}" not in found:
            found.add(f"{owner}.{name}")
            _gather(field, owner, found)
    _gather(schema.get("items"), owner, found)
    _gather(schema.get("additionalProperties"), owner, found)


def _is_free(schema: Mapping[str, Any]) -> bool:
    """`type: object` and no word more means any JSON value: strings stand in such places too."""
    return schema.get("type") == "object" and not _holds_fields(schema)


def _holds_fields(schema: Mapping[str, Any]) -> bool:
    return "properties" in schema or "additionalProperties" in schema


def _additional(said: Any) -> Any:
    return closed(said) if isinstance(said, dict) else said


def _format(name: str) -> Schema:
    if name in _MOST:
        return {"minimum": -_MOST[name] - 1, "maximum": _MOST[name]}
    return {"format": name}


def _nullable(schema: Mapping[str, Any], made: Schema) -> Schema:
    if schema.get("x-nullable") or schema.get("x-isnullable"):
        return {"anyOf": [made, {"type": "null"}]}
    return made
