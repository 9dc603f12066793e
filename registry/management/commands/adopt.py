"""`manage.py adopt [--owner NAME] [--dry-run] [--store-wins]`: a registry's store becomes Wharf's."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from core import errors
from core.store import files
from projects import projects
from rbac.models import User
from registry.adoption import Progress, adopt
from registry.verify import Finding

# A long repository speaks up so often.
_SECONDS = 2.0


class Command(BaseCommand):
    help = (
        "Take over what a registry:2 left in the store: projects, repositories, manifests, tags. "
        "Runs again where it was stopped; exit code 1 while something could not be taken over."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--owner", help="who owns the projects that are made (default: the first system admin)")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--store-wins", action="store_true", help="where Wharf has another tag of the same name, take the store's"
        )

    def handle(
        self, *args: Any, owner: str | None = None, dry_run: bool = False, store_wins: bool = False, **options: Any
    ) -> None:
        try:
            self._run(_owner(owner), dry_run, store_wins)
        except errors.StoreUnavailable as error:
            raise CommandError(
                f"the store does not do it: {files.explain(error)}. In a folder everything must belong to the service "
                "user (chown -R wharf: VAR/registry). Then run adopt again: it goes on where it was"
            ) from error
        except errors.Refusal as error:
            raise CommandError(error.message) from error
        except OperationalError as error:
            raise CommandError(f"the database went away: {error}. Run adopt again: it goes on where it was") from error

    def _run(self, owner: User, dry_run: bool, store_wins: bool) -> None:
        began = spoke = time.monotonic()
        manifests = tags = repositories = left = 0
        mended = "would mend" if dry_run else "mended"
        for event in adopt(owner=owner, dry_run=dry_run, store_wins=store_wins):
            if isinstance(event, Finding):
                left += not event.repaired
                self.stdout.write(f"{mended if event.repaired else 'found'}: {event.kind}: {event.what}")
            elif event.is_done or time.monotonic() - spoke > _SECONDS:
                spoke = time.monotonic()
                self._say(event)
                if event.is_done:
                    repositories += 1
                    manifests += event.manifests
                    tags += event.tags
        self.stdout.write(
            f"{'would take over' if dry_run else 'took over'} {manifests} manifests and {tags} tags "
            f"in {repositories} repositories, {left} things are left ({time.monotonic() - began:.0f} s)"
        )
        if left:
            raise CommandError(f"{left} things could not be taken over; they lie in the store as before")

    def _say(self, progress: Progress) -> None:
        if progress.manifests or progress.tags:
            self.stdout.write(
                f"[{progress.number}/{progress.total}] {progress.repository}: "
                f"{progress.manifests} manifests, {progress.tags} tags{'' if progress.is_done else ' …'}"
            )


def _owner(name: str | None) -> User:
    if name is None:
        return projects.first_admin()
    owner: User | None = User.objects.live().filter(username=name).first()
    if owner is None:
        raise CommandError(f"there is no user {name!r} who could own the projects; make the user first")
    return owner
