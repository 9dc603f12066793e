"""/system/CVEAllowlist, as in Harbor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import cve_allowlist
from core.api import answers, json
from core.api.forms import Form, Text, Whole
from core.api.operations import operation
from core.api.resource import Resource
from core.cve_allowlist import Entries
from core.models import Allowlist

# The last second of the year 9999, which is where Python's and PostgreSQL's calendars are still one.
_LAST_SECOND = 253402300799


class AllowlistEntry(Form):
    # What is missing is Go's empty value, which no id can have.
    cve_id = Text(default="")


class AllowlistForm(Form):
    items = serializers.ListField(child=AllowlistEntry(), default=list)
    expires_at = Whole(required=False, min_value=0, max_value=_LAST_SECOND)


class SystemCveAllowlist(Resource):
    """Everybody who signed in reads it; who configures the system writes it, whole."""

    resource = "configuration"
    verbs = {"retrieve": "signed-in"}

    @operation("Read the system's CVE allowlist", gives=answers.CveAllowlist)
    def retrieve(self, request: Request) -> Response:
        return Response(as_json(cve_allowlist.current()))

    @operation("Replace the system's CVE allowlist", body=AllowlistForm)
    def update(self, request: Request) -> Response:
        entries = entries_of(self.body(AllowlistForm))
        cve_allowlist.replace(entries=entries, actor=cast(Any, request.user).name)
        return self.done()


def entries_of(said: dict[str, Any]) -> Entries:
    """What a list is to hold, of an AllowlistForm; BadRequest for what none can."""
    seconds = said.get("expires_at")
    return cve_allowlist.checked(
        cve_ids=[entry["cve_id"] for entry in said["items"]],
        expires=None if seconds is None else datetime.fromtimestamp(seconds, UTC),
    )


def as_json(allowlist: Allowlist) -> dict[str, Any]:
    """Harbor's CVEAllowlist. The system's belongs to project zero, which Go leaves out."""
    body = {
        "id": allowlist.pk,
        "items": [{"cve_id": cve_id} for cve_id in allowlist.cve_ids],
        "creation_time": json.time(allowlist.created),
        "update_time": json.time(allowlist.updated),
    }
    if allowlist.expires is not None:
        body["expires_at"] = int(allowlist.expires.timestamp())
    return json.without_empty(body, keep=("items", "expires_at"))
