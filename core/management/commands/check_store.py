"""`manage.py check_store [--claim]`: may we use the store, and is it ours?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from core import errors
from core.store import files


class Command(BaseCommand):
    help = "Write, read and remove a file in the store, and see whose store it is; exit code 1 with a reason."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--claim", action="store_true", help="take a store that is nobody's yet")

    def handle(self, *args: Any, claim: bool = False, **options: Any) -> None:
        try:
            files.try_out()
            self._check_owner(claim)
        except errors.Unavailable as error:
            raise CommandError(f"the store {settings.STORE_URL} cannot be used: {files.explain(error)}") from error

    def _check_owner(self, claim: bool) -> None:
        """The database counts on every blob it knows, so the store it lies in must not be swapped unnoticed."""
        ours, owner = (settings.SECRETS / "platform-id").read_text().strip(), files.owner()
        if owner is None and claim:
            files.set_owner(ours)
        elif owner is None:
            raise CommandError(
                f"the store {settings.STORE_URL} does not hold this platform's data. Is something not mounted? If it "
                "shall be the new store, copy everything of the old one there first, docker/registry/v2/wharf-owner too"
            )
        elif owner != ours:
            raise CommandError(
                f"the store {settings.STORE_URL} belongs to another Wharf, which would lose its data; choose another "
                "prefix. If that one is gone for good, remove docker/registry/v2/wharf-owner there"
            )
