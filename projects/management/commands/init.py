"""`manage.py init`: bring the database up to this code and make the first administrator."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection, transaction

from core import partitions
from rbac.models import User

# Any number; whoever migrates this database takes the same one.
MIGRATION_LOCK = 0x77686172


class Command(BaseCommand):
    help = "Migrate under a lock (two at once wait for each other) and create the admin when there is none."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        except OperationalError as error:
            raise CommandError(f"The database does not answer: {error}") from error
        try:
            self._migrate(options["verbosity"])
            partitions.make_all()
            self._create_admin()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])

    def _migrate(self, verbosity: int) -> None:
        """All migrations or none.

        Django notes a migration as done after its transaction: killed in between, it could never be run again.
        """
        with transaction.atomic():
            with connection.cursor() as cursor:
                # PostgreSQL alters no table whose rows still wait for a check.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            call_command("migrate", interactive=False, verbosity=verbosity)

    def _create_admin(self) -> None:
        with transaction.atomic():
            if User.objects.filter(is_sysadmin=True, deleted__isnull=True).exists():
                return
            admin = User(username="admin", email="admin@example.com", realname="system admin", is_sysadmin=True)
            admin.set_password((settings.SECRETS / "admin-password").read_text().strip())
            admin.save()
        self.stdout.write("Created the user admin.")
