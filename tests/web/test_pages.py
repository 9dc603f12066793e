"""The pages, as people use them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from projects.models import Project
from rbac.models import User
from tests import factories
from tests.e2e.client import OCI_INDEX, Image, make_image, make_index
from tests.factories import PASSWORD
from web.views import projects as projects_page

pytestmark = pytest.mark.django_db


def browser(who: str | None = None, **options: Any) -> Client:
    client = Client(raise_request_exception=False, **options)
    if who:
        client.force_login(User.objects.get(username=who), backend="rbac.backends.local.LocalBackend")
    return client


def text(answer: Any) -> str:
    content: str = answer.content.decode()
    return content


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
    assert client.post("/", {"name": "forged"}).status_code == 403
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


def test_people_see_their_projects_and_public_ones(team: Project, mallory: User) -> None:
    factories.project("open", mallory, public=True)
    assert "team" in text(browser("carol").get("/"))
    for stranger in (browser(), browser("mallory")):
        page = text(stranger.get("/"))
        assert "open" in page
        assert "team" not in page


@pytest.mark.parametrize(
    "path",
    ["/projects/team", "/projects/team/repositories/app", "/projects/nowhere", "/projects/nowhere/repositories/app"],
)
def test_absent_and_forbidden_look_alike(team: Project, mallory: User, alice: User, path: str) -> None:
    factories.push(factories.repository(team), alice, "v1")
    answer = browser("mallory").get(path)
    assert answer.status_code == 404
    assert "does not exist, or it is not yours to see" in text(answer)


def test_a_project_is_made_on_the_page(alice: User) -> None:
    client = browser("alice")
    answer = client.post("/", {"name": "fresh", "public": "on"})
    assert (answer.status_code, answer["Location"]) == (302, "/projects/fresh")
    assert Project.objects.get(name="fresh").public
    again = client.post("/", {"name": "fresh"})
    assert again.status_code == 409
    assert "already exists" in text(again)
    bad = client.post("/", {"name": "Not Good"})
    assert bad.status_code == 400
    assert "lower-case letters and digits" in text(bad)
    page = text(client.get("/projects/fresh"))
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


def test_what_people_wrote_is_text_and_never_html(team: Project, alice: User) -> None:
    place = factories.repository(team)
    factories.push(place, alice, "v1", make_image(annotations={"<script>": "<script>alert(1)</script>"}))
    place.description = "<script>alert(1)</script>"
    place.deleted = None
    place.save()
    page = text(browser("alice").get("/projects/team/repositories/app"))
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;img" in text(browser("alice").get("/?q=%3Cimg+src=x%3E"))


def test_pages_allow_no_foreign_and_no_inline_script(alice: User) -> None:
    answer = browser("alice").get("/")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", text(answer))


def test_a_dead_database_is_a_page_in_words(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise OperationalError("connection refused at 10.0.0.1")

    monkeypatch.setattr(projects_page, "_page", fail)
    answer = browser("alice").get("/")
    assert answer.status_code == 503
    assert "database does not answer" in text(answer)
    assert "10.0.0.1" not in text(answer)


def test_the_page_speaks_the_browsers_language(alice: User) -> None:
    assert '<html lang="zh-hans">' in text(browser().get("/", headers={"Accept-Language": "zh-CN,zh;q=0.9"}))
    client = browser()
    client.post("/language", {"language": "zh-hans", "next": "/"})
    assert '<html lang="zh-hans">' in text(client.get("/"))


def test_every_sentence_is_translated() -> None:
    catalogue = (Path(__file__).parents[2] / "web/locale/zh_Hans/LC_MESSAGES/django.po").read_text()
    entries = dict(re.findall(r'^msgid "(.+)"\nmsgstr "(.*)"$', catalogue, re.M))
    assert len(entries) > 50
    assert not [sentence for sentence, translation in entries.items() if not translation]
    used = set()
    for page in (Path(__file__).parents[2] / "web/templates/web").glob("*.html"):
        used |= set(re.findall(r"""{% trans ["'](.+?)["'] %}""", page.read_text()))
    assert used <= entries.keys()


PAGES = ["/", "/projects/team", "/projects/team/repositories/app"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_costs_the_same_at_any_length(team: Project, alice: User, path: str) -> None:
    place = factories.repository(team)
    client = browser("alice")

    def grow(numbers: range) -> None:
        for number in numbers:
            factories.project(f"p{number}", alice)
            factories.push(place, alice, f"v{number}")
            factories.push(factories.repository(team, f"r{number}"), alice, "v1")

    def cost() -> int:
        client.get(path)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        return len(queries)

    grow(range(1))
    few = cost()
    grow(range(1, 8))
    assert cost() == few
