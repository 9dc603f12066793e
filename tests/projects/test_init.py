"""`manage.py init` on a database of its own, killed at the worst moments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import psycopg2
import pytest
from django.conf import settings

# Dies when the n-th migration has done its work and is about to be noted as done.
DYING = """
import os, sys, django
django.setup()
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder
left = int(sys.argv[1])
real = MigrationRecorder.record_applied
def record(self, app, name):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    real(self, app, name)
MigrationRecorder.record_applied = record
call_command("init", verbosity=0)
"""


@pytest.fixture
def database() -> Iterator[str]:
    """The name of an empty database beside the tests' own."""
    name = f"init_{os.getpid()}"
    # CREATE DATABASE wants no transaction, not even that of `with connection`.
    connection = psycopg2.connect(host=settings.DATABASES["default"]["HOST"], user="wharf", dbname="postgres")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f'CREATE DATABASE "{name}"')
    yield name
    cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    connection.close()


def run(database: str, *words: str) -> subprocess.CompletedProcess[str]:
    host = quote(settings.DATABASES["default"]["HOST"], safe="")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "core.settings",
        "WHARF_DATABASE_URL": f"postgres://wharf@{host}/{database}",
    }
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)


# Where Django makes indexes late, and where not.
@pytest.mark.parametrize("number", [1, 3, 15])
def test_killed_before_a_migration_is_noted_it_can_be_run_again(database: str, number: int) -> None:
    assert run(database, "-c", DYING, str(number)).returncode == 9
    again = run(database, "manage.py", "init")
    assert again.returncode == 0, again.stderr
    assert "Created the user admin." in again.stdout
    assert run(database, "manage.py", "migrate", "--check").returncode == 0
