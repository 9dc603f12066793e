"""What `make up` decides before it does anything: settings, places, configuration, secrets."""

from __future__ import annotations

import fcntl
import stat
import subprocess
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from deploy import keys
from deploy.bucket import Bucket
from deploy.stack import __main__ as stack
from deploy.stack import layout as layouts
from deploy.stack import preconditions, supervisor
from deploy.stack import settings as operator
from deploy.stack.layout import SOCKET_MOST, Layout
from deploy.stack.programs import WORKERS, configuration_files, names, programs
from deploy.stack.requirements import requirements
from deploy.stack.settings import Settings, Tls, Unusable
from jobservice.job import Queue


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "var", "wharf")
    made.secrets.mkdir(parents=True)
    keys.init(made.secrets)
    return made


def test_a_data_folder_of_roots_is_nobodys_yet(tmp_path: Path) -> None:
    """`make up` was killed before it gave the folder away, or root restored a backup: it does not run as root then."""
    (tmp_path / "secrets").mkdir()
    assert (tmp_path / "secrets").stat().st_uid == 0
    assert layouts._owner(tmp_path, None) == "wharf"
    assert layouts._owner(tmp_path, "somebody") == "somebody"


def test_an_empty_bucket_is_not_claimed_for_a_database_that_has_its_folder(layout: Layout) -> None:
    mark, bucket = layout.var / "store-claimed", replace(SETTINGS, bucket=Bucket("blobs"))
    assert stack._may_claim(layout, bucket, mark), "a first start"
    layout.postgres.mkdir()
    (layout.postgres / "PG_VERSION").write_text("15\n")
    assert not stack._may_claim(layout, bucket, mark)
    assert stack._may_claim(layout, SETTINGS, mark), "an older platform's own folder"
    mark.write_text("")
    assert not stack._may_claim(layout, SETTINGS, mark)


SETTINGS = Settings(8081, "https://registry.example.com", 3, {"WHARF_TOKEN_EXPIRATION": "9"})


CERTIFICATE = {"WHARF_TLS_CERT": "/etc/server.crt", "WHARF_TLS_KEY": "/etc/server.key"}


def test_settings_have_defaults() -> None:
    assert operator.parse({}) == Settings(8080, "http://localhost:8080", 2)
    assert operator.parse({"WHARF_PORT": "9000"}).external_url == "http://localhost:9000"


def test_with_a_certificate_the_external_url_is_https_and_core_is_told_no_file() -> None:
    settings = operator.parse(CERTIFICATE)
    assert settings.tls == Tls(Path("/etc/server.crt"), Path("/etc/server.key"), 8443)
    assert settings.external_url == "https://localhost:8443"
    assert settings.passed_on == {}
    assert settings.ports == {8080: "WHARF_PORT", 8443: "WHARF_TLS_PORT"}
    moved = operator.parse({**CERTIFICATE, "WHARF_TLS_PORT": "9443", "WHARF_EXTERNAL_URL": "https://[::1]:9443"})
    assert (moved.host, moved.address) == ("::1", "[::1]:9443")


