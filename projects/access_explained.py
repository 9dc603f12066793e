"""Why somebody may or may not do something in a project: the answer itself, and the one rule that decided.

The answer comes from where it always comes from (`rbac.access`, `projects.reach`, the policies); this module only
finds the words for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core import configuration, errors, oci
from projects import quotas, reach
from projects.models import Artifact, Member, Project, Repository, Tag
from projects.reach import Reach
from rbac import roles
from rbac.access import Actor, allowed, allowed_for_tags
from rbac.models import Anonymous, Robot, User
from rbac.models.robot import kept_name
from rbac.roles import Role

CHANGES = ("push", "delete", "create", "update")


@dataclass(frozen=True)
class Explanation:
    """Whether it is allowed, the rule's name, and a sentence for people."""

    is_allowed: bool
    rule: str
    sentence: str


@dataclass(frozen=True)
class Question:
    """Who wants to do what to which part of a project."""

    project: Project
    subject: str
    """A user's or robot's name, or `anonymous`."""
    resource: str
    action: str
    repository: str = ""
    """The name in the project; empty for the project as a whole."""
    reference: oci.Reference | None = None

    @classmethod
    def parse(cls, project: Project, subject: str, action: str, reference: str) -> Question:
        """`pull`, `push`, `delete` or `resource:action`; `app`, `app:tag` or `app@digest`. BadRequest for others."""
        resource, colon, verb = action.partition(":")
        if not colon:
            resource, verb = "repository", action
        if (resource, verb) not in roles.project_permissions():
            raise errors.BadRequest(
                f"there is no action {action[:80]!r}; use pull, push, delete or <resource>:<action>, like member:list"
            )
        name, pointed = _split(reference.removeprefix(f"{project.name}/"))
        if reference:
            oci.RepositoryName.parse(f"{project.name}/{name}")
        return cls(project, subject, resource, verb, name, oci.Reference.parse(pointed) if pointed else None)


def explain(question: Question) -> Explanation:
    """The answer to a question, with the rule that decided it."""
    actor = _find(question.subject, question.project)
    if actor is None and _is_everybodys(question):
        actor = Anonymous()
    if actor is None:
        sentence = f"{question.project.name} knows neither a user nor a robot named {question.subject}"
        return Explanation(False, "unknown-subject", sentence)
    if not isinstance(actor, Anonymous) and not actor.is_active:
        return Explanation(False, "inactive", f"{question.subject} is disabled or expired")
    found = _by_permission(question, actor)
    if found.is_allowed and (policy := _policy_against(question)):
        return policy
    return found


def _by_permission(question: Question, actor: Actor) -> Explanation:
    project, asked = question.project, (question.resource, question.action)
    if allowed(actor, *asked, project):
        return Explanation(True, *_why_allowed(question, actor))
    if isinstance(actor, User) and allowed_for_tags(actor, *asked, project):
        return _by_tag_scope(question, actor)
    return Explanation(False, "no-rule", _why_not(question, actor))


def _why_allowed(question: Question, actor: Actor) -> tuple[str, str]:
    """The first rule that allows it, in the order of `rbac.access.allowed`."""
    what = f"{question.resource}:{question.action}"
    if actor.is_sysadmin:
        return "system-admin", f"{question.subject} is a system administrator"
    if _is_everybodys(question):
        return "public-project", f"{question.project.name} is public, where everybody has {what}"
    if isinstance(actor, Robot):
        return "robot-permission", f"the permissions of {question.subject} hold {what} for {question.project.name}"
    member = next(_members_who_may(question, actor))
    return "role", f"{_who(member, question.subject)} {Role(member.role).harbor_name}, which has {what}"


def _is_everybodys(question: Question) -> bool:
    return question.project.public and roles.public_grants(question.resource, question.action)


def _why_not(question: Question, actor: Actor) -> str:
    what = f"{question.resource}:{question.action}"
    if isinstance(actor, Robot):
        return f"the permissions of {question.subject} do not hold {what} for {question.project.name}"
    mine = [*Member.objects.of(actor).filter(project=question.project)] if isinstance(actor, User) else []
    if not mine:
        return f"{question.subject} is no member of {question.project.name}"
    names = ", ".join(sorted({Role(member.role).harbor_name for member in mine}))
    return f"{question.subject} is {names} in {question.project.name}, which has no {what}"


