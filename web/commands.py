"""The commands that people copy: how an artifact is pulled and pushed, by the tool that understands its kind."""

from __future__ import annotations

from django.conf import settings

from projects.kinds import Kind

# Only docker's own images and bundles of them; everything else would be refused by `docker pull`.
_BY_DOCKER = {Kind.IMAGE, Kind.CNAB}


def pull(*, kind: str, repository: str, tag: str = "", digest: str = "") -> str:
    """Pulls an artifact by its tag or, without one, by its digest."""
    place = f"{settings.EXTERNAL_HOST}/{repository}"
    named = f"{place}:{tag}" if tag else f"{place}@{digest}"
    if kind in _BY_DOCKER:
        return f"docker pull {named}"
    if kind == Kind.CHART and tag:
        # Helm writes a version's `+` as `_`, which no tag may hold.
        return f"helm pull oci://{place} --version {tag.replace('_', '+')}"
    return f"oras pull {named}"


def push(*, project: str, repository: str = "") -> list[str]:
    """What brings a local image into a project, step by step; capital words are for the reader to replace."""
    target = f"{settings.EXTERNAL_HOST}/{repository or f'{project}/NAME'}:TAG"
    return [f"docker login {settings.EXTERNAL_HOST}", f"docker tag IMAGE {target}", f"docker push {target}"]
