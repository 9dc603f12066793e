"""What the tags of a guest's membership lead to."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from projects import reach
from projects.models import Artifact, Manifest, Project, Reference, Repository, Tag
from projects.reach import Reach
from rbac.models import Anonymous, User
from rbac.roles import Role
from tests import plans
from tests.rows import (
    Story,
    add_member,
    make_artifact,
    make_group,
    make_index,
    make_project,
    make_repository,
    make_robot,
    make_tag,
)


@pytest.fixture
def app(story: Story) -> Repository:
    return make_repository(story.team, "app")


def guest(story: Story, **tag_scope: list[str]) -> Reach:
    """Mallory becomes a guest of these tags (`app=["v1.*"]`)."""
    add_member(story.team, story.mallory, Role.GUEST, tag_scope)
    return reach.of(story.mallory, story.team)


def artifacts(within: Reach) -> set[Artifact]:
    return set(within.artifacts(Artifact.objects.live()))


def tag_names(within: Reach) -> set[str]:
    return {tag.name for tag in within.tags(Tag.objects.live())}


def test_a_tag_leads_to_its_artifact_and_no_other(story: Story, app: Repository) -> None:
    mine, _ = make_artifact(app, "v1.0", "secret"), make_artifact(app, "v2.0")
    within = guest(story, app=["v1.*"])
    assert artifacts(within) == {mine}
    # The same artifact under another name is there, but its other name is not his to know.
    assert tag_names(within) == {"v1.0"}
    assert [within.has_tag(app, name) for name in ("v1.0", "secret", "v2.0")] == [True, False, False]


def test_an_index_leads_to_its_parts_and_never_back(story: Story, app: Repository) -> None:
    part, foreign = make_artifact(app), make_artifact(app)
    index = make_index(app, [part], "v1")
    make_index(app, [part, foreign], "other")
    assert artifacts(guest(story, app=["v1"])) == {index, part}


def test_what_hangs_on_an_artifact_is_reached_however_deep(story: Story, app: Repository) -> None:
    image, foreign = make_artifact(app, "v1"), make_artifact(app, "v2")
    sbom = make_artifact(app, subject=image)
    signature_of_sbom = make_artifact(app, subject=sbom)
    make_artifact(app, subject=foreign)
    assert artifacts(guest(story, app=["v1"])) == {image, sbom, signature_of_sbom}


def test_accessory_tags_follow_their_subject_and_not_the_pattern(story: Story, app: Repository) -> None:
    """cosign's tags: with `*` a guest sees all tags, with v1 the signature's tag too, of v2's signature nothing."""
    image, foreign = make_artifact(app, "v1"), make_artifact(app, "v2")
    names = []
    for subject in (image, foreign):
        names.append(subject.digest.replace(":", "-") + ".sig")
        make_tag(make_artifact(app, subject=subject), names[-1])
    within = guest(story, app=["v1", "sha256-*"])
    assert tag_names(within) == {"v1", names[0]}
    assert [within.has_tag(app, name) for name in names] == [True, False]


def test_a_blob_is_reached_through_a_manifest_that_is(story: Story, app: Repository) -> None:
    mine, foreign = make_artifact(app, "v1"), make_artifact(app, "v2")
    within = guest(story, app=["v1"])
    for artifact, expected in ((mine, True), (foreign, False)):
        for reference in artifact.references.exclude(kind=Reference.Kind.SELF):
            assert within.has_blob(app, reference.digest) is expected
    # A manifest is no blob, and what nobody refers to is nobody's.
    assert not within.has_blob(app, mine.digest)
    assert not within.has_blob(app, "sha256:" + "0" * 64)


def test_repositories_are_named_within_the_project(story: Story) -> None:
    for name in ("app", "app/web", "tool"):
        make_artifact(make_repository(story.team, name), "v1")
    make_artifact(make_repository(make_project("app", story.alice), "app"), "v1")
    add_member(story.team, story.mallory, Role.GUEST, {"app/**": ["*"], "to?l": ["v1"]})
    within = reach.of(story.mallory, story.team)
    assert {row.name for row in within.repositories(Repository.objects.live())} == {"team/app/web", "team/tool"}


