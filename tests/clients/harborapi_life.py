"""The life of a project as harborapi lives it, run by the Python of a virtualenv that has harborapi and nothing else.

On stdin a JSON object: url, host, admin and admin_password, password (for the people), image (a layout for skopeo).
Prints each step that went as it should; ends with a traceback at the first that did not.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from harborapi import HarborAsyncClient, exceptions
from harborapi.models import (
    Access,
    Label,
    ProjectMetadata,
    ProjectReq,
    QuotaUpdateReq,
    Repository,
    RobotCreate,
    RobotPermission,
    RoleRequest,
    Tag,
    UserCreationReq,
    UserProfile,
)

DEVELOPER, MAINTAINER = 2, 4
REPOSITORY = "web/shop"


def client(told: dict[str, Any], name: str, secret: str) -> HarborAsyncClient:
    return HarborAsyncClient(url=f"{told['url']}/api/v2.0", username=name, secret=secret)


def number_in(location: str) -> int:
    """What clients do with a Location: its last segment is the id."""
    return int(location.rpartition("/")[2])


def done(step: str) -> None:
    print(step, flush=True)


async def live(told: dict[str, Any]) -> None:
    admin = client(told, told["admin"], told["admin_password"])
    alice = client(told, "ada", told["password"])
    assert await admin.ping() == "Pong"
    assert (await admin.health_check()).status == "healthy"
    assert (await admin.get_system_info()).auth_mode == "db_auth"
    done("system")

    people = [await sign_up(admin, name, told["password"]) for name in ("ada", "ben")]
    assert [user.username for user in await admin.get_users(query="username=~ada")] == ["ada"]
    await alice.update_user(people[0], UserProfile(email="ada@example.com", realname="Ada A.", comment="owns life"))
    assert (await alice.get_current_user()).realname == "Ada A."
    done("users")

    project_id = await project(alice)
    done("projects")
    await members(alice, project_id)
    done("members")
    robot_id = await robots_push(alice, told)
    done("robots and push")
    await repositories(alice)
    done("repositories")
    digest = await artifacts(alice)
    done("artifacts")
    await tags(alice, digest)
    done("tags")
    await copies(alice, digest)
    done("copies")
    await labels(alice, project_id)
    done("labels")
    await quotas(admin, alice, project_id)
    done("quotas")
    await logs(admin, alice)
    done("audit logs")
    await deletion(alice, admin, robot_id, people)
    done("deletion")


async def sign_up(admin: HarborAsyncClient, name: str, password: str) -> int:
    form = UserCreationReq(username=name, password=password, email=f"{name}@example.org", realname=name)
    return number_in(await admin.create_user(form))


async def project(alice: HarborAsyncClient) -> int:
    form = ProjectReq(project_name="life", metadata=ProjectMetadata(public="false"))
    assert (await alice.create_project(form)).endswith("/projects/life")
    assert await alice.project_exists("life")
    await alice.update_project("life", ProjectReq(metadata=ProjectMetadata(public="true")))
    made = await alice.get_project("life")
    assert (made.name, made.owner_name, made.metadata.public) == ("life", "ada", "true")
    assert [each.name for each in await alice.get_projects(query="name=~lif")] == ["life"]
    try:
        await alice.create_project(form)
    except exceptions.Conflict:
        return int(made.project_id)
    raise AssertionError("a project was made twice")


async def members(alice: HarborAsyncClient, project_id: int) -> None:
    made = number_in(await alice.add_project_member_user("life", "ben", DEVELOPER))
    await alice.update_project_member_role("life", made, RoleRequest(role_id=MAINTAINER))
    member = await alice.get_project_member("life", made)
    assert (member.entity_name, member.role_id, member.project_id) == ("ben", MAINTAINER, project_id)
    assert {each.entity_name for each in await alice.get_project_members("life")} == {"ada", "ben"}
    summary = await alice.get_project_summary("life")
    assert (summary.project_admin_count, summary.maintainer_count) == (1, 1)


async def robots_push(alice: HarborAsyncClient, told: dict[str, Any]) -> int:
    access = [Access(resource="repository", action=action) for action in ("pull", "push")]
    permission = RobotPermission(kind="project", namespace="life", access=access)
    form = RobotCreate(name="builder", level="project", duration=1, permissions=[permission])
    made = await alice.create_robot(form)
    assert made.name == "robot$life+builder"
    chosen = await alice.refresh_robot_secret(made.id, "")
    assert chosen.secret != made.secret
    for tag in ("v1", "v2"):
        skopeo(told, f"{made.name}:{chosen.secret}", tag)
    assert (await alice.get_robot(made.id)).permissions[0].namespace == "life"
    return int(made.id)


def skopeo(told: dict[str, Any], credentials: str, tag: str) -> None:
    target = f"docker://{told['host']}/life/{REPOSITORY}:{tag}"
    options = ("--dest-tls-verify=false", "--dest-creds", credentials)
    ended = subprocess.run(["skopeo", "copy", *options, told["image"], target], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


async def repositories(alice: HarborAsyncClient) -> None:
    await alice.update_repository("life", REPOSITORY, Repository(description="A shop"))
    found = await alice.get_repository("life", REPOSITORY)
    assert (found.name, found.description, found.artifact_count) == (f"life/{REPOSITORY}", "A shop", 1)
    assert [each.name for each in await alice.get_repositories("life")] == [f"life/{REPOSITORY}"]


async def artifacts(alice: HarborAsyncClient) -> str:
    (found,) = await alice.get_artifacts("life", REPOSITORY, with_label=True)
    assert (found.type, {tag.name for tag in found.tags}) == ("IMAGE", {"v1", "v2"})
    by_tag = await alice.get_artifact("life", REPOSITORY, "v1")
    assert by_tag.digest == found.digest
    assert by_tag.size > 0
    return str(found.digest)


async def tags(alice: HarborAsyncClient, digest: str) -> None:
    await alice.create_artifact_tag("life", REPOSITORY, digest, Tag(name="latest"))
    assert {tag.name for tag in await alice.get_artifact_tags("life", REPOSITORY, digest)} == {"v1", "v2", "latest"}
    await alice.delete_artifact_tag("life", REPOSITORY, digest, "v2")
    assert {tag.name for tag in await alice.get_artifact_tags("life", REPOSITORY, digest)} == {"v1", "latest"}


async def copies(alice: HarborAsyncClient, digest: str) -> None:
    await alice.copy_artifact("life", "copy", f"life/{REPOSITORY}:v1")
    found = await alice.get_artifact("life", "copy", "v1")
    assert found.digest == digest
    await alice.delete_repository("life", "copy")


async def labels(alice: HarborAsyncClient, project_id: int) -> None:
    form = Label(name="proven", color="#0065AB", scope="p", project_id=project_id)
    number = number_in(await alice.create_label(form))
    await alice.update_label(number, Label(name="tested", scope="p", project_id=project_id))
    assert [each.name for each in await alice.get_labels(scope="p", project_id=project_id)] == ["tested"]
    label = await alice.get_label(number)
    await alice.add_artifact_label("life", REPOSITORY, "v1", label)
    (found,) = await alice.get_artifacts("life", REPOSITORY, query=f"labels=({number})", with_label=True)
    assert [each.name for each in found.labels] == ["tested"]
    await alice.delete_artifact_label("life", REPOSITORY, "v1", number)
    await alice.delete_label(number)
    assert await alice.get_labels(scope="p", project_id=project_id) == []


async def quotas(admin: HarborAsyncClient, alice: HarborAsyncClient, project_id: int) -> None:
    (quota,) = await admin.get_quotas(reference="project", reference_id=str(project_id))
    await admin.update_quota(quota.id, QuotaUpdateReq(hard={"storage": 1 << 30}))
    changed = await admin.get_quota(quota.id)
    assert changed.hard.root == {"storage": 1 << 30}
    assert changed.used.root["storage"] > 0
    assert (await alice.get_project_summary("life")).quota.used == changed.used
    assert (await admin.get_statistics()).total_repo_count >= 1


async def logs(admin: HarborAsyncClient, alice: HarborAsyncClient) -> None:
    seen = {(row.username, row.operation, row.resource_type) for row in await alice.get_project_logs("life", limit=100)}
    assert ("robot$life+builder", "create", "artifact") in seen
    assert ("ada", "create", "project") in seen
    rows = await admin.get_audit_logs(query="username=ada,operation=delete", sort="op_time")
    assert ("tag", f"life/{REPOSITORY}:v2") in {(row.resource_type, row.resource) for row in rows}


async def deletion(alice: HarborAsyncClient, admin: HarborAsyncClient, robot_id: int, people: list[int]) -> None:
    assert not (await alice.get_project_deletable("life")).deletable
    await alice.delete_artifact("life", REPOSITORY, "v1")
    assert await alice.get_artifacts("life", REPOSITORY) == []
    await alice.delete_repository("life", REPOSITORY)
    await alice.delete_robot(robot_id)
    await alice.delete_project("life")
    assert not await alice.project_exists("life")
    for user_id in people:
        await admin.delete_user(user_id)
    try:
        await alice.get_current_user()
    except exceptions.Unauthorized:
        return
    raise AssertionError("who was deleted is still let in")


if __name__ == "__main__":
    asyncio.run(live(json.load(sys.stdin)))
