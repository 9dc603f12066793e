"""A year of the demo's audit log."""

from __future__ import annotations

from datetime import date, timedelta

from django.db import connection

from core import clock, partitions
from projects.demo.size import Size
from projects.models import Project, audit_log
from rbac.models import User

_ROWS = """
INSERT INTO audit_log (op_time, username, operation, resource_type, resource, project_id, address)
SELECT op_time, users[1 + number * 7 %% cardinality(users)], operations[1 + number %% cardinality(operations)],
       types[1 + number / 3 %% cardinality(types)],
       names[1 + place] || '/web:1.' || number %% 10, ids[1 + place], '192.0.2.' || number %% 255
FROM (SELECT %s::text[] AS users, %s::text[] AS names, %s::bigint[] AS ids,
             ARRAY['create', 'delete', 'update'] AS operations, ARRAY['artifact', 'tag', 'repository'] AS types) words,
LATERAL (
    SELECT number, number * 31 %% cardinality(ids) AS place,
           %s::timestamptz + number * (%s::timestamptz - %s::timestamptz) / %s AS op_time
    FROM generate_series(0, %s - 1) AS number
) rows
WHERE op_time <= %s
"""


def months() -> list[date]:
    """The first days of this month and of the eleven before, from the oldest on."""
    first = clock.now().date().replace(day=1)
    found = [first]
    while len(found) < 12:
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found[::-1]


def make_month(size: Size, first: date) -> None:
    """A twelfth of the rows, evenly over one month (until now, in this one)."""
    audit_log.MONTHS.make_partitions(first)
    now = clock.now()
    last = min(partitions.next_month(first), now.date() + timedelta(days=1))
    users = list(User.objects.order_by("pk").values_list("username", flat=True))
    projects = Project.objects.order_by("pk").values_list("name", "pk")
    names, ids = map(list, zip(*projects, strict=True))
    count = size.log // 12
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [users, names, ids, first, last, first, count, count, now])
