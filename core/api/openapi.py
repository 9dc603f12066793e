"""The platform's own OpenAPI document: paths and forms as drf-spectacular finds them, the rest by our conventions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache
from typing import Any, Literal, Required, get_args, get_origin, get_type_hints, is_typeddict

from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework.permissions import SAFE_METHODS

from core.api import answers
from core.api.operations import JSON, Operation, operation_of
from core.api.pagination import DEFAULT_SIZE, MAX_SIZE

Schema = dict[str, Any]
PREFIX = "/api/v2.0"

_PLAIN: dict[Any, Schema] = {
    Any: {},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    object: {"type": "object", "additionalProperties": {}},
}
_REFUSALS = {
    400: "The request is malformed.",
    401: "Nobody signed in, or with a wrong name or password.",
    403: "The caller may not do this, the system is in read-only mode, or a session's CSRF token is missing.",
    404: "There is no such thing, or nothing that the caller may know of.",
    405: "This cannot be done here, whoever asks.",
    409: "Something of this name or kind exists already.",
    412: "The state of things does not allow this.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    422: "A value has a wrong type or size.",
    429: "Too many failed logins of this account from this address; Retry-After says when to come again.",
    503: "A part of the platform does not answer; try again.",
}
_GRAMMAR = (
    "`k=v` exactly, `k=~v` contains, `k=[a~b]` from and to, `k={a b}` one of, `k=(a b)` all of; joined by commas."
)


@cache
def document() -> Schema:
    """The whole document, made once in each process."""
    made: Schema = _Generator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


def path_of(route: str) -> str:
    """Django's route as the document writes it: `/labels/<number:label_id>` is `/labels/{label_id}`."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)


