"""How fast events become messages to an endpoint, and how fast these are sent: the outbox's relay, and one series.

Told is the time from the commit of all events until the relay has made the last one's message, by the clock of the
process that waits. Meanwhile and afterwards the endpoint hears one message after the other, as it is promised.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import processor_time, targets
from tests.e2e.platform import Platform
from tests.receiver import Receiver, receiving

NAME = "webhooks"
NUMBER = 10_000
LEAST = 300.0
"""Events a second that are promised of the relay."""
LISTEN_SECONDS = 10.0
PROGRAMS = ("worker", "event", "postgres", "redis")
_HAPPEN = """
import time
from django.db import transaction
from core.events import emit
from core.models import Outbox
from jobservice import service
from projects import webhook_policies
from projects.events import ArtifactPushed
from projects.models import Project, WebhookPolicy
from rbac.models import User
project, admin = Project.objects.get(name="bench"), User.objects.get(username="admin")
WebhookPolicy.objects.filter(project=project).delete()
service.stop_pending("WEBHOOK")
target = dict(type="http", address="{address}", auth_header="", skip_cert_verify=False, payload_format="")
terms = webhook_policies.checked(
    name="bench", description="", event_types=["PUSH_ARTIFACT"], targets=[target], enabled=True
)
webhook_policies.create(project=project, terms=terms, actor=admin)
while Outbox.objects.exists():
    time.sleep(0.1)
with transaction.atomic():
    for number in range({number}):
        emit(ArtifactPushed(
            actor="admin", project_id=project.pk, project=project.name, repository="bench/app",
            digest="sha256:" + "0" * 64, tag=str(number),
        ))
began = time.monotonic()
while Outbox.objects.exists():
    time.sleep(0.05)
print("{mark}", time.monotonic() - began)
"""


@dataclass(frozen=True)
class Relayed:
    """One round."""

    seconds: float
    """Until every event was a message."""
    heard: float
    """Messages a second that the endpoint heard afterwards."""
    cpu: dict[str, float]
    """Seconds of each program until then."""

    @property
    def rate(self) -> float:
        """Events relayed a second."""
        return NUMBER / self.seconds

    def cpu_us(self, program: str) -> float:
        """Microseconds of a program for one event, what was written before and sent meanwhile included."""
        return 1e6 * self.cpu[program] / NUMBER


def measure(rounds: int, var: Path | None) -> list[Relayed]:
    """On a platform of its own, which may call this machine; with `var` its folder stays there."""
    with targets.calling(var) as platform, receiving() as receiver:
        platform.make_project("bench", platform.admin)
        return [_round(platform, receiver) for _ in range(rounds)]


def missed(relayed: Sequence[Relayed]) -> list[str]:
    """What was not reached, in words."""
    return [f"{NUMBER} events"] if relayed and median_rate(relayed) < LEAST else []


def median_rate(relayed: Sequence[Relayed]) -> float:
    return median(each.rate for each in relayed)


def _round(platform: Platform, receiver: Receiver) -> Relayed:
    programs = {name: platform.pid(name) for name in PROGRAMS}
    before = processor_time.used(programs)
    program = _HAPPEN.format(address=f"{receiver.url}/hook", number=NUMBER, mark=targets.MARK)
    seconds = targets.seconds_told(platform, program)
    after = processor_time.used(programs)
    heard = len(receiver.received)
    time.sleep(LISTEN_SECONDS)
    rate = (len(receiver.received) - heard) / LISTEN_SECONDS
    return Relayed(seconds, rate, {name: after[name] - before[name] for name in programs})
