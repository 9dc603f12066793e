"""The /v2 door: path and token are read here, once; policies are asked; the view answers."""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from core import errors
from core.api.exceptions import as_refusal, render
from core.oci import RepositoryName
from core.store import signing
from projects import quota_news
from registry.operation import Operation
from registry.routes import ROUTES, Route
from registry.token import issue
from registry.token.scopes import parse_scopes
from registry.views import uploads

log = structlog.get_logger(__name__)
NOBODY = signing.Token(subject="", expires=0, access={})


def enter(request: HttpRequest, path: str = "") -> HttpResponse:
    """Answer one /v2 request; every error is OCI JSON."""
    try:
        response = _answer(request, path)
    except Exception as error:
        refusal = as_refusal(error)
        if refusal is None:
            log.exception("door_failed", path=request.path, method=request.method)
        response = render(request, refusal)
        if isinstance(refusal, errors.Unauthenticated):
            response["WWW-Authenticate"] = _challenge(request, path)
    response["Docker-Distribution-Api-Version"] = "registry/2.0"
    return response


def judge(request: HttpRequest) -> HttpResponse:
    """nginx's question before the bytes of a PUT or a chunk go to the registry: 204 or 403.

    nginx understands no other answers here; on a no it sends the request itself on, and `uploads.refuse`
    says why.
    """
    path = f"{request.headers.get('X-Wharf-Repository')}/blobs/uploads/{request.headers.get('X-Wharf-Upload')}"
    try:
        call, _ = operation(request, path, request.headers.get("X-Wharf-Method", ""))
        uploads.check(call)
    except Exception as error:
        refusal = as_refusal(error)
        if refusal is None:
            raise
        log.info("upload_refused", path=path, code=refusal.code, message=refusal.message)
        return HttpResponse(status=403)
    return HttpResponse(status=204)


def operation(request: HttpRequest, path: str, method: str) -> tuple[Operation, Route]:
    """The call, its token verified and its policies asked."""
    parts, methods = _find(path)
    route = methods.get(method)
    if route is None:
        raise errors.MethodNotAllowed(f"{method} is not allowed here; use {', '.join(methods)}")
    name = RepositoryName.parse(parts.pop("name")) if "name" in parts else None
    brought = _token(request)
    token = brought or _by_password(request, route, _asked(path, method))
    by_token = brought is not None
    call = Operation(request=request, action=route.action, token=token, is_by_token=by_token, name=name, rest=parts)
    try:
        for policy in route.policies:
            policy(call)
    except errors.QuotaExceeded as refusal:
        quota_news.tell_refusal(
            project=call.project, repository=call.repository_name, actor=call.actor(), refusal=refusal
        )
        raise
    return call, route


def _answer(request: HttpRequest, path: str) -> HttpResponse:
    call, route = operation(request, path, request.method or "")
    return route.view(call)


def _find(path: str) -> tuple[dict[str, Any], dict[str, Route]]:
    for pattern, methods in ROUTES:
        match = pattern.fullmatch(path)
        if match:
            return match.groupdict(), methods
    raise errors.NotFound(f"There is nothing at /v2/{path[:200]}")


def _token(request: HttpRequest) -> signing.Token | None:
    """The request's token, verified; None when it brings something else, or nothing."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    try:
        return signing.verify(text.strip())
    except signing.InvalidToken as error:
        raise errors.Unauthenticated(f"The token is not valid: {error}") from error


def _by_password(request: HttpRequest, route: Route, scope: str) -> signing.Token:
    """What a token for this scope would say, for scripts that send a password with each request, as Harbor's may.

    A push needs a token all the same: the registry takes its bytes from nginx, and knows no passwords.
    """
    if route.action == "push" or not request.headers.get("Authorization", "").lower().startswith("basic "):
        raise errors.Unauthenticated
    return issue.at_once(request, parse_scopes([scope]))


def _challenge(request: HttpRequest, path: str) -> str:
    """Where to get a token, and for what (Docker token spec)."""
    words = [f'realm="{settings.EXTERNAL_URL}/service/token"', f'service="{settings.TOKEN_SERVICE}"']
    scope = _asked(path, request.method or "")
    if scope:
        words.append(f'scope="{scope}"')
    if request.headers.get("Authorization"):
        words.append('error="insufficient_scope"' if scope else 'error="invalid_token"')
    return "Bearer " + ",".join(words)


def _asked(path: str, method: str) -> str:
    """The scope of a token for this; empty when none is needed."""
    try:
        parts, methods = _find(path)
        if path == "_catalog":
            return "registry:catalog:*"
        name = RepositoryName.parse(parts["name"])
    except (errors.Refusal, KeyError):
        return ""
    route = methods.get(method)
    action = route.action if route else "pull"
    return f"repository:{name}:{'pull,push' if action == 'push' else action}"
