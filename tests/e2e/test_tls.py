"""HTTPS with a real Docker engine at an address that is not loopback: who is trusted, who is refused, and renewal."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.certificate import first
from tests.certificates import DAY, Authority, Issued
from tests.e2e.client import Client, Repository, digest_of, make_image
from tests.e2e.docker_engine import Docker, start_docker
from tests.e2e.network import own_network, with_replaced
from tests.e2e.platform import PROGRAMS, Platform, free_port, new_platform, remove

NAME, ADDRESS = "registry.wharf.test", "10.99.7.1"
FOR_A_YEAR = "max-age=31536000"
AUTHORITY, STRANGER = Authority(), Authority("somebody else")


@dataclass
class Secure:
    """A platform with HTTPS, and the operator's files."""

    platform: Platform
    folder: Path
    plain: str

    def put(self, issued: Issued) -> Issued:
        """As certbot does: links that point to files which root alone may read."""
        archive = Path(tempfile.mkdtemp(dir=self.folder))
        for file in issued.write(archive):
            link = self.folder / f"new-{file.name}"
            link.symlink_to(file)
            link.replace(self.folder / file.name)
        return issued

    def repository(self, name: str) -> Repository:
        return Client(self.platform.url, self.platform.admin).repository(f"team/{name}")

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """The answer to a stranger, redirects not followed."""
        return Client(self.platform.url).call(method, path, **options)

    @property
    def shown(self) -> str:
        """The certificate that a new client is shown."""
        return ssl.get_server_certificate((ADDRESS, int(self.platform.host.split(":")[1]))).strip()

    def pids(self) -> dict[str, int]:
        return {program: self.platform.pid(program) for program in PROGRAMS}


@pytest.fixture(scope="module")
def secure() -> Iterator[Secure]:
    """One that ran without HTTPS before and was pushed to then."""
    platform = new_platform()
    folder = platform.var.parent / "live"
    folder.mkdir(mode=0o700)
    try:
        # The libraries come from a network that is not there later.
        platform.up()
        platform.make_project("team", platform.admin)
        before = Secure(platform, folder, platform.url)
        before.repository("earlier").push(make_image(), "v1")
        platform.down()
        port = free_port()
        (folder / "ca.crt").write_text(AUTHORITY.pem)
        before.put(AUTHORITY.issue(NAME))
        platform.extra |= {
            "WHARF_TLS_CERT": f"{folder}/server.crt", "WHARF_TLS_KEY": f"{folder}/server.key",
            "WHARF_TLS_PORT": str(port), "WHARF_EXTERNAL_URL": f"https://{NAME}:{port}",
        }  # fmt: skip
        with own_network({NAME: ADDRESS}), pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(folder / "ca.crt"))
            platform.up()
            yield Secure(platform, folder, f"http://{NAME}:{platform.port}")
    finally:
        remove(platform)


@pytest.fixture(scope="module")
def trust(secure: Secure) -> Callable[[str | None], None]:
    """Say whom Docker trusts at this address: it looks at each connection."""
    folder = secure.folder / "docker" / "certs.d" / secure.platform.host
    folder.mkdir(parents=True)

    def say(pem: str | None) -> None:
        (folder / "ca.crt").unlink(missing_ok=True)
        if pem:
            (folder / "ca.crt").write_text(pem)

    return say


