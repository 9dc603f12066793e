"""What an operator says about a bucket, and the file with its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import bucket, keys
from deploy.bucket import Bucket
from deploy.stack import preconditions
from deploy.stack import settings as operator
from deploy.stack.layout import Layout
from deploy.stack.programs import programs
from deploy.stack.requirements import requirements
from deploy.stack.settings import Settings, Unusable

KEY = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = wJalr/XUt+nFE%MI\n"


def test_a_bucket_is_read_with_its_defaults() -> None:
    assert bucket.parse("s3://blobs") == Bucket("blobs", "", "", "us-east-1")
    assert bucket.parse("s3://my.blobs-1/a/b_c", "https://[fd00::1]:9000", "eu-west-3") == Bucket(
        "my.blobs-1", "a/b_c", "https://[fd00::1]:9000", "eu-west-3"
    )


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (("",), "WHARF_STORE "),
        (("s3://",), "WHARF_STORE "),
        (("s3://ab",), "WHARF_STORE "),
        (("s3://Blobs",), "WHARF_STORE "),
        (("s3://blobs/",), "WHARF_STORE "),
        (("s3://blobs//x",), "WHARF_STORE "),
        (("s3://blobs/../x",), "WHARF_STORE "),
        (('s3://blobs/x"\n',), "WHARF_STORE "),
        (("s3://key:secret@blobs",), "WHARF_STORE "),
        (("file:///srv",), "WHARF_STORE "),
        (("s3://blobs", "minio:9000"), "WHARF_STORE_ENDPOINT"),
        (("s3://blobs", "https://minio/path"), "WHARF_STORE_ENDPOINT"),
        (("s3://blobs", "https://key:secret@minio"), "WHARF_STORE_ENDPOINT"),
        (("s3://blobs", "", "Frankfurt am Main"), "WHARF_STORE_REGION"),
    ],
)
def test_what_is_no_bucket_is_named(words: tuple[str, ...], setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting}.*must look like"):
        bucket.parse(*words)


def test_a_key_is_taken_out_of_a_file_with_other_things() -> None:
    text = f"# mine\n{KEY}region = eu-central-1\n[other]\naws_access_key_id = other\n"
    assert bucket.credentials(text) == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AKIA:secretword",
        "[default]\naws_access_key_id = A\n",
        "[other]\n" + KEY.split("\n", 1)[1],
        "[default]\n" * 2,
    ],
)
def test_a_file_without_a_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"it must have a section \[default\]") as refused:
        bucket.credentials(text)
    assert "secretword" not in str(refused.value)


@pytest.mark.parametrize("value", ["", "two words", "ключ"])
def test_a_key_that_is_not_one_word_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="its aws_secret_access_key is not one word"):
        bucket.credentials(f"[default]\naws_access_key_id = A\naws_secret_access_key = {value}\n")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"WHARF_STORE": "blobs"}, "it must look like s3://bucket"),
        ({"WHARF_STORE": "s3://blobs"}, "WHARF_STORE_CREDENTIALS is ''; it must be the absolute path"),
        ({"WHARF_STORE": "s3://blobs", "WHARF_STORE_CREDENTIALS": "key"}, "it must be the absolute path"),
        ({"WHARF_STORE_ENDPOINT": "http://minio"}, "WHARF_STORE_ENDPOINT is set, but WHARF_STORE names no bucket"),
    ],
)
def test_half_a_bucket_is_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(Unusable, match=words):
        operator.parse(given)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "var", "wharf")
    for folder in (made.secrets, made.etc, made.postgres):
        folder.mkdir(parents=True)
    keys.init(made.secrets)
    made.bucket_key.write_text(KEY)
    return made


def settings(**more: str) -> Settings:
    said = {"WHARF_STORE": "s3://blobs/a", "WHARF_STORE_CREDENTIALS": "/root/s3-key", **more}
    return operator.parse(said)


def test_registry_and_core_are_told_of_the_bucket_and_where_its_key_lies(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/company.pem")
    made = {program.name: program for program in programs(layout, settings(), "code")}
    for name in ("core", "worker", "event", "bulk", "beat"):
        assert made[name].environment["WHARF_STORE"] == "s3://blobs/a"
        assert made[name].environment["WHARF_STORE_CREDENTIALS"] == str(layout.bucket_key)
    assert made["registry"].environment["AWS_SHARED_CREDENTIALS_FILE"] == str(layout.bucket_key)
    assert {made[name].environment["SSL_CERT_FILE"] for name in ("registry", "core")} == {"/etc/ssl/company.pem"}
    assert "AWS_CA_BUNDLE" not in made["registry"].environment, "the registry would panic"
    for program in made.values():
        assert "XUt" not in " ".join([*program.command, *program.environment.values()])


def test_another_key_restarts_who_reads_it(layout: Layout) -> None:
    def prints() -> dict[str, str]:
        return {program.name: program.fingerprint for program in programs(layout, settings(), "code")}

    before = prints()
    layout.bucket_key.write_text(KEY.replace("EXAMPLE", "NEWER"))
    after = prints()
    assert {name for name in before if before[name] != after[name]} == {
        "registry",
        "core",
        "worker",
        "event",
        "bulk",
        "beat",
    }


def test_the_libraries_of_a_bucket_are_installed_only_for_one() -> None:
    assert not any(line.startswith("s3fs") for line in requirements(*operator.parse({}).extras))
    assert any(line.startswith("s3fs") for line in requirements(*settings().extras))


def test_a_virtualenv_of_the_operators_without_the_libraries_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "supervisord"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    layout = Layout(tmp_path / "var", "root")
    preconditions.check_virtualenv(layout, str(tmp_path), operator.parse({}))
    with pytest.raises(Unusable, match="has no s3fs"):
        preconditions.check_virtualenv(layout, str(tmp_path), settings())
    (tmp_path / "lib/python3.11/site-packages/s3fs").mkdir(parents=True)
    preconditions.check_virtualenv(layout, str(tmp_path), settings())


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o604)
    with pytest.raises(Unusable, match=f"chmod 600 {key}"):
        preconditions.bucket_key(key)
    key.chmod(0o640)
    assert preconditions.bucket_key(key) == KEY
    with pytest.raises(Unusable, match="which cannot be read"):
        preconditions.bucket_key(tmp_path / "nothing")