def test_patterns_that_match_nothing_or_everything(story: Story, app: Repository) -> None:
    tagged, untagged = make_artifact(app, "v1"), make_artifact(app)
    add_member(story.team, story.mallory, Role.GUEST, {"nothing": ["none"]})
    assert artifacts(reach.of(story.mallory, story.team)) == set()
    story.team.members.filter(user=story.mallory).update(tag_scope=[{"repository": "**", "tags": ["*"]}])
    within = reach.of(story.mallory, story.team)
    assert artifacts(within) == {tagged}, "an artifact without a tag is nothing that a tag leads to"
    assert not within.has_manifest(app, untagged.digest)


def test_what_is_deleted_leads_nowhere(story: Story, app: Repository) -> None:
    image = make_artifact(app, "v1")
    sbom = make_artifact(app, subject=image)
    within = guest(story, app=["*"])
    Tag.objects.filter(artifact=image).update(deleted="2026-01-01T00:00:00Z")
    assert artifacts(within) == set()
    assert not within.has_manifest(app, sbom.digest)


def test_one_membership_without_a_scope_opens_everything(story: Story, app: Repository) -> None:
    image = make_artifact(app, "v1")
    within = guest(story, app=["nothing"])
    assert artifacts(within) == set()
    add_member(story.team, make_group("crew", [story.mallory]), Role.LIMITED_GUEST)
    assert artifacts(reach.of(story.mallory, story.team)) == {image}


def test_the_scopes_of_several_memberships_add_up(story: Story, app: Repository) -> None:
    first, second = make_artifact(app, "v1"), make_artifact(app, "v2")
    guest(story, app=["v1"])
    add_member(story.team, make_group("crew", [story.mallory]), Role.GUEST, {"app": ["v2"]})
    assert artifacts(reach.of(story.mallory, story.team)) == {first, second}


def test_who_is_not_limited_reaches_everything_and_strangers_nothing(story: Story, app: Repository) -> None:
    image = make_artifact(app, "v1")
    robot = make_robot(story.team, ["repository:pull"])
    for actor in (story.admin, story.alice, story.carol, robot):
        assert artifacts(reach.of(actor, story.team)) == {image}
    for stranger in (story.mallory, Anonymous()):
        assert artifacts(reach.of(stranger, story.team)) == set()


def test_in_a_public_project_nobody_is_limited(story: Story) -> None:
    public = make_project("open", story.alice, public=True)
    image = make_artifact(make_repository(public, "app"), "v1")
    add_member(public, story.mallory, Role.GUEST, {"nothing": ["none"]})
    assert artifacts(reach.of(story.mallory, public)) == {image}


@pytest.mark.parametrize("seed", range(6))
def test_judging_one_agrees_with_listing_all(story: Story, seed: int) -> None:
    """The walk down from the tags and the walk up from a digest know the same edges, in graphs made by chance."""
    chance = random.Random(seed)
    project: Project = make_project("maze", story.alice)
    places = [make_repository(project, name) for name in ("a", "b")]
    made: dict[int, list[Artifact]] = {place.pk: [] for place in places}
    for number in range(40):
        place = chance.choice(places)
        there = made[place.pk]
        tags = [f"{chance.choice('xyz')}{number}"] if chance.random() < 0.4 else []
        kind = chance.random()
        if there and kind < 0.35:
            made[place.pk].append(make_index(place, chance.sample(there, min(len(there), 2)), *tags))
        elif there and kind < 0.65:
            made[place.pk].append(make_artifact(place, *tags, subject=chance.choice(there)))
        else:
            made[place.pk].append(make_artifact(place, *tags))
    add_member(project, story.mallory, Role.GUEST, {"a": ["x*"], "*": ["z?"]})
    within = reach.of(story.mallory, project)
    listed = {artifact.pk for artifact in within.artifacts(Artifact.objects.live())}
    judged = {each.pk for place in places for each in made[place.pk] if within.has_manifest(place, each.digest)}
    assert listed == judged
    assert 0 < len(listed) < 40
    names = {(tag.repository_id, tag.name) for tag in within.tags(Tag.objects.live())}
    every = Tag.objects.filter(repository__in=places).select_related("repository")
    assert names == {(tag.repository_id, tag.name) for tag in every if within.has_tag(tag.repository, tag.name)}