@pytest.fixture(scope="module")
def hosts(secure: Secure) -> Path:
    file = secure.folder / "hosts"
    file.write_text(f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
    return file


@pytest.fixture(scope="module")
def docker(secure: Secure, trust: Callable[[str | None], None], hosts: Path) -> Iterator[Docker]:
    # The engine makes this folder itself when it is not there.
    Path("/etc/docker").mkdir(exist_ok=True)
    prefix = with_replaced({Path("/etc/hosts"): hosts, Path("/etc/docker"): secure.folder / "docker"})
    yield from start_docker(prefix)


def test_docker_that_trusts_the_authority_pushes_and_pulls(
    secure: Secure, docker: Docker, trust: Callable[[str | None], None]
) -> None:
    trust(AUTHORITY.pem)
    name = f"{secure.platform.host}/team/trusted:1"
    docker.build(name, Path("/usr/bin/make"), Path("/etc/os-release"))
    docker.login(secure.platform.host, secure.platform.admin)
    assert "digest: sha256:" in docker("push", name).stdout
    docker("rmi", name)
    assert "Downloaded newer image" in docker("pull", name).stdout


@pytest.mark.parametrize("trusted", [None, STRANGER.pem], ids=["nobody", "somebody else"])
def test_docker_that_trusts_another_authority_is_not_spoken_to(
    secure: Secure, docker: Docker, trust: Callable[[str | None], None], trusted: str | None
) -> None:
    name = f"{secure.platform.host}/team/refused:1"
    docker.build(name, Path("/etc/os-release"))
    trust(AUTHORITY.pem)
    docker.login(secure.platform.host, secure.platform.admin)
    docker("push", name)
    trust(trusted)
    for refused in (
        docker("push", name, check=False),
        docker("pull", name, check=False),
        docker.login(secure.platform.host, secure.platform.admin, check=False),
    ):
        assert refused.returncode != 0
        assert "certificate signed by unknown authority" in refused.stderr
    trust(AUTHORITY.pem)
    docker("pull", name)


@pytest.mark.parametrize(("trusted", "words"), [(AUTHORITY.pem, ""), (STRANGER.pem, "unknown authority")])
def test_skopeo_reads_what_was_pushed_if_it_trusts_the_authority(
    secure: Secure, hosts: Path, tmp_path: Path, trusted: str, words: str
) -> None:
    (tmp_path / "ca.crt").write_text(trusted)
    command = ["skopeo", "inspect", "--raw", "--cert-dir", str(tmp_path), "--creds", ":".join(secure.platform.admin)]
    result = subprocess.run(
        [*with_replaced({Path("/etc/hosts"): hosts}), *command, f"docker://{secure.platform.host}/team/earlier:v1"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (result.returncode == 0) == (not words), result.stderr
    assert words in result.stderr


def test_what_was_pushed_before_https_is_still_there(secure: Secure) -> None:
    assert secure.repository("earlier").pull("v1") is not None


def test_clients_are_sent_to_the_token_service_by_https(secure: Secure) -> None:
    challenge = secure.ask("GET", "/v2/").headers["WWW-Authenticate"]
    assert f'realm="{secure.platform.url}/service/token"' in challenge


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_plain_http_is_redirected_with_method_path_and_query(secure: Secure, method: str) -> None:
    path = "/v2/team/app/blobs/uploads/?digest=sha256%3Aab&x=%20y"
    # Whatever Host the client claims: nobody is sent to a stranger's address.
    for headers in ({}, {"Host": "stranger.example.com"}):
        answer = secure.ask(method, secure.plain + path, headers=headers, data=b"x" * 2_000_000)
        assert answer.status_code == 308
        assert answer.headers["Location"] == secure.platform.url + path
        assert "Strict-Transport-Security" not in answer.headers


def test_plain_http_at_the_https_port_is_redirected_too(secure: Secure) -> None:
    answer = secure.ask("GET", f"http://{secure.platform.host}/harbor?a=b")
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{secure.platform.url}/harbor?a=b")
    assert "Strict-Transport-Security" not in answer.headers


def test_a_certificate_authority_may_see_its_file_by_plain_http(secure: Secure) -> None:
    folder = secure.platform.var / "acme" / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    (folder / "a-token").write_text("what it wants to see")
    answer = secure.ask("GET", f"{secure.plain}/.well-known/acme-challenge/a-token")
    assert (answer.status_code, answer.text) == (200, "what it wants to see")
    for other in ("..%2f..%2f..%2fetc%2ftls.pem", "../../../etc/tls.pem", "another"):
        refused = _raw(socket.create_connection((NAME, secure.platform.port)), f"/.well-known/acme-challenge/{other}")
        assert refused.status in (308, 400, 404)
        assert b"PRIVATE KEY" not in refused.read()


def _raw(connection: socket.socket, path: str, *headers: str) -> http.client.HTTPResponse:
    """The answer to a request that libraries would refuse to send."""
    with connection:
        connection.settimeout(20)
        lines = [f"GET {path} HTTP/1.1", f"Host: {NAME}", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer


def _connect(secure: Secure, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    context = context or ssl.create_default_context(cadata=AUTHORITY.pem)
    port = int(secure.platform.host.split(":")[1])
    return context.wrap_socket(socket.create_connection((NAME, port), timeout=20), server_hostname=NAME)


# --- every answer says that the next request shall be HTTPS --------------------------------------------------
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/", 401),
        ("GET", "/v2", 301),
        ("GET", "/sign-in", 200),
        ("GET", "/api/v2.0/health", 200),
        ("GET", "/api/v2.0/nothing", 404),
        ("GET", "/v2/_judge_upload", 404),
        ("PATCH", "/v2/team/app/blobs/uploads/00000000-0000-0000-0000-000000000000", 401),
    ],
)
def test_every_answer_asks_for_https(secure: Secure, method: str, path: str, status: int) -> None:
    answer = secure.ask(method, path)
    assert (answer.status_code, answer.headers.get("Strict-Transport-Security")) == (status, FOR_A_YEAR)


def test_redirects_within_the_platform_name_no_port_that_clients_may_not_know(secure: Secure) -> None:
    assert secure.ask("GET", "/v2").headers["Location"] == "/v2/"


def test_what_the_registry_sends_asks_for_https(secure: Secure) -> None:
    app = secure.repository("strict")
    digest = app.push_blob(os.urandom(1000))
    answers = [
        (200, app.get_blob(digest)),
        (206, app.get_blob(digest, headers={"Range": "bytes=0-9"})),
        (416, app.get_blob(digest, headers={"Range": "bytes=5000-"})),
        (202, app.call("POST", "blobs/uploads/")),
    ]
    for status, answer in answers:
        assert (answer.status_code, answer.headers.get("Strict-Transport-Security")) == (status, FOR_A_YEAR)


def test_errors_of_nginx_itself_ask_for_https(secure: Secure) -> None:
    answers = [
        (413, secure.ask("POST", "/api/v2.0/users", data=b"x" * 2_000_000)),
        (413, secure.repository("strict").put_manifest(b"x" * 5_000_000, "v1")),
    ]
    for status, answer in answers:
        assert (answer.status_code, answer.headers.get("Strict-Transport-Security")) == (status, FOR_A_YEAR)
    long = "x" * 70_000
    for status, words in ((400, ("/%zz",)), (414, (f"/{long}",)), (431, ("/", f"X-Long: {long}"))):
        unreadable = _raw(_connect(secure), *words)
        assert unreadable.status == status
        assert unreadable.getheader("Strict-Transport-Security") == FOR_A_YEAR


def test_a_dead_part_does_not_make_https_forgotten(secure: Secure) -> None:
    app = secure.repository("strict")
    digest = app.push_blob(os.urandom(1000))
    for program, path in (
        ("registry", f"/v2/{app.name}/blobs/{digest}"),
        ("core", "/v2/"),
        ("core", "/api/v2.0/health"),
    ):
        token = {"Authorization": f"Bearer {app.client.token(*app.scopes)}"}
        secure.platform.stop(program)
        answer = secure.ask("GET", path, headers=token)
        secure.platform.start(program)
        assert (answer.status_code, answer.headers.get("Strict-Transport-Security")) == (503, FOR_A_YEAR), path
    secure.platform.wait_healthy()


def test_a_browser_signs_in_and_its_cookies_travel_by_https_alone(secure: Secure) -> None:
    browser = Client(secure.platform.url).session
    page = browser.get(f"{secure.platform.url}/sign-in", timeout=60)
    name, password = secure.platform.admin
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[0]
    form = {"csrfmiddlewaretoken": token, "username": name, "password": password}
    answer = browser.post(page.url, data=form, headers={"Origin": secure.platform.url, "Referer": page.url}, timeout=60)
    assert answer.status_code == 200
    assert "sid" in browser.cookies
    assert all(cookie.secure for cookie in browser.cookies)


# --- modern protocols only ---------------------------------------------------------------------------------
def _client_of(version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=AUTHORITY.pem)
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_modern_protocols_are_spoken(secure: Secure, version: ssl.TLSVersion) -> None:
    with _connect(secure, _client_of(version)) as connection:
        assert (connection.version() or "").replace(".", "_") == version.name


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_protocols_are_refused(secure: Secure, version: ssl.TLSVersion) -> None:
    # The alert comes from the other side: this client would have spoken it.
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        _connect(secure, _client_of(version))


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-CCM"])
def test_ciphers_not_on_the_list_are_refused(secure: Secure, cipher: str) -> None:
    with pytest.raises(ssl.SSLError, match="ALERT_HANDSHAKE_FAILURE"):
        _connect(secure, _client_of(ssl.TLSVersion.TLSv1_2, cipher))


# --- the operator's key, and renewal -------------------------------------------------------------------------
def test_only_root_and_nginx_may_read_the_key_and_only_root_may_change_it(secure: Secure) -> None:
    """The operator's files lie behind a folder that the service user cannot enter."""
    copy = secure.platform.var / "etc" / "tls.pem"
    assert (copy.owner(), copy.group(), stat.S_IMODE(copy.stat().st_mode)) == ("root", "wharf", 0o640)
    for file in (secure.folder / "server.key", copy):
        for user, opens in (("nobody", False), ("wharf", file == copy)):
            cat = subprocess.run(["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "cat", str(file)],
                                 capture_output=True, cwd="/")  # fmt: skip
            assert (cat.returncode == 0) == opens, (user, file)
    written = "".join(path.read_text() for path in (secure.platform.var / "etc").iterdir() if path != copy)
    written += "".join(path.read_text() for path in (secure.platform.var / "log").iterdir())
    assert "PRIVATE KEY" not in written


def test_a_renewed_certificate_is_shown_while_everything_goes_on(secure: Secure) -> None:
    """Nobody is restarted, and what is under way is finished: an upload, a download, a push of docker's."""
    app = secure.repository("renewed")
    content = os.urandom(40_000_000)
    digest = app.push_blob(content)
    before = secure.pids()
    renewed = AUTHORITY.issue(NAME)
    assert first(renewed.certificate) != secure.shown

    download = app.get_blob(digest, stream=True)
    received = download.raw.read(1_000_000)

    def slowly() -> Iterator[bytes]:
        yield content[:20_000_000]
        secure.put(renewed)
        result = secure.platform.command("renew-tls")
        assert result.returncode == 0, result.stdout + result.stderr
        assert "good until" in result.stdout
        assert secure.shown == first(renewed.certificate)
        yield content[20_000_000:]

    uploading = secure.repository("renewed")
    location = uploading.start_upload()
    patched = uploading.client.call(
        "PATCH", location, scopes=uploading.scopes, data=slowly(), headers={"Content-Type": "application/octet-stream"}
    )
    assert patched.status_code == 202, patched.text
    assert patched.headers["Range"] == f"0-{len(content) - 1}"
    assert digest_of(received + download.raw.read()) == digest
    assert secure.pids() == before


def test_docker_pushes_through_renewals(
    secure: Secure, docker: Docker, trust: Callable[[str | None], None], tmp_path: Path
) -> None:
    trust(AUTHORITY.pem)
    for place in range(4):
        (tmp_path / str(place)).write_bytes(os.urandom(30_000_000))
    name = f"{secure.platform.host}/team/renewals:1"
    docker.build(name, *(tmp_path / str(place) for place in range(4)))
    docker.login(secure.platform.host, secure.platform.admin)
    before = secure.pids()
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(docker, "push", name)
        renewals = 0
        while not pushed.done() or not renewals:
            renewed = secure.put(AUTHORITY.issue(NAME))
            assert secure.platform.command("renew-tls").returncode == 0
            renewals += 1
    assert "digest: sha256:" in pushed.result().stdout
    assert secure.shown == first(renewed.certificate)
    assert secure.pids() == before


def test_up_notices_a_renewed_certificate_and_restarts_nobody(secure: Secure) -> None:
    before, renewed = secure.pids(), secure.put(AUTHORITY.issue(NAME))
    said = secure.platform.up()
    assert "certificate    good until" in said
    assert secure.shown == first(renewed.certificate)
    assert secure.pids() == before


def test_a_bad_renewal_is_refused_and_the_old_certificate_goes_on(secure: Secure) -> None:
    good = secure.put(AUTHORITY.issue(NAME))
    secure.platform.up()
    before, fresh = secure.pids(), AUTHORITY.issue(NAME)
    for bad, words in (
        (Issued(fresh.certificate, good.key), "does not fit"),
        (Issued(fresh.certificate[:300], fresh.key), "half a certificate"),
        (AUTHORITY.issue(NAME, since=-9 * DAY, until=-DAY), "has expired"),
        (AUTHORITY.issue("other.example.com"), f"is not for {NAME}"),
    ):
        secure.put(bad)
        for command in ("renew-tls", "up"):
            refused = secure.platform.command(command)
            assert refused.returncode != 0
            assert words in refused.stderr
        assert secure.shown == first(good.certificate)
    assert secure.pids() == before
    secure.put(good)


def test_status_says_until_when_the_certificate_is_good(secure: Secure) -> None:
    secure.put(AUTHORITY.issue(NAME, until=5 * DAY))
    assert secure.platform.command("renew-tls").returncode == 0
    status = secure.platform.command("status")
    assert status.returncode == 0, status.stdout
    assert "4 days; renew it soon" in status.stdout


def test_the_trial_authority_is_two_lines_away(
    secure: Secure, docker: Docker, trust: Callable[[str | None], None]
) -> None:
    """What `make trial-tls` says is what one does."""
    made = secure.platform.command("trial-tls")
    assert made.returncode == 0, made.stdout + made.stderr
    folder = secure.platform.var / "trial-tls"
    settings = dict(re.findall(r"(WHARF_\w+)=(\S+)", made.stdout))
    assert settings == {
        "WHARF_TLS_CERT": f"{folder}/server.crt", "WHARF_TLS_KEY": f"{folder}/server.key",
        "WHARF_EXTERNAL_URL": secure.platform.url, "WHARF_PORT": str(secure.platform.port),
        "WHARF_TLS_PORT": secure.platform.extra["WHARF_TLS_PORT"],
    }  # fmt: skip
    assert f"cp ca.crt /etc/docker/certs.d/{secure.platform.host}/ca.crt" in made.stdout
    secure.platform.extra |= settings
    secure.platform.up()
    trust((folder / "ca.crt").read_text())
    assert docker.login(secure.platform.host, secure.platform.admin).returncode == 0
    trust(AUTHORITY.pem)
    refused = docker.login(secure.platform.host, secure.platform.admin, check=False)
    assert "certificate signed by unknown authority" in refused.stderr


def test_https_is_switched_off_again_and_the_copy_of_the_key_is_gone(secure: Secure) -> None:
    """The last of the file: it changes the platform."""
    stores = {program: pid for program, pid in secure.pids().items() if program in ("postgres", "redis")}
    secure.platform.extra = dict.fromkeys(
        ("WHARF_TLS_CERT", "WHARF_TLS_KEY", "WHARF_TLS_PORT", "WHARF_EXTERNAL_URL"), ""
    )
    secure.platform.up()
    assert secure.ask("GET", f"{secure.plain}/api/v2.0/health").status_code == 200
    assert not (secure.platform.var / "etc" / "tls.pem").exists()
    refused = secure.platform.command("renew-tls")
    assert refused.returncode != 0
    assert "HTTPS is off" in refused.stderr
    assert {program: secure.platform.pid(program) for program in stores} == stores