def _by_tag_scope(question: Question, user: User) -> Explanation:
    """A guest who is limited to some tags: whether they lead to what is asked for."""
    limits = Member.objects.of(user).filter(project=question.project, tag_scope__isnull=False)
    for member in limits.select_related("group").order_by("pk"):
        patterns = [(entry["repository"], tag) for entry in member.tag_scope or () for tag in entry["tags"]]
        one = Reach((question.project.pk,), tuple(reach.patterns_of(question.project.name, member.tag_scope or [])))
        if (found := _leads_to(question, one)) is not None:
            place, sentence = found
            repository, tag = patterns[place]
            who = _who(member, question.subject)
            named = f"the pattern {tag!r} for tags of {repository!r}"
            return Explanation(True, "tag-scope", f"{who} guest limited to some tags; {named} {sentence}")
    sentence = f"{question.subject} is a guest limited to some tags, and none of them leads there"
    return Explanation(False, "tag-scope", sentence)


def _leads_to(question: Question, one: Reach) -> tuple[int, str] | None:
    """Which pattern leads to what is asked for, and how; None when none does."""
    if not question.repository:
        return 0, "names some of the project"
    rows = Repository.objects.live().filter(project=question.project)
    repository = rows.filter(name=f"{question.project.name}/{question.repository}").first()
    if repository is None:
        return None
    tag, sentence = _leading_tag(question.reference, one, repository)
    place = one.naming(repository, tag) if tag else None
    return None if place is None else (place, sentence)


def _leading_tag(reference: oci.Reference | None, one: Reach, repository: Repository) -> tuple[str | None, str]:
    """The tag that leads to the reference, and how; None when there is none."""
    if reference is None:
        return one.named_tag_in(repository), "names a tag in it"
    name = reference.tag
    if name and not Tag.objects.live().filter(repository=repository, name=name).exists():
        return None, ""
    digest = reference.digest or oci.accessory_subject(name or "")
    if digest is None:
        return name, "names this tag"
    if name or Artifact.objects.live().filter(repository=repository, manifest=digest).exists():
        tag = one.named_tag_above(repository, [digest])
        return tag, f"names the tag {tag}, which leads to this manifest"
    tag = one.named_tag_above_blob(repository, digest)
    return tag, f"names the tag {tag}, which needs this blob"


def _policy_against(question: Question) -> Explanation | None:
    """What stands against it although the caller may."""
    if question.action not in CHANGES:
        return None
    if configuration.get("read_only"):
        return Explanation(False, "read-only", "the system is in read-only mode")
    if (question.resource, question.action) == ("repository", "push") and quotas.is_spent(project=question.project):
        return Explanation(False, "quota", f"the storage quota of {question.project.name} is used up")
    return None


def _members_who_may(question: Question, actor: Actor) -> Iterator[Member]:
    mine: dict[str, Any] = {"project": question.project, "tag_scope__isnull": True}
    rows = Member.objects.of(actor).filter(**mine) if isinstance(actor, User) else Member.objects.none()
    for member in rows.select_related("group").order_by("pk"):
        if roles.role_grants(Role(member.role), question.resource, question.action):
            yield member


def _who(member: Member, subject: str) -> str:
    return f"{subject} is by the group {member.group.name} a" if member.group else f"{subject} is a"


def _find(subject: str, project: Project) -> Actor | None:
    """Who it is; robots only when they have anything here: which ones others have is not for this project's admins."""
    if subject == Anonymous.name:
        return Anonymous()
    kept = kept_name(subject)
    if kept and (robot := Robot.objects.filter(kept_name=kept).first()):
        return robot if robot.is_for(project.name) else None
    user: User | None = User.objects.live().filter(username=subject).first()
    return user


def _split(text: str) -> tuple[str, str]:
    name, at, digest = text.partition("@")
    if at:
        return name, digest
    name, _, tag = text.partition(":")
    return name, tag
