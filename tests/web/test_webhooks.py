"""The pages of webhooks: who may do what there, errors beside the form, and secrets that are never shown again."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connection
from django.forms.models import model_to_dict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import addresses, configuration, http
from jobservice.models import Execution, Task, TaskLog
from jobservice.status import Status
from projects import webhook_policies
from projects.models import AuditLog, Project, WebhookPolicy, WebhookTarget
from rbac.models import User
from rbac.roles import Role
from tests import rows
from tests.plans import nodes, rows_of
from tests.web.browser import browser, text
from web.delivery_lines import readable, subject_of
from web.views.webhooks import SHOWN_DELIVERIES

pytestmark = pytest.mark.django_db
PAGE = "/projects/team/webhooks"
LIVE = {"HX-Request": "true"}
# A public address, so that nobody's name needs to be looked up.
ADDRESS = "https://8.8.8.8/hook"
STORED = "Bearer tested"


@pytest.fixture
def hook(team: Project) -> WebhookPolicy:
    """`ci` tells https://192.0.1.1/hook of pushes with a header, and one delivery was refused."""
    policy, *_ = rows.make_webhook(team, "ci")
    return policy


def sent(**facts: Any) -> dict[str, Any]:
    """The form of a policy with one endpoint as a browser sends it; `None` leaves a field out."""
    form = {
        "name": "ci",
        "description": "tells the builders",
        "event_types": ["PUSH_ARTIFACT"],
        "enabled": "on",
        "endpoints-TOTAL_FORMS": "1",
        "endpoints-INITIAL_FORMS": "0",
        "endpoints-0-type": "http",
        "endpoints-0-address": ADDRESS,
        "endpoints-0-payload_format": "Default",
        "endpoints-0-auth_header": "",
        "endpoints-0-stored": "",
    }
    renamed = {name.replace("endpoint_", "endpoints-0-"): value for name, value in facts.items()}
    return {name: value for name, value in {**form, **renamed}.items() if value is not None}


def changed(policy: WebhookPolicy, **facts: Any) -> dict[str, Any]:
    """The form of a stored policy as a browser sends it when nothing else was touched."""
    target = policy.targets.get()
    stored = {"name": policy.name, "endpoint_address": target.address, "endpoint_stored": str(target.pk)}
    return sent(**{**stored, **facts})


def stored() -> list[dict[str, Any]]:
    """Everything that policies say."""
    policies = [{**model_to_dict(policy), "secret": policy.secret} for policy in WebhookPolicy.objects.order_by("pk")]
    return policies + [{**row} for row in WebhookTarget.objects.order_by("pk").values()]


def target_of(policy: WebhookPolicy) -> WebhookTarget:
    return WebhookTarget.objects.get(policy=policy)


def delivery_of(policy: WebhookPolicy) -> str:
    return f"{PAGE}/{policy.pk}/deliveries/{Execution.objects.filter(vendor_id=policy.pk).latest('id').id}"


# --- who may ------------------------------------------------------------------------------------------------------
# Who, what looking is answered with, and whether he may change anything: the API's own table.
ROLES = [
    ("alice", 200, True),
    ("root", 200, True),
    # Maintainers may look.
    ("dave", 200, False),
    ("bob", 404, False),
    ("carol", 404, False),
    ("mallory", 404, False),
    (None, 404, False),
]


@pytest.fixture
def everybody(team: Project, admin: User, mallory: User) -> None:
    rows.add_member(team, rows.make_user("dave"), Role.MAINTAINER)


@pytest.mark.usefixtures("everybody")
@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(("who", "status", "may"), ROLES)
def test_who_sees_what(hook: WebhookPolicy, who: str | None, status: int, may: bool, public: bool) -> None:
    Project.objects.update(public=public)
    client, one, delivery = browser(who), f"{PAGE}/{hook.pk}", delivery_of(hook)
    answers = [client.get(path) for path in (PAGE, one, delivery)]
    assert [answer.status_code for answer in answers] == [status] * 3
    offers = {"/new", "/change", "/switch", "/secret", "/delete", "/send-again"}
    seen = "".join(map(text, answers))
    assert {offer for offer in offers if f'{offer}"' in seen} == (offers if may else set())
    assert (f'href="{PAGE}"' in text(client.get("/projects/team"))) == (status == 200)


