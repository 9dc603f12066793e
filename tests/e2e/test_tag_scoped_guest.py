"""A guest who may only have the tags `v*` of team/scoped-app, with real clients against the whole platform."""

from __future__ import annotations

import base64
import http.client
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.e2e.client import OCI_INDEX, Client, Image, Repository, make_image, make_index
from tests.e2e.docker_engine import Docker
from tests.e2e.platform import Platform
from tests.e2e.test_skopeo import make_real_image, skopeo

People = dict[str, tuple[str, str]]
ABSENT = "sha256:" + "0" * 64


@dataclass
class Scene:
    """What Alice pushed, and the guest's view of it."""

    mine: Image
    part: Image
    sbom: Image
    foreign: Image
    owner: Repository
    guest: Repository
    user: tuple[str, str]

    def blob(self, image: Image) -> str:
        return list(image.blobs)[1]


@pytest.fixture(scope="module")
def scene(platform: Platform, people: People) -> Scene:
    user = platform.make_user("tess")
    body = {
        "role_id": 3,
        "member_user": {"username": "tess"},
        "tag_scope": [{"repository": "scoped-app", "tags": ["v*"]}],
    }
    assert platform.api("POST", "/projects/team/members", people["alice"], json=body).status_code == 201
    owner = Client(platform.url, people["alice"]).repository("team/scoped-app")
    mine, part, foreign = make_real_image(), make_image(), make_image()
    owner.push(mine, "v1")
    owner.push(part, part.digest)
    index = make_index(part)
    assert owner.put_manifest(index, "v2", OCI_INDEX).status_code == 201
    subject = {"mediaType": mine.media_type, "digest": mine.digest, "size": len(mine.manifest)}
    sbom = make_image(os.urandom(100), subject=subject, artifactType="application/spdx+json")
    owner.push(sbom, sbom.digest)
    owner.push(foreign, "secret")
    return Scene(mine, part, sbom, foreign, owner, Client(platform.url, user).repository("team/scoped-app"), user)


def test_by_tag_by_digest_and_blobs_he_pulls_what_his_tags_reach(scene: Scene) -> None:
    for reference in ("v1", scene.mine.digest, scene.part.digest, scene.sbom.digest):
        pulled = scene.guest.pull(reference)
        assert pulled is not None, reference
    assert scene.guest.call("HEAD", "manifests/v1").headers["Docker-Content-Digest"] == scene.mine.digest
    layer = scene.blob(scene.mine)
    head = scene.guest.call("HEAD", f"blobs/{layer}")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(scene.mine.blobs[layer])))
    part = scene.guest.get_blob(layer, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, scene.mine.blobs[layer][10:20])
    past = scene.guest.get_blob(layer, headers={"Range": "bytes=999999999-"})
    assert (past.status_code, past.json()["errors"][0]["code"]) == (416, "RANGE_INVALID")


def test_the_registry_behind_gets_nothing_to_read_from_his_token(scene: Scene) -> None:
    """nginx sends blobs straight to the registry: a token that said `pull` there would open every layer."""
    token = scene.guest.client.token("repository:team/scoped-app:pull", fresh=True)
    claims = json.loads(_decoded(token.split(".")[1]))
    assert claims["access"] == [{"type": "repository", "name": "team/scoped-app", "actions": []}]


def test_a_foreign_digest_is_refused(scene: Scene) -> None:
    for reference, nowhere in ((scene.foreign.digest, ABSENT), ("secret", "nothing")):
        for method in ("GET", "HEAD"):
            _same(scene.guest.call(method, f"manifests/{reference}"), reference,
                  scene.guest.call(method, f"manifests/{nowhere}"), nowhere, 404)  # fmt: skip


def test_a_foreign_layer_is_refused(scene: Scene) -> None:
    foreign = scene.blob(scene.foreign)
    assert scene.owner.get_blob(foreign).status_code == 200
    for method in ("GET", "HEAD"):
        _same(scene.guest.call(method, f"blobs/{foreign}"), foreign,
              scene.guest.call(method, f"blobs/{ABSENT}"), ABSENT, 404)  # fmt: skip
    ranged = scene.guest.get_blob(foreign, headers={"Range": "bytes=0-0"})
    assert ranged.status_code == 404