@pytest.mark.parametrize(
    "given",
    [
        {"WHARF_PORT": ""},
        {"WHARF_PORT": "0"},
        {"WHARF_PORT": "65536"},
        {"WHARF_PORT": "٣"},
        {"WHARF_EXTERNAL_URL": "localhost:8080"},
        {"WHARF_EXTERNAL_URL": "ftp://x"},
        {"WHARF_EXTERNAL_URL": "http://x/registry"},
        {"WHARF_CORE_WORKERS": "-1"},
        {"WHARF_TLS_PORT": "https"},
        {"WHARF_TLS_CERT": "/etc/server.crt"},
        {"WHARF_TLS_KEY": "/etc/server.key"},
        {"WHARF_TLS_CERT": "server.crt", "WHARF_TLS_KEY": "/etc/server.key"},
        {"WHARF_TLS_KEY": "server.key", "WHARF_TLS_CERT": "/etc/server.crt"},
        {"WHARF_TLS_PORT": "8080", **CERTIFICATE},
        {"WHARF_EXTERNAL_URL": "http://registry.example.com", **CERTIFICATE},
        {"WHARF_CORE_REPLICAS": "0"},
        {"WHARF_WORKER_REPLICAS": "two"},
        {"WHARF_BEAT_REPLICAS": "9"},
        {"WHARF_WEBHOOK_ALLOWED_NETWORKS": "10.0.0.1/8"},
        {"WHARF_WEBHOOK_ALLOWED_NETWORKS": "intranet"},
        {"WHARF_CA_BUNDLE": "ca.pem"},
        {"WHARF_CA_BUNDLE": "/nowhere/ca.pem"},
        {"WHARF_JOB_CAPS": "WEBHOOKS=2"},
        {"WHARF_JOB_CAPS": "2"},
        {"WHARF_JOB_CAPS": "WEBHOOK"},
        {"WHARF_JOB_CAPS": "WEBHOOK=two"},
        {"WHARF_JOB_CAPS": "WEBHOOK=-1"},
        {"WHARF_JOB_CAPS": "WEBHOOK=0"},
        {"WHARF_JOB_CAPS": "WEBHOOK=1001"},
        {"WHARF_JOB_CAPS": "WEBHOOK=1=2"},
        {"WHARF_JOB_CAPS": "WEBHOOK=1,"},
        {"WHARF_JOB_CAPS": "WEBHOOK=1, SLACK=1"},
        {"WHARF_JOB_CAPS": "WEBHOOK=1,SLACK=1,WEBHOOK=2"},
        {"WHARF_JOB_CAPS": "GARBAGE_COLLECTION=2"},
    ],
)
def test_unusable_settings_are_named(given: dict[str, str]) -> None:
    with pytest.raises(Unusable, match=next(iter(given))):
        operator.parse(given)


def test_how_many_jobs_run_at_once_reaches_the_workers() -> None:
    said = {"WHARF_JOB_CAPS": "WEBHOOK=2,SLACK=1,PURGE_AUDIT_LOG=1"}
    assert operator.parse(said).passed_on == said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("WEBHOOKS=2", "'WEBHOOKS' is no kind of job; there are GARBAGE_COLLECTION, PURGE_AUDIT_LOG, SLACK, WEBHOOK"),
        ("WEBHOOK=two", "WEBHOOK is 'two'; it must be a number from 1 to 1000"),
        ("PURGE_AUDIT_LOG=2", "PURGE_AUDIT_LOG is 2, and no more than 1 can be at work at a time"),
    ],
)
def test_caps_of_jobs_are_refused_with_what_would_be_right(text: str, sentence: str) -> None:
    with pytest.raises(Unusable) as refused:
        operator.parse({"WHARF_JOB_CAPS": text})
    assert str(refused.value) == f"WHARF_JOB_CAPS: {sentence}; it is a list such as WEBHOOK=2,SLACK=1"


