"""Errors become JSON here: for API views by DRF's hook, for everything else under /api, /v2, /service by middleware."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from psycopg2.errors import DiskFull
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.settings import api_settings

from core import errors

MACHINE_PATHS = ("/api/", "/v2/", "/service/", "/c/")
_NO_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
log = structlog.get_logger(__name__)


def handle(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler: Harbor's error body."""
    request = context.get("request")
    if isinstance(error, drf.UnsupportedMediaType) and request is not None:
        error = _wrong_media_type(request)
    refusal = as_refusal(error)
    if refusal is None:
        return None  # JsonErrors answers what nobody expected.
    response = _json(refusal.for_api(), refusal.status)
    _add_headers(response, refusal)
    if refusal.status == 401 and request is not None:
        response["WWW-Authenticate"] = 'Basic realm="harbor"'
    return response


class JsonErrors:
    """Innermost middleware: whatever a view under a machine path raises, or answers as HTML, becomes JSON."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_for_machines = request.path.startswith(MACHINE_PATHS)
        if is_for_machines and (mistake := _mistake_of_address(request)):
            return render(request, errors.BadRequest(mistake))
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        if is_for_machines and response.status_code >= 400 and is_page:
            refusal = errors.NotFound("resource not found") if response.status_code == 404 else None
            return render(request, refusal, status=response.status_code)
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not request.path.startswith(MACHINE_PATHS):
            return None
        return answer_failure(request, error)


def answer_failure(request: HttpRequest, error: Exception) -> HttpResponse:
    """What a view raised, in JSON; an error that nobody expected is logged and tells nothing."""
    refusal = as_refusal(error)
    if refusal is None:
        log.exception("request_failed", path=request.path, method=request.method)
    return render(request, refusal)


def render(request: HttpRequest, refusal: errors.Refusal | None, status: int = 500) -> HttpResponse:
    """A refusal in the words of the face it belongs to; None is an internal error."""
    if refusal is None:
        return _json({"errors": [{"code": "UNKNOWN", "message": "internal server error"}]}, status)
    is_oci = request.path.startswith(("/v2/", "/service/"))
    response = _json(refusal.for_oci() if is_oci else refusal.for_api(), refusal.status)
    _add_headers(response, refusal)
    return response


def as_refusal(error: Exception) -> errors.Refusal | None:
    """The named error that an exception stands for; None for one that nobody expected."""
    if isinstance(error, errors.Refusal):
        return error
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("database_away", error=str(error))
        if isinstance(error.__cause__, DiskFull):
            return errors.Unavailable("The disk of the database is full; nothing can be changed until there is room.")
        return errors.Unavailable("The database does not answer; try again.")
    if isinstance(error, DataError | UnicodeError):
        return errors.BadRequest("A value of the request cannot be stored: too large or no valid text.")
    if isinstance(error, Http404):
        return errors.NotFound("resource not found")
    if isinstance(error, PermissionDenied | drf.PermissionDenied):
        return errors.Forbidden()
    if isinstance(error, RequestDataTooBig | RawPostDataException):
        return errors.ManifestTooLarge("The request is too large.")
    if isinstance(error, SuspiciousOperation):
        return errors.BadRequest("The request is malformed, or has too many parameters.")
    if isinstance(error, drf.NotAuthenticated | drf.AuthenticationFailed):
        return errors.Unauthenticated()
    if isinstance(error, drf.APIException):
        return _from_drf(error)
    return None


def _mistake_of_address(request: HttpRequest) -> str:
    """Why nobody can read a request's address; empty when one can."""
    query = request.META.get("QUERY_STRING", "")
    if "\0" in request.path or "%00" in query:
        return "The address holds a null byte."
    # Harbor (Go's url.ParseQuery) refuses both too: who guesses what they mean guesses otherwise than the next one.
    if ";" in query:
        return "The parameters of a query are separated by &, not by ';': a ';' of a value is written %3B."
    if _NO_ESCAPE.search(query):
        return "The query holds a % that begins no escape: a % of a value is written %25."
    return ""


def _wrong_media_type(request: Request) -> errors.WrongMediaType:
    wanted = " or ".join(parser.media_type for parser in request.parsers or ())
    return errors.WrongMediaType(f"The body is read with the header Content-Type: {wanted} only")


def _from_drf(error: drf.APIException) -> errors.Refusal:
    if isinstance(error, drf.ValidationError):
        return errors.Unprocessable(_words(error.detail))
    refusal = errors.Refusal(_words(error.detail))
    refusal.status = error.status_code
    return refusal


def _words(detail: Any) -> str:
    """DRF's nested details as one sentence."""
    if isinstance(detail, dict):
        # What is wrong with the whole has no name that a client knows.
        return "; ".join(
            _words(value) if name == api_settings.NON_FIELD_ERRORS_KEY else f"{name}: {_words(value)}"
            for name, value in detail.items()
        )
    if isinstance(detail, list):
        return " ".join(_words(item) for item in detail)
    return str(detail)


def _json(body: dict[str, Any], status: int) -> HttpResponse:
    # Not JsonResponse: its encoder is Python, and a push hears "not here" of each of its blobs.
    return HttpResponse(json.dumps(body) + "\n", content_type="application/json; charset=utf-8", status=status)


def _add_headers(response: HttpResponse, refusal: errors.Refusal) -> None:
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
