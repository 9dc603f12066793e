"""Every /v2 operation: method, path, the action the token must grant, policies in order, and the view."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.http import HttpResponse

from registry.operation import Operation
from registry.policies.quota import quota_is_left
from registry.policies.read_only import system_is_writable
from registry.policies.scope import token_grants_action, token_grants_some
from registry.views import blobs, catalog, manifests, referrers, tags, uploads

Policy = Callable[[Operation], None]
View = Callable[[Operation], HttpResponse]


@dataclass(frozen=True)
class Route:
    """What one method does at one kind of path."""

    action: str
    policies: Sequence[Policy]
    view: View


READ = (token_grants_some,)
UPLOAD = (token_grants_action,)
REMOVE = (token_grants_action, system_is_writable)
WRITE = (token_grants_action, system_is_writable)
START = (token_grants_action, system_is_writable, quota_is_left)

_NAME = r"(?P<name>.+)"

ROUTES: tuple[tuple[re.Pattern[str], dict[str, Route]], ...] = tuple(
    (re.compile(pattern), methods)
    for pattern, methods in (
        (r"", {"GET": Route("", (), catalog.version), "HEAD": Route("", (), catalog.version)}),
        (r"_catalog", {"GET": Route("", (), catalog.repositories)}),
        (
            rf"{_NAME}/manifests/(?P<reference>[^/]+)",
            {
                "GET": Route("pull", READ, manifests.get),
                "HEAD": Route("pull", READ, manifests.get),
                "PUT": Route("push", WRITE, manifests.put),
                "DELETE": Route("delete", REMOVE, manifests.delete),
            },
        ),
        (
            rf"{_NAME}/blobs/uploads/",
            {"POST": Route("push", START, uploads.start)},
        ),
        (
            rf"{_NAME}/blobs/uploads/(?P<upload>[^/]+)",
            {
                "GET": Route("push", UPLOAD, uploads.pass_on),
                "DELETE": Route("push", UPLOAD, uploads.pass_on),
                "PATCH": Route("push", WRITE, uploads.refuse),
                "PUT": Route("push", START, uploads.refuse),
            },
        ),
        (
            rf"{_NAME}/blobs/(?P<digest>[^/]+)",
            {
                "GET": Route("pull", READ, blobs.get),
                "HEAD": Route("pull", READ, blobs.head),
                "DELETE": Route("delete", REMOVE, blobs.delete),
            },
        ),
        (rf"{_NAME}/tags/list", {"GET": Route("pull", READ, tags.names)}),
        (rf"{_NAME}/referrers/(?P<digest>[^/]+)", {"GET": Route("pull", READ, referrers.index)}),
    )
)