def test_conditional_and_partial_requests_tell_nothing(scene: Scene) -> None:
    """Who guesses a digest learns neither from If-None-Match nor from Range that it is here."""
    hidden = {"manifests": scene.foreign.digest, "blobs": scene.blob(scene.foreign)}
    for kind, digest in hidden.items():
        for header in ("If-None-Match", "If-Match", "If-Range", "Range"):
            for method in ("GET", "HEAD"):
                answers = []
                for each in (digest, ABSENT):
                    value = "bytes=0-0" if header == "Range" else f'"{each}"'
                    answers.append(scene.guest.call(method, f"{kind}/{each}", headers={header: value}))
                _same(answers[0], digest, answers[1], ABSENT, 404)
    headers = {"If-None-Match": f'"{scene.mine.digest}"'}
    assert scene.guest.call("GET", f"manifests/{scene.mine.digest}", headers=headers).status_code == 304


def test_one_token_for_several_repositories_opens_each_as_it_may(scene: Scene, platform: Platform) -> None:
    """Limited in one, owner of the other: neither right spills over."""
    platform.make_project("tess-both", scene.user)
    own = scene.guest.client.repository("tess-both/app")
    image = make_image()
    own.push(image, "secret")
    scopes = ("repository:tess-both/app:*", "repository:team/scoped-app:*", "registry:catalog:*")
    for reference, status in (("v1", 200), ("secret", 404), (scene.foreign.digest, 404)):
        assert scene.guest.call("GET", f"manifests/{reference}", scopes=scopes).status_code == status
    assert own.call("GET", "manifests/secret", scopes=scopes).status_code == 200
    assert own.call("GET", f"manifests/{scene.foreign.digest}", scopes=scopes).status_code == 404
    foreign = scene.blob(scene.foreign)
    for place in (own, scene.guest):
        assert place.call("GET", f"blobs/{foreign}", scopes=scopes).status_code == 404
        assert place.call("HEAD", f"blobs/{foreign}", scopes=scopes).status_code == 404
    # Nor does the door take another path's word for it.
    detour = f"/v2/tess-both/app/../../team/scoped-app/blobs/{foreign}"
    token = scene.guest.client.token(*scopes)
    for path in (detour, detour.replace("..", "%2e%2e"), detour.replace("/../", "/%2e%2e%2f")):
        assert _raw_status(platform, path, token) == 404, path
    claimed = {"X-Wharf-Repository": "tess-both/app", "X-Registry-Token": "x", "X-Wharf-Method": "GET"}
    assert scene.guest.call("GET", f"blobs/{foreign}", scopes=scopes, headers=claimed).status_code == 404
    # What he knows of by digest he still cannot build upon at home.
    for stolen in (
        own.put_manifest(make_index(scene.foreign), "stolen", OCI_INDEX),
        own.put_manifest(scene.foreign.manifest, "stolen", scene.foreign.media_type),
    ):
        assert (stolen.status_code, stolen.json()["errors"][0]["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")


def test_a_mount_is_refused(scene: Scene, platform: Platform) -> None:
    """In a project of his own he may push, but nothing is mounted there from where he is limited."""
    platform.make_project("tess-own", scene.user)
    own = scene.guest.client.repository("tess-own/copy")
    scopes = ("repository:tess-own/copy:pull,push", "repository:team/scoped-app:pull")
    for image in (scene.foreign, scene.mine):
        digest = scene.blob(image)
        answer = own.call("POST", f"blobs/uploads/?mount={digest}&from=team/scoped-app", scopes=scopes)
        assert (answer.status_code, "Location" in answer.headers) == (202, True), "a plain upload instead"
        assert own.call("HEAD", f"blobs/{digest}").status_code == 404


def test_referrers_of_what_he_may_not_see_are_none(scene: Scene, platform: Platform) -> None:
    listed = scene.guest.call("GET", f"referrers/{scene.mine.digest}").json()["manifests"]
    assert [entry["digest"] for entry in listed] == [scene.sbom.digest]
    subject = {
        "mediaType": scene.foreign.media_type,
        "digest": scene.foreign.digest,
        "size": len(scene.foreign.manifest),
    }
    secret = make_image(os.urandom(100), subject=subject, artifactType="application/spdx+json")
    scene.owner.push(secret, secret.digest)
    assert len(scene.owner.call("GET", f"referrers/{scene.foreign.digest}").json()["manifests"]) == 1
    _same(scene.guest.call("GET", f"referrers/{scene.foreign.digest}"), "",
          scene.guest.call("GET", f"referrers/{ABSENT}"), "", 200)  # fmt: skip
    assert scene.guest.get_manifest(secret.digest).status_code == 404


def test_tags_and_catalog_show_his_tags_and_pages_too(scene: Scene, platform: Platform) -> None:
    assert scene.guest.call("GET", "tags/list").json() == {"name": "team/scoped-app", "tags": ["v1", "v2"]}
    first = scene.guest.call("GET", "tags/list?n=1")
    assert (first.json()["tags"], "last=v1" in first.headers["Link"]) == (["v1"], True)
    assert "Link" not in scene.guest.call("GET", "tags/list?n=1&last=v1").headers
    scene.owner.client.repository("team/scoped-hidden").push(make_image(), "v1")
    catalog = scene.guest.client.call("GET", "/v2/_catalog", scopes=("registry:catalog:*",)).json()["repositories"]
    assert [name for name in catalog if name.startswith("team/")] == ["team/scoped-app"]
    hidden, nowhere = (scene.guest.client.repository(f"team/scoped-{name}") for name in ("hidden", "nowhere"))
    _same(hidden.call("GET", "tags/list"), "hidden", nowhere.call("GET", "tags/list"), "nowhere", 404)
    _same(hidden.get_manifest("v1"), "hidden", nowhere.get_manifest("v1"), "nowhere", 404)


def test_he_pushes_and_deletes_nothing(scene: Scene) -> None:
    assert scene.guest.call("POST", "blobs/uploads/").status_code == 403
    assert scene.guest.put_manifest(scene.mine.manifest, "v9").status_code == 403
    for path in ("manifests/v1", f"manifests/{scene.mine.digest}", f"blobs/{scene.blob(scene.mine)}"):
        assert scene.guest.call("DELETE", path).status_code == 403, path
    assert scene.owner.get_manifest("v1").status_code == 200


def test_a_changed_membership_counts_for_the_next_request(scene: Scene, platform: Platform, people: People) -> None:
    """The door looks at the membership as it is, not at what it was when the token was made."""
    user = platform.make_user("tom")
    body = {"role_id": 5, "member_user": {"username": "tom"}, "tag_scope": [{"repository": "**", "tags": ["secret"]}]}
    made = platform.api("POST", "/projects/team/members", people["alice"], json=body)
    tom = Client(platform.url, user).repository("team/scoped-app")
    assert tom.get_manifest("secret").status_code == 200
    assert tom.get_blob(scene.blob(scene.foreign)).status_code == 200
    url = made.headers["Location"].removeprefix("/api/v2.0")
    change = {"role_id": 5, "tag_scope": [{"repository": "**", "tags": ["v1"]}]}
    assert platform.api("PUT", url, people["alice"], json=change).status_code == 200
    assert tom.get_manifest("secret").status_code == 404
    assert tom.get_blob(scene.blob(scene.foreign)).status_code == 404
    assert tom.get_manifest("v1").status_code == 200
    assert platform.api("DELETE", url, people["alice"]).status_code == 200
    assert tom.get_manifest("v1").status_code == 404


def test_skopeo_copies_what_is_his_and_cannot_see_the_rest(scene: Scene, platform: Platform, tmp_path: Path) -> None:
    login = ("--src-tls-verify=false", "--src-creds", ":".join(scene.user))
    source = f"docker://{platform.host}/team/scoped-app"
    skopeo("copy", *login, f"{source}:v1", f"oci:{tmp_path}/one:it")
    skopeo("copy", "--all", *login, f"{source}:v2", f"oci:{tmp_path}/two:it")
    refused = skopeo("copy", *login, f"{source}:secret", f"oci:{tmp_path}/three:it", check=False)
    assert refused.returncode != 0
    listed = skopeo("list-tags", "--tls-verify=false", "--creds", ":".join(scene.user), source).stdout
    assert json.loads(listed)["Tags"] == ["v1", "v2"]


def test_docker_pulls_what_is_his(scene: Scene, platform: Platform, docker: Docker) -> None:
    scene.owner.push(make_real_image(), "v3")
    docker.login(platform.host, scene.user)
    docker("pull", f"{platform.host}/team/scoped-app:v3")
    refused = docker("pull", f"{platform.host}/team/scoped-app:secret", check=False)
    assert refused.returncode != 0
    docker("logout", platform.host)


def _raw_status(platform: Platform, path: str, token: str) -> int:
    """The path as it is written: requests would tidy it up."""
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=60)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _same(forbidden: requests.Response, word: str, absent: requests.Response, other: str, status: int) -> None:
    """Two answers that differ in nothing but what was asked for."""
    assert (forbidden.status_code, absent.status_code) == (status, status)
    volatile = {"Date", "X-Request-ID", "X-Request-Id", "Content-Length"}
    shown = [{name: value for name, value in answer.headers.items() if name not in volatile}
             for answer in (forbidden, absent)]  # fmt: skip
    assert shown[0] == shown[1]
    assert forbidden.text.replace(word, "") == absent.text.replace(other, "")
