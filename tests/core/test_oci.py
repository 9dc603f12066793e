"""Names, digests, references and manifests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core import errors, oci

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "project", "rest"),
    [
        ("library/app", "library", "app"),
        ("team.one/a/b/c", "team.one", "a/b/c"),
        ("p/a__b-c--d.e", "p", "a__b-c--d.e"),
    ],
)
def test_repository_names_have_a_project(text: str, project: str, rest: str) -> None:
    name = oci.RepositoryName.parse(text)
    assert (name.project, name.rest, str(name)) == (project, rest, text)


@pytest.mark.parametrize(
    "text",
    [
        "app",
        "Library/app",
        "p/App",
        "p/",
        "/p",
        "p//a",
        "p/../q",
        "p/a/..",
        "p/.a",
        "p/a.",
        "p/" + "a" * 254,
        "p/a b",
        "p/ü",
        "p/a\n",
        "",
    ],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(errors.NameInvalid):
        oci.RepositoryName.parse(text)


@pytest.mark.parametrize("text", ["latest", "v1.0", "_x", "1", "a" * 128])
def test_tags(text: str) -> None:
    assert oci.Reference.parse(text) == oci.Reference(tag=text)


@pytest.mark.parametrize("text", ["", "-a", ".a", "a" * 129, "a/b", "a+b", "ä", "a\n"])
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(errors.TagInvalid):
        oci.Reference.parse(text)


def test_digests() -> None:
    assert oci.Reference.parse(DIGEST) == oci.Reference(digest=DIGEST)
    for text in ("sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha256:", ":", "x:y:z"):
        with pytest.raises(errors.DigestInvalid):
            oci.parse_digest(text)
    with pytest.raises(errors.DigestUnsupported):
        oci.parse_digest("sha512:" + "a" * 128)


@pytest.mark.parametrize(
    ("tag", "subject"),
    [
        ("sha256-" + "a" * 64, DIGEST),
        ("sha256-" + "a" * 64 + ".sig", DIGEST),
        ("sha256-" + "a" * 64 + ".att", DIGEST),
        ("sha256-" + "a" * 64 + ".sbom", DIGEST),
        ("sha256-" + "a" * 64 + ".zip", None),
        ("sha256-" + "a" * 63, None),
        ("latest", None),
    ],
)
def test_accessory_tags_belong_to_a_manifest(tag: str, subject: str | None) -> None:
    assert oci.accessory_subject(tag) == subject
    assert oci.is_accessory_tag(tag) == (subject is not None)


DEEP = json.loads('{"a":' * 98 + "1" + "}" * 98)


def manifest(**more: Any) -> bytes:
    entry = {"mediaType": "x", "digest": DIGEST, "size": 3}
    return json.dumps({"schemaVersion": 2, "config": entry, "layers": [entry, entry], **more}).encode()


def test_a_manifest_is_kept_as_received_and_understood() -> None:
    content = manifest(annotations={"a": "b"}) + b"  \n"
    parsed = oci.parse_manifest(content, f"{oci.OCI_MANIFEST}; charset=utf-8")
    assert parsed.content == content
    assert parsed.digest == oci.digest_of(content)
    assert [blob.digest for blob in parsed.blobs] == [DIGEST] * 3
    assert parsed.annotations == {"a": "b"}
    assert not parsed.is_index


@pytest.mark.parametrize(
    "more",
    [
        {"mediaType": oci.OCI_INDEX},
        {"manifests": []},
        {"schemaVersion": 3},
        {"schemaVersion": "2"},
        {"config": None},
        {"layers": {}},
        {"layers": ["x"]},
        {"layers": [{"mediaType": "x", "digest": DIGEST}]},
        {"layers": [{"mediaType": "x", "digest": DIGEST, "size": True}]},
        {"layers": [{"mediaType": "x", "digest": DIGEST, "size": 2**63}]},
        {"layers": [{"mediaType": "", "digest": DIGEST, "size": 1}]},
        {"layers": [{"mediaType": "x", "digest": "sha256:abc", "size": 1}]},
        {"layers": [{"mediaType": "x", "digest": DIGEST, "size": 1, "urls": "http://x"}]},
        {"subject": 5},
        {"artifactType": 5},
        {"annotations": {"a": 1}},
        {"annotations": {"a": "\x00"}},
        # JSON can say it, PostgreSQL cannot keep it.
        {"annotations": {"\x00": "a"}},
        {"artifactType": "\x00"},
        {"artifactType": "\ud800"},
        {"subject": {"mediaType": "x", "digest": DIGEST, "size": 1, "platform": {"os": "\x00"}}},
        {"subject": {"mediaType": "x", "digest": DIGEST, "size": 1, "platform": {"os": float("nan")}}},
        {"layers": [{"mediaType": "x", "digest": DIGEST, "size": 1, "urls": ["\x00"]}]},
        # It can be parsed, but not be written again where the stack is longer.
        {"layers": [{"mediaType": "x", "digest": DIGEST, "size": 1, "platform": DEEP}]},
    ],
)
def test_bad_manifests_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(errors.ManifestInvalid):
        oci.parse_manifest(manifest(**more), oci.OCI_MANIFEST)


def test_a_layer_chain_tells_order_and_prefix() -> None:
    layers = [oci.Descriptor("x", f"sha256:{number:064x}", 1) for number in range(3)]
    base, image = oci.layer_chains(tuple(layers[:2])), oci.layer_chains(tuple(layers))
    assert image[:2] == base
    assert oci.layer_chains((layers[1], layers[0]))[-1] != base[-1]


def test_only_foreign_layers_with_urls_may_be_elsewhere() -> None:
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    assert oci.Descriptor(foreign, DIGEST, 1, urls=("https://x",)).is_foreign
    assert not oci.Descriptor(foreign, DIGEST, 1).is_foreign
    assert not oci.Descriptor("application/vnd.oci.image.layer.v1.tar", DIGEST, 1, urls=("https://x",)).is_foreign
