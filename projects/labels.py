"""Labels: made, changed, deleted, put on artifacts and taken off."""

from __future__ import annotations

from contextlib import AbstractContextManager

from django.db import transaction

from core import clock, errors
from core.constraints import refuse_duplicates
from core.events import emit
from projects import projects
from projects.events import ArtifactLabeled, ArtifactUnlabeled, LabelCreated, LabelDeleted, LabelUpdated
from projects.models import Artifact, ArtifactLabel, Label, Project
from rbac.access import Actor

NAME_MOST = 128


def create(*, project: Project | None, name: str, description: str, color: str, actor: Actor) -> Label:
    """A new label of a project or, without one, for all. Conflict when there is one of this name."""
    label = Label(project=project, name=_checked(name), description=description, color=color, created=clock.now())
    with projects.held(project) if project else transaction.atomic():
        with _named_once(name):
            label.save()
        emit(_event(LabelCreated, label, actor))
    return label


def update(*, label: Label, name: str, description: str, color: str, actor: Actor) -> None:
    """Give a label another name, description and colour; where it belongs never changes. Errors as of `create`."""
    _checked(name)
    with transaction.atomic():
        row = _locked(label.pk)
        row.name, row.description, row.color = name, description, color
        with _named_once(name):
            row.save(update_fields=["name", "description", "color", "updated"])
        emit(_event(LabelUpdated, row, actor))


def delete(*, label: Label, actor: Actor) -> None:
    """Delete a label; it comes off all artifacts."""
    with transaction.atomic():
        row = _locked(label.pk)
        emit(_event(LabelDeleted, row, actor))
        row.delete()


def put_on(*, artifact: Artifact, label_id: int, actor: Actor) -> None:
    """Label an artifact. Conflict when it bears the label already, NotFound when its project has no such label."""
    with transaction.atomic():
        row = _held(artifact)
        # Who deletes the label takes it FOR UPDATE: it cannot go while we use it.
        labels = Label.objects.usable_in(row.repository.project).select_for_update(of=("self",), no_key=True)
        label: Label | None = labels.filter(pk=label_id).first()
        if label is None:
            raise errors.NotFound(f"label {label_id} not found in project {row.repository.project.name}")
        with refuse_duplicates(label_once_per_artifact=f"label {label.name} is already added to the artifact"):
            ArtifactLabel.objects.create(artifact=row, label=label)
        emit(_event_of_use(ArtifactLabeled, row, label, actor))


def take_off(*, artifact: Artifact, label_id: int, actor: Actor) -> None:
    """Take a label off an artifact. NotFound when the artifact does not bear it."""
    with transaction.atomic():
        row = _held(artifact)
        uses = ArtifactLabel.objects.select_for_update(of=("self",)).select_related("label")
        use = uses.filter(artifact=row, label=label_id).first()
        if use is None:
            raise errors.NotFound(f"label {label_id} not found on this artifact")
        emit(_event_of_use(ArtifactUnlabeled, row, use.label, actor))
        use.delete()


def _checked(name: str) -> str:
    if not 0 < len(name) <= NAME_MOST:
        raise errors.BadRequest(f"a label's name has 1 to {NAME_MOST} characters")
    return name


def _named_once(name: str) -> AbstractContextManager[None]:
    message = f"label {name} already exists"
    return refuse_duplicates(label_once_per_project=message, label_once_globally=message)


def _locked(number: int) -> Label:
    rows = Label.objects.live().select_for_update(of=("self",)).select_related("project")
    label: Label | None = rows.filter(pk=number).first()
    if label is None:
        raise errors.NotFound(f"label {number} not found")
    return label


def _held(artifact: Artifact) -> Artifact:
    """The artifact's row as it is now; who deletes it waits, and takes its labels off."""
    rows = Artifact.objects.live().select_for_update(of=("self",), no_key=True)
    row: Artifact | None = rows.select_related("repository__project").filter(pk=artifact.pk).first()
    if row is None:
        raise errors.NotFound(f"artifact {artifact.digest} not found")
    return row


def _event(
    kind: type[LabelCreated] | type[LabelUpdated] | type[LabelDeleted], label: Label, actor: Actor
) -> LabelCreated | LabelUpdated | LabelDeleted:
    project = label.project.name if label.project else ""
    return kind(actor=actor.name, project_id=label.project_id, project=project, label=label.name)


def _event_of_use(
    kind: type[ArtifactLabeled] | type[ArtifactUnlabeled], artifact: Artifact, label: Label, actor: Actor
) -> ArtifactLabeled | ArtifactUnlabeled:
    repository = artifact.repository
    return kind(
        actor=actor.name,
        project_id=repository.project_id,
        project=repository.project.name,
        repository=repository.name,
        digest=artifact.digest,
        label=label.name,
    )
