"""Bad input: each gets a clear error in OCI JSON, and nothing is stored."""

from __future__ import annotations

import json
import os

import pytest

from tests.e2e.client import OCI_INDEX, OCI_MANIFEST, Client, Repository, digest_of, make_image, make_index
from tests.e2e.platform import Platform

People = dict[str, tuple[str, str]]


def code_of(answer: object) -> str:
    assert answer.headers["Content-Type"].startswith("application/json"), answer.text  # type: ignore[attr-defined]
    return str(answer.json()["errors"][0]["code"])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/Team/app/manifests/v1",
        "/v2/team/App/tags/list",
        "/v2/team/" + "a" * 300 + "/manifests/v1",
        "/v2/team/../team/x/manifests/v1",
        "/v2/team/.hidden/manifests/v1",
        "/v2/team//app/manifests/v1",
        "/v2/team/a%00b/manifests/v1",
        "/v2/team/%2e%2e/open/app/manifests/v1",
        "/v2/app/manifests/v1",
        "/v2/TEAM/app/blobs/uploads/00000000-0000-0000-0000-000000000000",
    ],
)
def test_bad_names_are_refused_in_json(alice: Client, path: str) -> None:
    import http.client  # requests would tidy the path up before sending it

    connection = http.client.HTTPConnection("localhost", int(alice.url.rsplit(":", 1)[1]))
    connection.request("GET", path, headers={"Authorization": f"Bearer {alice.token('repository:team/app:pull')}"})
    answer = connection.getresponse()
    assert answer.status in (400, 401, 403, 404)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert json.loads(answer.read())["errors"][0]["code"]


@pytest.mark.parametrize("path", ["/api/v2.0/projects?name=", "/v2/team/app/tags/list?last=", "/?q="])
def test_an_address_that_is_too_long_is_refused_in_json(anonymous: Client, path: str) -> None:
    answer = anonymous.call("GET", path + "a" * 70_000)
    assert (answer.status_code, code_of(answer)) == (414, "REQUEST_URI_TOO_LONG")
    assert answer.json()["errors"][0]["message"] == "The address is longer than 64 KiB."
    assert "a" * 100 not in answer.text


@pytest.mark.parametrize("length", [5_000, 60_000])
def test_a_long_address_and_a_long_header_reach_who_answers_them(anonymous: Client, length: int) -> None:
    found = anonymous.call("GET", f"/api/v2.0/projects?name={'a' * length}")
    assert (found.status_code, found.json()) == (200, [])
    unknown = anonymous.call("GET", f"/v2/team/app/tags/list?last={'a' * length}")
    assert (unknown.status_code, code_of(unknown)) == (401, "UNAUTHORIZED")
    headers = {"Authorization": f"Bearer {'a' * length}"}
    refused = anonymous.call("GET", "/v2/team/app/tags/list", headers=headers)
    assert (refused.status_code, code_of(refused)) == (401, "UNAUTHORIZED")


def test_a_header_that_is_too_long_is_refused_in_json(anonymous: Client) -> None:
    answer = anonymous.call("GET", "/api/v2.0/projects", headers={"X-Long": "a" * 70_000})
    assert (answer.status_code, code_of(answer)) == (431, "REQUEST_HEADER_FIELDS_TOO_LARGE")


def test_an_encoded_slash_is_judged_as_a_slash(app: Repository, mallory: Client) -> None:
    digest = app.push_blob(os.urandom(100))
    encoded = app.name.replace("/", "%2F")
    assert mallory.call(
        "GET", f"/v2/{encoded}/blobs/{digest}", scopes=(f"repository:{app.name}:pull",)
    ).status_code in (
        401,
        403,
        404,
    )
    assert app.client.call("GET", f"/v2/{encoded}/blobs/{digest}", scopes=app.scopes).status_code == 200


@pytest.mark.parametrize("reference", ["-v1", ".v1", "a" * 129, "a+b", "sha256:abc"])
def test_bad_references_are_refused(app: Repository, reference: str) -> None:
    for method in ("GET", "PUT"):
        answer = app.call(method, f"manifests/{reference}", data=b"{}", headers={"Content-Type": OCI_MANIFEST})
        assert answer.status_code == 400
        assert code_of(answer) in ("TAG_INVALID", "DIGEST_INVALID", "UNSUPPORTED")


