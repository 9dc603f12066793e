"""The life of a project as the client generated from Harbor's contract lives it; run by a Python that has that client.

On stdin a JSON object: url, host, admin and admin_password, password (for the people), image (a layout for skopeo).
Prints each step that went as it should; ends with a traceback at the first that did not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import harbor_client as harbor
from harbor_client.rest import ApiException

# Encoded once here and once by the client, as Harbor's documentation has it.
REPOSITORY = "web%2Fshop"
DEVELOPER, MAINTAINER = 2, 4


class Caller:
    """Harbor's operations, for one account."""

    def __init__(self, told: dict[str, Any], name: str, secret: str) -> None:
        where = harbor.Configuration(host=f"{told['url']}/api/v2.0", username=name, password=secret)
        self._client = harbor.ApiClient(where)

    def __getattr__(self, noun: str) -> Any:
        """`caller.project` is the client's ProjectApi."""
        return getattr(harbor, f"{noun.title()}Api")(self._client)


def number_in(answer: tuple[Any, int, Any]) -> int:
    """The id of what was made, which clients read from the Location."""
    _, status, headers = answer
    assert status == 201
    return int(headers["Location"].rpartition("/")[2])


def status_of(call: Any, *words: Any, **more: Any) -> int:
    """How a call is refused."""
    try:
        call(*words, **more)
    except ApiException as refusal:
        return int(refusal.status)
    return 200


def done(step: str) -> None:
    print(step, flush=True)


def live(told: dict[str, Any]) -> None:
    admin, ada = Caller(told, told["admin"], told["admin_password"]), Caller(told, "ada", told["password"])
    assert admin.ping.get_ping() == "Pong"
    assert admin.health.get_health().status == "healthy"
    assert admin.systeminfo.get_system_info().auth_mode == "db_auth"
    done("system")
    people = [sign_up(admin, name, told["password"]) for name in ("ada", "ben")]
    assert [user.username for user in admin.user.list_users(q="username=~ada")] == ["ada"]
    assert ada.user.get_current_user_info().username == "ada"
    done("users")
    project_id = project(ada)
    done("projects")
    members(ada)
    done("members")
    robot_id = robots_push(ada, told)
    done("robots and push")
    digest = artifacts(ada)
    done("repositories and artifacts")
    tags(ada, digest)
    done("tags")
    copies(ada, digest)
    done("copies")
    labels(ada, project_id)
    done("labels")
    quotas(admin, project_id)
    done("quotas")
    logs(admin, ada)
    done("audit logs")
    deletion(ada, admin, robot_id, people)
    done("deletion")


def sign_up(admin: Caller, name: str, password: str) -> int:
    form = harbor.UserCreationReq(username=name, password=password, email=f"{name}@example.org", realname=name)
    return number_in(admin.user.create_user_with_http_info(form))


def project(ada: Caller) -> int:
    form = harbor.ProjectReq(project_name="life", metadata=harbor.ProjectMetadata(public="false"))
    number = number_in(ada.project.create_project_with_http_info(form))
    assert status_of(ada.project.create_project, form) == 409
    assert status_of(ada.project.head_project, "life") == 200
    assert status_of(ada.project.head_project, "death") == 404
    ada.project.update_project("life", harbor.ProjectReq(metadata=harbor.ProjectMetadata(public="true")))
    made = ada.project.get_project("life")
    assert (made.project_id, made.owner_name, made.metadata.public) == (number, "ada", "true")
    assert [each.name for each in ada.project.list_projects(q="name=~lif")] == ["life"]
    return number


def members(ada: Caller) -> None:
    ben = harbor.ProjectMember(role_id=DEVELOPER, member_user=harbor.UserEntity(username="ben"))
    number = number_in(ada.member.create_project_member_with_http_info("life", project_member=ben))
    ada.member.update_project_member("life", number, role=harbor.RoleRequest(role_id=MAINTAINER))
    found = ada.member.get_project_member("life", number)
    assert (found.entity_name, found.role_id) == ("ben", MAINTAINER)
    assert {each.entity_name for each in ada.member.list_project_members("life")} == {"ada", "ben"}


