"""Whether somebody is pushing to a repository at this moment: then it is left alone.

Between a layer's upload and its manifest nothing refers to the layer, and that may last for as long as the other
layers take. So a repository counts as busy while something is written to its uploads, and while it has a link that
nothing refers to and that somebody counted on lately: a push between its last upload and its manifest.
"""

from __future__ import annotations

import time
from datetime import datetime

from django.db.models import Exists, OuterRef

from core.store import uploads
from projects.models import Reference, RepositoryBlob

# So old may an answer be.
KNOWN_FOR_SECONDS = 5.0


class Activity:
    """What is known of repositories, since a moment that garbage collection looks back to."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._answers: dict[int, tuple[float, bool]] = {}

    def is_busy(self, repository: int, name: str) -> bool:
        """Whether somebody pushes to a repository (its id and name)."""
        asked, answer = self._answers.get(repository, (0.0, False))
        if not asked or time.monotonic() - asked > KNOWN_FOR_SECONDS:
            answer = self._is_uploading(name) or self._waits_for_a_manifest(repository)
            self._answers[repository] = (time.monotonic(), answer)
        return answer

    def _is_uploading(self, name: str) -> bool:
        last = uploads.last_activity(name)
        return last is not None and last >= self._since

    def _waits_for_a_manifest(self, repository: int) -> bool:
        needed = Reference.objects.filter(repository=OuterRef("repository"), digest=OuterRef("blob__digest"))
        fresh = RepositoryBlob.objects.filter(~Exists(needed), repository=repository, touched__gte=self._since)
        return fresh.exclude(state=RepositoryBlob.State.DELETING).exists()
