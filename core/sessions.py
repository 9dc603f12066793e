"""Sessions in Postgres, remembered in Redis, that end when the platform's clock says so, unless they are used.

A session lives for `session_timeout` minutes from its last request on, as in Harbor, whose word for a request that
does not count is the header `X-Harbor-No-Session-Renewal`: pages send it with what they ask by themselves, so that
one that was left open does not keep its reader signed in for ever.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.sessions.backends import cached_db
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import Error
from django.http import HttpRequest, HttpResponse

from core import clock, configuration
from core.short_memory import ShortMemory

NO_RENEWAL = "X-Harbor-No-Session-Renewal"
# Nothing is written before so much of the time is over, and nobody asks again within as much: so a session may end by
# twice as much earlier than its last request says.
FAIR_PART = 0.05
log = structlog.get_logger(__name__)
# Of which sessions this process knows that it is too early.
_too_early: ShortMemory[bool] = ShortMemory()


class SessionStore(cached_db.SessionStore):
    """Django's, which would ask each replica's own clock, and a setting instead of the configuration."""

    def get_session_cookie_age(self) -> int:
        return int(configuration.get("session_timeout")) * 60

    def get_expiry_age(self, **kwargs: Any) -> int:
        return int(super().get_expiry_age(**{"modification": clock.now(), **kwargs}))

    def get_expiry_date(self, **kwargs: Any) -> Any:
        return super().get_expiry_date(**{"modification": clock.now(), **kwargs})

    def renew(self) -> bool:
        """Give a session that is there its whole time again, when a fair part is over; whether that was so.

        Only the end is written, and only of a row that is there: what this request has read of the session may be
        older than what another one wrote, and who signed out meanwhile stays signed out. Redis forgets the session
        when it was to end before, and is then told by the row.
        """
        key, age = str(self.session_key), self.get_session_cookie_age()
        if _too_early.get(key):
            return False
        end = clock.now() + timedelta(seconds=age)
        due = self.model.objects.filter(session_key=key, expire_date__lte=end - timedelta(seconds=age * FAIR_PART))
        is_renewed = due.filter(expire_date__gt=clock.now()).update(expire_date=end) == 1
        _too_early.put(key, True, seconds=age * FAIR_PART)
        return is_renewed

    def _get_session_from_db(self) -> Any:
        row = self.model.objects.filter(session_key=self.session_key, expire_date__gt=clock.now()).first()
        if row is None:
            self._session_key = None
        return row


class Sessions(SessionMiddleware):
    """Django's, which would let a session end so long after its beginning, or write it at every request."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response = super().process_response(request, response)
        if _is_used(request) and response.status_code < 500 and _renewed(request.session):
            response.set_cookie(
                settings.SESSION_COOKIE_NAME,
                request.session.session_key or "",
                max_age=request.session.get_session_cookie_age(),
                path=settings.SESSION_COOKIE_PATH,
                domain=settings.SESSION_COOKIE_DOMAIN,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=settings.SESSION_COOKIE_HTTPONLY,
                samesite=settings.SESSION_COOKIE_SAMESITE,
            )
        return response


def _is_used(request: HttpRequest) -> bool:
    """Whether the request went by a session that was there before, and counts."""
    session = request.session
    return session.accessed and not session.modified and not session.is_empty() and not request.headers.get(NO_RENEWAL)


def _renewed(session: Any) -> bool:
    try:
        return bool(session.renew())
    except Error as error:
        # What the request did is done, and the next one renews.
        log.warning("session_not_renewed", error=str(error))
        return False
