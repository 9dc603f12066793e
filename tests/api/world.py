"""A system as an attacker finds it: Alice's project with everybody in it, one of strangers, a public one, his own.

Names and ids are by what Harbor's paths call them, so that any operation can be pointed at any of these places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from django.db import connection, transaction

from core import configuration, oci
from projects import immutable_rules, labels
from projects.models import Project, Quota
from rbac.models import Robot, User
from rbac.roles import Role
from tests import rows
from tests.rest import Client

Ids = dict[str, object]

API = "/api/v2.0"
CANARY = "canary"
"""In texts that only those may read who may read the strangers' project; no request holds it."""
HIDDEN = "hushed"
"""In texts of the team's project that the guest of some tags may not read; no request holds it."""

# Ids and names that nothing has.
ABSENT: Ids = {
    **dict.fromkeys(("id", "mid", "user_id", "group_id", "robot_id", "label_id", "free_label_id"), 2_000_000_000),
    **dict.fromkeys(("project_id", "immutable_rule_id", "secret_id", "gc_id", "purge_id"), 2_000_000_000),
    **dict.fromkeys(("webhook_policy_id", "execution_id", "task_id"), 2_000_000_000),
    "job_id": "00000000-0000-4000-8000-000000000000",
    "job_type": "NOTHING",
    "project_name": "nowhere",
    "project_name_or_id": "nowhere",
    "repository_name": "nothing",
    "reference": "sha256:" + "0" * 64,
    "tag_name": "none",
    "meta_name": "auto_scan",
    "digest": "sha256:" + "0" * 64,
}


@dataclass
class World:
    """The people by name, and the ids of each place: own, foreign, public, global."""

    people: dict[str, User]
    team: Project
    foreign: Project
    robot: Robot
    places: dict[str, Ids]
    hidden: Ids
    """What of the team's project the guest of some tags does not see."""
    secrets: set[str] = field(default_factory=set)
    """Hashes that no answer may hold."""


def build() -> World:
    names = ("alice", "bob", "carol", "mallory", "victor", "mia", "liam", "tess")
    people = {name: rows.make_user(name) for name in names}
    people["root"] = rows.make_user("root", is_sysadmin=True)
    people["victor"].realname = people["victor"].comment = f"{CANARY} V."
    people["victor"].email = f"{CANARY}@example.com"
    people["victor"].save()
    team, own = _place("team", people["alice"])
    for name, role in (("bob", Role.DEVELOPER), ("mia", Role.MAINTAINER), ("carol", Role.GUEST)):
        rows.add_member(team, people[name], role)
    rows.add_member(team, people["liam"], Role.LIMITED_GUEST)
    rows.add_member(team, people["tess"], Role.GUEST, {"app": ["v*"]})
    foreign, theirs = _place("vault", people["victor"], mark=CANARY)
    _, shared = _place("open", people["victor"], public=True)
    rows.make_project("lair", people["mallory"])
    group = rows.make_group("crew")
    label = labels.create(project=None, name="everywhere", description="", color="", actor=people["root"])
    robot = rows.make_robot(None, ["user:list"], "system-bot")
    run, task = rows.make_run()
    purge, _ = rows.make_run("PURGE_AUDIT_LOG")
    everywhere: Ids = {
        "group_id": group.pk,
        "gc_id": run.id,
        "purge_id": purge.id,
        "job_id": str(task.job_id),
        "job_type": "GARBAGE_COLLECTION",
    }
    return World(
        people=people,
        team=team,
        foreign=foreign,
        robot=robot,
        places={
            "own": {**own, **everywhere},
            "foreign": {**theirs, **everywhere},
            "public": {**shared, **everywhere},
            "global": {
                "label_id": label.pk,
                "robot_id": robot.pk,
                "robot_name": "system-bot",
                "robot_permissions": robot.permissions,
                "secret_id": robot.secrets.get().pk,
                "level": "system",
            },
        },
        hidden=_hide(team),
        secrets=_secrets(),
    )


