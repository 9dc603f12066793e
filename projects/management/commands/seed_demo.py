"""`manage.py seed_demo --size small|large`: something to look at, or much to measure with."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import errors
from core.store import files
from projects.demo import seeding
from projects.demo.size import SIZES


class Command(BaseCommand):
    help = (
        "Fill a new platform with a demo; one that holds anything else is refused. 'small': a few people and projects "
        "with real, tiny images, whose content lies in the store: they can be pulled. 'large': 1000 projects, 20,000 "
        "repositories, 200,000 artifacts, 10,000 tags in one repository, a million rows of the audit log, 20,000 "
        "deliveries of webhooks, as rows of the database alone, for measuring: the images' content is in no store, so "
        "nothing of it can be pulled or verified. "
        "Nobody of the demo can sign in before an admin gives him a password, and no robot has a secret. "
        "Its webhooks are switched off. Stopped, it goes on where it was; done, it does nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--size", choices=sorted(SIZES), required=True)

    def handle(self, *args: Any, size: str, **options: Any) -> None:
        began, done = time.monotonic(), 0
        try:
            for progress in seeding.seed(size):
                done += 1
                self.stdout.write(f"[{progress.number}/{progress.total}] {progress.what}")
                self.stdout.flush()
        except errors.StoreUnavailable as error:
            raise CommandError(f"the store does not do it: {files.explain(error)}. Then run seed_demo again") from error
        except errors.Refusal as error:
            raise CommandError(error.message) from error
        said = f"the {size} demo is there ({time.monotonic() - began:.0f} s)"
        self.stdout.write(said if done else f"the {size} demo was there already; nothing was done")
