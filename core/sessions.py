"""Sessions in Postgres, remembered in Redis, that end when the platform's clock says so."""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import cached_db

from core import clock, configuration


class SessionStore(cached_db.SessionStore):
    """Django's, which would ask each replica's own clock, and a setting instead of the configuration."""

    def get_session_cookie_age(self) -> int:
        return int(configuration.get("session_timeout")) * 60

    def get_expiry_age(self, **kwargs: Any) -> int:
        return int(super().get_expiry_age(**{"modification": clock.now(), **kwargs}))

    def get_expiry_date(self, **kwargs: Any) -> Any:
        return super().get_expiry_date(**{"modification": clock.now(), **kwargs})

    def _get_session_from_db(self) -> Any:
        row = self.model.objects.filter(session_key=self.session_key, expire_date__gt=clock.now()).first()
        if row is None:
            self._session_key = None
        return row