def robots_push(ada: Caller, told: dict[str, Any]) -> int:
    access = [harbor.Access(resource="repository", action=action) for action in ("pull", "push")]
    permission = harbor.RobotPermission(kind="project", namespace="life", access=access)
    form = harbor.RobotCreate(name="builder", level="project", duration=1, permissions=[permission])
    made = ada.robot.create_robot(form)
    chosen = ada.robot.refresh_sec(made.id, harbor.RobotSec(secret=""))
    target = f"docker://{told['host']}/life/web/shop:v1"
    options = ("--dest-tls-verify=false", "--dest-creds", f"{made.name}:{chosen.secret}")
    ended = subprocess.run(["skopeo", "copy", *options, told["image"], target], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ada.robot.get_robot_by_id(made.id).permissions[0].namespace == "life"
    return int(made.id)


def artifacts(ada: Caller) -> str:
    ada.repository.update_repository("life", REPOSITORY, harbor.Repository(description="A shop"))
    found = ada.repository.get_repository("life", REPOSITORY)
    assert (found.name, found.description, found.artifact_count) == ("life/web/shop", "A shop", 1)
    assert [each.name for each in ada.repository.list_repositories("life")] == ["life/web/shop"]
    (artifact,) = ada.artifact.list_artifacts("life", REPOSITORY)
    assert [tag.name for tag in artifact.tags] == ["v1"]
    assert ada.artifact.get_artifact("life", REPOSITORY, "v1").digest == artifact.digest
    return str(artifact.digest)


def tags(ada: Caller, digest: str) -> None:
    ada.artifact.create_tag("life", REPOSITORY, digest, harbor.Tag(name="latest"))
    assert {tag.name for tag in ada.artifact.list_tags("life", REPOSITORY, digest)} == {"v1", "latest"}
    ada.artifact.delete_tag("life", REPOSITORY, digest, "latest")
    assert {tag.name for tag in ada.artifact.list_tags("life", REPOSITORY, digest)} == {"v1"}


def copies(ada: Caller, digest: str) -> None:
    ada.artifact.copy_artifact("life", "copy", "life/web/shop:v1")
    assert ada.artifact.get_artifact("life", "copy", "v1").digest == digest
    ada.repository.delete_repository("life", "copy")


def labels(ada: Caller, project_id: int) -> None:
    form = harbor.Label(name="proven", scope="p", project_id=project_id)
    number = number_in(ada.label.create_label_with_http_info(form))
    assert [each.name for each in ada.label.list_labels(scope="p", project_id=project_id)] == ["proven"]
    ada.artifact.add_label("life", REPOSITORY, "v1", ada.label.get_label_by_id(number))
    (found,) = ada.artifact.list_artifacts("life", REPOSITORY, q=f"labels=({number})", with_label=True)
    assert [each.name for each in found.labels] == ["proven"]
    ada.artifact.remove_label("life", REPOSITORY, "v1", number)
    ada.label.delete_label(number)


def quotas(admin: Caller, project_id: int) -> None:
    (quota,) = admin.quota.list_quotas(reference="project", reference_id=str(project_id))
    admin.quota.update_quota(quota.id, harbor.QuotaUpdateReq(hard={"storage": 1 << 30}))
    assert admin.quota.get_quota(quota.id).hard == {"storage": 1 << 30}


def logs(admin: Caller, ada: Caller) -> None:
    seen = {(row.username, row.operation, row.resource_type) for row in ada.project.get_log_exts("life", page_size=100)}
    assert {("robot$life+builder", "create", "artifact"), ("ada", "create", "project")} <= seen
    assert admin.auditlog.list_audit_log_exts(q="username=ada,operation=delete")


def deletion(ada: Caller, admin: Caller, robot_id: int, people: list[int]) -> None:
    assert not ada.project.get_project_deletable("life").deletable
    ada.artifact.delete_artifact("life", REPOSITORY, "v1")
    ada.repository.delete_repository("life", REPOSITORY)
    ada.robot.delete_robot(robot_id)
    ada.project.delete_project("life")
    assert status_of(ada.project.head_project, "life") == 404
    for user_id in people:
        admin.user.delete_user(user_id)
    assert status_of(ada.user.get_current_user_info) == 401


if __name__ == "__main__":
    live(json.load(sys.stdin))
