"""How much a demo holds, and how it is spread: pure, all from running numbers, so that a step can be done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from projects.immutable_rules import MOST_RULES
from projects.webhook_policies import MOST_POLICIES
from rbac.roles import Role

_USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
_PROJECTS = ("shop", "tools", "research", "payments")
_REPOSITORIES = ("web", "api", "worker", "proxy", "mailer", "search", "images", "reports", "login", "cron")
_ROLES = (Role.DEVELOPER, Role.GUEST, Role.MAINTAINER, Role.LIMITED_GUEST)


@dataclass(frozen=True)
class Size:
    """Numbers of rows. The first project has a tenth of all repositories, and a crowd of everything else."""

    users: int
    groups: int
    projects: int
    repositories: int
    artifacts: int
    tags_of_one: int
    """Of the first repository, each on an image of its own."""
    each: int
    """Members, robots, labels and immutable tag rules of a project."""
    crowd: int
    """Members, robots and labels of the first project, system robots, global labels; tags and accessories of one
    image."""
    log: int
    """Rows of the audit log, over a year."""
    deliveries: int
    """Of webhooks, over the months that are kept; half of them are one policy's."""
    runs: int
    """Garbage collections, and as many purges of the audit log."""
    schedules: int
    is_stored: bool
    """Whether the images' content lies in the store."""

    @property
    def batch(self) -> int:
        """Repositories that are made in one transaction."""
        return max(1, self.repositories // 100)

    def user(self, number: int) -> str:
        return _word(_USERS, number)

    def group(self, number: int) -> str:
        return f"crew-{number + 1}"

    def project(self, number: int) -> str:
        return _word(_PROJECTS, number)

    def is_public(self, project: int) -> bool:
        return project % 5 == 1

    def project_of(self, repository: int) -> int:
        """The number of a repository's project."""
        return 0 if repository < self.repositories // 10 else 1 + repository % (self.projects - 1)

    def repository(self, number: int) -> str:
        """Its full name."""
        return f"{self.project(self.project_of(number))}/{_word(_REPOSITORIES, number)}"

    def images_in(self, repository: int) -> int:
        """How many artifacts a repository holds: the first has the tags, the second one image with its crowd."""
        if repository == 0:
            return self.tags_of_one
        if repository == 1:
            return 1 + self.crowd
        each, more = divmod(self.artifacts - self.tags_of_one - 1 - self.crowd, self.repositories - 2)
        return each + (repository - 2 < more)

    def in_project(self, number: int) -> int:
        """How many members, robots and labels a project has."""
        return self.crowd if number == 0 else self.each

    def rules(self, project: int) -> int:
        """How many immutable tag rules a project has: the first as many as one may."""
        return min(self.in_project(project), MOST_RULES)

    def policies(self, project: int) -> int:
        """How many webhook policies a project has: the first as many as one may, most have none."""
        return min(self.crowd, MOST_POLICIES) if project == 0 else int(project % 10 == 1)

    def members(self, project: int) -> dict[int, Role]:
        """User → role: the owner, the first user in every tenth project, and others."""
        others = [(project * 31 + number * 17) % self.users for number in range(self.in_project(project) - 1)]
        if project % 10 == 1:
            others.insert(0, 0)
        roles = {user: _ROLES[(project // 10 + number) % len(_ROLES)] for number, user in enumerate(others)}
        return {**roles, self.owner(project): Role.PROJECT_ADMIN}

    def owner(self, project: int) -> int:
        return project % self.users


SMALL = Size(
    users=8, groups=2, projects=4, repositories=20, artifacts=120, tags_of_one=25, each=3, crowd=5, log=500,
    deliveries=40, runs=6, schedules=0, is_stored=True,
)  # fmt: skip
LARGE = Size(
    users=2000, groups=300, projects=1000, repositories=20_000, artifacts=200_000, tags_of_one=10_000, each=12,
    crowd=500, log=1_000_000, deliveries=20_000, runs=2000, schedules=1000, is_stored=False,
)  # fmt: skip
SIZES = {"small": SMALL, "large": LARGE}


def _word(words: Sequence[str], number: int) -> str:
    """`web`, then `web-2`: one for each number."""
    again, place = divmod(number, len(words))
    return f"{words[place]}-{again + 1}" if again else words[place]
