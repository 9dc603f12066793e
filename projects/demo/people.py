"""The demo's people, groups and projects, and what belongs to a project but its images."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth.hashers import make_password

from projects.demo.size import Size
from projects.models import Label, Member, Project, Quota
from rbac.models import Group, Robot, User
from rbac.models.robot import KEPT_PREFIX
from rbac.roles import Role

_COLORS = ("#0065ab", "#48960c", "#c92100", "#9b56bb")
_WORDS = ("stable", "nightly", "reviewed", "obsolete")


def make_people(size: Size) -> None:
    """Users who cannot sign in before an admin gave them a password, and groups of them."""
    users = [
        # Hashed none: it is no password, and another for each.
        User(username=size.user(number), realname=size.user(number).capitalize(), password=make_password(None))
        for number in range(size.users)
    ]
    User.objects.bulk_create(users)
    kind = Group.Kind.OIDC
    groups = Group.objects.bulk_create([Group(name=size.group(number), kind=kind) for number in range(size.groups)])
    belongs = User.groups.through
    belongs.objects.bulk_create(
        belongs(user=users[(7 * number + place) % size.users], group=group)
        for number, group in enumerate(groups)
        for place in range(min(10, size.users))
    )


def make_projects(size: Size) -> None:
    """Projects with their members, quotas, robots and labels; system robots and global labels."""
    users = dict(User.objects.values_list("username", "pk"))
    owner_of = [users[size.user(size.owner(number))] for number in range(size.projects)]
    projects = Project.objects.bulk_create(
        Project(name=size.project(number), owner_id=owner_of[number], public=size.is_public(number))
        for number in range(size.projects)
    )
    Quota.objects.bulk_create(Quota(project=project) for project in projects)
    Member.objects.bulk_create(_members(size, projects, users))
    Robot.objects.bulk_create(_robots(size, projects), batch_size=1000)
    Label.objects.bulk_create(_labels(size, projects), batch_size=1000)


def _members(size: Size, projects: list[Project], users: dict[str, int]) -> Iterator[Member]:
    groups = list(Group.objects.order_by("pk"))
    for number, project in enumerate(projects):
        for user, role in size.members(number).items():
            yield Member(project=project, user_id=users[size.user(user)], role=role)
        yield Member(project=project, group=groups[number % len(groups)], role=Role.GUEST)


def _robots(size: Size, projects: list[Project]) -> Iterator[Robot]:
    """Without a secret: an admin may give them one."""
    access = [{"resource": "repository", "action": action} for action in ("pull", "push")]
    for number in range(size.crowd):
        everywhere = [{"kind": "project", "namespace": "*", "access": access}]
        name = f"ci-{number}"
        yield Robot(kept_name=KEPT_PREFIX + name, short_name=name, level="system", permissions=everywhere)
    for number, project in enumerate(projects):
        here = [{"kind": "project", "namespace": project.name, "access": access}]
        for count in range(size.in_project(number)):
            name = f"ci-{count}"
            yield Robot(
                kept_name=f"{KEPT_PREFIX}{project.name}+{name}",
                short_name=name,
                level="project",
                project_id=project.pk,
                permissions=here,
            )


def _labels(size: Size, projects: list[Project]) -> Iterator[Label]:
    for count in range(size.crowd):
        yield Label(name=_label(count), color=_COLORS[count % 4])
    for number, project in enumerate(projects):
        for count in range(size.in_project(number)):
            yield Label(project=project, name=_label(count), color=_COLORS[count % 4])


def _label(number: int) -> str:
    return f"{_WORDS[number % 4]}-{number // 4}" if number >= 4 else _WORDS[number]