@pytest.mark.parametrize("digest", ["sha512:" + "0" * 128, "md5:00"])
def test_what_cannot_be_stored_is_unknown_when_asked_for_and_refused_when_sent(app: Repository, digest: str) -> None:
    for kind, code in (("manifests", "MANIFEST_UNKNOWN"), ("blobs", "BLOB_UNKNOWN")):
        asked = app.call("GET", f"{kind}/{digest}")
        assert (asked.status_code, code_of(asked)) == (404, code)
    sent = app.put_manifest(b"{}", digest)
    assert (sent.status_code, code_of(sent)) == (400, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("content", "media_type", "words"),
    [
        (b"{", OCI_MANIFEST, "not valid JSON"),
        (b"[]", OCI_MANIFEST, "JSON object"),
        (b"[" * 100_000, OCI_MANIFEST, "not valid JSON"),
        (b'{"schemaVersion":1}', OCI_MANIFEST, "schema 1"),
        (b'{"schemaVersion":2}', "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        (b'{"schemaVersion":2,"mediaType":"text/plain"}', "text/plain", "not a manifest"),
        (b'{"schemaVersion":2}', "", "media type"),
        (b'{"schemaVersion":2,"schemaVersion":2}', OCI_MANIFEST, "twice"),
        (b'{"schemaVersion":2,"config":3,"layers":[]}', OCI_MANIFEST, "config must be a descriptor"),
        (
            b'{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"b","size":-1}]}',
            OCI_INDEX,
            "manifests[0].digest",
        ),
    ],
)
def test_bad_manifests_are_refused_with_a_reason(app: Repository, content: bytes, media_type: str, words: str) -> None:
    answer = app.put_manifest(content, "v1", media_type)
    assert answer.status_code == 400
    assert code_of(answer) == "MANIFEST_INVALID"
    assert words in answer.json()["errors"][0]["message"]
    assert app.get_manifest("v1").status_code == 404


def test_a_manifest_over_4_mib_is_refused(app: Repository) -> None:
    for size in (4 * 1024 * 1024 + 1, 20 * 1024 * 1024):
        answer = app.put_manifest(b" " * size, "v1")
        assert (answer.status_code, code_of(answer)) == (413, "MANIFEST_INVALID")


def test_a_manifest_of_almost_4_mib_is_stored(app: Repository) -> None:
    image = make_image(annotations={"long": "x" * (4 * 1024 * 1024 - 2000)})
    app.push(image, "v1")
    assert app.get_manifest("v1").content == image.manifest


def test_a_digest_that_does_not_fit_is_refused_and_can_be_corrected(app: Repository, store: dict[str, str]) -> None:
    content = os.urandom(1000)
    location = app._absolute(app.patch(app.start_upload(), content).headers["Location"])
    wrong = app.finish_upload(location, f"sha256:{'0' * 64}")
    assert (wrong.status_code, code_of(wrong)) == (400, "DIGEST_INVALID")
    corrected = app.finish_upload(location, digest_of(content))
    if store:
        # In a bucket an upload is over when its parts have become one.
        assert (corrected.status_code, code_of(corrected)) == (404, "BLOB_UPLOAD_UNKNOWN")
        assert app.push_blob(content) == digest_of(content)
    else:
        assert corrected.status_code == 201
    image = make_image()
    mismatch = app.put_manifest(image.manifest, f"sha256:{'0' * 64}")
    assert (mismatch.status_code, code_of(mismatch)) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("digest", ["sha512:" + "0" * 128, "sha256:xyz", "nothing", ""])
def test_an_upload_cannot_end_in_a_strange_digest(app: Repository, digest: str) -> None:
    answer = app.finish_upload(app.start_upload(), digest, b"x")
    assert answer.status_code == 400
    assert code_of(answer) in ("DIGEST_INVALID", "UNSUPPORTED")


def test_sizes_that_lie_are_refused(app: Repository) -> None:
    image = make_image(os.urandom(500))
    for content in image.blobs.values():
        app.push_blob(content)
    document = json.loads(image.manifest)
    document["layers"][0]["size"] = 1
    answer = app.put_manifest(json.dumps(document).encode(), "v1")
    assert (answer.status_code, code_of(answer)) == (400, "MANIFEST_INVALID")
    assert "500 bytes, not 1" in answer.json()["errors"][0]["message"]
    app.push(image, image.digest)
    index = json.loads(make_index(image))
    index["manifests"][0]["size"] = 7
    assert code_of(app.put_manifest(json.dumps(index).encode(), "v1", OCI_INDEX)) == "MANIFEST_INVALID"


def test_what_is_not_there_cannot_be_referred_to(app: Repository) -> None:
    image = make_image()
    answer = app.put_manifest(image.manifest, "v1")
    assert (answer.status_code, code_of(answer)) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert answer.json()["errors"][0]["detail"]["digest"] in image.blobs
    lonely = app.put_manifest(make_index(image), "v1", OCI_INDEX)
    assert (lonely.status_code, code_of(lonely)) == (400, "MANIFEST_BLOB_UNKNOWN")


def test_a_blob_of_another_repository_does_not_count(app: Repository, alice: Client) -> None:
    image = make_image()
    other = alice.repository("team/elsewhere")
    for content in image.blobs.values():
        other.push_blob(content)
    assert code_of(app.put_manifest(image.manifest, "v1")) == "MANIFEST_BLOB_UNKNOWN"


def test_chunks_out_of_order_are_416(app: Repository) -> None:
    location = app._absolute(
        app.patch(app.start_upload(), b"a" * 100, headers={"Content-Range": "0-99"}).headers["Location"]
    )
    gap = app.patch(location, b"b" * 100, headers={"Content-Range": "200-299"})
    assert gap.status_code == 416
    final = app.finish_upload(location, digest_of(b"a" * 100), b"b", headers={"Content-Range": "500-500"})
    assert final.status_code == 416
    nonsense = app.patch(location, b"b", headers={"Content-Range": "x-y"})
    assert (nonsense.status_code, code_of(nonsense)) == (400, "BLOB_UPLOAD_INVALID")
    assert app.finish_upload(location, digest_of(b"a" * 100)).status_code == 201


def test_a_parameter_given_twice_is_refused(app: Repository) -> None:
    digest = digest_of(b"x")
    location = app._absolute(app.patch(app.start_upload(), b"x").headers["Location"])
    twice = app.finish_upload(f"{location}&digest=sha256:{'0' * 64}", digest)
    assert twice.status_code == 400
    mount = app.call("POST", f"blobs/uploads/?mount={digest}&from=open/app&from=team/secret")
    assert mount.status_code == 400


def test_a_form_body_cannot_smuggle_a_mount(app: Repository, mallory: Client, platform: Platform) -> None:
    digest = app.push_blob(os.urandom(200))
    platform.make_project("smugglers", mallory.user or ("", ""))
    scopes = ("repository:smugglers/x:pull,push", f"repository:{app.name}:pull")
    answer = mallory.call(
        "POST", "/v2/smugglers/x/blobs/uploads/", scopes=scopes, data={"mount": digest, "from": app.name}
    )
    assert answer.status_code == 202
    assert mallory.repository("smugglers/x").get_blob(digest).status_code == 404


@pytest.mark.parametrize("n", ["-1", "x", "1.5", "٣"])
def test_n_must_be_a_number(app: Repository, n: str) -> None:
    app.push(make_image(), "v1")
    answer = app.call("GET", "tags/list", params={"n": n})
    assert (answer.status_code, code_of(answer)) == (400, "PAGINATION_NUMBER_INVALID")


def test_an_upload_that_nobody_finishes_makes_no_repository(alice: Client, people: People, platform: Platform) -> None:
    repository = alice.repository("team/never-finished")
    repository.patch(repository.start_upload(), b"half")
    assert code_of(repository.call("GET", "tags/list")) == "NAME_UNKNOWN"
    assert platform.api("GET", "/projects/team/repositories/never-finished", people["alice"]).status_code == 404


def test_an_unknown_operation_is_404_and_a_wrong_method_405(app: Repository) -> None:
    for path in ("nothing/here", "manifests"):
        assert app.call("GET", path).status_code == 404
    answer = app.call("POST", "manifests/v1")
    assert (answer.status_code, code_of(answer)) == (405, "UNSUPPORTED")


def test_a_push_to_a_project_that_does_not_exist_names_it(alice: Client) -> None:
    answer = alice.repository("nowhere/app").call("POST", "blobs/uploads/")
    assert (answer.status_code, code_of(answer)) == (403, "DENIED")
    assert "the project nowhere does not exist" in answer.json()["errors"][0]["message"]


def test_absent_and_forbidden_projects_look_alike(mallory: Client, app: Repository) -> None:
    def answer(name: str) -> tuple[int, str]:
        refused = mallory.repository(name).get_manifest("v1")
        return refused.status_code, refused.text.replace(name, "X").replace(name.split("/")[0], "P")

    assert answer("team/absent-and-forbidden") == answer("nope/absent-and-forbidden")
