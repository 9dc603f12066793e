"""The pages in a real browser."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.e2e.client import Client, make_image
from tests.e2e.platform import PASSWORD, Platform
from tests.receiver import Received, receiving, reply

People = dict[str, tuple[str, str]]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip


@pytest.fixture
def page(platform: Platform) -> Iterator[Page]:
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        context = browser.new_context(base_url=platform.url)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield context.new_page()
        browser.close()


def sign_in(page: Page) -> None:
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign in").click()


def opened(page: Page, group: str, operation: str) -> Locator:
    page.locator(f"#operations-tag-{group}").click()
    found = page.locator(f"#operations-{group}-{operation}")
    found.locator(".opblock-summary").click()
    return found


def test_alice_makes_a_project_and_copies_the_command_that_pulls(
    page: Page, platform: Platform, people: People
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto("/")
    sign_in(page)
    if not page.get_by_label("Name", exact=True).is_visible():
        page.get_by_text("New project").click()
    page.get_by_label("Name", exact=True).fill("browsed")
    page.get_by_role("button", name="Create project").click()
    expect(page.get_by_role("heading", name="browsed")).to_be_visible()
    expect(page.get_by_text("Nothing was pushed here yet.")).to_be_visible()
    repository = Client(platform.url, people["alice"]).repository("browsed/web/shop")
    repository.push(make_image(), "1.0")
    repository.push(make_image(), "2.0")
    page.reload()
    page.get_by_role("link", name="browsed/web/shop").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Filter by tag or digest").fill("1.0")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"docker pull {platform.host}/browsed/web/shop:1.0"
    page.get_by_role("button", name="Copy the whole digest").click()
    expect(page.get_by_text("✓")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("sha256:")
    page.get_by_role("button", name="简体中文").click()
    expect(page.get_by_label("按标签或摘要筛选")).to_be_visible()
    assert complaints == []


def is_signed(request: Received, secret: str) -> bool:
    moment = request.headers["webhook-timestamp"]
    signed = f"{request.headers['webhook-id']}.{moment}.".encode() + request.body
    digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256)
    return request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_alice_makes_a_webhook_sees_what_became_of_a_push_and_sends_it_again(
    page: Page, platform: Platform, people: People
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    platform.make_project("hooked", people["alice"])
    page.goto("/")
    sign_in(page)
    page.get_by_role("link", name="hooked").click()
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_role("link", name="New webhook").click()
    page.get_by_label("Name", exact=True).fill("builders")
    page.get_by_label("Address").fill("http://10.0.0.1/hook")
    page.get_by_label("Authorization header", exact=True).fill("Bearer Sesame-1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Webhooks may not go to this host")).to_be_visible()
    # What the browser says of the refused form itself.
    complaints.clear()
    with receiving() as receiver:
        receiver.answer = lambda handler, _: reply(handler, 200, b"<b>thanks</b>")
        page.get_by_label("Address").fill(f"{receiver.url}/hook")
        page.get_by_label("Address").press("Enter")
        expect(page.get_by_role("heading", name="builders")).to_be_visible()
        here = page.url
        page.get_by_text("Make a new secret").click()
        page.get_by_role("button", name="Make it and show it").click()
        page.get_by_role("button", name="Copy", exact=True).click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        secret = page.evaluate("navigator.clipboard.readText()")
        page.get_by_role("link", name="I have copied it").click()
        expect(page).to_have_url(here)
        assert secret.startswith("whsec_")
        assert secret not in page.content()
        Client(platform.url, people["alice"]).repository("hooked/app").push(make_image(), "1.0")
        # Nobody reloads the page: it lives.
        expect(page.locator("tbody tr")).to_contain_text("done", timeout=60_000)
        expect(page.locator("tbody tr")).to_contain_text("hooked/app:1.0")
        page.get_by_role("link", name="Artifact pushed").click()
        expect(page.locator(".log").first).to_contain_text("<b>thanks</b>")
        expect(page.locator("main")).not_to_contain_text("Sesame")
        first = page.url
        page.get_by_role("button", name="Send again").click()
        expect(page.locator(".badge.good")).to_have_text("done", timeout=60_000)
        assert page.url != first
        one, again = receiver.received
        assert (one.body, one.headers["webhook-id"]) == (again.body, again.headers["webhook-id"])
        assert one.headers["authorization"] == again.headers["authorization"] == "Bearer Sesame-1"
        assert is_signed(one, secret)
        assert is_signed(again, secret)
    page.get_by_role("button", name="简体中文").click()
    expect(page.get_by_role("heading", name="推送制品")).to_be_visible()
    expect(page.get_by_role("button", name="重新发送")).to_be_visible()
    assert complaints == []


CUT = """[...document.querySelectorAll(".copy code")].filter((code) => code.scrollWidth > code.clientWidth)
    .map((code) => code.textContent)"""


def make_longest_webhook(platform: Platform, person: tuple[str, str], project: str) -> list[str]:
    """A policy with the longest name and address that there can be; the pages that show them."""
    name, address = "w" * 255, f"https://8.8.8.8/{'a' * 2000}"
    body = {"name": name, "event_types": ["PUSH_ARTIFACT"], "targets": [{"type": "http", "address": address}]}
    answer = platform.api("POST", f"/projects/{project}/webhook/policies", person, json=body)
    assert answer.status_code in (201, 409), answer.text
    (policy,) = platform.api("GET", f"/projects/{project}/webhook/policies", person).json()
    pages = f"/projects/{project}/webhooks"
    return [pages, f"{pages}/new", f"{pages}/{policy['id']}", f"{pages}/{policy['id']}/change"]


@pytest.mark.parametrize("width", [390, 1280])
def test_the_longest_names_there_are_fit_and_no_command_is_cut(
    page: Page, platform: Platform, people: People, width: int
) -> None:
    longest = "p" * 255
    platform.make_project(longest, people["alice"], public=True)
    platform.make_project("longer", platform.make_user("u" * 240), public=True)
    repository = Client(platform.url, people["alice"]).repository(f"team/{'r' * 200}")
    digest = repository.push(make_image(), "t" * 128)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/")
    sign_in(page)
    here = f"/projects/{repository.name.replace('/', '/repositories/')}"
    hooks = make_longest_webhook(platform, people["alice"], longest)
    paths = [*hooks, "/", f"/projects/{longest}", "/projects/team", here, f"{here}/artifacts/{digest}"]
    for path in paths:
        page.goto(path)
        expect(page.locator("main h1")).to_be_visible()
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") == width, path
        assert page.evaluate(CUT) == [], path


def test_the_explorer_says_in_chinese_what_is_ours_to_say(page: Page) -> None:
    page.goto("/devcenter-api-2.0")
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator(".info")).to_contain_text("双重编码")
    expect(page.locator(".info")).not_to_contain_text("Sign in with every request")


def test_alice_tries_an_operation_in_the_explorer_which_loads_nothing_from_elsewhere(
    page: Page, platform: Platform, people: People
) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/")
    sign_in(page)
    page.get_by_role("link", name="API", exact=True).click()
    expect(page.get_by_text("What you try here is done for real, as alice.")).to_be_visible()
    operation = opened(page, "projects", "projectsCreate")
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("textarea").fill('{"project_name": "explored"}')
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("/api/v2.0/projects/")
    assert platform.api("GET", "/projects/explored", people["alice"]).status_code == 200
    assert complaints == []
    assert {url for url in asked if not url.startswith((f"{platform.url}/", "data:"))} == set()


def test_nobodys_try_is_answered_in_the_explorer_and_not_by_a_browsers_own_question(page: Page) -> None:
    page.goto("/devcenter-api-2.0")
    expect(page.get_by_text("Sign in to try what needs an account.")).to_be_visible()
    operation = opened(page, "statistics", "statisticsRetrieve")
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("UNAUTHORIZED")
