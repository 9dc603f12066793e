"""The pages, as people use them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core import configuration
from projects.models import Accessory, Artifact, Project, Tag
from rbac.models import User
from rbac.roles import Role
from tests import factories, rows
from tests.e2e.client import OCI_INDEX, Image, make_image, make_index
from tests.factories import PASSWORD
from tests.web.browser import browser, text

pytestmark = pytest.mark.django_db


def without_chance(answer: Any) -> str:
    """The page without its tokens."""
    return re.sub(r'csrfmiddlewaretoken" value="[^"]*"', "", text(answer))


def test_signing_in_leads_back_to_where_one_was(team: Project) -> None:
    client = browser()
    page = client.get("/projects/team")
    assert page.status_code == 404
    assert "/sign-in?next=/projects/team" in text(page)
    answer = client.post("/sign-in", {"username": "carol", "password": PASSWORD, "next": "/projects/team"})
    assert (answer.status_code, answer["Location"]) == (302, "/projects/team")
    assert client.get("/projects/team").status_code == 200
    client.post("/sign-out")
    assert client.get("/projects/team").status_code == 404


def test_a_wrong_password_says_so_and_not_which_part_was_wrong(alice: User) -> None:
    answers = [browser().post("/sign-in", {"username": name, "password": "wrong"}) for name in ("alice", "nobody")]
    assert [answer.status_code for answer in answers] == [401, 401]
    said = {re.sub(r'value="[^"]*"', "", text(answer)) for answer in answers}
    assert len(said) == 1
    assert "The user name or password is wrong." in said.pop()


def test_too_many_failures_say_when_to_come_again(alice: User) -> None:
    for _ in range(10):
        browser().post("/sign-in", {"username": "alice", "password": "wrong"})
    answer = browser().post("/sign-in", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert "Try again in" in text(answer)


def test_who_is_signed_in_need_not_do_it_again(alice: User) -> None:
    answer = browser("alice").get("/sign-in?next=/projects/team")
    assert (answer.status_code, answer["Location"]) == (302, "/projects/team")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_leads_nowhere_else(alice: User, target: str) -> None:
    answer = browser().post("/sign-in", {"username": "alice", "password": PASSWORD, "next": target})
    assert answer["Location"] == "/"


def test_the_session_changes_at_sign_in_and_ends_with_the_password(alice: User) -> None:
    client = browser()
    client.post("/sign-in", {"username": "alice", "password": PASSWORD})
    assert client.cookies["sid"]["httponly"]
    assert "alice" in text(client.get("/"))
    alice.set_password("Another12345")
    alice.save()
    assert "Sign out" not in text(client.get("/"))


def test_a_form_without_its_token_is_refused(alice: User) -> None:
    client = browser("alice", enforce_csrf_checks=True)
    refused = client.post("/", {"name": "forged"})
    assert refused.status_code == 403
    assert "reload the page and try again" in text(refused)
    assert not Project.objects.filter(name="forged").exists()
    api = client.post("/api/v2.0/projects", {"project_name": "forged"}, content_type="application/json")
    assert api.status_code == 403
    assert api.json()["errors"][0]["code"] == "FORBIDDEN"
    token = client.get("/api/v2.0/users/current")["X-Harbor-CSRF-Token"]
    headers = {"X-Harbor-CSRF-Token": token}
    made = client.post(
        "/api/v2.0/projects", {"project_name": "meant"}, content_type="application/json", headers=headers
    )
    assert made.status_code == 201


def test_a_form_of_another_page_is_refused_and_says_where_to_go(alice: User) -> None:
    client = browser("alice", enforce_csrf_checks=True)
    refused = client.post("/", {"name": "forged"}, headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403
    assert "was not sent from http://localhost:8080. Open Wharf at that address" in text(refused)
    assert not Project.objects.filter(name="forged").exists()


def test_people_see_their_projects_and_public_ones(team: Project, mallory: User) -> None:
    factories.project("open", mallory, public=True)
    assert "team" in text(browser("carol").get("/"))
    for stranger in (browser(), browser("mallory")):
        page = text(stranger.get("/"))
        assert "open" in page
        assert "team" not in page


@pytest.mark.parametrize(
    "path",
    ["/projects/{}", "/projects/{}/repositories/app", "/projects/{}/repositories/app/artifacts/DIGEST"],
)
def test_absent_and_forbidden_look_alike(team: Project, mallory: User, path: str) -> None:
    artifact = rows.make_artifact(rows.make_repository(team), "v1")
    path = path.replace("DIGEST", artifact.digest)
    assert browser("carol").get(path.format("team")).status_code == 200
    for stranger in (browser("mallory"), browser()):
        forbidden, absent = (stranger.get(path.format(name)) for name in ("team", "nowhere"))
        assert (forbidden.status_code, absent.status_code) == (404, 404)
        assert "does not exist, or it is not yours to see" in text(forbidden)
        assert without_chance(forbidden) == without_chance(absent).replace("nowhere", "team")


def test_a_project_is_made_on_the_page(alice: User) -> None:
    client = browser("alice")
    answer = client.post("/", {"name": "fresh", "public": "on"})
    assert (answer.status_code, answer["Location"]) == (302, "/projects/fresh")
    assert Project.objects.get(name="fresh").public
    again = client.post("/", {"name": "fresh"})
    assert again.status_code == 409
    assert "This name is taken" in text(again)
    bad = client.post("/", {"name": "Not Good"})
    assert bad.status_code == 400
    assert "lower-case letters and digits, separated by" in text(bad)
    assert 'value="Not Good"' in text(bad)
    page = text(client.get("/projects/fresh"))
    assert "Nothing was pushed here yet. These commands push a first image:" in page
    assert "docker login localhost:8080" in page
    assert "docker push localhost:8080/fresh/NAME:TAG" in page


def test_a_guest_is_not_shown_how_to_push(team: Project) -> None:
    assert "docker push" in text(browser("bob").get("/projects/team"))
    assert "docker push" not in text(browser("carol").get("/projects/team"))


def test_artifacts_show_their_tags_and_the_command_that_pulls(team: Project, alice: User) -> None:
    place = factories.repository(team, "web/shop")
    image = make_image()
    factories.push(place, alice, "1.0", image)
    index = factories.push(place, alice, "multi", Image(make_index(image), {}, OCI_INDEX))
    client = browser("carol")
    assert "/projects/team/repositories/web/shop" in text(client.get("/projects/team"))
    page = text(client.get("/projects/team/repositories/web/shop"))
    assert "docker pull localhost:8080/team/web/shop:1.0" in page
    assert "linux/arch0" in page
    one = text(client.get(f"/projects/team/repositories/web/shop/artifacts/{index.digest}"))
    assert f"docker pull localhost:8080/team/web/shop@{index.digest}" in one
    assert image.digest[7:19] in one
    layers = text(client.get(f"/projects/team/repositories/web/shop/artifacts/{image.digest}"))
    assert "Layers" in layers
    filtered = text(client.get("/projects/team/repositories/web/shop?q=mul"))
    assert "shop:multi" in filtered
    assert "shop:1.0" not in filtered
    nothing = f"/projects/team/repositories/web/shop/artifacts/sha256:{'0' * 64}"
    assert client.get(nothing).status_code == 404


def test_what_people_wrote_is_text_and_never_html(team: Project) -> None:
    evil = "<script>alert(1)</script>"
    place = rows.make_repository(team, description=evil)
    facts = {"author": evil, "os": evil, "architecture": evil, "config": {"Cmd": [evil], "Entrypoint": evil}}
    # In a template, `annotations.items` would be the annotation of that name.
    said = {evil: evil, "items": evil}
    artifact = rows.make_artifact(place, "v1", annotations=said, extra_attrs=facts, kind=evil)
    for path in ("", f"/artifacts/{artifact.digest}"):
        answer = browser("alice").get(f"/projects/team/repositories/app{path}")
        assert answer.status_code == 200
        assert "<script>alert" not in text(answer)
        assert "&lt;script&gt;" in text(answer)
    assert "&lt;img" in text(browser("alice").get("/?q=%3Cimg+src=x%3E"))


@pytest.mark.parametrize("config", ["text", ["a"], {"Cmd": {"a": 1}}, {"Entrypoint": [1]}, None])
def test_nonsense_in_an_images_configuration_harms_no_page(team: Project, config: Any) -> None:
    facts = {"config": config, "created": config, "os": config, "author": config}
    artifact = rows.make_artifact(rows.make_repository(team), "v1", extra_attrs=facts)
    path = f"/projects/team/repositories/app/artifacts/{artifact.digest}"
    assert browser("alice").get(path).status_code == 200


def test_pages_allow_no_foreign_and_no_inline_script(alice: User) -> None:
    answer = browser("alice").get("/")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", text(answer))


def test_the_page_speaks_the_browsers_language(alice: User) -> None:
    assert '<html lang="zh-hans">' in text(browser().get("/", headers={"Accept-Language": "zh-CN,zh;q=0.9"}))
    client = browser()
    answer = client.post("/language", {"language": "zh-hans", "next": "//evil.example"})
    assert answer["Location"] == "/"
    assert '<html lang="zh-hans">' in text(client.get("/"))


def test_read_only_mode_makes_no_project_and_says_why(alice: User) -> None:
    configuration.change(read_only=True)
    client = browser("alice")
    assert "Create project" not in text(client.get("/"))
    answer = client.post("/", {"name": "fresh"})
    assert answer.status_code == 403
    assert "read-only mode" in text(answer)
    assert not Project.objects.filter(name="fresh").exists()


def test_only_people_make_projects(db: None) -> None:
    answer = browser().post("/", {"name": "fresh"})
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in")


def test_a_list_comes_in_pages_of_25(alice: User) -> None:
    for number in range(30):
        rows.make_project(f"p{number:02}", alice)
    client = browser("alice")
    first, second, nonsense = (text(client.get(f"/?page={page}&q=p")) for page in ("1", "2", "x"))
    assert ("p24" in first, "p25" in first) == (True, False)
    assert "?page=2&amp;q=p" in first
    assert ("p24" in second, "p25" in second) == (False, True)
    assert "p00" in nonsense


def test_a_repository_may_be_called_after_an_address_of_ours(team: Project) -> None:
    rows.make_repository(team, "a/artifacts/b")
    answer = browser("alice").get("/projects/team/repositories/a/artifacts/b")
    assert "This repository is empty" in text(answer)


def test_an_index_shows_its_parts_and_weighs_what_they_weigh(team: Project) -> None:
    place = rows.make_repository(team)
    parts = [rows.make_artifact(place, size=megabytes * 2**20) for megabytes in (10, 20)]
    index = rows.make_index(place, parts, "multi", size=700)
    client = browser("carol")
    listed = text(client.get("/projects/team/repositories/app"))
    assert "30.0 MiB" in listed
    assert "linux/arch1" in listed
    # The parts are untagged, so that only the index has a line of its own.
    assert listed.count("docker pull") == 2
    page = text(client.get(f"/projects/team/repositories/app/artifacts/{index.digest}"))
    assert "20.0 MiB" in page
    assert f"docker pull localhost:8080/team/app@{parts[0].digest}" in page
    part = text(client.get(f"/projects/team/repositories/app/artifacts/{parts[0].digest}"))
    assert f"/artifacts/{index.digest}" in part.partition("Part of")[2]


def test_what_hangs_on_an_artifact_is_listed_under_it(team: Project) -> None:
    place = rows.make_repository(team)
    image = rows.make_artifact(place, "v1")
    signature = rows.make_artifact(place, subject=image)
    Accessory.objects.filter(artifact=signature).update(kind="signature.cosign")
    client = browser("carol")
    listed = text(client.get("/projects/team/repositories/app"))
    assert f'/artifacts/{signature.digest}">signature</a>' in listed
    assert listed.count("<tr>") == 2
    assert "signature.cosign" in text(client.get(f"/projects/team/repositories/app/artifacts/{image.digest}"))
    page = text(client.get(f"/projects/team/repositories/app/artifacts/{signature.digest}"))
    assert f"/artifacts/{image.digest}" in page.partition("Belongs to")[2]


def test_deleted_things_are_gone_from_the_pages(team: Project) -> None:
    place = rows.make_repository(team)
    kept, gone = rows.make_artifact(place, "kept", "was-kept"), rows.make_artifact(place, "gone")
    Tag.objects.filter(name__in=["gone", "was-kept"]).update(deleted=timezone.now())
    Artifact.objects.filter(pk=gone.pk).update(deleted=timezone.now())
    page = text(browser("alice").get("/projects/team/repositories/app"))
    assert kept.digest in page
    assert gone.digest not in page
    assert "was-kept" not in page
    path = f"/projects/team/repositories/app/artifacts/{gone.digest}"
    assert browser("alice").get(path).status_code == 404


def test_an_artifact_with_many_tags_shows_the_newest(team: Project) -> None:
    artifact = rows.make_artifact(rows.make_repository(team))
    for number in range(60):
        rows.make_tag(artifact, f"v{number:02}", pushed=timezone.now() - timedelta(days=number))
    listed = text(browser("alice").get("/projects/team/repositories/app"))
    assert ("v07<" in listed, "v08<" in listed) == (True, False)
    page = text(browser("alice").get(f"/projects/team/repositories/app/artifacts/{artifact.digest}"))
    assert "the newest 50 of 60" in page


def test_artifacts_are_found_by_tag_and_by_digest(team: Project) -> None:
    place = rows.make_repository(team)
    one, other = rows.make_artifact(place, "one"), rows.make_artifact(place, "other")
    for words in ("ON", one.digest, one.digest[7:19]):
        page = text(browser("alice").get("/projects/team/repositories/app", {"q": words}))
        assert one.digest in page
        assert other.digest not in page
    page = text(browser("alice").get("/projects/team/repositories/app?q=%25"))
    assert "No tag contains “%”" in page


def test_a_guest_of_some_tags_sees_no_more_on_the_pages(team: Project, alice: User, mallory: User) -> None:
    rows.add_member(team, mallory, Role.GUEST, {"app": ["v1*"]})
    app, hidden = factories.repository(team), factories.repository(team, "unheard-of")
    mine, foreign = rows.make_artifact(app, "v1.0", "internal-name"), rows.make_artifact(app, "v2.0")
    rows.make_artifact(hidden, "v1")
    sbom, other = rows.make_artifact(app, subject=mine), rows.make_artifact(app, subject=foreign)
    bundle = rows.make_index(app, [mine], "bundle")
    for place in (app, hidden):
        type(place).objects.filter(pk=place.pk).update(deleted=None)
    client = browser("mallory")
    assert '<td class="number" data-label="Repositories">1</td>' in text(client.get("/"))
    listed = text(client.get("/projects/team"))
    assert "/projects/team/repositories/app" in listed
    assert "unheard-of" not in listed
    page = text(client.get("/projects/team/repositories/app"))
    assert "v1.0" in page
    for word in ("v2.0", "internal-name", "bundle", foreign.digest, other.digest):
        assert word not in page, word
    for words in ("internal", "v2", foreign.digest[7:20]):
        assert mine.digest not in text(client.get(f"/projects/team/repositories/app?q={words}"))
    one = text(client.get(f"/projects/team/repositories/app/artifacts/{mine.digest}"))
    assert sbom.digest in one
    for word in ("internal-name", bundle.digest):
        assert word not in one, word
    for path in (
        f"/projects/team/repositories/app/artifacts/{foreign.digest}",
        f"/projects/team/repositories/app/artifacts/{other.digest}",
        f"/projects/team/repositories/app/artifacts/{bundle.digest}",
        "/projects/team/repositories/unheard-of",
    ):
        absent = client.get("/projects/team/repositories/nothing")
        refused = client.get(path)
        assert (refused.status_code, absent.status_code) == (404, 404)
        assert without_chance(refused).replace(path, "") == without_chance(absent).replace(
            "/projects/team/repositories/nothing", ""
        )
