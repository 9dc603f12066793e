"""Requests that nobody thought of, made from the API's own document: none fails, and every answer fits the document.

The same requests every time: their seed is fixed, and so is their number.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import hypothesis
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from core import configuration, redis
from core.api import openapi
from rbac.models import RobotSecret
from tests.contracts.test_contract import Populated
from tests.rows import PASSWORD

pytestmark = pytest.mark.django_db
SEED = 20261125
# Of each kind for each operation and caller; each is sent as it is and once more to what exists.
NUMBER = {GenerationMode.POSITIVE: 5, GenerationMode.NEGATIVE: 5}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(autouse=True)
def _connection_stays_open() -> Iterator[None]:
    """Django closes a connection that it finds in a transaction after a request; here it is the test's own."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.parametrize("who", ["root", "alice"])
def test_whatever_is_asked_is_answered_as_documented(who: str) -> None:
    existing = places(Populated())
    schema = schemathesis.openapi.from_dict(openapi.document())
    schema.app = get_wsgi_application()
    # A session's cookie that it made up would end every change at the CSRF token.
    schema.config.generation.with_security_parameters = False
    wrong, requests, done = [], 0, set[str]()
    operations: list[Any] = list(schema.get_all_operations())
    for operation in (each.ok() for each in operations):
        for mode in NUMBER:
            caller = Caller(who, existing)
            # What is changed here is as it was for the next one.
            with transaction.atomic():
                wrong += [f"{operation.label} by {who}: {mistake}" for mistake in made_up(operation, mode, caller)]
                transaction.set_rollback(True)
            configuration.forget()
            redis.ask(lambda r: r.flushdb())
            requests += len(caller.statuses)
            done |= {operation.label for status in caller.statuses if status < 300}
    print(f"\n{requests} requests by {who}; {len(done)} operations were carried out: {', '.join(sorted(done))}")
    assert not wrong, "\n".join(wrong)
    assert len(done) > (50 if who == "root" else 30)


def places(populated: Populated) -> dict[str, object]:
    """Values for the parameters of paths, for what exists."""
    ids = populated.ids
    secret = RobotSecret.objects.filter(robot=int(str(ids["robot_id"]))).values_list("pk", flat=True).get()
    ours = {"member_id": ids["mid"], "quota_id": ids["id"], "rule_id": ids["immutable_rule_id"], "secret_id": secret}
    ours["run_id"], ours["policy_id"] = ids["gc_id"], ids["webhook_policy_id"]
    return {**ids, **ours}


class Caller:
    """Sends each request as it was made up, and once more to what exists."""

    def __init__(self, who: str, existing: Mapping[str, object]) -> None:
        pair = base64.b64encode(f"{who}:{PASSWORD}".encode()).decode()
        self._headers, self._existing = {"Authorization": f"Basic {pair}"}, existing
        self.statuses: list[int] = []

    def send(self, case: Any) -> None:
        self._send(case)
        if case.path_parameters:
            case.path_parameters = {name: self._existing[name] for name in case.path_parameters}
            self._send(case)

    def _send(self, case: Any) -> None:
        answer = case.call(headers=self._headers)
        self.statuses.append(answer.status_code)
        case.validate_response(answer, checks=CHECKS)


def made_up(operation: Any, mode: GenerationMode, caller: Caller) -> Iterator[str]:
    """What is wrong with the answers to requests made up for an operation."""

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=NUMBER[mode],
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(mode))
    def each(case: Any) -> None:
        caller.send(case)

    try:
        each()
    except hypothesis.errors.Unsatisfiable:
        # Where only strings are asked for, everything is one.
        assert mode == GenerationMode.NEGATIVE
    except FailureGroup as found:
        yield "\n".join(str(failure) for failure in found.exceptions)
