"""What an operator may change while the platform runs (Harbor's /configurations), with defaults.

Values are kept in Postgres and remembered by each process for a second, so that a change takes effect
everywhere without a restart and a push does not cost another query.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction

from core import errors, locks
from core.events import SYSTEM, Event, emit
from core.models import Setting

# Harbor's limit for a quota.
STORAGE_MOST = 1024 * 2**40
UNLIMITED = -1
_YEAR = 366 * 24 * 60
_CENTURY = 36500


@dataclass(frozen=True)
class Item:
    """One thing that can be configured: what it is at first, and what it may be."""

    default: Any = None
    kind: ClassVar[type] = object
    kind_in_words: ClassVar[str] = ""

    def check_kind(self, key: str, value: Any) -> None:
        """Unprocessable when it is of another type."""
        # Not isinstance: to Python, true is a number.
        if type(value) is not self.kind:
            raise errors.Unprocessable(f"{key} must be {self.kind_in_words}")

    def check(self, key: str, value: Any) -> None:
        """BadRequest when an item of this type cannot be that."""

    def in_force(self, value: Any) -> Any:
        """What a stored value means now."""
        return value


@dataclass(frozen=True)
class Flag(Item):
    default: bool = False
    kind = bool
    kind_in_words = "true or false"


@dataclass(frozen=True)
class Whole(Item):
    """A whole number."""

    default: int = 0
    least: int = 1
    most: int = 2**31 - 1
    because: str = ""
    kind = int
    kind_in_words = "a whole number"

    def check(self, key: str, value: int) -> None:
        if not self.least <= value <= self.most:
            raise errors.BadRequest(f"{key} must be {self.least} to {self.most}, not {value}{self.because}")

    def in_force(self, value: int) -> int:
        # An installation may have lowered the most since.
        return min(value, self.most)


@dataclass(frozen=True)
class Bytes(Whole):
    """A storage limit."""

    def check(self, key: str, value: int) -> None:
        if not is_storage_limit(value):
            raise errors.BadRequest(f"{key} is a number of bytes up to 1024 TiB, or -1 for no limit; not {value}")

    def in_force(self, value: int) -> int:
        return value


@dataclass(frozen=True)
class Text(Item):
    default: str = ""
    least: int = 0
    most: int = 16384
    """Characters."""
    kind = str
    kind_in_words = "a string"

    def check(self, key: str, value: str) -> None:
        if not self.least <= len(value) <= self.most:
            raise errors.BadRequest(f"{key} must have {self.least} to {self.most} characters, not {len(value)}")


@dataclass(frozen=True)
class Prefix(Text):
    """How names begin that people sign in with."""

    def check(self, key: str, value: str) -> None:
        super().check(key, value)
        if re.search(r"[:\s\x00-\x1f\x7f]", value):
            raise errors.BadRequest(f"{key} holds no colon and no blank, which end a name where people sign in")


@dataclass(frozen=True)
class OneOf(Text):
    """A word of a closed set."""

    words: tuple[str, ...] = ()

    def check(self, key: str, value: str) -> None:
        if value not in self.words:
            raise errors.BadRequest(f"{key} must be {' or '.join(self.words)}, not {value[:80]!r}")


@dataclass(frozen=True)
class Words(Text):
    """A JSON object of strings, in a string."""

    def check(self, key: str, value: str) -> None:
        super().check(key, value)
        pairs = _json_object(value)
        if pairs is None or not all(isinstance(word, str) for word in pairs.values()):
            raise errors.BadRequest(f'{key} must be a JSON object of strings, such as {{"prompt": "login"}}')


@dataclass(frozen=True)
class Banner(Text):
    """What Harbor's portal shows above every page, a JSON object in a string; empty is none.

    Portals parse it without looking: one that they cannot read breaks every page. What they would not show is none.
    """

    kinds: ClassVar[tuple[str, ...]] = ("success", "info", "warning", "danger")

    def check(self, key: str, value: str) -> None:
        super().check(key, value)
        if value and (mistake := self._mistake(_json_object(value))):
            raise errors.BadRequest(
                f'{key} is empty or a JSON object in a string, such as {{"message": "Closed on Sunday", '
                f'"type": "warning", "closable": true, "fromDate": "06/19/2026", "toDate": "06/21/2026"}}: {mistake}'
            )

    def _mistake(self, said: dict[str, Any] | None) -> str:
        if said is None:
            return "this is none"
        if not isinstance(said.get("message"), str):
            return "message must be a string"
        if said.get("type") not in (None, *self.kinds):
            return f"type must be {' or '.join(self.kinds)}"
        if not isinstance(said.get("closable"), bool | None):
            return "closable must be true or false"
        wrong = [name for name in ("fromDate", "toDate") if not _is_date(said.get(name))]
        return f"{wrong[0]} must be a date such as 06/19/2026" if wrong else ""


@dataclass(frozen=True)
class Address(Text):
    """Where a server listens, `host:port`, or nothing."""

    def check(self, key: str, value: str) -> None:
        super().check(key, value)
        if value:
            try:
                host_and_port(value)
            except ValueError as error:
                raise errors.BadRequest(f"{key} must be host:port, such as syslog.example.com:514") from error


@dataclass(frozen=True)
class Secret(Text):
    """What we would have to send to a server that nobody here asks yet. Never shown, and until then not kept."""

    def check(self, key: str, value: str) -> None:
        if value:
            raise errors.BadRequest(
                f"{key} is not kept: what it is for does not exist here yet, and a secret that nobody needs is better "
                "nowhere. Leave it out."
            )


# In the order of Harbor's contract.
ITEMS: dict[str, Item] = {
    # There is one way to sign in; to store another would claim what is not so.
    "auth_mode": OneOf("db_auth", words=("db_auth",)),
    "primary_auth_mode": Flag(),
    "ldap_base_dn": Text(),
    "ldap_filter": Text(),
    "ldap_group_base_dn": Text(),
    "ldap_group_admin_dn": Text(),
    "ldap_group_attribute_name": Text(),
    "ldap_group_search_filter": Text(),
    "ldap_group_search_scope": Whole(2, least=0, most=2),
    "ldap_group_attach_parallel": Flag(),
    "ldap_scope": Whole(2, least=0, most=2),
    "ldap_search_dn": Text(),
    "ldap_search_password": Secret(),
    "ldap_timeout": Whole(5),
    "ldap_uid": Text("cn", least=1),
    "ldap_url": Text(),
    "ldap_verify_cert": Flag(True),
    "ldap_group_membership_attribute": Text("memberof"),
    "project_creation_restriction": OneOf("everyone", words=("everyone", "adminonly")),
    "read_only": Flag(),
    "self_registration": Flag(),
    "token_expiration": Whole(
        settings.TOKEN_LIFETIME // 60,
        most=settings.TOKEN_LIFETIME // 60,
        because=": no token outlives the minutes of WHARF_TOKEN_EXPIRATION, for so long a signing key's rotation waits",
    ),
    "uaa_client_id": Text(),
    "uaa_client_secret": Secret(),
    "uaa_endpoint": Text(),
    "uaa_verify_cert": Flag(True),
    "http_authproxy_endpoint": Text(),
    "http_authproxy_tokenreview_endpoint": Text(),
    "http_authproxy_admin_groups": Text(),
    "http_authproxy_admin_usernames": Text(),
    "http_authproxy_verify_cert": Flag(True),
    "http_authproxy_skip_search": Flag(),
    "http_authproxy_server_certificate": Text(),
    "oidc_name": Text(),
    "oidc_endpoint": Text(),
    "oidc_client_id": Text(),
    "oidc_client_secret": Secret(),
    "oidc_groups_claim": Text(),
    "oidc_admin_group": Text(),
    "oidc_group_filter": Text(),
    "oidc_scope": Text(),
    "oidc_user_claim": Text(),
    "oidc_verify_cert": Flag(True),
    "oidc_auto_onboard": Flag(),
    "oidc_extra_redirect_parms": Words("{}"),
    "oidc_logout": Flag(),
    "robot_token_duration": Whole(30, most=_CENTURY),
    "robot_name_prefix": Prefix("robot$", least=1, most=255),
    "notification_enable": Flag(True),
    "quota_per_project_enable": Flag(True),
    "storage_per_project": Bytes(UNLIMITED),
    "audit_log_forward_endpoint": Address(),
    "skip_audit_log_database": Flag(),
    "scanner_skip_update_pulltime": Flag(),
    "session_timeout": Whole(60, most=_YEAR),
    "banner_message": Banner(),
    "disabled_audit_log_event_types": Text(),
}
REMEMBERED_SECONDS = 1.0
_remembered: tuple[float, dict[str, Any]] = (-math.inf, {})


@dataclass(frozen=True, kw_only=True)
class ConfigurationChanged(Event):
    """Names what was changed, not to what."""

    topic = "UPDATE_CONFIGURATION"
    operation = "update"
    resource_type = "configuration"

    keys: tuple[str, ...]

    @property
    def resource(self) -> str:
        return ", ".join(self.keys)


def is_storage_limit(value: int) -> bool:
    """Whether so many bytes can be a project's limit; UNLIMITED is none."""
    return value == UNLIMITED or 0 < value <= STORAGE_MOST


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of `host:port`; an IPv6 address stands in brackets. ValueError when it is none."""
    parts = urlsplit(f"//{address}")
    if parts.hostname is None or not parts.port or parts.netloc != address or "@" in address:
        raise ValueError(f"{address[:80]!r} is not host:port")
    return parts.hostname, parts.port


def get(key: str) -> Any:
    """The value in force; KeyError for an item that does not exist."""
    global _remembered
    at, values = _remembered
    if time.monotonic() - at > REMEMBERED_SECONDS:
        values = _stored()
        _remembered = (time.monotonic(), values)
    return values[key] if key in values else ITEMS[key].default


def shown() -> dict[str, Any]:
    """Every item's value as it is stored now; no secrets."""
    stored = _stored()
    return {key: stored.get(key, item.default) for key, item in ITEMS.items() if not isinstance(item, Secret)}


