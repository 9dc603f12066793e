"""Data in the store that no repository may read any more: claimed, removed, forgotten.

Who needs data holds a link (announced, at least), and making one waits for the row's lock: `links.announce`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from core import clock
from core.store import files
from projects.models import Blob, Reference, RepositoryBlob


def unlinked() -> QuerySet[Blob]:
    """Blobs that no repository has a link to, in whatever state, and no manifest names, be it still on its way."""
    links = RepositoryBlob.objects.filter(blob=OuterRef("pk"))
    manifests = Reference.objects.filter(digest=OuterRef("digest"))
    return Blob.objects.filter(~Exists(links), ~Exists(manifests))


def abandoned(before: datetime) -> QuerySet[Blob]:
    """Those whose removal began before this time and did not end."""
    return Blob.objects.filter(state=Blob.State.DELETING, claimed__lt=before)


def claim(blobs: Sequence[int]) -> list[Blob]:
    """Mark blobs (their ids) as being removed, of those that are unlinked and that nobody has locked at this moment."""
    with transaction.atomic():
        rows = Blob.objects.select_for_update(skip_locked=True).filter(pk__in=blobs).order_by("pk")
        locked = list(rows.exclude(state=Blob.State.DELETING).values_list("pk", flat=True))
        # In a following statement, so that it sees what was committed before the locks were ours.
        claimed = list(unlinked().filter(pk__in=locked).order_by("pk"))
        Blob.objects.filter(pk__in=[blob.pk for blob in claimed]).update(state=Blob.State.DELETING, claimed=clock.now())
    return claimed


def reclaim(left: QuerySet[Blob]) -> list[Blob]:
    """Abandoned blobs, now ours to be removed. Who calls holds the collector's lock: whoever claimed them is dead."""
    with transaction.atomic():
        locked = list(left.select_for_update(skip_locked=True).values_list("pk", flat=True))
        # In a following statement, so that it sees what was committed before the locks were ours.
        free = list(unlinked().filter(pk__in=locked).order_by("pk"))
        Blob.objects.filter(pk__in=[blob.pk for blob in free]).update(claimed=clock.now())
        # Somebody made a link without asking whether the data were going: they may be gone or not, the store will say.
        needed = Blob.objects.filter(pk__in=locked).exclude(pk__in=[blob.pk for blob in free])
        needed.update(state=Blob.State.ANNOUNCED, claimed=None)
    return free


def remove(claimed: Sequence[Blob]) -> None:
    """Remove the data that were claimed, then the rows. Both may be done twice."""
    files.remove_data(*(blob.digest for blob in claimed))
    forget(claimed)


def forget(claimed: Sequence[Blob]) -> None:
    """Drop the rows of data that are removed."""
    Blob.objects.filter(pk__in=[blob.pk for blob in claimed], state=Blob.State.DELETING).delete()
