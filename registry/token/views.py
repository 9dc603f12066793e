"""GET /service/token: credentials in, a signed token out."""

from __future__ import annotations

import json

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from core import clock, configuration, errors
from core.api.exceptions import render
from registry.token import issue
from registry.token.scopes import parse_scopes

# A request line holds no more than nginx lets through; this bounds the work done for one.
MOST_SCOPES = 100


def token(request: HttpRequest) -> HttpResponse:
    """A token for what was asked and is allowed; 401 only for wrong credentials. Never a refresh token."""
    try:
        return _token(request)
    except errors.Refusal as refusal:
        response = render(request, refusal)
        if isinstance(refusal, errors.Unauthenticated):
            response["WWW-Authenticate"] = 'Basic realm="harbor"'
        return response


def _token(request: HttpRequest) -> HttpResponse:
    if request.method != "GET":
        raise errors.MethodNotAllowed("Ask for tokens with GET.")
    service = request.GET.get("service", settings.TOKEN_SERVICE)
    if service != settings.TOKEN_SERVICE:
        raise errors.BadRequest(f"There is no service {service[:80]!r} here; it is {settings.TOKEN_SERVICE!r}.")
    scopes = parse_scopes(request.GET.getlist("scope"))
    if len(scopes) > MOST_SCOPES:
        raise errors.BadRequest(f"At most {MOST_SCOPES} scopes can be asked for at once.")
    actor = issue.who(request)
    lifetime = int(configuration.get("token_expiration")) * 60
    signed = issue.signed(actor, scopes, lifetime)
    body = {
        "token": signed,
        "access_token": signed,
        "expires_in": lifetime,
        "issued_at": clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    # JsonResponse would take its time for dates and the like, of which there are none.
    return HttpResponse(json.dumps(body), content_type="application/json", headers={"Cache-Control": "no-store"})
