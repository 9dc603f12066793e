"""Harbor's `q` and `sort` parameters for lists.

A view allows keys by naming them: `filter_fields = {"name": "name", "creation_time": "created"}`. Everything
else is ignored, as in Harbor, so that no other column can be asked about. `default_sort` orders the rest.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from django.core.exceptions import FieldError, ValidationError
from django.db.models import BooleanField, Q, QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from core import errors
from core.api.json import is_true


class HarborQuery(BaseFilterBackend):
    """Filters and sorts by what the view allows."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        fields: Mapping[str, str] = getattr(view, "filter_fields", {})
        booleans = {column.name for column in queryset.model._meta.fields if isinstance(column, BooleanField)}
        try:
            filtered = queryset.filter(parse_q(request.query_params.get("q", ""), fields, booleans))
        except (FieldError, ValidationError, ValueError, TypeError) as error:
            raise errors.BadRequest("the value of q does not fit its key") from error
        return filtered.order_by(*parse_sort(request.query_params.get("sort", ""), fields, view.default_sort))


def parse_q(text: str, fields: Mapping[str, str], booleans: Container[str] = ()) -> Q:
    """The filter that `k=v,k=v` asks for.

    Forms of a value: exact, `~fuzzy`, `[min~max]`, `{any of}`, `(all of)`; a leading backslash escapes. Columns
    of `booleans` take true or false.
    Raises BadRequest for anything else.
    """
    wanted = Q()
    for pair in filter(None, unquote_plus(text).split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise errors.BadRequest('the query string must contain "=" and the key/value cannot be empty')
        if key in fields:
            field = fields[key]
            wanted &= Q(**{field: is_true(value)}) if field in booleans else _condition(field, value)
    return wanted


def parse_sort(text: str, fields: Mapping[str, str], default: tuple[str, ...]) -> tuple[str, ...]:
    """Columns to order by: the known ones of `a,-b`, then the default, so that pages never overlap."""
    chosen = [
        ("-" if key.startswith("-") else "") + fields[key.lstrip("-")]
        for key in text.split(",")
        if key.lstrip("-") in fields
    ]
    return (*chosen, *default)


def _condition(field: str, value: str) -> Q:
    if value.startswith("~"):
        return Q(**{f"{field}__icontains": value[1:]})
    if value.startswith("[") and value.endswith("]"):
        return _range(field, value[1:-1])
    if value.startswith("{") and value.endswith("}"):
        return Q(**{f"{field}__in": [_typed(word) for word in value[1:-1].split()]})
    if value.startswith("(") and value.endswith(")"):
        every = Q()
        for word in value[1:-1].split():
            every &= Q(**{field: _typed(word)})
        return every
    return Q(**{field: value.removeprefix("\\")})


def _range(field: str, text: str) -> Q:
    least, tilde, most = text.partition("~")
    if not tilde or "~" in most or not (least or most):
        raise errors.BadRequest("a range looks like [min~max]; one side may be empty")
    within = Q()
    if least:
        within &= Q(**{f"{field}__gte": _typed(least)})
    if most:
        within &= Q(**{f"{field}__lte": _typed(most)})
    return within


def _typed(word: str) -> Any:
    """A time, else a whole number, else text without its quotes (Harbor's order)."""
    try:
        return datetime.strptime(word, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        pass
    return int(word) if word.removeprefix("-").isdecimal() and len(word) < 19 else word.strip("\"'")
