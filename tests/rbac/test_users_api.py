"""Users through the API."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from core import configuration
from core.models import Outbox
from projects.models import AuditLog
from rbac import users
from rbac.models import User
from tests.rest import Api, code
from tests.rows import PASSWORD, Story, make_robot, make_user

NEW = {"username": "dave", "email": "dave@example.com", "realname": "Dave", "password": "Secret123"}


def test_an_admin_makes_a_user_who_can_sign_in(story: Story) -> None:
    answer = Api(story.admin).post("/users", NEW)
    dave = User.objects.get(username="dave")
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer["Location"] == f"/api/v2.0/users/{dave.pk}"
    body = Api(dave, "Secret123").get("/users/current").json()
    assert body["username"] == "dave"
    assert body["sysadmin_flag"] is False
    assert "password" not in str(body)


def test_what_was_done_is_in_the_audit_log_without_secrets(story: Story) -> None:
    Api(story.admin).post("/users", NEW)
    row = AuditLog.objects.get(resource_type="user")
    assert (row.username, row.operation, row.resource) == ("root", "create", "dave")
    assert "Secret123" not in str(list(Outbox.objects.values()))


@pytest.mark.parametrize("who", ["alice", "mallory", None])
def test_others_make_no_users(story: Story, who: str | None) -> None:
    answer = Api(getattr(story, who) if who else None).post("/users", NEW)
    assert answer.status_code == (403 if who else 401)
    assert not User.objects.filter(username="dave").exists()


def test_people_sign_themselves_up_where_that_is_switched_on_with_a_browser_only(story: Story) -> None:
    configuration.change(self_registration=True)
    assert Api().post("/users", NEW).status_code == 403
    browser = APIClient(enforce_csrf_checks=True)
    browser.cookies["sid"] = "somebody"
    refused = browser.post("/api/v2.0/users", NEW, format="json")
    assert (refused.status_code, code(refused)) == (403, "FORBIDDEN")
    token = browser.get("/api/v2.0/systeminfo")["X-Harbor-CSRF-Token"]
    browser.credentials(HTTP_X_HARBOR_CSRF_TOKEN=token)
    assert browser.post("/api/v2.0/users", NEW, format="json").status_code == 201
    assert not User.objects.get(username="dave").is_sysadmin


def test_nobody_makes_himself_an_admin_in_passing(story: Story) -> None:
    Api(story.admin).post("/users", {**NEW, "sysadmin_flag": True, "is_sysadmin": True, "user_id": 77})
    assert not User.objects.get(username="dave").is_sysadmin
    Api(story.bob).put(f"/users/{story.bob.pk}", {"realname": "Bob", "sysadmin_flag": True, "username": "root2"})
    story.bob.refresh_from_db()
    assert (story.bob.is_sysadmin, story.bob.username, story.bob.realname) == (False, "bob", "Bob")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"username": "alice"}, 409),
        ({"email": "alice@example.com"}, 409),
        ({"username": ""}, 400),
        ({"username": " dave"}, 400),
        ({"username": "a$b"}, 400),
        ({"username": "robot$x"}, 400),
        ({"username": "anonymous"}, 400),
        ({"username": "d" * 256}, 422),
        ({"username": 5}, 422),
        ({"username": None}, 422),
        ({"password": "short1A"}, 400),
        ({"password": "alllowercase1"}, 400),
        ({"password": "NoNumbersHere"}, 400),
        ({"password": ""}, 400),
        ({"password": "aA1" * 50}, 400),
        ({"email": "nonsense"}, 400),
        ({"comment": "x" * 256}, 422),
    ],
    ids=str,
)
def test_what_a_user_cannot_be(story: Story, change: dict[str, Any], status: int) -> None:
    before = User.objects.count()
    assert Api(story.admin).post("/users", {**NEW, **change}).status_code == status
    assert User.objects.count() == before


def test_users_without_an_address_do_not_collide(story: Story) -> None:
    for name in ("dave", "erin"):
        assert Api(story.admin).post("/users", {"username": name, "password": "Secret123"}).status_code == 201


# admin, alice about herself, alice about bob, nobody
@pytest.mark.parametrize(
    ("method", "path", "body", "statuses"),
    [
        ("get", "", None, "200 200 403 401"),
        ("put", "", {"realname": "X"}, "200 200 403 401"),
        ("put", "/sysadmin", {"sysadmin_flag": True}, "200 403 403 401"),
        ("put", "/password", {"old_password": PASSWORD, "new_password": "Other-123"}, "200 200 403 401"),
        ("delete", "", None, "200 403 403 401"),
    ],
)
def test_who_may_touch_an_account(story: Story, method: str, path: str, body: Any, statuses: str) -> None:
    alice, bob = f"/users/{story.alice.pk}{path}", f"/users/{story.bob.pk}{path}"
    asked = [(Api(), bob), (Api(story.alice), bob), (Api(story.alice), alice), (Api(story.admin), bob)]
    answers = [getattr(client, method)(url, body).status_code for client, url in asked]
    assert " ".join(str(status) for status in reversed(answers)) == statuses


def test_only_who_manages_users_hears_that_one_does_not_exist(story: Story) -> None:
    assert Api(story.admin).get("/users/999999").status_code == 404
    assert Api(story.alice).get("/users/999999").status_code == 403
    assert Api(story.admin).delete("/users/999999").status_code == 404


def test_the_list_is_the_admins(story: Story) -> None:
    answer = Api(story.admin).get("/users")
    assert [row["username"] for row in answer.json()] == ["alice", "bob", "carol", "mallory", "root"]
    assert answer["X-Total-Count"] == "5"
    assert [row["username"] for row in Api(story.admin).get("/users?username=LI").json()] == ["alice"]
    assert Api(story.alice).get("/users").status_code == 403
    assert Api().get("/users").status_code == 401
    assert Api(make_robot(None, ["user:list"])).get("/users").status_code == 200
    assert Api(make_robot(None, ["project:list"])).get("/users").status_code == 403


def test_whoever_signed_in_finds_people_by_name(story: Story) -> None:
    assert Api(story.mallory).get("/users/search?username=ali").json() == [
        {"user_id": story.alice.pk, "username": "alice"}
    ]
    assert Api(story.mallory).get("/users/search").status_code == 422
    assert Api().get("/users/search?username=ali").status_code == 401


def test_a_deleted_user_cannot_sign_in_and_leaves_the_name(story: Story) -> None:
    client = Api(story.bob)
    assert client.get("/users/current").status_code == 200
    assert Api(story.admin).delete(f"/users/{story.bob.pk}").status_code == 200
    assert client.get("/users/current").status_code == 401
    row = User.objects.get(pk=story.bob.pk)
    assert (row.username, row.email) == (f"bob#{row.pk}", f"bob@example.com#{row.pk}")
    assert Api(story.admin).get(f"/users/{row.pk}").status_code == 404
    again = Api(story.admin).post("/users", {**NEW, "username": "bob", "email": "bob@example.com"})
    assert again.status_code == 201
    assert Api(User.objects.get(username="bob"), "Secret123").get("/projects/team").status_code == 403


def test_the_longest_name_can_be_deleted_too(story: Story) -> None:
    long = make_user("l" * 255, email=None)
    assert Api(story.admin).delete(f"/users/{long.pk}").status_code == 200
    long.refresh_from_db()
    assert long.username.endswith(f"l#{long.pk}")


def test_nobody_deletes_himself_or_the_first_admin(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Api(story.admin).delete(f"/users/{story.admin.pk}").status_code == 403
    first = make_user("first", is_sysadmin=True)
    monkeypatch.setattr(users, "FIRST_ADMIN", first.pk)
    assert Api(story.admin).delete(f"/users/{first.pk}").status_code == 403
    assert Api(story.admin).put(f"/users/{first.pk}/sysadmin", {"sysadmin_flag": False}).status_code == 403


def test_an_admin_makes_and_unmakes_admins(story: Story) -> None:
    url = f"/users/{story.bob.pk}/sysadmin"
    assert Api(story.admin).put(url, {"sysadmin_flag": True}).status_code == 200
    assert Api(story.bob).get("/users").status_code == 200
    assert Api(story.admin).put(url, {"sysadmin_flag": False}).status_code == 200
    assert Api(story.bob).get("/users").status_code == 403
    assert Api(story.admin).put(url, {"sysadmin_flag": "true"}).status_code == 422
    assert Api(story.admin).put(url, {}).status_code == 422


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (PASSWORD, "Other-123", 200),
        ("wrong", "Other-123", 403),
        (None, "Other-123", 403),
        (PASSWORD, "weak", 400),
        (PASSWORD, PASSWORD, 400),
        (PASSWORD, None, 422),
    ],
)
def test_changing_ones_own_password(story: Story, old: str | None, new: str | None, status: int) -> None:
    answer = Api(story.bob).put(f"/users/{story.bob.pk}/password", {"old_password": old, "new_password": new})
    assert answer.status_code == status
    assert Api(story.bob).get("/users/current").status_code == (401 if status == 200 else 200)


def test_a_changed_password_ends_logins_and_sessions(story: Story) -> None:
    remembered, browser = Api(story.bob), Api()
    browser.client.force_login(story.bob)
    assert remembered.get("/users/current").status_code == 200
    assert browser.get("/users/current").status_code == 200
    assert Api(story.admin).put(f"/users/{story.bob.pk}/password", {"new_password": "Other-123"}).status_code == 200
    assert remembered.get("/users/current").status_code == 401
    assert browser.get("/users/current").status_code == 401
    assert Api(story.bob, "Other-123").get("/users/current").status_code == 200


def test_a_stolen_session_cannot_guess_the_password(story: Story) -> None:
    client, url = Api(story.bob), f"/users/{story.bob.pk}/password"
    statuses = [client.put(url, {"old_password": "no", "new_password": "Other-123"}).status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]


def test_an_admin_knows_his_old_password_too(story: Story) -> None:
    answer = Api(story.admin).put(f"/users/{story.admin.pk}/password", {"new_password": "Other-123"})
    assert (answer.status_code, code(answer)) == (403, "FORBIDDEN")


def test_robots_have_no_account(story: Story) -> None:
    answer = Api(make_robot(story.team, ["repository:pull"])).get("/users/current")
    assert (answer.status_code, code(answer)) == (412, "PRECONDITION")


def test_a_robot_that_manages_users_is_not_thereby_an_admin(story: Story) -> None:
    robot = Api(make_robot(None, ["user:create", "user:read", "user:update", "user:delete"]))
    boss = make_user(is_sysadmin=True)
    assert robot.put(f"/users/{story.bob.pk}/password", {"new_password": "Other-1234"}).status_code == 200
    assert robot.put(f"/users/{story.bob.pk}", {"email": "", "comment": "hello"}).status_code == 200
    assert robot.get(f"/users/{boss.pk}").status_code == 200
    for method, path, body in (
        ("put", f"/users/{boss.pk}/password", {"new_password": "Other-1234"}),
        ("put", f"/users/{boss.pk}", {"email": "mine@example.com"}),
        ("put", f"/users/{boss.pk}/sysadmin", {"sysadmin_flag": False}),
        ("put", f"/users/{story.bob.pk}/sysadmin", {"sysadmin_flag": True}),
        ("delete", f"/users/{boss.pk}", None),
    ):
        answer = getattr(robot, method)(path, *([body] if body else []))
        assert (answer.status_code, code(answer)) == (403, "FORBIDDEN"), path
    assert User.objects.get(pk=boss.pk).is_sysadmin
    assert not User.objects.get(pk=story.bob.pk).is_sysadmin
    assert robot.delete(f"/users/{story.bob.pk}").status_code == 200


def test_a_taken_address_is_a_conflict_on_change_too(story: Story) -> None:
    answer = Api(story.bob).put(f"/users/{story.bob.pk}", {"email": "alice@example.com"})
    assert answer.status_code == 409
    Api(story.bob).put(f"/users/{story.bob.pk}", {"email": "", "comment": "hello"})
    body = Api(story.bob).get("/users/current").json()
    assert "email" not in body
    assert body["comment"] == "hello"


def test_a_change_of_the_profile_does_not_undo_another(story: Story) -> None:
    """Two requests at once: the one that read the row first must not write back what it read."""
    stale = User.objects.get(pk=story.bob.pk)
    users.set_sysadmin(user=story.bob, is_sysadmin=True, actor=story.admin)
    users.update(user=stale, realname="Bob", actor=stale)
    assert User.objects.get(pk=story.bob.pk).is_sysadmin


def test_lists_cost_the_same_for_one_and_for_thirty(
    story: Story, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    client = Api(story.admin)
    client.get("/users")
    with django_assert_max_num_queries(6) as one:
        client.get("/users?page_size=1")
    for _ in range(30):
        make_user()
    with django_assert_num_queries(len(one)):
        assert len(client.get("/users?page_size=30").json()) == 30


# --- secrets for docker, which people without a password need ---------------------------------------------------
@pytest.mark.parametrize(
    ("who", "whose", "secret", "status"),
    [
        ("alice", "alice", "Str0ng-enough", 412),
        ("alice", "alice", "weak", 400),
        ("alice", "alice", "alllowercase1", 400),
        ("alice", "alice", "A1" + "x" * 127, 400),
        ("alice", "alice", 7, 422),
        ("alice", "bob", "Str0ng-enough", 403),
        ("admin", "bob", "Str0ng-enough", 412),
        ("admin", None, "Str0ng-enough", 404),
        ("alice", None, "Str0ng-enough", 403),
        (None, "alice", "Str0ng-enough", 401),
    ],
)
def test_nobody_has_a_secret_for_docker_besides_the_password(
    story: Story, who: str | None, whose: str | None, secret: object, status: int
) -> None:
    number = getattr(story, whose).pk if whose else 999999
    answer = Api(getattr(story, who) if who else None).put(f"/users/{number}/cli_secret", {"secret": secret})
    assert answer.status_code == status
    if status == 412:
        assert code(answer) == "PRECONDITION"
        assert "under authmode: db_auth" in answer.json()["errors"][0]["message"]
    assert Api(story.alice).get("/users/current").status_code == 200


def test_no_robot_sets_a_secret_for_docker(story: Story) -> None:
    path = f"/users/{story.alice.pk}/cli_secret"
    assert Api(make_robot(None, ["user:read"])).put(path, {"secret": "Str0ng-enough"}).status_code == 403
