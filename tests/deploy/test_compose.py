"""What containers are told, and what `init` says about volumes that do not belong together."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.db import connection

from deploy import keys
from deploy.compose import configuration, places, volumes
from deploy.compose.__main__ import settings
from deploy.compose.volumes import Found
from deploy.stack.settings import Settings, Tls, Unusable
from projects.models.blob import Blob

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE = (PROJECT / "docker-compose.yml").read_text()
DOCKERFILE = (PROJECT / "deploy" / "Dockerfile").read_text()
SETTINGS = Settings(8080, "https://registry.example.com", 2)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    keys.init(tmp_path)
    keys.make(tmp_path / "database-password", lambda: "Password-of-the-database")
    return tmp_path


# --- volumes -------------------------------------------------------------------------------------------------
GOOD = Found(database="7", has_tables=True, has_blobs=True, noted="7", store_is_empty=False)
NEW = Found(database="7", has_tables=False, has_blobs=False, noted="", store_is_empty=True)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (NEW, ""),
        (GOOD, ""),
        # Killed after the note, before the migrations.
        (replace(NEW, noted="7"), ""),
        # Moved to another server with pg_dump: another cluster, the same tables.
        (replace(GOOD, database="8"), ""),
        # A store of another registry's, which `adopt` is for.
        (replace(NEW, store_is_empty=False), ""),
        # Nothing was pushed yet.
        (replace(GOOD, has_blobs=False, store_is_empty=True), ""),
        (replace(NEW, noted="6"), "the volume `database` is missing"),
        (replace(GOOD, noted=""), "the volume `secrets` is missing"),
        (replace(GOOD, store_is_empty=True), "the volume `store` is missing"),
    ],
)
def test_a_missing_volume_is_named_and_a_way_on_is_told(found: Found, words: str) -> None:
    said = volumes.disagreement(found)
    assert words in said
    assert bool(said) == bool(words)
    assert not said or f"docker compose run --rm --user {places.USER} --entrypoint" in said


@pytest.mark.django_db(transaction=True)
def test_the_facts_are_asked_of_the_real_database(tmp_path: Path) -> None:
    Blob.objects.create(digest=f"sha256:{'a' * 64}", state=Blob.State.ANNOUNCED)
    found = volumes.look(_database(), tmp_path, tmp_path)
    assert (found.has_tables, found.has_blobs, found.noted, found.store_is_empty) == (True, False, "", True)
    Blob.objects.update(state=Blob.State.PRESENT)
    (tmp_path / volumes.NOTE).write_text(f"{found.database}\n")
    (tmp_path / "docker/registry/v2/blobs").mkdir(parents=True)
    again = volumes.look(_database(), tmp_path, tmp_path)
    assert (again.has_blobs, again.noted, again.store_is_empty) == (True, found.database, False)
    assert volumes.disagreement(again) == ""


@pytest.mark.django_db(transaction=True)
def test_an_empty_database_is_told_from_one_in_use(tmp_path: Path) -> None:
    found = volumes.look(_database("postgres"), tmp_path, tmp_path)
    assert (found.has_tables, found.has_blobs) == (False, False)
    assert found.database.isdigit()


def test_a_database_that_does_not_answer_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="the database does not answer"):
        volumes.look(f"postgres://wharf@{quote(str(tmp_path), safe='')}/wharf", tmp_path, tmp_path)


def test_a_volume_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    configuration.check_volumes([tmp_path])
    with pytest.raises(Unusable, match=f"cannot be written by the user {places.USER}"):
        configuration.check_volumes([tmp_path, tmp_path / "missing"])


def _database(name: str | None = None) -> str:
    row = connection.settings_dict
    return f"postgres://{row['USER']}@{quote(row['HOST'], safe='')}/{name or row['NAME']}"


# --- settings ------------------------------------------------------------------------------------------------
def test_a_bucket_is_refused_rather_than_not_heard() -> None:
    assert settings({"WHARF_PORT": "9000", "WHARF_STORE": ""}) == Settings(9000, "http://localhost:9000", 2)
    with pytest.raises(Unusable, match="WHARF_STORE is set, but the containers keep their blobs in the volume"):
        settings({"WHARF_STORE": "s3://bucket"})


# --- configuration -------------------------------------------------------------------------------------------
def test_each_program_is_told_what_it_may_know_and_no_more(secrets: Path) -> None:
    files = configuration.files(SETTINGS, secrets)
    told = {
        name: {path for path, text in files.items() if (secrets / name).read_text().strip() in text}
        for name in ("database-password", "registry-http-secret", "secret-key", "credential-key", "fernet-key")
    }
    assert told == {
        "database-password": {"postgres/password"},
        "registry-http-secret": {"registry/config.yml"},
        "secret-key": set(),
        "credential-key": set(),
        "fernet-key": set(),
    }
    assert not [path for path, text in files.items() if "PRIVATE KEY" in text]
    assert files["registry/bundle.pem"] == (secrets / "token" / "current.crt").read_text()


def test_the_templates_of_make_up_are_filled_in_with_names_of_services(secrets: Path) -> None:
    files = configuration.files(SETTINGS, secrets)
    assert not [path for path, text in files.items() if "@{" in text]
    assert "server core:8000;" in files["nginx/nginx.conf"]
    assert "server registry:5000;" in files["nginx/nginx.conf"]
    assert "ssl" not in files["nginx/nginx.conf"]
    assert "net: tcp" in files["registry/config.yml"]
    assert "realm: https://registry.example.com/service/token" in files["registry/config.yml"]
    assert "port 0" in files["redis/redis.conf"], "Redis is reached by its socket alone"
    included = re.findall(r"include /etc/wharf/(\S+);", files["nginx/nginx.conf"])
    assert {f"nginx/{name}" for name in included} <= set(files)


def test_https_is_spoken_at_a_port_of_its_own(secrets: Path) -> None:
    tls = Tls(Path("/certs/fullchain.pem"), Path("/certs/privkey.pem"), 443)
    text = configuration.files(replace(SETTINGS, tls=tls), secrets)["nginx/nginx.conf"]
    # Which port of the machine it is does not matter inside.
    assert "listen 8443 ssl;" in text
    assert "ssl_certificate /etc/wharf/certificate.pem;" in text
    included = re.findall(r"include /etc/wharf/(\S+);", text)
    assert {f"nginx/{name}" for name in included} <= set(configuration.files(SETTINGS, secrets))


def test_what_is_written_is_whole_and_as_readable_as_said(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    (tmp_path / "config.yml.tmp").write_text("half of what a killed one wro")
    keys.write(path, "text", mode=configuration.READABLE)
    assert path.read_text() == "text\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["config.yml"]


# --- files that must agree -----------------------------------------------------------------------------------
def test_images_are_pinned_and_ours_has_the_programs_version() -> None:
    images = re.findall(r"image: (\S+)", COMPOSE) + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert all(re.fullmatch(r"[a-z]+:\d[\w.-]+", image) for image in images), images
    assert f"wharf:{django_settings.VERSION}" in images


def test_the_number_of_the_platforms_user_is_the_same_everywhere() -> None:
    assert f'user: "{places.USER}:{places.USER}"' in COMPOSE
    assert f"USER {places.USER}:{places.USER}" in DOCKERFILE
    assert {int(number) for number in re.findall(r"\b1\d{4}\b", COMPOSE + DOCKERFILE)} == {places.USER}


def test_only_nginx_publishes_a_port() -> None:
    services = re.split(r"^  (?=\w+:$)", COMPOSE.split("\nservices:\n")[1], flags=re.MULTILINE)
    assert [each.split(":")[0] for each in services if "\n    ports:" in each] == ["nginx"]


def test_every_setting_of_make_up_reaches_the_containers() -> None:
    readme = (PROJECT / "README.md").read_text()
    settings = set(re.findall(r"`(WHARF_[A-Z_]+)`", readme))
    only_make_up = {"WHARF_VAR", "WHARF_STORE_CREDENTIALS", "WHARF_STORE_ENDPOINT", "WHARF_STORE_REGION"}
    # Containers are scaled by compose itself.
    only_make_up |= {f"WHARF_{kind}_REPLICAS" for kind in ("CORE", "WORKER", "BEAT")}
    assert settings - only_make_up <= set(re.findall(r"^\s+(WHARF_[A-Z_]+):", COMPOSE, re.MULTILINE))


# --- the watcher ---------------------------------------------------------------------------------------------
def test_a_program_is_told_when_a_file_changed_and_not_before(tmp_path: Path) -> None:
    folder, heard, started = tmp_path / "etc", tmp_path / "heard", tmp_path / "started"
    folder.mkdir()
    (folder / "config").write_text("old")
    program = f"trap 'echo told >> {heard}' HUP; touch {started}; while :; do sleep 0.1; done"
    watcher = PROJECT / "deploy" / "compose" / "watch.sh"
    process = subprocess.Popen(
        ["/bin/sh", str(watcher), "HUP", str(folder), "localhost", "/bin/sh", "-c", program],
        start_new_session=True,
        # Under nohup it would be ignored, and what is ignored a shell cannot trap.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert started.exists()
        # Two looks without a change, and with a file that is not in place yet.
        (folder / "config.tmp").write_text("new")
        time.sleep(5)
        assert not heard.exists()
        assert process.poll() is None
        (folder / "config.tmp").replace(folder / "config")
        deadline = time.monotonic() + 60
        while not heard.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert heard.read_text() == "told\n"
    finally:
        subprocess.run(["/bin/kill", "-KILL", "--", f"-{process.pid}"], check=True)
        process.wait()