class Described(AutoSchema):
    """One operation of the document."""

    @property
    def said(self) -> Operation:
        return operation_of(self.view, self.method)

    def get_operation_id(self) -> str:
        view = type(self.view).__name__
        action = getattr(self.view, "action", None) or self.method.lower()
        return view[0].lower() + view[1:] + "".join(word.capitalize() for word in action.split("_"))

    def get_summary(self) -> str:
        return self.said.summary

    def get_description(self) -> str:  # type: ignore[override]
        """Nothing: what docstrings say is for who reads the code. So it is with forms below."""
        return ""

    def get_tags(self) -> list[str]:
        return [type(self.view).__module__.rpartition(".")[2]]

    def get_auth(self) -> list[Schema]:
        if not self.view.authentication_classes:
            return [{}]
        return [{"basic": []}, {"session": []}, *([{}] if self._is_for_everybody() else [])]

    def get_request_serializer(self) -> Any:
        body = self.said.body
        return {JSON: body} if isinstance(body, dict) else body

    def _map_basic_serializer(self, serializer: Any, direction: str) -> Schema:
        form: Schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        form.pop("description", None)
        return form

    def _get_parameters(self) -> list[Schema]:
        names = self._names_in_path()
        parameters: list[Schema] = self._resolve_path_parameters(names)  # type: ignore[no-untyped-call]
        if "project_name_or_id" in names:
            parameters.append(_parameter("header", "X-Is-Resource-Name", bool, "A number in the path is a name."))
        parameters += [_parameter("header", name, hint) for name, hint in self.said.headers.items()]
        parameters.append(_parameter("header", "X-Request-Id", str, "Comes back in the answer; else one is made."))
        parameters += [_parameter("query", name, hint) for name, hint in self.said.query.items()]
        return parameters + list(self._parameters_of_lists())

    def _get_response_bodies(self, direction: str = "response") -> Schema:
        said = self.said
        success: Schema = {"description": "Done."}
        if self.method != "HEAD" and (said.gives or said.lists):
            one = self._schema(said.lists or said.gives)
            schema = {"type": "array", "items": one} if said.lists else one
            success["content"] = {kind: {"schema": schema} for kind in said.media_types}
        headers = _HEADERS_OF_LISTS if said.lists else _HEADERS_OF_NEW if said.status == 201 else {}
        if headers:
            success["headers"] = headers
        return {str(said.status): success, **{str(status): self._refusal(status) for status in self._refused()}}

    def _refusal(self, status: int) -> Schema:
        content = {} if self.method == "HEAD" else {JSON: {"schema": self._schema(answers.Errors)}}
        return {"description": _REFUSALS[status], **({"content": content} if content else {})}

    def _refused(self) -> list[int]:
        """The statuses that an operation of this kind may be refused with."""
        said, is_change, guard = self.said, self.method not in SAFE_METHODS, self._guard()
        has_body, authenticates = bool(said.body), bool(self.view.authentication_classes)
        may = {
            400: True,
            401: not self._is_for_everybody(),
            403: is_change or not guard & {"everybody", "signed-in"},
            404: bool(self._names_in_path()),
            413: has_body,
            415: has_body,
            422: bool(has_body or said.lists or said.query or "<number:" in self.path_regex),
            429: authenticates,
            503: authenticates,
        }
        return sorted({status for status, does in may.items() if does} | set(said.refuses))

    def _guard(self) -> set[str | None]:
        """What the view names as its resource, and what that means for this action."""
        verbs = getattr(self.view, "verbs", {})
        return {getattr(self.view, "resource", None), verbs.get(getattr(self.view, "action", None))}

    def _is_for_everybody(self) -> bool:
        return "everybody" in self._guard()

    def _names_in_path(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    def _parameters_of_lists(self) -> Iterator[Schema]:
        if not self.said.lists:
            return
        view: Any = self.view
        keys = sorted(view.filter_fields)
        sortable = sorted({*keys, *view.sort_fields})
        if keys:
            yield _parameter("query", "q", str, f"{_GRAMMAR} Keys: {', '.join(keys)}.")
        if sortable:
            text = f"Keys joined by commas, `-` before one for the opposite order. Keys: {', '.join(sortable)}."
            yield _parameter("query", "sort", str, text)
        yield _parameter("query", "page", int, default=1)
        yield _parameter("query", "page_size", int, f"0 or -1 for {MAX_SIZE}.", default=DEFAULT_SIZE, maximum=MAX_SIZE)

    def _schema(self, hint: Any) -> Schema:
        """A type as a schema; what has named fields becomes a component of the document."""
        if hint in _PLAIN:
            return _PLAIN[hint]
        if is_typeddict(hint):
            return self._component(hint)
        origin, inner = get_origin(hint), get_args(hint)
        if origin is list:
            return {"type": "array", "items": self._schema(inner[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._schema(inner[1])}
        if origin is Required:
            return self._schema(inner[0])
        if len(inner) == 2 and inner[1] is type(None):
            return _nullable(self._schema(inner[0]))
        raise TypeError(f"{hint} is no type of an answer that is known here")

    def _component(self, hint: Any) -> Schema:
        component = ResolvedComponent(hint.__name__, ResolvedComponent.SCHEMA, schema={}, object=hint)
        if component not in self.registry:
            self.registry.register(component)
            fields = get_type_hints(hint, include_extras=True)
            required = sorted(name for name, inner in fields.items() if get_origin(inner) is Required)
            component.schema = {
                "type": "object",
                "properties": {name: self._schema(inner) for name, inner in fields.items()},
                **({"required": required} if required else {}),
            }
        return dict(component.ref)


class _Endpoints(EndpointEnumerator):
    """The API's alone, and with HEAD where it is an operation of its own."""

    def should_include_endpoint(self, path: str, callback: Any) -> bool:
        return path.startswith(f"{PREFIX}/") and super().should_include_endpoint(path, callback)

    def get_allowed_methods(self, callback: Any) -> list[str]:
        methods: list[str] = super().get_allowed_methods(callback)  # type: ignore[no-untyped-call]
        actions = getattr(callback, "actions", {})
        return [*methods, *(["HEAD"] if actions.get("head") not in (None, actions.get("get")) else [])]


class _Generator(SchemaGenerator):
    endpoint_inspector_cls = _Endpoints


_HEADERS_OF_LISTS = {
    "X-Total-Count": {"schema": {"type": "integer"}, "required": True, "description": "How many rows there are."},
    "Link": {"schema": {"type": "string"}, "description": "Where the previous and the next page are, as in RFC 8288."},
}
_HEADERS_OF_NEW = {
    "Location": {"schema": {"type": "string"}, "required": True, "description": "Where the new thing is."},
}


def _parameter(place: str, name: str, hint: Any, text: str = "", **more: Any) -> Schema:
    is_required = get_origin(hint) is Required
    inner = get_args(hint)[0] if is_required else hint
    return {
        "in": place,
        "name": name,
        "schema": {**_simple(inner), **more},
        **({"required": True} if is_required else {}),
        **({"description": text} if text else {}),
    }


def _simple(hint: Any) -> Schema:
    """The schema of a type that has no parts."""
    return {"type": "string", "enum": list(get_args(hint))} if get_origin(hint) is Literal else _PLAIN[hint]


def _nullable(schema: Schema) -> Schema:
    return {"allOf": [schema], "nullable": True} if "$ref" in schema else {**schema, "nullable": True}
