"""The /v2 door's own rules: every route guarded, one statement for a pull, scopes as clients write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, RequestFactory

from core import clock, errors, redis
from core.oci import RepositoryName
from core.store import signing
from projects import pulls
from projects.models import Artifact, Project
from rbac.models import Anonymous, User
from rbac.roles import Role
from registry import door
from registry.operation import Operation
from registry.policies.scope import token_grants_action, token_grants_some
from registry.routes import ROUTES
from registry.token import issue
from registry.token.scopes import Scope, parse_scopes
from tests import factories
from tests.e2e.client import make_image
from tests.rows import add_member


def test_every_route_but_the_base_and_the_catalog_asks_for_the_tokens_scope() -> None:
    unguarded = {
        pattern.pattern
        for pattern, methods in ROUTES
        for route in methods.values()
        if not {token_grants_action, token_grants_some} & {*route.policies}
    }
    assert unguarded == {"", "_catalog"}


def test_a_tag_scoped_token_opens_only_what_is_shown_within_reach() -> None:
    for pattern, methods in ROUTES:
        for method, route in methods.items():
            if token_grants_some in route.policies:
                assert (route.action, method in ("GET", "HEAD"), "uploads" in pattern.pattern) == ("pull", True, False)


def test_what_writes_asks_for_push_or_delete() -> None:
    for _, methods in ROUTES:
        for method, route in methods.items():
            if method in ("PUT", "POST", "PATCH", "DELETE"):
                assert route.action in ("push", "delete")


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (["repository:team/app:pull"], [("repository", "team/app", {"pull"})]),
        (
            ["repository:a/b:pull,push", "repository:c/d:pull"],
            [("repository", "a/b", {"pull", "push"}), ("repository", "c/d", {"pull"})],
        ),
        (["repository:a/b:pull repository:c/d:*"], [("repository", "a/b", {"pull"}), ("repository", "c/d", {"*"})]),
        (["repository:host:5000/a/b:pull"], [("repository", "host:5000/a/b", {"pull"})]),
        (["repository(plugin):a/b:pull"], [("repository", "a/b", {"pull"})]),
        (["registry:catalog:*"], [("registry", "catalog", {"*"})]),
        (["repository:a/b:pull", "repository:a/b:push"], [("repository", "a/b", {"pull", "push"})]),
        (["repository:a/b:"], [("repository", "a/b", set())]),
        (["", "nonsense", "repository:a/b"], []),
    ],
)
def test_scopes(parameters: list[str], expected: list[Any]) -> None:
    assert parse_scopes(parameters) == [Scope(kind, name, frozenset(actions)) for kind, name, actions in expected]


def token_for(actor: Any, *scopes: str) -> str:
    return issue.signed(actor, parse_scopes(scopes), 300)


@pytest.mark.django_db
@pytest.mark.parametrize(("actions", "is_touched"), [("pull", False), ("pull,push", True)])
def test_who_may_push_and_asks_for_a_manifest_counts_on_it(
    team: Project, alice: User, actions: str, is_touched: bool
) -> None:
    """He may be about to push an index of it; a pull writes nothing."""
    place = factories.repository(team, f"asked{factories.number()}")
    digest = factories.push(place, alice, None).digest
    link = place.links.filter(kind="manifest", blob__digest=digest)
    link.update(touched=clock.now() - timedelta(hours=3))
    token = token_for(alice, f"repository:{place.name}:{actions}")
    answer = Client().head(f"/v2/{place.name}/manifests/{digest}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert (link.get().touched > clock.now() - timedelta(hours=1)) == is_touched
    assert Artifact.objects.unneeded(clock.now() - timedelta(hours=2)).exists() is False
    Artifact.objects.update(pushed=clock.now() - timedelta(hours=3))
    assert Artifact.objects.unneeded(clock.now() - timedelta(hours=2)).exists() is not is_touched


@pytest.mark.django_db
def test_a_pull_is_one_statement(team: Project, alice: User, django_assert_num_queries: Any) -> None:
    place = factories.repository(team, f"pull{factories.number()}")
    image = make_image()
    factories.push(place, alice, "v1", image)
    header = f"Bearer {token_for(alice, f'repository:{place.name}:pull')}"
    client = Client()
    for reference in ("v1", image.digest):
        client.get(f"/v2/{place.name}/manifests/{reference}", headers={"Authorization": header})
        # The prepared statement goes past Django's cursor, so nothing else may be counted.
        with django_assert_num_queries(0):
            answer = client.get(f"/v2/{place.name}/manifests/{reference}", headers={"Authorization": header})
        assert answer.content == image.manifest


@pytest.mark.django_db
def test_whether_a_blob_is_there_is_one_statement(team: Project, alice: User, django_assert_num_queries: Any) -> None:
    place = factories.repository(team, f"head{factories.number()}")
    image = make_image()
    factories.push(place, alice, "v1", image)
    digest, content = next(iter(image.blobs.items()))
    header = f"Bearer {token_for(alice, f'repository:{place.name}:pull,push')}"
    with django_assert_num_queries(0):
        answer = Client().head(f"/v2/{place.name}/blobs/{digest}", headers={"Authorization": header})
    assert (answer.status_code, answer["Content-Length"]) == (200, str(len(content)))


@pytest.mark.django_db
def test_a_refused_scope_is_403_for_who_asked_and_a_challenge_for_who_did_not(team: Project, mallory: User) -> None:
    client = Client()
    asked = client.get(
        "/v2/team/app/tags/list", headers={"Authorization": f"Bearer {token_for(mallory, 'repository:team/app:pull')}"}
    )
    assert (asked.status_code, asked.json()["errors"][0]["code"]) == (403, "DENIED")
    not_asked = client.get("/v2/team/app/tags/list", headers={"Authorization": f"Bearer {token_for(mallory)}"})
    assert not_asked.status_code == 401
    assert 'scope="repository:team/app:pull"' in not_asked["WWW-Authenticate"]
    nobody = token_for(Anonymous(), "repository:team/app:pull")
    assert client.get("/v2/team/app/tags/list", headers={"Authorization": f"Bearer {nobody}"}).status_code == 401


@pytest.mark.django_db
def test_a_token_does_not_tell_which_projects_exist(team: Project, mallory: User) -> None:
    """Everybody can read his own token."""
    for actor in (mallory, Anonymous()):
        claims = [
            signing.verify(token_for(actor, f"repository:{name}/app:pull")).claims for name in (team.name, "nope")
        ]
        said = [str(each).replace(name, "") for each, name in zip(claims, (team.name, "nope"), strict=True)]
        assert said[0] == said[1]


@pytest.mark.django_db
def test_a_refused_pull_is_not_counted(team: Project, alice: User, mallory: User) -> None:
    """A guest of `v*` guesses at other tags and digests: neither counts nor pull times change."""
    add_member(team, mallory, Role.GUEST, {"**": ["v*"]})
    place = factories.repository(team, f"count{factories.number()}")
    foreign = make_image()
    factories.push(place, alice, "secret", foreign)
    factories.push(place, alice, "v1", make_image())
    header = {"Authorization": f"Bearer {token_for(mallory, f'repository:{place.name}:pull')}"}
    for reference, status in (("secret", 404), (foreign.digest, 404), ("v1", 200)):
        assert Client().get(f"/v2/{place.name}/manifests/{reference}", headers=header).status_code == status
        assert Client().head(f"/v2/{place.name}/manifests/{reference}", headers=header).status_code == status
    pulls.hand_over()
    counted = redis.ask(lambda r: r.hgetall(pulls.COUNTS)), redis.ask(lambda r: r.hgetall(pulls.ARTIFACT_TIMES))
    assert [len(each) for each in counted] == [1, 1]


@pytest.mark.django_db
def test_a_token_is_for_the_project_it_was_made_for(team: Project, alice: User) -> None:
    token = signing.verify(token_for(alice, "repository:team/app:pull,push"))
    request = RequestFactory().get("/v2/team/app/manifests/v1")
    Project.objects.filter(pk=team.pk).update(deleted="2026-01-01T00:00:00Z")
    factories.project("team", factories.user("eve"))
    operation = Operation(
        request=request, action="push", token=token, is_by_token=True, name=RepositoryName("team", "app")
    )
    with pytest.raises(errors.ProjectUnknown):
        _ = operation.project


def test_tokens_expire_and_are_bound_to_us() -> None:
    good = signing.sign(subject="x", access=[], lifetime=60)
    assert signing.verify(good).subject == "x"
    with pytest.raises(signing.InvalidToken):
        signing.verify(signing.sign(subject="x", access=[], lifetime=-1))
    header, payload, signature = good.split(".")
    for broken in (f"{header}.{payload}.", f"{header}.{payload[:-2]}.{signature}", "", "a.b.c", header):
        with pytest.raises(signing.InvalidToken):
            signing.verify(broken)


@pytest.mark.django_db
def test_an_unexpected_failure_is_json_without_details(
    team: Project, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: Any) -> Any:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(door, "_find", explode)
    answer = Client(raise_request_exception=False).get("/v2/team/app/tags/list")
    assert answer.status_code == 500
    assert answer.json()["errors"][0]["code"] == "UNKNOWN"
    assert b"secret" not in answer.content
