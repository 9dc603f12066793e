"""The audit log on its way to a syslog server: a real TCP receiver that goes away and comes back."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from queue import Empty, Queue
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase

from core import configuration
from core.events import emit
from projects import audit_forwarding
from projects.events import TagCreated, TagDeleted
from projects.models import AuditLog

pytestmark = pytest.mark.django_db
# RFC 5424, 6: PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG.
LINE = re.compile(r"<110>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d) \S+ wharf \d+ audit - (\{.*\})")


class Syslog:
    """A syslog server that keeps the lines it gets."""

    def __init__(self) -> None:
        self.lines: Queue[str] = Queue()
        self.port = 0
        self.start()

    def start(self) -> None:
        lines = self.lines
        self._clients = clients = list[socket.socket]()

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                clients.append(self.connection)
                for line in self.rfile:
                    lines.put(line.decode().rstrip("\n"))

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Connection, bind_and_activate=False)
        self._server.allow_reuse_address = self._server.daemon_threads = True
        self._server.server_bind()
        self._server.server_activate()
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for client in self._clients:
            # It may have hung up already.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def record(self) -> dict[str, Any]:
        """What the next line says."""
        line = self.lines.get(timeout=20)
        found = LINE.fullmatch(line)
        assert found, line
        record: dict[str, Any] = json.loads(found[3])
        return record


@pytest.fixture
def syslog(monkeypatch: pytest.MonkeyPatch) -> Iterator[Syslog]:
    monkeypatch.setattr(audit_forwarding, "_made", None)
    server = Syslog()
    change(audit_log_forward_endpoint=f"127.0.0.1:{server.port}")
    assert server.record()["resource_type"] == "configuration"
    yield server
    server.stop()


def change(**values: Any) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True):
        configuration.change(**values)


def delete_tag(name: str) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True), transaction.atomic():
        emit(TagDeleted(actor="bob", project_id=7, project="team", repository="team/app", digest="sha256:0", tag=name))


def test_a_record_says_what_the_row_says(syslog: Syslog) -> None:
    delete_tag("v1\n<110>1 forged")
    row = AuditLog.objects.get(resource_type="tag")
    record = syslog.record()
    assert record == {
        "username": "bob",
        "operation": "delete",
        "resource_type": "tag",
        "resource": "team/app:v1\n<110>1 forged",
        "project_id": 7,
        "operation_result": True,
        "operation_description": row.description,
        "address": row.address,
        "request_id": row.request_id,
    }


def test_what_was_rolled_back_is_not_sent(syslog: Syslog) -> None:
    with transaction.atomic():
        emit(TagDeleted(actor="bob", project_id=7, project="team", repository="team/app", digest="d", tag="v1"))
        transaction.set_rollback(True)
    delete_tag("v2")
    assert syslog.record()["resource"] == "team/app:v2"


def test_what_happened_while_the_server_was_away_is_sent_when_it_is_back(syslog: Syslog) -> None:
    delete_tag("v1")
    assert syslog.record()["resource"] == "team/app:v1"
    syslog.stop()
    for name in ("v2", "v3"):
        delete_tag(name)
    syslog.start()
    assert [syslog.record()["resource"] for _ in range(2)] == ["team/app:v2", "team/app:v3"]


def test_a_wrong_address_that_is_mended_loses_nothing(syslog: Syslog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        wrong = nobody.getsockname()[1]
    change(audit_log_forward_endpoint=f"127.0.0.1:{wrong}")
    delete_tag("v1")
    change(audit_log_forward_endpoint=f"127.0.0.1:{syslog.port}")
    seen = [syslog.record() for _ in range(3)]
    assert [record["resource_type"] for record in seen] == ["configuration", "tag", "configuration"]


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_our_own_services_are_no_syslog_servers(syslog: Syslog, address: str, settings: Any) -> None:
    redis = Syslog()
    settings.OWN_SERVICES = (("127.0.0.1", redis.port),)
    change(audit_log_forward_endpoint=f"{address}:{redis.port}")
    delete_tag("v1")
    with pytest.raises(Empty):
        redis.lines.get(timeout=1)
    change(audit_log_forward_endpoint=f"127.0.0.1:{syslog.port}")
    seen = [syslog.record() for _ in range(3)]
    assert [record["resource_type"] for record in seen] == ["configuration", "tag", "configuration"]
    redis.stop()


def test_nobody_waits_for_a_server_and_what_is_too_much_is_dropped(
    syslog: Syslog, monkeypatch: pytest.MonkeyPatch
) -> None:
    syslog.stop()
    monkeypatch.setattr(audit_forwarding, "MOST_WAITING", 3)
    monkeypatch.setattr(audit_forwarding, "_made", None)
    for number in range(20):
        delete_tag(f"v{number}")
    assert AuditLog.objects.filter(resource_type="tag").count() == 20
    assert audit_forwarding._sender()._dropped in (16, 17), "one may be under way"
    syslog.start()
    assert syslog.record()["resource"] == "team/app:v0"


def test_the_database_can_be_skipped(syslog: Syslog) -> None:
    change(skip_audit_log_database=True)
    assert syslog.record()["operation"] == "update"
    delete_tag("v1")
    assert syslog.record()["resource"] == "team/app:v1"
    assert not AuditLog.objects.filter(resource_type="tag").exists()


def test_types_of_events_can_be_left_out(syslog: Syslog) -> None:
    change(disabled_audit_log_event_types="create_tag, delete_tag")
    syslog.record()
    delete_tag("v1")
    with TestCase.captureOnCommitCallbacks(execute=True), transaction.atomic():
        emit(TagCreated(actor="bob", project_id=7, project="team", repository="team/app", digest="d", tag="v2"))
    change(disabled_audit_log_event_types="")
    assert syslog.record()["resource_type"] == "configuration"
    assert not AuditLog.objects.filter(resource_type="tag").exists()
    with pytest.raises(Empty):
        syslog.lines.get_nowait()
