"""The base of the API's views: Harbor's conventions that hold for every operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.encoding import escape_uri_path
from rest_framework import exceptions as drf
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from core import configuration, errors
from core.api import json
from core.api.converters import NoNumber
from core.api.forms import Form
from core.api.query import Filter


class Resource(GenericViewSet[Any]):
    """Operations on one noun.

    A subclass says what it guards: `resource`, and in `verbs` what actions of its own mean.
    """

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    verbs: ClassVar[Mapping[str, str]] = {}
    filter_fields: ClassVar[Mapping[str, str | Filter]] = {}
    """What `q` and `sort` may name: Harbor's name → our field. Nothing else can be reached."""
    sort_fields: ClassVar[Mapping[str, str]] = {}
    """What `sort` may name besides, and `q` may not."""
    default_sort: ClassVar[tuple[str, ...]] = ("pk",)
    changes_in_read_only_mode: ClassVar[bool] = False

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        method = request.method or ""
        if method.lower() not in self.action_map:
            # Before anybody asks who is calling, as in Harbor.
            raise drf.MethodNotAllowed(method, detail="method not allowed")
        is_change = method not in SAFE_METHODS and not self.changes_in_read_only_mode
        if is_change and configuration.get("read_only"):
            raise errors.ReadOnly
        _check_types(kwargs)
        super().initial(request, *args, **kwargs)

    def listing(
        self,
        rows: QuerySet[Any],
        render: Callable[[Any], dict[str, Any]],
        prepare: Callable[[list[Any]], Iterable[Any]] = list,
    ) -> Response:
        """One page of rows, filtered and sorted as asked; `prepare` may add to a page what its JSON shows."""
        page = self.paginate_queryset(self.filter_queryset(rows)) or []
        return self.get_paginated_response([render(row) for row in prepare(list(page))])

    def created(self, name: object, body: Any = None, *, under: str | None = None) -> Response:
        """201 with a Location and, as in Harbor, usually no body."""
        return Response(body, status=201, headers={"Location": escape_uri_path(f"{under or self.request.path}/{name}")})

    def done(self) -> Response:
        return Response(status=200)

    def body(self, form: type[Form]) -> dict[str, Any]:
        """What the request's body says; 422 when there is none, or when it has the wrong form."""
        filled = form(data=self.document())
        filled.is_valid(raise_exception=True)
        values: dict[str, Any] = filled.validated_data
        return values

    def document(self) -> Any:
        """The request's body as it is; 422 when there is none, for what is missing must not pass for empty."""
        if self.request.stream is None:
            raise errors.Unprocessable("body in body is required")
        return self.request.data

    def asked(self, name: str, default: bool = False) -> bool:
        """A boolean of the query."""
        text = self.request.query_params.get(name, "")
        return json.is_true(text) if text else default

    def required(self, name: str) -> str:
        """A word of the query that must be there."""
        text = self.request.query_params.get(name, "")
        if not text:
            raise errors.Unprocessable(f"{name} in query is required")
        return text


def _check_types(named: Mapping[str, Any]) -> None:
    """422 for a word of the path that should be a number; it tells nothing of what there is.

    Before anybody asks who is calling, as in Harbor, whose server reads a path before it looks at permissions. So
    people who may not and people who may hear the same, whatever the word is.
    """
    for name, value in named.items():
        if isinstance(value, NoNumber):
            raise errors.Unprocessable(f"{name} in path must be of type int64: {value[:40]!r}")