@pytest.mark.usefixtures("everybody")
@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(("who", "status", "may"), ROLES)
def test_who_may_do_what(hook: WebhookPolicy, who: str | None, status: int, may: bool, public: bool) -> None:
    Project.objects.update(public=public)
    client, one = browser(who), f"{PAGE}/{hook.pk}"
    forms = [client.get(path).status_code for path in (f"{PAGE}/new", f"{one}/change")]
    done = [
        client.post(f"{delivery_of(hook)}/send-again").status_code,
        client.post(f"{PAGE}/new", sent(name="second")).status_code,
        client.post(f"{one}/change", changed(hook, description="other")).status_code,
        client.post(f"{one}/switch", {"enabled": ""}).status_code,
        client.post(f"{one}/secret").status_code,
        client.post(f"{one}/delete").status_code,
    ]
    if may:
        assert (forms, done) == ([200, 200], [302, 302, 302, 302, 200, 302])
        return
    # Who sees the pages is told that he may not; to others they are not there.
    assert (forms, done) == ([403 if status == 200 else 404] * 2, [403 if status == 200 else 404] * 6)
    policy = WebhookPolicy.objects.get()
    assert (policy.secret, policy.description, policy.enabled) == (hook.secret, hook.description, True)
    assert Execution.objects.count() == 1


def test_absent_and_forbidden_look_alike(hook: WebhookPolicy, mallory: User) -> None:
    paths = ("", "/new", f"/{hook.pk}", f"/{hook.pk}/change", delivery_of(hook).removeprefix(PAGE))
    for client in (browser("bob"), browser("mallory"), browser()):
        for path in paths:
            forbidden, absent = (client.get(f"/projects/{name}/webhooks{path}") for name in ("team", "nowhere"))
            assert (forbidden.status_code, absent.status_code) == (404, 404)
            chance = r'csrfmiddlewaretoken" value="[^"]*"'
            said = [re.sub(chance, "", text(answer)).replace("nowhere", "team") for answer in (forbidden, absent)]
            assert said[0] == said[1]


def test_a_policy_is_found_under_its_own_project_only(hook: WebhookPolicy, alice: User) -> None:
    rows.make_project("other", alice)
    client, elsewhere = browser("alice"), delivery_of(hook).replace("team", "other")
    for path in (f"/projects/other/webhooks/{hook.pk}", f"/projects/other/webhooks/{hook.pk}/change", elsewhere):
        assert client.get(path).status_code == 404
    for doing in ("switch", "secret", "delete"):
        assert client.post(f"/projects/other/webhooks/{hook.pk}/{doing}").status_code == 404
    assert client.post(f"{elsewhere}/send-again").status_code == 404
    second, *_ = rows.make_webhook(hook.project, "second")
    assert client.get(delivery_of(hook).replace(f"/{hook.pk}/", f"/{second.pk}/")).status_code == 404
    assert client.get(f"{PAGE}/{10**30}").status_code == 404
    assert WebhookPolicy.objects.count() == 2


def test_a_form_without_its_token_changes_nothing(hook: WebhookPolicy) -> None:
    client = browser("alice", enforce_csrf_checks=True)
    for doing in ("switch", "secret", "delete", "change"):
        assert client.post(f"{PAGE}/{hook.pk}/{doing}", changed(hook)).status_code == 403
    assert client.post(f"{PAGE}/new", sent(name="forged")).status_code == 403
    assert client.post(f"{delivery_of(hook)}/send-again").status_code == 403
    assert (WebhookPolicy.objects.get().secret, Execution.objects.count()) == (hook.secret, 1)


