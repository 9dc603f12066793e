"""What every list of a page needs: a filter box and pages of 25."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

PAGE_SIZE = 25


def search_words(request: HttpRequest) -> str:
    """What was typed into the filter box."""
    return request.GET.get("q", "").strip()[:255].replace("\0", "")


def page_of(request: HttpRequest, rows: QuerySet[Any]) -> Page[Any]:
    """The page that is asked for; the nearest one that exists."""
    return Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
