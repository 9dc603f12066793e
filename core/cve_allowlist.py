"""Allowlists of CVEs: what no vulnerability policy minds. The system's is here; projects have some of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from core import clock, errors, locks
from core.events import Event, emit
from core.models import Allowlist, CveAllowlist

# Ids such as CVE-2019-10164 or GHSA-…; scanners have others too.
ID_MOST = 128


@dataclass(frozen=True)
class Entries:
    """What a list is to hold; `checked` makes it."""

    cve_ids: tuple[str, ...]
    expires: datetime | None


@dataclass(frozen=True, kw_only=True)
class CveAllowlistChanged(Event):
    topic = "UPDATE_CVE_ALLOWLIST"
    operation = "update"
    resource_type = "configuration"

    @property
    def resource(self) -> str:
        return "CVE allowlist"


def current() -> CveAllowlist:
    """The list as it is; an empty one, not saved, when nobody wrote one."""
    return CveAllowlist.objects.first() or CveAllowlist()


def checked(*, cve_ids: Sequence[str], expires: datetime | None) -> Entries:
    """What a list is to hold, until when. BadRequest for ids that are empty, too long or there twice."""
    seen: set[str] = set()
    for cve_id in cve_ids:
        if not cve_id.strip() or len(cve_id) > ID_MOST:
            raise errors.BadRequest(f"a cve_id has 1 to {ID_MOST} characters, such as CVE-2019-10164")
        if cve_id in seen:
            raise errors.BadRequest(f"duplicate CVE ID in the list: {cve_id}")
        seen.add(cve_id)
    return Entries(tuple(cve_ids), expires)


def replace(*, entries: Entries, actor: str) -> None:
    """Make this the system's list."""
    with transaction.atomic():
        locks.wait_in_transaction("CVE allowlist")
        write(CveAllowlist.objects.first() or CveAllowlist(), entries)
        emit(CveAllowlistChanged(actor=actor))


def write(row: Allowlist, entries: Entries) -> None:
    """Make this what a list holds, nothing else. Nobody else writes that row meanwhile, the caller sees to it."""
    now = clock.now()
    row.cve_ids, row.expires = list(entries.cve_ids), entries.expires
    row.created, row.updated = row.created or now, now
    row.save()
