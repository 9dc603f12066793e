"""Harbor's `q` and `sort` parameters for lists."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request


class HarborQuery(BaseFilterBackend):
    """Filters and sorts by what the view allows."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        return queryset