def test_in_read_only_mode_nothing_is_offered_and_what_was_typed_stays(hook: WebhookPolicy) -> None:
    configuration.change(read_only=True)
    client = browser("alice")
    seen = text(client.get(PAGE)) + text(client.get(f"{PAGE}/{hook.pk}")) + text(client.get(delivery_of(hook)))
    assert not re.search(r"/(new|change|switch|secret|delete|send-again)\"", seen)
    answer = client.post(f"{PAGE}/new", sent(name="late"))
    assert answer.status_code == 403
    assert "read-only mode" in text(answer)
    assert 'value="late"' in text(answer)
    for doing in ("switch", "secret", "delete"):
        assert client.post(f"{PAGE}/{hook.pk}/{doing}").status_code == 403
    assert WebhookPolicy.objects.get().secret == hook.secret


# --- the form -----------------------------------------------------------------------------------------------------
def test_alice_makes_a_webhook_and_it_is_in_the_audit_log(team: Project) -> None:
    client = browser("alice")
    assert "There is no webhook yet." in text(client.get(PAGE))
    offered = text(client.get(f"{PAGE}/new"))
    assert "Artifact pushed" in offered
    # Nothing tells of it yet.
    assert "Scan completed" not in offered
    answer = client.post(
        f"{PAGE}/new",
        sent(
            event_types=["DELETE_ARTIFACT", "PUSH_ARTIFACT"],
            endpoint_auth_header=STORED,
            endpoint_skip_cert_verify="on",
        ),
    )
    policy = WebhookPolicy.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"{PAGE}/{policy.pk}")
    assert (policy.name, policy.enabled, policy.creator) == ("ci", True, "alice")
    assert policy.event_types == ["PUSH_ARTIFACT", "DELETE_ARTIFACT"]
    target = target_of(policy)
    assert (target.type, target.address, target.payload_format) == ("http", ADDRESS, "Default")
    assert (target.auth_header, target.skip_cert_verify) == (STORED, True)
    assert AuditLog.objects.get(resource_type="notification-policy").username == "alice"
    page = text(client.get(f"{PAGE}/{policy.pk}"))
    for word in (
        ADDRESS,
        "tells the builders",
        "Artifact deleted",
        "with an Authorization header",
        "Any certificate is",
    ):
        assert word in page
    listed = text(client.get(PAGE))
    assert ADDRESS in listed
    assert "never" in listed


def test_slack_has_no_format_to_choose(team: Project) -> None:
    browser("alice").post(f"{PAGE}/new", sent(endpoint_type="slack", endpoint_payload_format="CloudEvents"))
    target = WebhookTarget.objects.get()
    assert (target.type, target.payload_format) == ("slack", "")