def change(*, actor: str = SYSTEM, **values: Any) -> None:
    """Set values; in force here at once, in other processes within a second.

    All or nothing: Unprocessable for a wrong type, BadRequest for what an item cannot be. KeyError for an item that
    does not exist.
    """
    for key, value in values.items():
        ITEMS[key].check_kind(key, value)
    for key, value in values.items():
        ITEMS[key].check(key, value)
    # A secret that came so far is empty, which it is already.
    values = {key: value for key, value in values.items() if not isinstance(ITEMS[key], Secret)}
    with transaction.atomic():
        locks.wait_in_transaction("configuration")
        before = shown()
        changed = tuple(key for key in ITEMS if key in values and values[key] != before[key])
        _check_together({**before, **values})
        # What was said holds, also where it is the default, which may be another one tomorrow.
        rows = [Setting(key=key, value=value) for key, value in values.items()]
        Setting.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["key"], update_fields=["value", "updated"]
        )
        # First of what happens then: who asks from now on gets the new ones.
        transaction.on_commit(forget)
        if changed:
            emit(ConfigurationChanged(actor=actor, keys=changed))
    # For a caller whose own transaction goes on.
    forget()


def forget() -> None:
    """Read afresh at the next question."""
    global _remembered
    _remembered = (-math.inf, {})


def _stored() -> dict[str, Any]:
    rows = Setting.objects.values_list("key", "value")
    # Another version may know more items.
    return {key: ITEMS[key].in_force(value) for key, value in rows if key in ITEMS}


def _json_object(text: str) -> dict[str, Any] | None:
    """The object that the text is in JSON; None when it is anything else."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _is_date(value: Any) -> bool:
    """Whether it is a day as Harbor's portal writes it, one of ISO 8601, or nothing."""
    if value in (None, ""):
        return True
    try:
        return bool(datetime.strptime(value, "%m/%d/%Y") if "/" in value else datetime.fromisoformat(value))
    except (ValueError, TypeError):
        return False


def _check_together(values: Mapping[str, Any]) -> None:
    """BadRequest for what each could be alone."""
    if values["skip_audit_log_database"] and not values["audit_log_forward_endpoint"]:
        raise errors.BadRequest(
            "audit_log_forward_endpoint must be set where skip_audit_log_database is: the log would be nowhere"
        )
