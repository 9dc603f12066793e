"""Harbor's `q` and `sort` parameters for lists (its lib/q), on the fields that a view allows.

q=k=v            exactly            q=k={a b}    one of
q=k=~v           contains           q=k=(a b)    all of
q=k=[low~high]   from, to           pairs are joined by commas; a leading backslash means "literally"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import Q, QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from core import errors
from core.api.forms import INT64_MOST
from core.api.json import is_true

# As many as a page has rows. Each value of a list in parentheses is a condition of its own.
MOST_ITEMS = 100


@dataclass(frozen=True)
class Exact:
    value: str


@dataclass(frozen=True)
class Fuzzy:
    text: str


@dataclass(frozen=True)
class Range:
    low: str
    high: str


@dataclass(frozen=True)
class AnyOf:
    values: tuple[str, ...]


@dataclass(frozen=True)
class AllOf:
    values: tuple[str, ...]


Condition = Exact | Fuzzy | Range | AnyOf | AllOf
Filter = Callable[[Any, QuerySet[Any], Condition], QuerySet[Any]]
"""What a view gives instead of a field's name when a key means more than a column: (view, rows, condition)."""


def parse(text: str) -> dict[str, tuple[str, Condition]]:
    """What a `q` wants, by normalised key, with the key as the caller wrote it; BadRequest when it breaks the grammar.

    Of a key that stands twice the last one counts, as in Harbor: there are no more conditions than a list has fields.
    """
    # Harbor unescapes once more than HTTP does.
    text = unquote_plus(text)
    if "\0" in text:
        raise errors.BadRequest("q holds a null byte")
    pairs = [_pair(pair) for pair in text.split(",")] if text else []
    return {normalised(key): (key, condition) for key, condition in pairs}


def conditions(request: Request) -> dict[str, Condition]:
    """A request's conditions by normalised key, for views that need to look before filtering."""
    return {key: condition for key, (_, condition) in parse(request.query_params.get("q", "")).items()}


def normalised(key: str) -> str:
    """Harbor takes a model's field and its column alike: `RepositoryName`, `repository_name`."""
    return key.replace("_", "").lower()


class HarborQuery(BaseFilterBackend):
    """Filters and sorts by what the view's `filter_fields` allow; other keys are ignored, as in Harbor."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        fields = {normalised(key): target for key, target in view.filter_fields.items()}
        for name, (key, condition) in parse(request.query_params.get("q", "")).items():
            target = fields.get(name)
            if isinstance(target, str):
                queryset = queryset.filter(as_q(queryset.model, target, key, condition))
            elif target is not None:
                queryset = target(view, queryset, condition)
        sortable = fields | {normalised(key): target for key, target in view.sort_fields.items()}
        return queryset.order_by(*_order(request.query_params.get("sort", ""), sortable, view.default_sort))


# --- the grammar -----------------------------------------------------------------------------------------
def _pair(pair: str) -> tuple[str, Condition]:
    key, _, value = pair.partition("=")
    if not key or not value:
        raise errors.BadRequest('the query string must contain "=" and the key/value cannot be empty')
    return key, _condition(value)


def _condition(value: str) -> Condition:
    match value[0]:
        case "~":
            return Fuzzy(value[1:])
        case "[":
            low, *more = _inside(value, "]").split("~")
            if len(more) != 1 or not (low or more[0]):
                raise errors.BadRequest(f"a range looks like [low~high], with one side or both: {value[:100]}")
            return Range(low, more[0])
        case "{":
            return AnyOf(_items(value, "}"))
        case "(":
            return AllOf(_items(value, ")"))
        case "\\":
            return Exact(value[1:])
    return Exact(value)


def _items(value: str, end: str) -> tuple[str, ...]:
    items = tuple(item.strip("\"'") for item in _inside(value, end).split(" ") if item)
    if not items:
        raise errors.BadRequest(f"a list must not be empty: {value[:100]}")
    if len(items) > MOST_ITEMS:
        raise errors.BadRequest(f"a list in q has at most {MOST_ITEMS} values: this one has {len(items)}")
    return items


def _inside(value: str, end: str) -> str:
    if len(value) < 2 or not value.endswith(end):
        raise errors.BadRequest(f"{end!r} is missing at the end of {value[:100]}")
    return value[1:-1]


# --- conditions on columns -------------------------------------------------------------------------------
def as_q(model: type[models.Model], path: str, key: str, condition: Condition) -> Q:
    """A condition on one column; `key` is what the caller named it."""
    field = _field(model, path)

    def typed(text: str) -> Any:
        return _typed(field, key, text)

    match condition:
        case Exact(value):
            return Q(**{path: typed(value)})
        case Fuzzy(text):
            if not isinstance(field, models.CharField | models.TextField):
                raise errors.BadRequest(f"{key} cannot be searched with ~")
            return Q(**{f"{path}__icontains": text})
        case Range(low, high):
            ends = {f"{path}__gte": low, f"{path}__lte": high}
            return Q(**{lookup: typed(end.strip("\"'")) for lookup, end in ends.items() if end})
        case AnyOf(values):
            return Q(**{f"{path}__in": [typed(value) for value in values]})
        case AllOf(values):
            return Q(*(Q(**{path: typed(value)}) for value in values))


def _field(model: type[models.Model], path: str) -> models.Field[Any, Any]:
    """The column behind a path, of a relation the one that is referred to; what a view computed is text."""
    field: Any = None
    for part in path.split("__"):
        try:
            field = model._meta.get_field(part)
        except FieldDoesNotExist:
            return models.CharField()
        model = field.related_model or model
    return field.target_field if isinstance(field, models.ForeignKey) else field


def _typed(field: models.Field[Any, Any], key: str, text: str) -> Any:
    if isinstance(field, models.DateTimeField):
        return _time(key, text)
    if isinstance(field, models.BooleanField):
        return is_true(text)
    if isinstance(field, models.IntegerField):
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or abs(int(text)) > INT64_MOST:
            raise errors.BadRequest(f"{key} is a number: {text[:40]!r} is not")
        return int(text)
    return text


def _time(key: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise errors.BadRequest(f"{key} is a time like 2024-01-31T12:00:00: {text[:40]!r} is not") from error


# --- order -----------------------------------------------------------------------------------------------
def _order(sort: str, fields: Mapping[str, str | Filter], default: tuple[str, ...]) -> list[str]:
    chosen: dict[str, str] = {}
    for word in sort.split(","):
        target = fields.get(normalised(word.removeprefix("-")))
        if isinstance(target, str):
            # What comes again orders nothing any more.
            chosen.setdefault(target, f"-{target}" if word.startswith("-") else target)
    order = list(chosen.values()) or list(default)
    # Equal rows must not change places between two pages.
    return order if any(name in ("pk", "-pk") for name in order) else [*order, "pk"]
