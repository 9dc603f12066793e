"""Connections that died are noticed and replaced, and prepared statements with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, connections, transaction

from core import locks
from core.api.exceptions import as_refusal
from core.postgres.prepared import Columns, Finder, Insert, Statement
from projects.models import Artifact, Manifest, Project, Tag
from rbac.models import Robot, User
from registry import manifest_lookup
from tests import factories, plans

# In a table of a few pages no way is longer than another.
MANY = 2000
ANSWER = Statement("bigint", "SELECT $1 + 1")


def end_our_connection() -> None:
    """What a restart of the server does to a connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other: Any = connections["default"].copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_closed_is_not_usable() -> None:
    connection.ensure_connection()
    assert connection.is_usable()
    end_our_connection()
    assert not connection.is_usable()
    connection.close()
    assert not connection.is_usable()


@pytest.mark.django_db(transaction=True)
def test_a_request_after_a_restart_of_the_server_does_not_notice() -> None:
    User.objects.count()
    end_our_connection()
    connection.close_if_unusable_or_obsolete()
    assert User.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_dies_under_a_query_is_replaced_too() -> None:
    """psycopg2 has closed it by then: it has no number that could be asked."""
    end_our_connection()
    with pytest.raises(OperationalError):
        User.objects.count()
    assert not connection.is_usable()
    connection.close_if_unusable_or_obsolete()
    assert User.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_lock_on_our_own_connection_goes_with_it() -> None:
    with locks.sole_here("a name") as is_mine:
        assert is_mine
        end_our_connection()
    with locks.sole("a name") as is_free:
        assert is_free
    assert User.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_what_the_server_refuses_is_not_asked_again() -> None:
    asked = Statement("text", "SELECT set_config('wharf.asked', 'x', false), pg_sleep(5), $1")
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 50")
        cursor.execute("SELECT pg_backend_pid()")
        (before,) = cursor.fetchone()
    with pytest.raises(OperationalError, match="statement timeout"):
        asked.row("once")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() == (before,), "the connection was well and stays"
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_prepared_statement_survives_its_connection() -> None:
    assert ANSWER.row(1) == (2,)
    end_our_connection()
    assert ANSWER.row(2) == (3,)


@pytest.mark.django_db(transaction=True)
def test_a_prepared_statement_is_asked_afresh_after_a_query_under_which_the_connection_died() -> None:
    end_our_connection()
    with pytest.raises(OperationalError):
        User.objects.count()
    assert ANSWER.row(1) == (2,)


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_a_lost_connection_is_an_error() -> None:
    """What the transaction did before is lost with it: going on would tear it in two."""

    def two_steps() -> None:
        with transaction.atomic():
            ANSWER.row(1)
            end_our_connection()
            ANSWER.row(2)

    with pytest.raises(OperationalError):
        two_steps()


@pytest.mark.django_db
def test_a_finder_gives_what_the_orm_gives(team: Project) -> None:
    permissions = [{"kind": "project", "namespace": "team", "access": [{"resource": "repository", "action": "pull"}]}]
    robot = Robot.objects.create(
        kept_name="robot$x", short_name="x", level="project", project_id=team.pk, permissions=permissions
    )
    found = Finder(Robot, "text", "name = $1").one("robot$x")
    assert found is not None
    assert {name: getattr(found, name) for name in vars(robot) if name != "_state"} == {
        name: value for name, value in vars(Robot.objects.get()).items() if name != "_state"
    }
    assert Finder(Robot, "text", "name = $1").one("robot$y") is None


@pytest.mark.parametrize("rows", [-1, 1, MANY], ids=["no statistics", "statistics of one row", "statistics of all"])
@pytest.mark.django_db
def test_a_pull_looks_at_one_row_of_each_table_whatever_the_statistics(team: Project, alice: User, rows: int) -> None:
    """As one join it went through all artifacts of the repository until the tables were analyzed."""
    place = factories.repository(team, f"plan{factories.number()}")
    pushed = factories.push(place, alice, "v")
    others = [f"sha256:{number:064}" for number in range(MANY)]
    Manifest.objects.bulk_create(Manifest(digest=digest, size=2, content=b"{}") for digest in others)
    Artifact.objects.bulk_create(Artifact(repository=place, manifest_id=digest) for digest in others)
    artifacts = Artifact.objects.filter(repository=place).order_by("id")
    Tag.objects.bulk_create(Tag(repository=place, name=a.digest[7:], artifact=a) for a in artifacts)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_class SET reltuples = %s, relpages = greatest(sign(%s), 0)"
            " WHERE oid = ANY (ARRAY['projects_manifest', 'projects_artifact', 'projects_tag']::regclass[])",
            [rows, rows],
        )
        cursor.execute("DISCARD PLANS")
    for statement, reference in [(manifest_lookup._BY_TAG, "v"), (manifest_lookup._BY_DIGEST, pushed.digest)]:
        assert statement.row(place.name, reference)
        steps = [*plans.nodes(statement._execute, place.name, reference)]
        assert max(map(plans.rows_of, steps)) == 1, json.dumps(steps[0], indent=1)


@pytest.mark.django_db
def test_an_inserted_row_is_what_the_orm_reads() -> None:
    user = User(username="ann", email="ann@example.org", realname="Ann")
    row = Insert(User, "RETURNING id").row(user)
    assert row is not None
    read = User.objects.get(pk=row[0])
    assert (read.username, read.email, read.realname) == ("ann", "ann@example.org", "Ann")
    assert read.updated is not None


@pytest.mark.django_db
def test_what_is_too_long_is_refused_not_cut() -> None:
    with pytest.raises(DataError), transaction.atomic():
        Insert(User, "").row(User(username="a" * 300))
    assert not User.objects.exists()


@pytest.mark.django_db
def test_a_column_that_was_left_out_is_asked_for_when_it_is_read(alice: User) -> None:
    columns = Columns(User, without=("realname",))
    statement = Statement("bigint", f"SELECT {columns.sql} FROM rbac_user WHERE id = $1")  # noqa: S608
    row = statement.row(alice.pk)
    assert row is not None
    read = columns.instance(row)
    assert read.get_deferred_fields() == {"realname"}
    assert (read, read.realname) == (alice, alice.realname)
    assert not read._state.adding


@pytest.mark.django_db
def test_a_full_disk_is_not_called_a_database_that_is_away() -> None:
    """As PostgreSQL says it when it cannot extend a file."""
    with pytest.raises(OperationalError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$")
    refusal = as_refusal(refused.value)
    assert refusal is not None
    assert (refusal.status, refusal.message) == (
        503,
        "The disk of the database is full; nothing can be changed until there is room.",
    )