def test_settings_are_remembered_until_said_otherwise(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(operator.as_text({"WHARF_PORT": "9000", "WHARF_LOG_LEVEL": "DEBUG"}))
    counts, words = operator.remembered(tmp_path, {"WHARF_PORT": "9001", "PATH": "/bin"})
    assert counts == {"WHARF_PORT": "9001", "WHARF_LOG_LEVEL": "DEBUG"}
    assert words == ["WHARF_LOG_LEVEL is as said earlier (WHARF_LOG_LEVEL= would forget it)"]
    assert operator.remembered(tmp_path, {"WHARF_PORT": "", "WHARF_LOG_LEVEL": ""}) == ({}, [])


def test_what_must_not_be_remembered_is_not(tmp_path: Path) -> None:
    said = {"WHARF_ADMIN_PASSWORD": "Secret12345", "WHARF_VAR": "/srv", "WHARF_DATABASE_URL": "x", "WHARF_PORT": "1"}
    counts, words = operator.remembered(tmp_path, said)
    assert counts == {"WHARF_PORT": "1"}
    assert words == ["WHARF_DATABASE_URL is decided here; the environment's value is not used"]


@pytest.mark.parametrize("preset", ["short1A", "alllowercase1", "NODIGITS", "Two\nlines12", " Padded12345", "Aa1" * 50])
def test_a_weak_preset_password_is_refused(preset: str) -> None:
    with pytest.raises(Unusable, match="WHARF_ADMIN_PASSWORD must"):
        operator.admin_password(preset)


def test_a_folder_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(Unusable, match="holds files that are not Wharf's"):
        preconditions.check_folder(Layout(tmp_path, "nobody"))
    with pytest.raises(Unusable, match="misread"):
        preconditions.check_folder(Layout(Path("/srv/a b;c"), "nobody"))
    with pytest.raises(Unusable, match="is not a folder"):
        preconditions.check_folder(Layout(Path("/etc/hostname"), "nobody"))


@pytest.mark.parametrize(("port", "setting"), [(80, "WHARF_PORT"), (443, "WHARF_TLS_PORT")])
def test_a_privileged_port_is_explained(port: int, setting: str) -> None:
    with pytest.raises(Unusable, match=f"port {port} may be opened by root alone.*{setting}"):
        preconditions.check_port(port, setting, "wharf")


def test_sockets_move_when_their_paths_would_be_too_long(tmp_path: Path) -> None:
    assert Layout(Path("/srv/wharf"), "wharf").run == Path("/srv/wharf/run")
    long = Layout(tmp_path / ("x" * 120), "wharf")
    assert len(f"{long.run}/.s.PGSQL.5432.lock") <= SOCKET_MOST
    assert long.run != Layout(tmp_path / ("y" * 120), "wharf").run


def test_every_placeholder_is_filled(layout: Layout) -> None:
    for path, text in configuration_files(layout, SETTINGS).items():
        assert "@{" not in text, path
    registry = configuration_files(layout, SETTINGS)[layout.etc / "registry.yml"]
    assert "realm: https://registry.example.com/service/token" in registry
    assert "cache:" not in registry, "invariant I6"


def test_every_queue_is_served_and_who_waits_for_others_makes_nobody_wait() -> None:
    """A receiver of webhooks that hangs holds a process; nobody who looks at a screen waits for that one."""
    served = [queues.split(",") for queues, _ in WORKERS.values()]
    assert sorted(chain(*served)) == sorted([*Queue, "upkeep"])
    assert [Queue.EVENT] in served


REPLICAS = Settings(8081, "http://localhost:8081", 2, core_replicas=3, worker_replicas=2, beat_replicas=2)


def test_replicas_have_names_and_sockets_of_their_own(layout: Layout) -> None:
    (layout.var / "postgres").mkdir()
    made = {program.name: program for program in programs(layout, REPLICAS, "code")}
    assert list(made) == names(REPLICAS) == [
        "postgres", "redis", "registry", "core", "core-2", "core-3", "worker", "worker-2", "event", "event-2",
        "bulk", "bulk-2", "beat", "beat-2", "nginx",
    ]  # fmt: skip
    assert made["core-2"].socket == "core-2.sock"
    assert f"unix:{layout.run}/core-2.sock" in made["core-2"].command
    assert "worker-2@%h" in made["worker-2"].command
    nginx = configuration_files(layout, REPLICAS)[layout.etc / "nginx.conf"]
    for name in ("core", "core-2", "core-3"):
        assert f"server unix:{layout.run}/{name}.sock max_fails=0;" in nginx


def test_one_more_replica_restarts_nobody(layout: Layout) -> None:
    (layout.var / "postgres").mkdir()
    one = {program.name: program for program in programs(layout, Settings(8081, "http://localhost:8081", 2), "code")}
    many = {program.name: program for program in programs(layout, REPLICAS, "code")}
    assert {name: program for name, program in many.items() if name in one} == one
    sections = supervisor.configuration(layout, list(one.values())).split("[program:")[1:]
    assert set(sections) < set(supervisor.configuration(layout, list(many.values())).split("[program:"))


def test_the_database_allows_as_many_connections_as_there_may_be(layout: Layout) -> None:
    (layout.var / "postgres").mkdir()

    def allowed(settings: Settings) -> int:
        postgres = programs(layout, settings, "code")[0]
        return int(next(word for word in postgres.command if "max_connections" in word).partition("=")[2])

    assert allowed(REPLICAS) == 300
    assert allowed(Settings(8081, "http://localhost:8081", 16, core_replicas=4)) > 4 * 16 * 16


def test_the_supervisor_runs_all_nine_and_doubles_percent_signs(layout: Layout) -> None:
    (layout.var / "postgres").mkdir()
    made = programs(layout, SETTINGS, "code")
    assert tuple(program.name for program in made) == tuple(names(SETTINGS))
    text = supervisor.configuration(layout, made)
    assert text.count("autorestart=true") == 9
    assert "http+unix://%%2F" in text
    core = next(program for program in made if program.name == "core")
    assert core.environment["WHARF_TOKEN_EXPIRATION"] == "9"
    assert core.environment["WHARF_EXTERNAL_URL"] == "https://registry.example.com"


def test_only_what_changed_is_restarted(layout: Layout) -> None:
    def prints(settings: Settings, code: str) -> dict[str, str]:
        return {program.name: program.fingerprint for program in programs(layout, settings, code)}

    before = prints(SETTINGS, "code")
    newer = prints(SETTINGS, "newer code")
    assert {name for name in before if before[name] != newer[name]} == {"core", "worker", "event", "bulk", "beat"}
    moved = Settings(8082, SETTINGS.external_url, 3, SETTINGS.passed_on)
    assert prints(moved, "code") == before, "nginx reads its configuration again"
    nginx = layout.etc / "nginx.conf"
    assert configuration_files(layout, moved)[nginx] != configuration_files(layout, SETTINGS)[nginx]


def test_https_alone_restarts_nobody(layout: Layout) -> None:
    """nginx reads it; the external URL, which makes links, is what others are restarted for."""

    def prints(settings: Settings) -> dict[str, str]:
        return {program.name: program.fingerprint for program in programs(layout, settings, "code")}

    tls = Tls(Path("/etc/server.crt"), Path("/etc/server.key"), 8443)
    assert prints(replace(SETTINGS, tls=tls)) == prints(SETTINGS)


def test_no_secret_is_in_an_environment_or_a_command(layout: Layout) -> None:
    secrets = {path.read_text().strip() for path in layout.secrets.iterdir() if path.is_file()}
    for program in programs(layout, SETTINGS, "code"):
        said = " ".join([*program.command, *program.environment.values()])
        assert not [secret for secret in secrets if secret in said]


def test_secrets_are_made_once_and_closed_to_others(layout: Layout) -> None:
    names = ("secret-key", "credential-key", "fernet-key", "registry-http-secret", "admin-password")
    before = {name: (layout.secrets / name).read_text() for name in names}
    assert len(set(before.values())) == len(names)
    keys.init(layout.secrets)
    assert before == {name: (layout.secrets / name).read_text() for name in names}
    for path in (*layout.secrets.iterdir(), *(layout.secrets / "token").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.is_dir()
    password = before["admin-password"].strip()
    assert len(password) >= 16
    assert any(c.isupper() for c in password)
    assert any(c.islower() for c in password)
    assert any(c.isdigit() for c in password)


def test_a_preset_password_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHARF_ADMIN_PASSWORD", "Preset12345")
    keys.init(tmp_path)
    assert (tmp_path / "admin-password").read_text() == "Preset12345\n"


def test_keys_rotate_with_two_certificates_trusted_between(layout: Layout) -> None:
    token = layout.secrets / "token"
    old = (token / "current.crt").read_text()

    def trusted() -> int:
        return (token / "bundle.pem").read_text().count("BEGIN CERTIFICATE")

    assert trusted() == 1
    keys.prepare(layout.secrets)
    assert trusted() == 2
    assert (token / "current.crt").read_text() == old
    keys.prepare(layout.secrets)
    keys.switch(layout.secrets)
    assert trusted() == 2
    assert (token / "current.crt").read_text() != old
    with pytest.raises(SystemExit, match="prepare"):
        keys.switch(layout.secrets)
    keys.finish(layout.secrets)
    assert (token / "bundle.pem").read_text() == (token / "current.crt").read_text()
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(token / "current.crt"), "-noout", "-text"], capture_output=True, text=True
    ).stdout
    assert "prime256v1" in shown


