"""`manage.py verify [--repair] [--deep]`: does the store hold what Postgres promises?"""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import errors
from registry.verify import verify


class Command(BaseCommand):
    help = "Walk database and store and report every disagreement; exit code 1 while one is left."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="mend what can be mended")
        parser.add_argument("--deep", action="store_true", help="also hash every blob")

    def handle(self, *args: Any, repair: bool = False, deep: bool = False, **options: Any) -> None:
        found: Counter[str] = Counter()
        left = 0
        try:
            for finding in verify(repair=repair, deep=deep):
                found[finding.kind] += 1
                left += not finding.repaired
                self.stdout.write(f"{'repaired' if finding.repaired else 'found'}: {finding.kind}: {finding.what}")
        except errors.Precondition as error:
            raise CommandError(error.message) from error
        total = sum(found.values())
        self.stdout.write(f"{total} disagreements, {total - left} repaired, {left} left")
        if left:
            raise CommandError(f"{left} disagreements are left")
