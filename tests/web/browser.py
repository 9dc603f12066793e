"""A browser for the stories, signed in or not."""

from __future__ import annotations

from typing import Any

from django.test import Client

from rbac.models import User


def browser(who: str | None = None, **options: Any) -> Client:
    client = Client(raise_request_exception=False, **options)
    if who:
        client.force_login(User.objects.get(username=who), backend="rbac.backends.local.LocalBackend")
    return client


def text(answer: Any) -> str:
    content: str = answer.content.decode()
    return content