@pytest.mark.parametrize(
    ("facts", "status", "field", "words"),
    [
        ({"name": ""}, 400, "name", "This field is required."),
        ({"name": "x" * 256}, 400, "name", "at most 255 characters"),
        ({"name": "taken"}, 409, "name", "has a webhook of this name already"),
        ({"event_types": None}, 400, "event_types", "Choose at least one kind of event."),
        ({"event_types": ["PUSH_CHART"]}, 400, "event_types", "PUSH_CHART is not one of the available choices"),
        ({"endpoint_type": "mail"}, 400, "endpoints-0-type", "mail is not one of the available choices"),
        ({"endpoint_payload_format": "XML"}, 400, "endpoints-0-payload_format", "not one of the available choices"),
        ({"endpoint_address": ""}, 400, "endpoints-0-address", "This field is required."),
        ({"endpoint_address": "ftp://8.8.8.8/"}, 400, "endpoints-0-address", "An address looks like https://"),
        ({"endpoint_address": "http://["}, 400, "endpoints-0-address", "An address looks like https://"),
        ({"endpoint_address": "https://a:b@8.8.8.8/"}, 400, "endpoints-0-address", "without a user's name"),
        ({"endpoint_address": "http://10.0.0.1/"}, 400, "endpoints-0-address", "it is in a private network"),
        ({"endpoint_address": "http://169.254.169.254/"}, 400, "endpoints-0-address", "Webhooks may not go to this"),
        ({"endpoint_auth_header": "Bearer é"}, 400, "endpoints-0-auth_header", "one line of up to 4096 ASCII"),
        ({"endpoint_auth_header": "x" * 4097}, 400, "endpoints-0-auth_header", "one line of up to 4096 ASCII"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(
    team: Project, facts: dict[str, Any], status: int, field: str, words: str
) -> None:
    rows.make_webhook(team, "taken")
    typed = sent(**{"endpoint_auth_header": "Bearer typed", "endpoint_skip_cert_verify": "on", **facts})
    answer = browser("alice").post(f"{PAGE}/new", typed)
    page = html.unescape(text(answer))
    assert answer.status_code == status
    assert "Nothing was saved" in page
    beside = re.search(rf'<p class="problem" id="id_{field}_error">(.*?)</p>', page)
    assert beside, page
    assert words in beside[1]
    assert page.count('_error">') == 1
    for name in ("name", "endpoints-0-address", "endpoints-0-auth_header"):
        assert not typed[name] or re.search(rf'name="{name}" value="{re.escape(typed[name])}"', page), name
    assert ">\ntells the builders</textarea>" in page
    assert re.search(r'name="endpoints-0-skip_cert_verify"[^>]* checked', page)
    assert "no-store" in answer["Cache-Control"]
    assert WebhookPolicy.objects.count() == 1


def test_forms_that_no_browser_sends_are_refused_in_words(hook: WebhookPolicy) -> None:
    client = browser("alice")
    for body in ({}, {**sent(), "endpoints-TOTAL_FORMS": "x"}, {**sent(), "endpoints-TOTAL_FORMS": "0"}):
        answer = client.post(f"{PAGE}/new", body)
        assert answer.status_code == 400
        assert "Nothing was saved" in text(answer)
    for stored in ("x", "²", "-1", str(10**30)):
        answer = client.post(f"{PAGE}/{hook.pk}/change", changed(hook, endpoint_stored=stored))
        assert answer.status_code in (302, 400)
        assert STORED not in text(answer)
    many = client.post(f"{PAGE}/new", {**sent(), "endpoints-TOTAL_FORMS": "100000", "add": "1"})
    assert text(many).count('<fieldset class="endpoint">') == 10


def test_there_is_an_end_to_the_webhooks_of_a_project(hook: WebhookPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_policies, "MOST_POLICIES", 1)
    answer = browser("alice").post(f"{PAGE}/new", sent(name="one-more"))
    assert answer.status_code == 412
    assert "as many webhooks and endpoints as fit" in text(answer)
    assert 'value="one-more"' in text(answer)


def test_the_stored_header_is_kept_and_never_shown(hook: WebhookPolicy) -> None:
    client, path = browser("alice"), f"{PAGE}/{hook.pk}/change"
    for shown in (PAGE, f"{PAGE}/{hook.pk}", path, delivery_of(hook)):
        assert STORED not in text(client.get(shown))
    assert "kept as it is" in text(client.get(path))
    assert client.post(path, changed(hook, description="new words")).status_code == 302
    hook.refresh_from_db()
    assert (hook.description, target_of(hook).auth_header) == ("new words", STORED)
    assert client.post(path, changed(hook, endpoint_address="https://192.0.1.1/other")).status_code == 302
    assert target_of(hook).auth_header == STORED
    assert client.post(path, changed(hook, endpoint_auth_header="Bearer another")).status_code == 302
    assert target_of(hook).auth_header == "Bearer another"
    both = client.post(path, changed(hook, endpoint_without_header="on", endpoint_auth_header="Bearer third"))
    assert both.status_code == 400
    assert "Which is meant?" in text(both)
    assert client.post(path, changed(hook, endpoint_without_header="on")).status_code == 302
    assert target_of(hook).auth_header == ""


@pytest.mark.parametrize("address", ["https://8.8.8.8/hook", "http://192.0.1.1/hook", "https://192.0.1.1:8443/hook"])
def test_a_header_that_is_not_shown_does_not_go_to_another_server_by_oversight(
    hook: WebhookPolicy, address: str
) -> None:
    client, path = browser("alice"), f"{PAGE}/{hook.pk}/change"
    answer = client.post(path, changed(hook, endpoint_address=address))
    assert answer.status_code == 400
    assert "Type the header anew" in text(answer)
    assert STORED not in text(answer)
    assert target_of(hook).address == "https://192.0.1.1/hook"
    assert (
        client.post(path, changed(hook, endpoint_address=address, endpoint_auth_header="Bearer b")).status_code == 302
    )
    assert (target_of(hook).address, target_of(hook).auth_header) == (address, "Bearer b")


def test_the_header_of_somebody_elses_endpoint_is_not_to_be_had(hook: WebhookPolicy, alice: User) -> None:
    mine, *_ = rows.make_webhook(rows.make_project("mine", alice), "mine")
    WebhookTarget.objects.filter(policy=mine).update(auth_header="")
    body = changed(mine, endpoint_stored=str(target_of(hook).pk))
    assert browser("alice").post(f"/projects/mine/webhooks/{mine.pk}/change", body).status_code == 302
    assert target_of(mine).auth_header == ""


def test_endpoints_are_added_and_removed_and_what_was_typed_stays(team: Project) -> None:
    client = browser("alice")
    typed = sent(name="draft", endpoint_auth_header="Bearer typed", endpoint_address="not yet")
    page = text(client.post(f"{PAGE}/new", {**typed, "add": "1"}))
    assert page.count('<fieldset class="endpoint">') == 2
    for word in ('value="draft"', 'value="not yet"', 'value="Bearer typed"', 'name="endpoints-1-address"'):
        assert word in page
    assert "problem" not in page
    two = {
        **typed,
        "endpoints-TOTAL_FORMS": "2",
        "endpoints-1-type": "slack",
        "endpoints-1-address": ADDRESS,
        "endpoints-1-payload_format": "Default",
    }
    page = text(client.post(f"{PAGE}/new", {**two, "remove": "0"}))
    assert page.count('<fieldset class="endpoint">') == 1
    assert ("not yet" in page, f'name="endpoints-0-address" value="{ADDRESS}"' in page) == (False, True)
    empty = client.post(f"{PAGE}/new", {**two, "endpoints-0-address": ADDRESS, "endpoints-1-address": ""})
    assert empty.status_code == 400
    twice = client.post(f"{PAGE}/new", {**two, "endpoints-0-address": ADDRESS, "endpoints-1-type": "http",
                                        "endpoints-1-auth_header": "Bearer typed"})  # fmt: skip
    assert re.search(r'id="id_endpoints-1-address_error">This endpoint is there twice', text(twice))
    made = client.post(f"{PAGE}/new", {**two, "endpoints-0-address": ADDRESS})
    assert made.status_code == 302
    assert list(WebhookTarget.objects.order_by("position").values_list("type", flat=True)) == ["http", "slack"]


def test_what_others_set_by_the_api_survives_the_form(hook: WebhookPolicy) -> None:
    """A second endpoint, kinds of events that nothing tells of yet, and that it is switched off."""
    said = " tells\nof scans "
    WebhookPolicy.objects.update(event_types=["PUSH_ARTIFACT", "SCANNING_COMPLETED"], enabled=False, description=said)
    WebhookTarget.objects.create(policy=hook, position=1, type="slack", address=ADDRESS, auth_header="second")
    client, path = browser("alice"), f"{PAGE}/{hook.pk}/change"
    page = text(client.get(path))
    body: dict[str, Any] = {}
    for field in re.findall(r"<input[^>]*>", page):
        name, value = (re.search(rf'{word}="([^"]*)"', field) for word in ("name", "value"))
        is_box = 'type="checkbox"' in field
        if name and (not is_box or "checked" in field):
            body.setdefault(name[1], []).append(html.unescape(value[1]) if value else "on" if is_box else "")
    for name, options in re.findall(r'<select name="([^"]*)".*?>(.*?)</select>', page, re.S):
        body[name] = re.findall(r'value="([^"]*)" selected', options) or re.findall(r'value="([^"]*)"', options)[:1]
    # As browsers write newlines.
    body["description"] = said.replace("\n", "\r\n")
    before = stored()
    assert client.post(path, body).status_code == 302
    assert stored() == before


# --- secret, switch, delete -----------------------------------------------------------------------------------------
def test_a_new_secret_is_shown_once_and_never_again(hook: WebhookPolicy) -> None:
    client = browser("alice")
    assert client.get(f"{PAGE}/{hook.pk}/secret").status_code == 405
    answer = client.post(f"{PAGE}/{hook.pk}/secret")
    made = WebhookPolicy.objects.get().secret
    assert made != hook.secret
    assert f'data-copy="{html.escape(made)}"' in text(answer)
    assert hook.secret not in text(answer)
    assert "no-store" in answer["Cache-Control"]
    for path in (PAGE, f"{PAGE}/{hook.pk}", f"{PAGE}/{hook.pk}/change", delivery_of(hook), "/projects/team"):
        assert html.escape(made) not in text(client.get(path))
    assert made not in str(list(AuditLog.objects.values_list("description", flat=True)))
    assert made not in str(dict(client.session))
    again = client.post(f"{PAGE}/{hook.pk}/secret")
    assert html.escape(made) not in text(again)


def test_a_webhook_is_switched_off_and_on(hook: WebhookPolicy) -> None:
    client, path = browser("alice"), f"{PAGE}/{hook.pk}"
    assert client.post(f"{path}/switch", {"enabled": ""})["Location"] == path
    assert not WebhookPolicy.objects.get().enabled
    assert ">Switch on<" in text(client.get(path))
    client.post(f"{path}/switch", {"enabled": "on"})
    assert WebhookPolicy.objects.get().enabled
    assert ">Switch off<" in text(client.get(path))
    assert target_of(hook).auth_header == STORED


def test_a_deleted_webhook_is_gone(hook: WebhookPolicy) -> None:
    client = browser("alice")
    assert client.post(f"{PAGE}/{hook.pk}/delete")["Location"] == PAGE
    assert not WebhookPolicy.objects.exists()
    assert "There is no webhook yet." in text(client.get(PAGE))
    assert client.get(f"{PAGE}/{hook.pk}").status_code == 404


def test_an_endpoint_that_was_switched_off_says_so_and_why_and_what_to_do(hook: WebhookPolicy) -> None:
    client, path = browser("alice"), f"{PAGE}/{hook.pk}"
    since = timezone.now() - timedelta(hours=25)
    WebhookTarget.objects.update(address="https://192.0.1.1/hook?key=sesame", failing_since=since)
    page = text(client.get(path))
    assert f"Nothing has arrived at https://192.0.1.1/hook since {since:%Y-%m-%d %H:%M} UTC. It is tried" in page
    WebhookTarget.objects.update(disabled=timezone.now())
    WebhookPolicy.objects.update(enabled=False)
    page = text(client.get(path))
    assert "An endpoint was switched off" in page
    assert "<code>the endpoint answered 400</code>" in page
    assert "then switch it on again" in page
    assert "sesame" not in page
    assert "switched off" in text(client.get(PAGE))
    again = client.post(f"{delivery_of(hook)}/send-again")
    assert again.status_code == 412
    assert "because nothing had arrived there for a day" in text(again)
    client.post(f"{path}/switch", {"enabled": "on"})
    target = target_of(hook)
    assert (target.disabled, target.failing_since, WebhookPolicy.objects.get().enabled) == (None, None, True)
    assert "An endpoint" not in text(client.get(path))


# --- deliveries -----------------------------------------------------------------------------------------------------
def test_the_log_of_deliveries_says_what_became_of_each(hook: WebhookPolicy) -> None:
    body = {"event_data": {"resources": [{"tag": "v1"}], "repository": {"repo_full_name": "team/app"}}}
    Execution.objects.update(extra_attrs={"event_type": "PUSH_ARTIFACT", "payload": json.dumps(body)})
    Task.objects.update(run_count=3)
    arrived, task = rows.make_delivery(hook)
    Execution.objects.filter(id=arrived.id).update(status=Status.SUCCESS)
    Task.objects.filter(id=task.id).update(
        status=Status.SUCCESS, status_message="", extra_attrs={"response_status": 204, "duration_ms": 7}
    )
    client = browser("alice")
    page = text(client.get(f"{PAGE}/{hook.pk}"))
    assert page.index("204") < page.index("the endpoint answered 400")
    assert "team/app:v1" in page
    assert '<td class="number" data-label="Tries">3</td>' in page
    assert '<span class="badge good">done</span>' in text(client.get(PAGE))


def test_slacks_address_is_a_secret_and_shown_in_the_form_alone(hook: WebhookPolicy) -> None:
    WebhookTarget.objects.update(type="slack", address="https://hooks.slack.com/services/T0/B0/sesame")
    client = browser("alice")
    for path in (PAGE, f"{PAGE}/{hook.pk}", delivery_of(hook)):
        assert "https://hooks.slack.com/…" in text(client.get(path))
        assert "sesame" not in text(client.get(path))
    assert "sesame" in text(client.get(f"{PAGE}/{hook.pk}/change"))


def test_what_months_have_left_behind_is_not_looked_at_again_and_again(hook: WebhookPolicy) -> None:
    """A page that is open asks every two seconds."""
    many = [Execution(vendor_type="WEBHOOK", vendor_id=hook.pk, trigger="EVENT") for _ in range(5000)]
    other = [Execution(vendor_type="WEBHOOK", vendor_id=hook.pk + 1, trigger="EVENT") for _ in range(5000)]
    Execution.objects.bulk_create([*many, *other])
    rows.make_delivery(hook)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE job_execution, job_task")
    client = browser("alice")
    for path in (PAGE, f"{PAGE}/{hook.pk}"):
        with CaptureQueriesContext(connection) as captured:
            page = client.get(path, headers=LIVE).content.decode()
        asked = [query["sql"] for query in captured if "job_execution" in query["sql"]]
        assert asked
        assert max(rows_of(node) for sql in asked for node in nodes(sql)) <= SHOWN_DELIVERIES
    assert "Older ones than these 1000 are told by the API." in page


def test_what_waits_for_its_next_try_says_when(hook: WebhookPolicy) -> None:
    due = timezone.now() + timedelta(minutes=5)
    Task.objects.update(status=Status.PENDING, failures=1, due=due, end_time=None)
    page = text(browser("alice").get(f"{PAGE}/{hook.pk}"))
    assert f"next try at {due:%H:%M:%S} UTC" in page
    assert "/send-again" not in page


def test_a_delivery_lives_until_it_ends(hook: WebhookPolicy) -> None:
    client, path = browser("alice"), delivery_of(hook)
    TaskLog.objects.create(task_id=Task.objects.get().id, text="answered 400: <b>no</b>\n")
    page = text(client.get(path))
    assert "answered 400: &lt;b&gt;no&lt;/b&gt;" in page
    assert "every 2s" not in page
    answer = client.get(path, headers=LIVE)
    assert (answer.status_code, b"<html" in answer.content) == (286, False)
    Task.objects.update(status=Status.RUNNING, end_time=None)
    assert f'hx-get="{path}"' in text(client.get(path))
    assert client.get(path, headers=LIVE).status_code == 200
    listed = client.get(f"{PAGE}/{hook.pk}", headers=LIVE)
    assert (listed.status_code, b"<html" in listed.content, b"running" in listed.content) == (200, False, True)


def test_alice_sends_again_and_sees_what_becomes_of_it(hook: WebhookPolicy) -> None:
    client, old = browser("alice"), delivery_of(hook)
    answer = client.post(f"{old}/send-again")
    assert (answer.status_code, answer["Location"]) == (302, delivery_of(hook))
    assert answer["Location"] != old
    assert "waiting" in text(client.get(answer["Location"]))
    assert AuditLog.objects.filter(operation="redeliver").count() == 1


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        ("platform", "Webhooks are switched off for the whole platform"),
        ("policy", "This webhook is switched off"),
        ("gone", "is no longer part of this webhook"),
    ],
)
def test_what_cannot_be_sent_again_says_why(hook: WebhookPolicy, silent: str, words: str) -> None:
    if silent == "platform":
        configuration.change(actor="root", notification_enable=False)
    elif silent == "policy":
        WebhookPolicy.objects.update(enabled=False)
    else:
        WebhookTarget.objects.all().delete()
    client, path = browser("alice"), delivery_of(hook)
    assert words in text(client.get(path))
    assert "/send-again" not in text(client.get(path))
    answer = client.post(f"{path}/send-again")
    assert answer.status_code == 412
    assert words in text(answer)
    # Another language is chosen on a page that can be asked for again.
    assert f'name="next" value="{path}"' in text(answer)


@pytest.mark.parametrize(
    ("payload", "subject"),
    [
        ({"event_data": {"repository": {"repo_full_name": "a/b"}, "resources": [{"tag": "v1"}]}}, "a/b:v1"),
        ({"data": {"repository": {"repo_full_name": "a/b"}, "resources": [{"tag": "sha256:1"}]}}, "a/b@sha256:1"),
        (
            {"event_data": {"repository": {"repo_full_name": "a/b"}, "resources": [{"tag": "1"}, {"tag": "2"}]}},
            "a/b:1 …",
        ),
        ({"event_data": {"repository": {"repo_full_name": "a/b"}}}, "a/b"),
        ({"blocks": []}, ""),
        ({"event_data": []}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_what_a_message_is_about(payload: Any, subject: str) -> None:
    assert subject_of(json.dumps(payload)) == subject


def test_what_is_no_json_is_shown_as_it_is() -> None:
    assert (subject_of("{"), readable("{"), readable('{"a":1}')) == ("", "{", '{\n  "a": 1\n}')


# --- the pages themselves ---------------------------------------------------------------------------------------------
@pytest.fixture
def pages(hook: WebhookPolicy) -> str:
    """Every page of webhooks, as Alice sees them in one text."""
    name = "<script>alert(1)</script>"
    WebhookPolicy.objects.update(name=name, description=name)
    Execution.objects.update(extra_attrs={"event_type": name, "payload": name})
    client = browser("alice")
    paths = (PAGE, f"{PAGE}/new", f"{PAGE}/{hook.pk}", f"{PAGE}/{hook.pk}/change", delivery_of(hook))
    return "".join(text(client.get(path)) for path in paths) + text(client.post(f"{PAGE}/{hook.pk}/secret"))


def test_pages_have_no_script_of_their_own_and_escape_what_they_show(pages: str) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", pages)


def test_an_endpoint_that_the_operator_allows_is_taken(team: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "OF_PROJECTS", addresses.Reach(allowed=(ip_network("10.1.0.0/16"),)))
    client = browser("alice")
    assert client.post(f"{PAGE}/new", sent(endpoint_address="http://10.1.2.3/")).status_code == 302
