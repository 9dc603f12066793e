"""The API's own document is true: every answer has a status, a body and headers that it tells of, and no field more."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import resolve
from jsonschema import Draft202012Validator

from core.api import openapi
from core.api.slashes import cleaned
from projects.models import StorageFigure
from tests.contracts.contract import OPERATIONS, Operation, formats
from tests.contracts.test_contract import CHANGES, SAMPLES, Populated, attempts, content, populated, routed_ones
from tests.rest import Api

__all__ = ["populated"]
pytestmark = pytest.mark.django_db


def closed(schema: Any) -> Any:
    """A schema of the document as JSON Schema in which nothing that is not named may stand."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {word: closed(part) for word, part in schema.items() if word != "nullable"}
    if "properties" in made and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") is True else made


def untrue(answer: Any) -> list[str]:
    """Where an answer is not as the document says, in words."""
    request = answer.wsgi_request
    path = openapi.path_of(request.resolver_match.route).removeprefix("api/v2.0")
    said = openapi.document()["paths"][path][request.method.lower()]
    place = f"{request.method} {path}: {answer.status_code}"
    response = said["responses"].get(str(answer.status_code))
    if response is None:
        return [f"{place} is not documented"]
    wrong = [
        f"{place} lacks the header {name}"
        for name, header in response.get("headers", {}).items()
        if header.get("required") and name not in answer
    ]
    if "content" not in response:
        return wrong + ([f"{place} has a body"] if answer.content and request.method != "HEAD" else [])
    said, documented = answer["Content-Type"], response["content"]
    media = documented.get(said) or documented.get(said.removesuffix("; charset=utf-8"))
    if media is None:
        return [*wrong, f"{place} is {said}, not {' or '.join(documented)}"]
    schemas = closed(openapi.document()["components"])
    validator = Draft202012Validator({**closed(media["schema"]), "components": schemas}, format_checker=formats)
    found = validator.iter_errors(content(answer))
    return wrong + [f"{place}: {error.json_path}: {error.message[:200]}" for error in found]


NOT_READ = {"X-Accept-Vulnerabilities": "which reports of vulnerabilities a client can read: there are none yet"}
"""Headers of Harbor's that mean nothing here, each with why."""


@pytest.mark.parametrize("operation", routed_ones("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), ids=str)
def test_the_headers_that_harbor_reads_are_documented(operation: Operation) -> None:
    route = resolve(cleaned(f"/api/v2.0{operation.at(SAMPLES)}")).route
    path = openapi.path_of(route).removeprefix("api/v2.0")
    parameters = openapi.document()["paths"][path][operation.method.lower()]["parameters"]
    told = {each["name"]: each["schema"]["type"] for each in parameters if each["in"] == "header"}
    assert told == {name: kind for name, kind in operation.headers.items() if name not in NOT_READ}


def test_what_is_read_is_as_documented(populated: Populated) -> None:
    wrong = set()
    for operation in routed_ones("GET", "HEAD"):
        for api in populated.callers().values():
            for path in populated.paths(operation):
                wrong |= set(untrue(getattr(api, operation.method.lower())(path)))
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize("key", CHANGES)
def test_what_is_changed_is_answered_as_documented(populated: Populated, key: str) -> None:
    operation = OPERATIONS[key]
    (path,) = populated.paths(operation)
    answers = attempts(operation, path, populated.bodies.get(key, CHANGES[key]), populated)
    wrong = {mistake for _, answer in answers for mistake in untrue(answer)}
    assert not wrong, "\n".join(sorted(wrong))


def test_what_harbor_does_not_have_is_as_documented_too(populated: Populated) -> None:
    alice = Api(populated.story.alice)
    explained = alice.get("/projects/team/access/explain?subject=bob&action=pull&reference=app:v1")
    assert (explained.status_code, untrue(explained)) == (200, [])
    StorageFigure.objects.create(project=populated.story.team, day="2026-01-01", logical=2, stored=1)
    storage = alice.get("/projects/team/statistics/storage?days=366")
    assert (storage.status_code, untrue(storage)) == (200, [])
    refused = alice.get("/projects/team/access/explain")
    assert (refused.status_code, untrue(refused)) == (422, [])


def test_an_answer_that_is_not_as_documented_is_seen() -> None:
    answer = Api().get("/systeminfo")
    assert untrue(answer) == []
    answer.json = lambda: {"auth_mode": 1, "more": 2}
    assert any("more" in mistake for mistake in untrue(answer))
    answer.status_code = 418
    assert untrue(answer) == ["GET /systeminfo: 418 is not documented"]
