"""The document that the API gives of itself: whole, well-formed, and made without a warning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema

from core.api import openapi
from core.api.operations import operation_of
from core.api.resource import Resource
from projects.api.labels import Labels
from tests.rest import Api


@pytest.fixture
def document() -> Iterator[dict[str, Any]]:
    """Made afresh, so that what it complains about is this time's."""
    openapi.document.cache_clear()
    yield openapi.document()
    openapi.document.cache_clear()


def routes() -> set[tuple[str, str]]:
    """Method and path, as in the document, of every route of the API."""

    def walk(patterns: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            elif isinstance(pattern, URLPattern) and path.startswith("api/v2.0/"):
                yield path.removeprefix("api/v2.0"), pattern.callback

    found = set()
    for route, view in walk(get_resolver().url_patterns, ""):
        path = openapi.path_of(route)
        actions = getattr(view, "actions", None) or {"get": "get"}
        # HEAD is GET's shadow, where it has no action of its own.
        own = {method for method in actions if method != "head" or actions["head"] != actions.get("get")}
        found |= {(method, path) for method in own}
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(method, path): said for path, methods in document["paths"].items() for method, said in methods.items()}


def test_every_route_is_in_it_and_nothing_else(document: dict[str, Any]) -> None:
    assert len(routes()) > 70
    assert set(operations(document)) == routes()


def test_it_is_made_without_warnings_and_is_openapi_3(document: dict[str, Any]) -> None:
    assert not GENERATOR_STATS, "\n".join([*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache])
    validate_schema(document)


def test_operations_have_names_and_summaries_of_their_own(document: dict[str, Any]) -> None:
    said = list(operations(document).values())
    assert len({each["operationId"] for each in said}) == len(said)
    assert all(each["summary"] for each in said)


def test_a_view_that_says_nothing_is_named(document: dict[str, Any]) -> None:
    class Silent(Resource):
        def list(self) -> None: ...

    view = Silent()
    view.action = "list"
    with pytest.raises(LookupError, match=r"Silent\.list needs an @operation"):
        operation_of(view, "GET")


def test_a_type_that_has_no_schema_is_a_mistake(document: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="is no type of an answer that is known here"):
        openapi.Described()._schema(set[str])


def test_a_list_tells_its_keys_pages_and_headers(document: dict[str, Any]) -> None:
    labels = document["paths"]["/labels"]["get"]
    named = {each["name"]: each for each in labels["parameters"]}
    assert set(named) == {"X-Request-Id", "scope", "project_id", "name", "q", "sort", "page", "page_size"}
    assert all(key in named["q"]["description"] for key in Labels.filter_fields)
    assert (named["scope"]["required"], named["scope"]["schema"]["enum"]) == (True, ["g", "p"])
    assert named["page_size"]["schema"]["maximum"] == 100
    assert set(labels["responses"]["200"]["headers"]) == {"X-Total-Count", "Link"}


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("get", "/ping", "200 400"),
        ("get", "/statistics", "200 400 401 429 503"),
        ("get", "/projects/{project_name_or_id}", "200 400 401 403 404 429 503"),
        ("post", "/projects", "201 400 401 403 409 413 415 422 429 503"),
        ("head", "/projects", "200 400 401 404 422 429 503"),
        ("delete", "/projects/{project_name_or_id}", "200 400 401 403 404 412 429 503"),
        ("get", "/labels/{label_id}", "200 400 401 403 404 422 429 503"),
    ],
)
def test_it_tells_every_status_that_can_be_met(document: dict[str, Any], method: str, path: str, statuses: str) -> None:
    assert sorted(document["paths"][path][method]["responses"]) == statuses.split()


def test_a_number_in_a_path_is_of_64_bits(document: dict[str, Any]) -> None:
    number, *_ = document["paths"]["/labels/{label_id}"]["get"]["parameters"]
    assert number["schema"] == {"type": "integer", "format": "int64"}


def test_who_may_call_without_signing_in_is_said(document: dict[str, Any]) -> None:
    ways = {path: document["paths"][path]["get"]["security"] for path in ("/ping", "/projects", "/users")}
    both: list[dict[str, list[str]]] = [{"basic": []}, {"session": []}]
    assert ways == {"/ping": [{}], "/projects": [*both, {}], "/users": both}


def test_forms_say_what_is_required_and_how_long_it_may_be(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["MemberForm"]["required"] == ["role_id"]
    assert schemas["ProjectForm"]["properties"]["project_name"] == {"type": "string", "maxLength": 255}


@pytest.mark.django_db
def test_everybody_reads_it_as_json() -> None:
    answer = Api().get("/openapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json()["servers"] == [{"url": "/api/v2.0"}]
    assert answer.json()["paths"].keys() == openapi.document()["paths"].keys()
