"""What an admin changes while the platform runs, through the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from core import configuration, errors
from core.models import Outbox, Setting
from core.store import files
from deploy.stack import trial_tls
from projects import quotas
from projects.models import AuditLog, Project
from tests.rest import Api, code
from tests.rows import PASSWORD, Story, make_robot

SECRETS = ("ldap_search_password", "oidc_client_secret", "uaa_client_secret")


def put(story: Story, **values: Any) -> Any:
    return Api(story.admin).put("/configurations", values)


def value(story: Story, key: str) -> Any:
    return Api(story.admin).get("/configurations").json()[key]["value"]


def message(answer: Any) -> str:
    return str(answer.json()["errors"][0]["message"])


def test_an_admin_reads_every_item_and_whether_it_can_be_changed(story: Story) -> None:
    body = Api(story.admin).get("/configurations").json()
    assert body["read_only"] == {"value": False, "editable": True}
    assert body["project_creation_restriction"] == {"value": "everyone", "editable": True}
    assert body["storage_per_project"] == {"value": -1, "editable": True}
    assert body["ldap_scope"] == {"value": 2, "editable": True}
    assert body["oidc_extra_redirect_parms"] == {"value": "{}", "editable": True}
    assert all(set(item) == {"value", "editable"} for item in body.values())
    assert len(body) == len(configuration.ITEMS) - len(SECRETS)
    assert not set(SECRETS) & set(body)


@pytest.mark.parametrize(("who", "status"), [("alice", 403), ("mallory", 403), (None, 401)])
def test_the_configuration_is_the_admins_alone(story: Story, who: str | None, status: int) -> None:
    client = Api(getattr(story, who) if who else None)
    assert client.get("/configurations").status_code == status
    assert client.put("/configurations", {"read_only": True}).status_code == status
    assert not Setting.objects.exists()


def test_no_robot_reads_the_configuration(story: Story) -> None:
    """There is no such permission to give, but an old row may hold it for a project."""
    assert Api(make_robot(story.team, ["configuration:read"])).get("/configurations").status_code == 403


def test_nobody_is_the_platform_itself(story: Story) -> None:
    assert Api().get("/internalconfig").status_code == 401
    answer = Api(story.admin).get("/internalconfig")
    assert (answer.status_code, code(answer)) == (403, "FORBIDDEN")


def test_what_is_changed_is_given_back_and_the_rest_stays(story: Story) -> None:
    answer = put(story, oidc_name="Keycloak", ldap_timeout=9, oidc_verify_cert=False)
    assert (answer.status_code, answer.content) == (200, b"")
    assert value(story, "oidc_name") == "Keycloak"
    assert value(story, "ldap_timeout") == 9
    assert value(story, "oidc_verify_cert") is False
    put(story, oidc_name="")
    assert (value(story, "oidc_name"), value(story, "ldap_timeout")) == ("", 9)


def test_null_and_unknown_items_are_ignored(story: Story) -> None:
    answer = put(story, oidc_name=None, no_such_item=5, postgresql_password="x", scan_all_policy={"type": "none"})
    assert answer.status_code == 200
    assert not Setting.objects.exists()
    # What a newer version stored is none of ours.
    Setting.objects.create(key="of_tomorrow", value=1)
    assert "of_tomorrow" not in Api(story.admin).get("/configurations").json()


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"read_only": "true"}, 422, "read_only must be true or false"),
        ({"read_only": 1}, 422, "true or false"),
        ({"ldap_timeout": "5"}, 422, "a whole number"),
        ({"ldap_timeout": True}, 422, "a whole number"),
        ({"ldap_timeout": 5.0}, 422, "a whole number"),
        ({"oidc_name": 5}, 422, "a string"),
        ({"oidc_name": {"a": 1}}, 422, "a string"),
        ({"oidc_extra_redirect_parms": {}}, 422, "a string"),
        ({"auth_mode": "ldap_auth"}, 400, "auth_mode must be db_auth, not 'ldap_auth'"),
        ({"project_creation_restriction": "nobody"}, 400, "everyone or adminonly"),
        ({"token_expiration": 0}, 400, "must be 1 to 5"),
        ({"token_expiration": 6}, 400, "WHARF_TOKEN_EXPIRATION"),
        ({"robot_token_duration": -1}, 400, "must be 1 to"),
        ({"session_timeout": 0}, 400, "must be 1 to"),
        ({"session_timeout": 2**40}, 400, "must be 1 to"),
        ({"ldap_scope": 3}, 400, "must be 0 to 2"),
        ({"ldap_group_search_scope": -1}, 400, "must be 0 to 2"),
        ({"ldap_uid": ""}, 400, "must have 1 to"),
        ({"robot_name_prefix": ""}, 400, "must have 1 to"),
        ({"banner_message": "x" * 16385}, 400, "characters"),
        ({"storage_per_project": 0}, 400, "-1 for no limit"),
        ({"storage_per_project": -2}, 400, "-1 for no limit"),
        ({"storage_per_project": 2**62}, 400, "-1 for no limit"),
        ({"oidc_extra_redirect_parms": "nonsense"}, 400, "JSON object of strings"),
        ({"oidc_extra_redirect_parms": "[]"}, 400, "JSON object of strings"),
        ({"oidc_extra_redirect_parms": '{"a": 1}'}, 400, "JSON object of strings"),
        ({"oidc_extra_redirect_parms": "[" * 16000}, 400, "JSON object of strings"),
        ({"skip_audit_log_database": True}, 400, "audit_log_forward_endpoint must be set"),
        ({"audit_log_forward_endpoint": "syslog"}, 400, "must be host:port"),
        ({"audit_log_forward_endpoint": "tcp://syslog:514"}, 400, "must be host:port"),
        ({"audit_log_forward_endpoint": "syslog:0x1"}, 400, "must be host:port"),
        ({"audit_log_forward_endpoint": "syslog:0"}, 400, "must be host:port"),
        ({"audit_log_forward_endpoint": "syslog:99999"}, 400, "must be host:port"),
        ({"audit_log_forward_endpoint": "me@syslog:514"}, 400, "must be host:port"),
        ({"ldap_search_password": "hunter2"}, 400, "is not kept: what it is for does not exist here yet"),
        ({"oidc_client_secret": 5}, 422, "a string"),
    ],
    ids=lambda case: str(case)[:60],
)
def test_what_an_item_cannot_be(story: Story, values: dict[str, Any], status: int, words: str) -> None:
    answer = put(story, oidc_name="Keycloak", **values) if "oidc_name" not in values else put(story, **values)
    assert answer.status_code == status
    assert words in message(answer)
    # All or nothing.
    assert not Setting.objects.exists()
    assert not AuditLog.objects.filter(resource_type="configuration").exists()


BANNER = {"message": "Closed", "type": "danger", "closable": True, "fromDate": "06/19/2026", "toDate": "06/21/2026"}


@pytest.mark.parametrize(
    "banner",
    ["", json.dumps(BANNER), '{"message": ""}', json.dumps({**BANNER, "fromDate": None, "toDate": "", "link": "/x"}),
     json.dumps({**BANNER, "fromDate": "2026-06-19T00:00:00.000Z", "toDate": "2026-06-21"})],
)  # fmt: skip
def test_a_banner_is_what_harbors_portal_shows(story: Story, banner: str) -> None:
    assert put(story, banner_message=banner).status_code == 200
    assert Api().get("/systeminfo").json()["banner_message"] == banner


@pytest.mark.parametrize(
    ("banner", "words"),
    [
        ("Maintenance on Sunday", "this is none"),
        ('"Maintenance on Sunday"', "this is none"),
        ("[]", "this is none"),
        ("{", "this is none"),
        ("[" * 16000, "this is none"),
        ("{}", "message must be a string"),
        (json.dumps({**BANNER, "message": 7}), "message must be a string"),
        (json.dumps({**BANNER, "type": "purple"}), "type must be success or info or warning or danger"),
        (json.dumps({**BANNER, "type": ["info"]}), "type must be"),
        (json.dumps({**BANNER, "closable": "yes"}), "closable must be true or false"),
        (json.dumps({**BANNER, "fromDate": "tomorrow"}), "fromDate must be a date such as 06/19/2026"),
        (json.dumps({**BANNER, "toDate": "31/12/2026"}), "toDate must be a date"),
        (json.dumps({**BANNER, "toDate": 20261231}), "toDate must be a date"),
    ],
    ids=lambda case: str(case)[:40],
)
def test_a_banner_that_would_break_every_page_is_refused(story: Story, banner: str, words: str) -> None:
    answer = put(story, banner_message=banner)
    assert (answer.status_code, code(answer)) == (400, "BAD_REQUEST")
    assert message(answer).startswith("banner_message is empty or a JSON object in a string, such as {")
    assert words in message(answer)
    assert not Setting.objects.exists()


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b'{"oidc_name": "\\u0000"}', b'{"oidc_name": "\\ud800"}'])
def test_strange_bodies_change_nothing(story: Story, content: bytes) -> None:
    assert Api(story.admin).send("PUT", "/configurations", content).status_code in (400, 422)
    assert not Setting.objects.exists()


def test_without_a_body_nothing_is_changed(story: Story) -> None:
    answer = Api(story.admin).send("PUT", "/configurations")
    assert (answer.status_code, message(answer)) == (422, "body in body is required")
    assert not Setting.objects.exists()


def test_the_audit_log_must_be_somewhere(story: Story) -> None:
    assert put(story, skip_audit_log_database=True, audit_log_forward_endpoint="syslog:514").status_code == 200
    assert put(story, audit_log_forward_endpoint="").status_code == 400
    assert put(story, audit_log_forward_endpoint="", skip_audit_log_database=False).status_code == 200


def test_a_secret_is_neither_kept_nor_told_nor_logged(story: Story, capfd: pytest.CaptureFixture[str]) -> None:
    for key in SECRETS:
        answer = put(story, **{key: "hunter2-secret"})
        assert answer.status_code == 400
        assert "hunter2" not in answer.content.decode()
        # A client that sends all items back sends an empty one.
        assert put(story, **{key: ""}).status_code == 200
    kept = [*Setting.objects.values(), *Outbox.objects.values(), *AuditLog.objects.values()]
    assert "hunter2" not in str(kept) + "".join(capfd.readouterr())


def test_a_change_is_in_the_audit_log_by_name_and_only_if_it_changes_something(story: Story) -> None:
    put(story, oidc_name="Keycloak", read_only=False, self_registration=True)
    row = AuditLog.objects.get(resource_type="configuration")
    assert (row.username, row.operation, row.resource) == ("root", "update", "self_registration, oidc_name")
    assert Outbox.objects.get(topic="UPDATE_CONFIGURATION").payload["keys"] == ["self_registration", "oidc_name"]
    put(story, oidc_name="Keycloak", self_registration=True)
    assert AuditLog.objects.filter(resource_type="configuration").count() == 1


def test_an_item_that_does_not_exist_is_a_programmers_mistake(db: None) -> None:
    with pytest.raises(KeyError):
        configuration.change(no_such_item=1)
    with pytest.raises(errors.Unprocessable):
        configuration.change(read_only="yes")


# --- what is in force -----------------------------------------------------------------------------------
def test_read_only_mode_can_be_ended_by_whoever_may(story: Story) -> None:
    assert put(story, read_only=True).status_code == 200
    assert Api(story.alice).get("/systeminfo").json()["read_only"] is True
    assert Api(story.admin).post("/projects", {"project_name": "new"}).status_code == 403
    assert Api(story.alice).put("/configurations", {"read_only": False}).status_code == 403
    assert put(story, read_only=False).status_code == 200
    assert Api(story.admin).post("/projects", {"project_name": "new"}).status_code == 201


def test_who_may_make_projects_and_how_large_they_may_get(story: Story) -> None:
    put(story, project_creation_restriction="adminonly", storage_per_project=1000)
    assert Api(story.alice).post("/projects", {"project_name": "hers"}).status_code == 403
    assert Api(story.admin).post("/projects", {"project_name": "his"}).status_code == 201
    assert Project.objects.get(name="his").quota.hard == 1000


def test_quotas_can_be_switched_off(story: Story) -> None:
    story.team.quota.hard = story.team.quota.used = 10
    story.team.quota.save()
    assert quotas.is_spent(project=story.team)
    put(story, quota_per_project_enable=False)
    assert not quotas.is_spent(project=story.team)


def test_tokens_live_as_long_as_configured(story: Story) -> None:
    put(story, token_expiration=2)
    assert _token(story)["expires_in"] == 120


def test_no_token_outlives_a_setting_that_was_lowered(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    put(story, token_expiration=5)
    lowered = configuration.Whole(3, most=3)
    monkeypatch.setitem(configuration.ITEMS, "token_expiration", lowered)
    configuration.forget()
    assert _token(story)["expires_in"] == 180
    assert value(story, "token_expiration") == 3


def test_what_was_said_holds_when_the_default_changes(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    put(story, token_expiration=5)
    monkeypatch.setitem(configuration.ITEMS, "token_expiration", configuration.Whole(30, most=30))
    assert value(story, "token_expiration") == 5


def test_a_session_lives_as_long_as_configured(story: Story) -> None:
    put(story, session_timeout=7)
    browser = APIClient()
    answer = browser.post("/sign-in", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 302
    assert int(answer.cookies["sid"]["max-age"]) == 420


def test_strangers_see_the_banner_and_whether_they_may_sign_up(story: Story) -> None:
    assert Api().get("/systeminfo").json()["banner_message"] == ""
    put(story, banner_message='{"message": "Closed on Friday"}', self_registration=True, primary_auth_mode=True)
    body = Api().get("/systeminfo").json()
    assert body == {
        "auth_mode": "db_auth",
        "primary_auth_mode": True,
        "self_registration": True,
        "banner_message": '{"message": "Closed on Friday"}',
    }


def test_whoever_signed_in_sees_what_was_configured(story: Story) -> None:
    put(story, notification_enable=False, project_creation_restriction="adminonly")
    body = Api(story.carol).get("/systeminfo").json()
    assert (body["notification_enable"], body["project_creation_restriction"]) == (False, "adminonly")
    assert (body["has_ca_root"], body["registry_storage_provider_name"]) == (False, "filesystem")


# --- /systeminfo/… ----------------------------------------------------------------------------------------
def test_who_may_sees_how_full_the_disk_is(story: Story) -> None:
    body = Api(story.admin).get("/systeminfo/volumes").json()
    (disk,) = body["storage"]
    assert disk["total"] > disk["free"] > 0
    assert Api(make_robot(None, ["system-volumes:read"])).get("/systeminfo/volumes").status_code == 200
    assert Api(story.alice).get("/systeminfo/volumes").status_code == 403
    assert Api().get("/systeminfo/volumes").status_code == 401


@pytest.fixture
def other_store(settings: Any) -> Iterator[Callable[[str], None]]:
    """Says where the store is; the process remembers it."""

    def move(url: str) -> None:
        settings.STORE_URL = url
        files._store.cache_clear()

    yield move
    files._store.cache_clear()


def test_a_disk_that_is_gone_is_no_empty_one(story: Story, other_store: Callable[[str], None]) -> None:
    other_store("file:///nonexistent/store")
    answer = Api(story.admin).get("/systeminfo/volumes")
    assert (answer.status_code, code(answer)) == (503, "UNAVAILABLE")


def test_a_bucket_has_no_volume(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = replace(files._store(), has_folders=False)
    monkeypatch.setattr(files, "_store", lambda: bucket)
    answer = Api(story.admin).get("/systeminfo/volumes")
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")


def test_the_trial_authority_can_be_fetched_without_its_key(story: Story, settings: Any, tmp_path: Path) -> None:
    trial_tls.make(tmp_path, "localhost")
    certificate, key = (tmp_path / "ca.crt").read_text(), (tmp_path / "ca.key").read_text()
    (tmp_path / "both.crt").write_text(key + certificate)
    settings.SECURE, settings.CA_CERTIFICATE = True, tmp_path / "both.crt"
    answer = Api().get("/systeminfo/getcert")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/octet-stream")
    assert answer["Content-Disposition"] == "attachment; filename=ca.crt"
    assert answer.content.decode().strip() == certificate.strip()
    assert "PRIVATE" not in answer.content.decode()
    assert Api(story.alice).get("/systeminfo").json()["has_ca_root"] is True


@pytest.mark.parametrize("text", [None, "", "nonsense"])
def test_without_an_authority_there_is_nothing_to_fetch(
    db: None, settings: Any, tmp_path: Path, text: str | None
) -> None:
    settings.SECURE, settings.CA_CERTIFICATE = True, tmp_path / "ca.crt"
    if text is not None:
        (tmp_path / "ca.crt").write_text(text)
    answer = Api().get("/systeminfo/getcert")
    assert (answer.status_code, code(answer)) == (404, "NOT_FOUND")


def _token(story: Story) -> Any:
    client = Api(story.alice).client
    return client.get("/service/token", {"scope": "repository:team/app:pull"}).json()
