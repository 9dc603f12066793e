"""Harbor's paging: `page`, `page_size`, `X-Total-Count` and `Link`."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import unquote, urlencode

from django.utils.encoding import escape_uri_path
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api.forms import INT64_MOST

DEFAULT_SIZE = 10
MAX_SIZE = 100
MOST_COUNTED = 10_000


class HarborPagination(BasePagination):
    """Pages of 10 by default and 100 at most."""

    knows_the_end: ClassVar[bool] = True
    """Whether `count` tells how many rows there really are."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self.page = max(1, _number(request, "page", 1))
        self.size = _number(request, "page_size", DEFAULT_SIZE)
        if self.size > MAX_SIZE:
            raise errors.Unprocessable(f"page_size in query should be less than or equal to {MAX_SIZE}")
        if self.size < 1:
            self.size = MAX_SIZE
        self.total = self.count(queryset)
        start = (self.page - 1) * self.size
        stop = min(start + self.size, self.total) if self.knows_the_end else start + self.size
        if start >= self.total:
            return []
        if self.knows_the_end and self.total - stop < start:
            # From the nearer end: the last page costs what the first one costs.
            return _rows(queryset.reverse(), self.total - stop, self.total - start)[::-1]
        return _rows(queryset, start, stop)

    def count(self, queryset: Any) -> int:
        """How many rows there are."""
        return int(queryset.count())

    def get_paginated_response(self, data: Any) -> Response:
        response = Response(data)
        response["X-Total-Count"] = str(self.total)
        links = [
            self._link(page, name)
            for page, name in ((self.page - 1, "prev"), (self.page + 1, "next"))
            if page >= 1 and (page - 1) * self.size < self.total
        ]
        if links:
            response["Link"] = " , ".join(links)
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return schema

    def _link(self, page: int, name: str) -> str:
        query = {**self.request.query_params.dict(), "page": page, "page_size": self.size}
        # Harbor does not escape the query; CR and LF must not get through all the same.
        text = unquote(urlencode(query)).replace("\r", "").replace("\n", "")
        return f'<{escape_uri_path(self.request.path)}?{text}>; rel="{name}"'


class BoundedPagination(HarborPagination):
    """For lists that grow for ever: `X-Total-Count` ends at 10,000, or at the row after a page beyond that.

    So `Link` still leads to the last row, and a first page costs the same however many rows there are.
    """

    knows_the_end = False

    def count(self, queryset: Any) -> int:
        enough = min(max(MOST_COUNTED, self.page * self.size + 1), INT64_MOST)
        return super().count(queryset.order_by()[:enough])


def _rows(queryset: Any, start: int, stop: int) -> list[Any]:
    """Rows by their keys where others come before them: PostgreSQL would work out the others' annotations too, and sort
    whole rows, to leave them out."""
    page = queryset[start:stop]
    return list(queryset.filter(pk__in=page.values("pk")) if start or queryset.query.annotations else page)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    try:
        number = int(text)
    except ValueError as error:
        raise errors.Unprocessable(f"{name} in query must be of type int64: {text[:40]!r}") from error
    if not -(2**63) <= number < 2**63:
        raise errors.Unprocessable(f"{name} in query must be of type int64")
    return number
