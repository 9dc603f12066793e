"""`manage.py export-tags [--dry-run]`: a bare registry:2 can serve the store with the same tags."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from core import errors
from core.store import files
from registry.tag_export import Change, export


class Command(BaseCommand):
    help = "Make the registry's own tags in the store equal to Wharf's, deleting too, for a registry:2 without Wharf."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *args: Any, dry_run: bool = False, **options: Any) -> None:
        written = removed = equal = foreign = 0
        try:
            for change in export(dry_run=dry_run):
                self._say(change)
                written += len(change.write)
                removed += len(change.remove)
                equal += change.equal
                foreign += len(change.foreign)
        except errors.StoreUnavailable as error:
            raise CommandError(f"the store does not do it: {files.explain(error)}. Run export-tags again") from error
        except errors.Refusal as error:
            raise CommandError(error.message) from error
        except OperationalError as error:
            raise CommandError(f"the database went away: {error}. Run export-tags again") from error
        self.stdout.write(
            f"{'would write' if dry_run else 'wrote'} {written} tags, {'would remove' if dry_run else 'removed'} "
            f"{removed}, {equal} were equal, {foreign} that Wharf never had were left"
        )

    def _say(self, change: Change) -> None:
        if change.write or change.remove:
            self.stdout.write(f"{change.repository}: {len(change.write)} written, {len(change.remove)} removed")
        for tag in change.foreign:
            self.stdout.write(f"left: {change.repository}:{tag} is not in Wharf; adopt it, or remove its folder")
