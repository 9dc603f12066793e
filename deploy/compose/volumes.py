"""Whether the volumes belong together: a new database beside an old store would look like a platform without images.

They are named, mounted and restored one by one, so one may be missing or another's. Nothing is changed before this says
yes; then the database's number is noted beside the secrets, which a killed `init` does not undo.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg2

from deploy import keys
from deploy.compose.places import SECRETS, STORE, USER
from deploy.stack.settings import Unusable

# Which PostgreSQL cluster the platform with these secrets uses.
NOTE = "database-id"
# With HTTPS the service `configuration` would be root without rights.
RUN = f"docker compose run --rm --user {USER} --entrypoint"


@dataclass(frozen=True)
class Found:
    """What there is to see."""

    database: str
    """The number that PostgreSQL gave its cluster when it was made."""
    has_tables: bool
    has_blobs: bool
    """The database counts on blobs in the store."""
    noted: str
    """Which database the secrets were used with; empty when they are new."""
    store_is_empty: bool


def check(url: str) -> None:
    """Unusable says which volume is missing, or that the password is another's."""
    found = look(url, SECRETS, STORE)
    problem = disagreement(found)
    if problem:
        raise Unusable(problem)
    keys.write(SECRETS / NOTE, found.database)


def disagreement(found: Found) -> str:
    """A sentence for the operator; empty when all is well."""
    if found.noted and found.noted != found.database and not found.has_tables:
        return (
            "the database is new, but the secrets belong to a platform that had one: the volume `database` is missing. "
            f"Restore it. To begin anew without it: {RUN} rm init {SECRETS / NOTE}"
        )
    if found.has_tables and not found.noted:
        return (
            "the secrets are new, but the database is not: the volume `secrets` is missing. Restore it. To go on "
            f"without it: {RUN} sh init -c 'echo {found.database} > {SECRETS / NOTE}'"
        )
    if found.has_blobs and found.store_is_empty:
        return (
            "the database knows of images, but the store is empty: the volume `store` is missing. Restore it. To go on "
            f"without it (images must be pushed again): {RUN} mkdir configuration -p {STORE}/docker/registry/v2/blobs"
        )
    return ""


def look(url: str, secrets: Path, store: Path) -> Found:
    """The facts; Unusable when the database does not let us in."""
    try:
        connection = psycopg2.connect(url, connect_timeout=30)
    except psycopg2.OperationalError as error:
        raise Unusable(_refusal(str(error).strip())) from error
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT system_identifier::text, to_regclass('projects_blob') FROM pg_control_system()")
            database, table = cursor.fetchone() or ("", None)
            cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
            has_tables = bool((cursor.fetchone() or (False,))[0])
            if table:
                cursor.execute("SELECT EXISTS (SELECT FROM projects_blob WHERE state = 'present')")
            has_blobs = bool(table and (cursor.fetchone() or (False,))[0])
    finally:
        connection.close()
    note = secrets / NOTE
    return Found(
        database=database,
        has_tables=has_tables,
        has_blobs=has_blobs,
        noted=note.read_text().strip() if note.exists() else "",
        store_is_empty=not (store / "docker" / "registry" / "v2" / "blobs").exists(),
    )


def _refusal(said: str) -> str:
    if "password authentication failed" not in said:
        return f"the database does not answer: {said}"
    return (
        "the database refuses the password in the volume `secrets`: either that volume is missing and a new one was "
        "made (restore it), or the password was changed; docs/compose.md says how to give the database the one there is"
    )
