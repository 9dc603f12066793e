"""The system's allowlist of CVEs: what no vulnerability policy minds, in projects that have no list of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from core import clock, errors, locks
from core.events import Event, emit
from core.models import CveAllowlist

# Ids such as CVE-2019-10164 or GHSA-…; scanners have others too.
ID_MOST = 128


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


def replace(*, cve_ids: Sequence[str], expires: datetime | None, actor: str) -> None:
    """Make this the list. BadRequest for ids that are empty, too long or there twice."""
    seen: set[str] = set()
    for cve_id in cve_ids:
        if not cve_id.strip() or len(cve_id) > ID_MOST:
            raise errors.BadRequest(f"a cve_id has 1 to {ID_MOST} characters, such as CVE-2019-10164")
        if cve_id in seen:
            raise errors.BadRequest(f"duplicate CVE ID in the list: {cve_id}")
        seen.add(cve_id)
    with transaction.atomic():
        locks.wait_in_transaction("CVE allowlist")
        now = clock.now()
        row = CveAllowlist.objects.first() or CveAllowlist(created=now)
        row.cve_ids, row.expires, row.updated = list(cve_ids), expires, now
        row.save()
        emit(CveAllowlistChanged(actor=actor))
