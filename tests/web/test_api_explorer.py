"""The page on which one reads and tries the API."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.urls import resolve

from core.api.documents import Document
from rbac.models import User
from tests.web.browser import browser, text

pytestmark = pytest.mark.django_db


def test_every_page_leads_to_it(alice: User) -> None:
    for client in (browser(), browser("alice")):
        assert 'href="/devcenter-api-2.0"' in text(client.get("/"))


def test_all_that_it_loads_is_ours(alice: User) -> None:
    page = browser().get("/devcenter-api-2.0")
    loaded = re.findall(r'(?:<script src|<link rel="stylesheet" href|<img src)="([^"]+)"', text(page))
    assert len(loaded) >= 5
    assert [path for path in loaded if not finders.find(path.removeprefix("/static/"))] == []
    assert "default-src 'self'" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]


def test_it_shows_the_document_of_this_platform(alice: User) -> None:
    page = text(browser().get("/devcenter-api-2.0"))
    (document,) = re.findall(r'data-document="([^"]+)"', page)
    view: Any = resolve(document).func
    assert view.cls is Document


def test_it_says_as_whom_one_tries(alice: User) -> None:
    assert "as alice" in text(browser("alice").get("/devcenter-api-2.0"))
    assert "Sign in to try" in text(browser().get("/devcenter-api-2.0"))