def test_the_requirements_are_those_of_pyproject() -> None:
    assert any(line.startswith("django>=5.2") for line in requirements())
    assert not any(line.startswith("ruff") for line in requirements())
    assert any(line.startswith("ruff") for line in requirements("dev"))


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("ID=debian\nVERSION_ID=11\nPRETTY_NAME='Debian 11'", "Debian 11 is not supported"),
        ("ID=ubuntu\nVERSION_ID=22.04\nPRETTY_NAME='Ubuntu 22.04'", "Ubuntu 22.04 is not supported"),
        ("ID=fedora\nVERSION_ID=40\nPRETTY_NAME='Fedora 40'", "Fedora 40 is not supported"),
        ("ID=debian\nVERSION_ID=12", ""),
        ("ID=ubuntu\nVERSION_ID=24.04", ""),
    ],
)
def test_older_systems_are_refused_in_words(tmp_path: Path, release: str, words: str) -> None:
    (tmp_path / "os-release").write_text(release)
    script = _ending_in("check_system").replace("/etc/os-release", str(tmp_path / "os-release"))
    result = subprocess.run(["bash", str(_bootstrap(tmp_path, script))], capture_output=True, text=True)
    assert (result.returncode, words in result.stderr) == (1 if words else 0, True)


def test_another_apt_is_waited_for(tmp_path: Path) -> None:
    """A machine that has just started reads its lists by itself; who installs Wharf then sees no error."""
    lists = tmp_path / "state/lists/partial"
    lists.mkdir(parents=True)
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::State "{tmp_path}/state"; Dir::Cache "{tmp_path}/cache";\n'
        'Dir::Etc::SourceList "/dev/null"; Dir::Etc::SourceParts "/dev/null";\n'
    )
    script = _ending_in("run_apt update").replace("LOG=/var/log/", f"LOG={tmp_path}/")
    with (lists.parent / "lock").open("w") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            ["bash", str(_bootstrap(tmp_path, script))],
            env={"PATH": "/usr/bin:/bin", "APT_CONFIG": str(configuration)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "  waiting until another program is done with apt\n"
    rest, _ = waiting.communicate(timeout=60)
    assert (rest, waiting.returncode) == ("", 0)


@pytest.mark.parametrize("name", ["WHARF_PORT", "GC_TIME_WINDOW_HOURS", "PIP_INDEX_URL", "https_proxy", "CI"])
def test_who_is_not_root_is_believed_through_sudo(tmp_path: Path, name: str) -> None:
    """sudo drops the environment but for what it is told to keep: a setting that it drops is one that nobody hears."""
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] || echo "$@"\n')
    sudo.chmod(0o755)
    script = _bootstrap(tmp_path, _ending_in("id() { echo 1000; }; become_root up"))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", name: "1", "OTHER": "1"}
    told = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == f"--preserve-env={name} -- bash deploy/bootstrap.sh up"


def _ending_in(command: str) -> str:
    """bootstrap.sh, but what it does in the end."""
    script = (Path(__file__).parents[2] / "deploy/bootstrap.sh").read_text()
    return script.replace('\nmain "$@"\n', f"\n{command}\n")


def _bootstrap(folder: Path, script: str) -> Path:
    (folder / "deploy").mkdir()
    path = folder / "deploy" / "bootstrap.sh"
    path.write_text(script)
    return path