def test_all_projects_at_once(story: Story, app: Repository) -> None:
    """Limited in one, a guest in the next, a stranger in the third."""
    make_artifact(app, "v1")
    make_artifact(make_repository(story.team, "hidden"), "v2")
    other, foreign = make_project("other", story.alice), make_project("foreign", story.alice)
    make_artifact(make_repository(other, "tool"), "v1")
    make_artifact(make_repository(foreign, "x"), "v1")
    add_member(other, story.mallory, Role.GUEST)
    guest(story, app=["v1"])
    assert {row.name for row in reach.visible_repositories(story.mallory)} == {"team/app", "other/tool"}
    alice: User = story.alice
    assert {row.name for row in reach.visible_repositories(alice)} == {
        "team/app", "team/hidden", "other/tool", "foreign/x",
    }  # fmt: skip


# --- what it costs ------------------------------------------------------------------------------------------
MANY = 2000
BASE = "sha256:" + "b" * 64


def rows_read(work: Callable[[], object]) -> int:
    """How many rows the database looks at, again and again counted, for the statements of some work."""
    with CaptureQueriesContext(connection) as captured:
        work()
    return sum(plans.rows_of(node) for query in captured.captured_queries for node in plans.nodes(query["sql"]))


@pytest.fixture
def nightlies(app: Repository) -> list[Artifact]:
    """Many tags that are not his, on one base layer and a layer of their own."""
    digests = [f"sha256:{number:064x}" for number in range(MANY)]
    Manifest.objects.bulk_create(Manifest(digest=each, media_type="x", size=1, content=b"x") for each in digests)
    made = Artifact.objects.bulk_create(Artifact(repository=app, manifest_id=each, media_type="x") for each in digests)
    Tag.objects.bulk_create(Tag(repository=app, artifact=each, name=f"nightly-{each.pk}") for each in made)
    Reference.objects.bulk_create(
        Reference(repository=app, artifact=each, kind="layer", position=position, digest=digest, size=1)
        for each in made
        for position, digest in enumerate((BASE, each.digest.replace("sha256:0", "sha256:f")))
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return made


FIFTY = [f"v{number}.*" for number in range(50)]


def test_judging_one_does_not_read_all_tags(story: Story, app: Repository, nightlies: list[Artifact]) -> None:
    mine, foreign = make_artifact(app, "v1.0"), nightlies[7]
    within = guest(story, app=FIFTY)
    own_layer = foreign.digest.replace("sha256:0", "sha256:f")
    for work in (
        lambda: within.has_tag(app, "nightly-1"),
        lambda: within.has_manifest(app, mine.digest),
        lambda: within.has_manifest(app, foreign.digest),
        lambda: within.has_blob(app, own_layer),
    ):
        assert rows_read(work) < 500


def test_tags_are_read_once_however_many_patterns_there_are(
    story: Story, app: Repository, nightlies: list[Artifact]
) -> None:
    mine = make_artifact(app, "v1.0")
    within = guest(story, app=FIFTY)
    assert within.has_repository(app)
    for work in (
        lambda: within.has_repository(app),
        lambda: list(within.repositories(Repository.objects.all())),
        lambda: list(within.tags(Tag.objects.filter(artifact=mine), app)),
        lambda: list(within.artifacts(Artifact.objects.filter(repository=app), app)),
    ):
        assert rows_read(work) < 6 * MANY


def test_a_base_layer_of_everything_is_judged_from_the_tags(
    story: Story, app: Repository, nightlies: list[Artifact]
) -> None:
    within = guest(story, app=FIFTY)
    assert not within.has_blob(app, BASE)
    assert rows_read(lambda: within.has_blob(app, BASE)) < 12 * MANY
    newest = nightlies[-1]
    make_tag(newest, "v1.0")
    assert within.has_blob(app, BASE)
    assert within.named_tag_above_blob(app, BASE) == "v1.0"


def test_no_statement_is_compiled(db: None) -> None:
    """PostgreSQL would: recursion looks dear to it, and compiling takes a hundred times as long as running."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == ("off",)
