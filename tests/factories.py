"""Rows and content for tests."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.hashers import make_password

from core import oci
from core.store import client, signing
from projects import artifacts, links, repositories
from projects.models import Artifact, Member, Project, Quota, Repository
from rbac import credentials
from rbac.models import Robot, User
from rbac.roles import Role
from tests.e2e.client import Image, make_image

PASSWORD = "Story12345"
_numbers = itertools.count(1)


@functools.cache
def _hashed() -> str:
    """One Argon2 for all people of the stories: it is slow on purpose."""
    return make_password(PASSWORD)


def user(name: str, **more: Any) -> User:
    made: User = User.objects.create(username=name, email=f"{name}@example.com", password=_hashed(), **more)
    return made


def project(
    name: str,
    owner: User,
    *,
    public: bool = False,
    developers: Sequence[User] = (),
    guests: Sequence[User] = (),
    hard: int = -1,
) -> Project:
    made = Project.objects.create(name=name, owner=owner, public=public)
    Quota.objects.create(project=made, hard=hard)
    for role, members in ((Role.PROJECT_ADMIN, [owner]), (Role.DEVELOPER, developers), (Role.GUEST, guests)):
        for member in members:
            Member.objects.create(project=made, user=member, role=role)
    return made


def robot(name: str, permissions: list[dict[str, Any]], **more: Any) -> tuple[Robot, str]:
    made = Robot.objects.create(
        kept_name=f"robot${name}", short_name=name, level="system", permissions=permissions, **more
    )
    return made, credentials.set_robot_secret(made)


def grants(namespace: str, *actions: str) -> list[dict[str, Any]]:
    """A robot's permission list for repositories."""
    access = [{"resource": "repository", "action": action} for action in actions]
    return [{"kind": "project", "namespace": namespace, "access": access}]


def repository(owner: Project, rest: str = "app") -> Repository:
    return repositories.ensure(project=owner, name=oci.RepositoryName(owner.name, rest))


def upload(place: Repository, content: bytes) -> str:
    """Put a blob into the real registry, as a client does; its digest."""
    session, base = client._session(), client._url(f"/v2/{place.name}/blobs/uploads/")
    token = signing.sign_for_store(place.name, "pull", "push")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    started = session.post(base, headers=headers)
    digest = oci.digest_of(content)
    location = client._url(started.headers["Location"])
    finished = session.put(f"{location}&digest={digest}", data=content, headers=headers)
    assert finished.status_code == 201, finished.text
    return digest


def registry_has(repository: str, digest: str) -> bool:
    """Whether the real registry gives a repository's readers this blob."""
    token = signing.sign_for_store(repository, "pull")
    url = client._url(f"/v2/{repository}/blobs/{digest}")
    return client._session().head(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def parsed(image: Image) -> oci.Manifest:
    return oci.parse_manifest(image.manifest, image.media_type)


def push(place: Repository, actor: User, tag: str | None = None, image: Image | None = None) -> Artifact:
    """Push an image wholly, through the real registry."""
    made = image or make_image(os.urandom(300))
    for content in made.blobs.values():
        upload(place, content)
    artifacts.push(repository=place, manifest=parsed(made), tag=tag, actor=actor)
    found: Artifact = Artifact.objects.get(repository=place, manifest_id=made.digest)
    return found


def number() -> int:
    """A number that no other test has."""
    return next(_numbers)


def links_present(place: Repository, digest: str, size: int) -> None:
    """Record what the registry would tell about a blob."""
    links.record_present(repository=place, digest=digest, size=size)
