"""The token service, as clients use it."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import requests

from tests.e2e.client import Client, Repository, make_image
from tests.e2e.platform import PASSWORD, Platform

People = dict[str, tuple[str, str]]


def ask(platform: Platform, user: tuple[str, str] | None, *scopes: str, **more: str) -> requests.Response:
    params: dict[str, Any] = {"service": "harbor-registry", "scope": list(scopes), **more}
    return requests.get(f"{platform.url}/service/token", params=params, auth=user, timeout=30)


def access(answer: requests.Response) -> dict[str, list[str]]:
    payload = answer.json()["token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {entry["name"]: entry["actions"] for entry in claims["access"]}


def test_granted_is_asked_and_allowed(platform: Platform, people: People) -> None:
    asked = ("repository:team/app:pull,push,delete", "repository:open/app:pull,push repository:nope/app:pull")
    expected = {
        "alice": [["delete", "pull", "push"], ["pull", "push"]],
        "bob": [["pull", "push"], ["pull"]],
        "carol": [["pull"], ["pull"]],
        "mallory": [[], ["pull"]],
    }
    for name, (team, opened) in expected.items():
        granted = access(ask(platform, people[name], *asked))
        assert granted == {"team/app": team, "open/app": opened, "nope/app": []}, name
    assert access(ask(platform, None, *asked)) == {"team/app": [], "open/app": ["pull"], "nope/app": []}
    assert access(ask(platform, people["bob"], "repository:team/app:*")) == {"team/app": ["pull", "push"]}


def test_the_answer_is_what_the_specification_says(platform: Platform, people: People) -> None:
    answer = ask(platform, people["bob"], "repository:team/app:pull", account="bob", offline_token="true")
    body = answer.json()
    assert set(body) == {"token", "access_token", "expires_in", "issued_at"}
    assert body["token"] == body["access_token"]
    assert body["expires_in"] == 300
    header = json.loads(base64.urlsafe_b64decode(body["token"].split(".")[0] + "=="))
    assert header["alg"] == "ES256"
    assert len(header["x5c"]) == 1


def test_a_script_that_sends_its_password_reads_and_deletes_without_a_token(platform: Platform, people: People) -> None:
    """As in Harbor: `curl -u`. What somebody may not read stays hidden, and the bytes of a push need a token."""
    image = make_image(b"for scripts")
    Client(platform.url, people["bob"]).repository("team/scripts").push(image, "v1")

    def call(method: str, path: str, who: tuple[str, str] | None, **options: Any) -> requests.Response:
        return requests.request(method, f"{platform.url}/v2/{path}", auth=who, timeout=30, **options)

    carol, alice = people["carol"], people["alice"]
    assert call("GET", "", carol).status_code == 200
    assert call("GET", "team/scripts/tags/list", carol).json() == {"name": "team/scripts", "tags": ["v1"]}
    assert "team/scripts" in call("GET", "_catalog?n=1000", carol).json()["repositories"]
    manifest = call("GET", "team/scripts/manifests/v1", carol)
    assert manifest.content == image.manifest
    for digest, content in image.blobs.items():
        assert call("HEAD", f"team/scripts/blobs/{digest}", carol).status_code == 200
        assert call("GET", f"team/scripts/blobs/{digest}", carol).content == content
    assert call("GET", "team/scripts/tags/list", people["mallory"]).status_code == 403
    wrong = call("GET", "team/scripts/tags/list", ("carol", "nonsense"))
    assert (wrong.status_code, wrong.json()["errors"][0]["message"]) == (401, "The user name or password is wrong.")
    assert wrong.headers["WWW-Authenticate"].startswith('Bearer realm="')
    assert call("DELETE", f"team/scripts/manifests/{image.digest}", carol).status_code == 403
    for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/v2")):
        pushed = call(method, f"team/scripts/{path}", alice, data=image.manifest)
        assert pushed.status_code == 401
        assert 'scope="repository:team/scripts:pull,push"' in pushed.headers["WWW-Authenticate"]
    assert call("DELETE", f"team/scripts/manifests/{image.digest}", alice).status_code == 202


def test_wrong_credentials_are_401(platform: Platform, people: People) -> None:
    for user in (("bob", "nonsense"), ("nobody", PASSWORD), ("robot$team+none", "x"), ("", "")):
        answer = ask(platform, user)
        assert answer.status_code == 401, user
        assert answer.json()["errors"][0]["message"] == "The user name or password is wrong."


def test_an_unknown_service_and_a_post_are_refused(platform: Platform, people: People) -> None:
    assert ask(platform, people["bob"], service="other").status_code == 400
    posted = requests.post(f"{platform.url}/service/token", data={"grant_type": "password"}, timeout=30)
    assert posted.status_code == 405
    assert posted.json()["errors"][0]["code"] == "UNSUPPORTED"


def test_failed_logins_are_limited_per_account_and_address(platform: Platform, people: People) -> None:
    platform.make_user("forgetful")
    statuses = [ask(platform, ("forgetful", f"guess{number}")).status_code for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    refused = ask(platform, ("forgetful", PASSWORD))
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    # Nobody else is locked out, neither here nor from elsewhere.
    assert ask(platform, people["bob"]).status_code == 200
    # A header does not make it another address.
    elsewhere = requests.get(
        f"{platform.url}/service/token", auth=("forgetful", PASSWORD), timeout=30,
        headers={"X-Forwarded-For": "1.2.3.4", "X-Real-IP": "1.2.3.4"},
    )  # fmt: skip
    assert elsewhere.status_code == 429


def test_a_changed_password_counts_at_once(platform: Platform, people: People) -> None:
    name, old = platform.make_user("changing")
    assert ask(platform, (name, old)).status_code == 200
    number = platform.api("GET", "/users/current", (name, old)).json()["user_id"]
    body = {"old_password": old, "new_password": "Different12345"}
    assert platform.api("PUT", f"/users/{number}/password", (name, old), json=body).status_code == 200
    assert ask(platform, (name, old)).status_code == 401
    assert ask(platform, (name, "Different12345")).status_code == 200


def test_a_deleted_user_is_out_at_once(platform: Platform, people: People, alice: Client) -> None:
    name, password = platform.make_user("leaving")
    platform.add_member("team", people["alice"], name, 2)
    client = Client(platform.url, (name, password))
    image = make_image()
    client.repository("team/leaving").push(image, "v1")
    number = platform.api("GET", "/users/current", (name, password)).json()["user_id"]
    assert platform.api("DELETE", f"/users/{number}", people["admin"]).status_code == 200
    assert ask(platform, (name, password)).status_code == 401
    # His token lives on for minutes, but core judges pushes by the account.
    assert client.repository("team/leaving").put_manifest(image.manifest, "v2").status_code == 401


def test_a_robot_has_its_own_list(platform: Platform, people: People) -> None:
    robot = platform.make_robot("team", people["alice"], "puller", "pull")
    granted = access(ask(platform, (robot["name"], robot["secret"]), "repository:team/app:pull,push,delete"))
    assert granted == {"team/app": ["pull"]}
    assert access(ask(platform, (robot["name"], robot["secret"]), "repository:open/app:pull,push")) == {
        "open/app": ["pull"]
    }


def test_expired_disabled_and_deleted_robots_are_out(platform: Platform, people: People) -> None:
    robot = platform.make_robot("team", people["alice"], "shortlived", "pull")
    user = (robot["name"], robot["secret"])
    assert ask(platform, user).status_code == 200
    access_list = [{"resource": "repository", "action": "pull"}]
    form = {
        "name": robot["name"], "level": "project", "duration": 30, "disable": True,
        "permissions": [{"kind": "project", "namespace": "team", "access": access_list}],
    }  # fmt: skip
    path = f"/robots/{robot['id']}"
    assert platform.api("PUT", path, people["alice"], json=form).status_code == 200
    assert ask(platform, user).status_code == 401
    assert platform.api("PUT", path, people["alice"], json={**form, "disable": False}).status_code == 200
    assert ask(platform, user).status_code == 200
    # One day, and it was made two days ago.
    aged = "from rbac.models import Robot; from datetime import timedelta; r = Robot.objects.get(pk=%d); "
    aged += "r.expires = r.created - timedelta(days=1); r.save()"
    assert platform.manage("shell", "-c", aged % robot["id"]).returncode == 0
    assert ask(platform, user).status_code == 401
    assert platform.api("DELETE", path, people["alice"]).status_code == 200
    assert ask(platform, user).status_code == 401


def test_a_new_secret_ends_the_old_one(platform: Platform, people: People) -> None:
    robot = platform.make_robot("team", people["alice"], "rotated", "pull")
    fresh = platform.api("PATCH", f"/robots/{robot['id']}", people["alice"], json={"secret": ""}).json()["secret"]
    assert ask(platform, (robot["name"], robot["secret"])).status_code == 401
    assert ask(platform, (robot["name"], fresh)).status_code == 200
    chosen = "Chosen12345"
    answer = platform.api("PATCH", f"/robots/{robot['id']}", people["alice"], json={"secret": chosen})
    assert answer.json() == {}
    assert ask(platform, (robot["name"], chosen)).status_code == 200


def test_both_secrets_pull_while_one_is_rotated_until_the_old_one_is_revoked(
    platform: Platform, people: People, app: Repository
) -> None:
    image = make_image()
    app.push(image, "v1")
    robot = platform.make_robot("team", people["alice"], "gliding", "pull")
    path = f"/robots/{robot['id']}"
    fresh = platform.api("PATCH", path, people["alice"], json={"grace_period": 3600}).json()["secret"]
    for secret in (robot["secret"], fresh):
        client = Client(platform.url, (robot["name"], secret))
        assert client.repository(app.name).get_manifest("v1").content == image.manifest
    new, old = platform.api("GET", f"{path}/secrets", people["alice"]).json()
    assert (new["prefix"], old["prefix"]) == (fresh[:4], robot["secret"][:4])
    assert platform.api("DELETE", f"{path}/secrets/{old['id']}", people["alice"]).status_code == 200
    assert ask(platform, (robot["name"], robot["secret"])).status_code == 401
    assert ask(platform, (robot["name"], fresh)).status_code == 200


def test_another_prefix_renames_robots_where_they_sign_in(platform: Platform, people: People) -> None:
    robot = platform.make_robot("team", people["alice"], "renamed", "pull")

    def names_that_open(prefix: str) -> list[bool]:
        """The old name and the new one, once all processes know the prefix."""
        changed = platform.api("PUT", "/configurations", people["admin"], json={"robot_name_prefix": prefix})
        assert changed.status_code == 200, changed.text
        # Each process remembers for a second what was configured.
        time.sleep(1.5)
        names = ("robot$team+renamed", "robot-team+renamed")
        return [ask(platform, (name, robot["secret"])).status_code == 200 for name in names]

    try:
        assert names_that_open("robot-") == [False, True]
    finally:
        assert names_that_open("robot$") == [True, False]


def test_a_token_for_one_repository_opens_no_other(app: Repository, alice: Client) -> None:
    app.push(make_image(), "v1")
    other = ("repository:team/other:pull,push",)
    for method, path in (("GET", "manifests/v1"), ("GET", "tags/list"), ("POST", "blobs/uploads/")):
        answer = app.call(method, path, scopes=other)
        assert answer.status_code == 401
        assert f"repository:{app.name}:pull" in answer.headers["WWW-Authenticate"]


def test_a_token_for_a_deleted_project_opens_no_later_one(platform: Platform, people: People) -> None:
    """Mallory had a project, deleted it, and Alice takes the name: his token is for the old one."""
    platform.make_project("reused", people["mallory"])
    mallory = Client(platform.url, people["mallory"])
    old = mallory.repository("reused/app")
    old.push(make_image(), "v1")
    for path in ("/projects/reused/repositories/app", "/projects/reused"):
        assert platform.api("DELETE", path, people["mallory"]).status_code == 200
    platform.make_project("reused", people["alice"])
    image = make_image()
    Client(platform.url, people["alice"]).repository("reused/app").push(image, "v1")
    assert old.get_manifest("v1").status_code == 404
    assert old.put_manifest(image.manifest, "v2").status_code == 404
    assert old.call("GET", "tags/list").status_code == 404


def test_forged_and_foreign_tokens_are_refused(platform: Platform, app: Repository) -> None:
    good = app.client.token(*app.scopes)
    header, payload, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["exp"] = int(time.time()) + 10_000
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    for token in (f"{header}.{forged}.{signature}", f"{none}.{payload}.", "x.y.z", ""):
        answer = requests.get(
            f"{platform.url}/v2/{app.name}/tags/list", headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