@contextmanager
def undone() -> Iterator[None]:
    """Whatever happens in here has not happened afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    configuration.forget()


def ask(who: User | Robot | None, method: str, path: str, body: Any = None) -> Any:
    """One request, signed in: how somebody signs in is not asked here."""
    client = Client(raise_request_exception=False)
    if who is not None:
        client.force_authenticate(cast(User, who))
    return getattr(client, method.lower())(f"{API}{path}", body, format="json")


def written() -> dict[str, int]:
    """How many rows of each table this transaction has inserted, changed and deleted, what it has undone included."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables")
        return dict(cursor.fetchall())


def written_since(before: Mapping[str, int]) -> list[str]:
    """The tables that something was written to meanwhile, be it undone or not."""
    return sorted(table for table, number in written().items() if number != before.get(table, 0))


def _place(name: str, owner: User, *, mark: str = "", **facts: Any) -> tuple[Project, Ids]:
    """A project with one of everything that can be in one. All names in it are its own."""
    project = rows.make_project(name, owner, metadata={"severity": "high", "prevent_vul": "false"}, **facts)
    # The team's tags are those that its guest of some tags sees.
    own_name, tag = ("app", "v1") if name == "team" else (f"{name}-app", f"{name}-tag")
    repository = rows.make_repository(project, own_name, description=mark)
    icon = _icon(name)
    artifact = rows.make_artifact(repository, tag, annotations={"a": mark}, icon=icon)
    worn = labels.create(project=project, name=f"{name}-worn", description=mark, color="", actor=owner)
    free = labels.create(project=project, name=f"{name}-free", description=mark, color="", actor=owner)
    labels.put_on(artifact=artifact, label_id=worn.pk, actor=owner)
    robot = rows.make_robot(project, ["repository:pull"], f"{name}-bot", description=mark)
    member = rows.add_member(project, rows.make_user(f"{name}-member"), Role.GUEST)
    rule = immutable_rules.create(
        project=project, selectors=_every_tag_of(own_name), disabled=False, priority=0, actor=owner
    )
    hook, sent, tried = rows.make_webhook(project, f"{name}-hook {mark}".strip())
    return project, {
        "webhook_policy_id": hook.pk,
        "execution_id": sent.id,
        "task_id": tried.id,
        "project_name": name,
        "project_name_or_id": name,
        "project_id": project.pk,
        "repository_name": own_name,
        "reference": tag if name == "team" else artifact.digest,
        "tag_name": tag,
        "label_id": worn.pk,
        "free_label_id": free.pk,
        "robot_id": robot.pk,
        "robot_name": robot.short_name,
        "robot_permissions": robot.permissions,
        "secret_id": robot.secrets.get().pk,
        "level": "project",
        "mid": member.pk,
        "id": Quota.objects.get(project=project).pk,
        "meta_name": "prevent_vul",
        "immutable_rule_id": rule.pk,
        "digest": oci.digest_of(icon),
    }


def _icon(name: str) -> bytes:
    """A picture that nobody else has."""
    return b"\x89PNG\r\n\x1a\n" + name.encode()


def _every_tag_of(name: str) -> immutable_rules.Selectors:
    return immutable_rules.checked(
        tags=[{"kind": "doublestar", "decoration": "matches", "pattern": "**"}],
        scope={"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": name}]},
    )


def _hide(team: Project) -> Ids:
    """Another repository, and another image beside the one that Tess may see."""
    elsewhere = rows.make_repository(team, "concealed", description=HIDDEN)
    rows.make_artifact(elsewhere, "v1", annotations={"a": HIDDEN})
    app = team.repositories.get(name="team/app")
    icon = _icon("unseen")
    unseen = rows.make_artifact(app, "unseen", annotations={"a": HIDDEN}, icon=icon)
    return {
        "repository_name": "concealed",
        "reference": unseen.digest,
        "tag_name": "unseen",
        "digest": oci.digest_of(icon),
    }


def _secrets() -> set[str]:
    hashes = {user.password for user in User.objects.all()}
    return {text for text in hashes | set(Robot.objects.values_list("secrets__digest", flat=True)) if text}
