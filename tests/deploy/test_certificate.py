"""What is said about a certificate before nginx gets it: good ones pass, each kind of bad one has its sentence."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.certificate import Certificate, first, load
from deploy.stack import trial_tls
from deploy.stack.settings import Unusable
from tests.certificates import DAY, Authority, Issued

HOST = "registry.example.com"
AUTHORITY = Authority()


def _load(issued: Issued, folder: Path, host: str = HOST) -> Certificate:
    return load(*issued.write(folder), host)


def test_a_good_pair_becomes_one_file_and_says_until_when(tmp_path: Path) -> None:
    issued = AUTHORITY.issue(HOST)
    loaded = _load(issued, tmp_path)
    assert 89 <= (loaded.until - datetime.now(UTC)).days <= 90
    assert first(loaded.pem) == issued.certificate.strip()
    (tmp_path / "both.pem").write_text(loaded.pem)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "both.pem")
    assert load(tmp_path / "both.pem", tmp_path / "both.pem", HOST) == loaded


@pytest.mark.parametrize("host", ["registry.example.com", "other.example.org", "10.1.2.3", "::1"])
def test_names_wildcards_and_addresses_fit(tmp_path: Path, host: str) -> None:
    assert _load(AUTHORITY.issue("*.example.com", "other.example.org", "10.1.2.3", "::1"), tmp_path, host)


def test_links_text_around_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    """As certbot and `openssl x509 -text` leave them."""
    issued = AUTHORITY.issue(HOST)
    (tmp_path / "archive").mkdir()
    text = "Certificate:\n    Issuer: Äußerst\n" + issued.certificate.replace("\n", " \r\n")
    written = Issued(text, issued.key).write(tmp_path / "archive")
    for file in written:
        (tmp_path / file.name).symlink_to(file)
    assert "Äußerst" not in load(tmp_path / "server.crt", tmp_path / "server.key", HOST).pem


def test_a_chain_is_kept_in_its_order(tmp_path: Path) -> None:
    middle = Authority("intermediate", AUTHORITY)
    issued = middle.issue(HOST)
    issued.certificate += middle.pem
    assert _load(issued, tmp_path).pem.endswith(issued.certificate)


def test_what_the_trial_authority_makes_is_good_and_it_signs_again(tmp_path: Path) -> None:
    folder = tmp_path / "trial-tls"
    trial_tls.make(folder, HOST)
    ours = (folder / "ca.crt").read_text()
    before = load(folder / "server.crt", folder / "server.key", HOST)
    trial_tls.make(folder, "10.1.2.3")
    after = load(folder / "server.crt", folder / "server.key", "10.1.2.3")
    assert first(before.pem) != first(after.pem)
    assert (folder / "ca.crt").read_text() == ours
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in folder.iterdir()} == {
        "ca.crt": "0o44", "ca.key": "0o0", "server.crt": "0o44", "server.key": "0o0",
    }  # fmt: skip


@pytest.mark.parametrize(("bits", "words"), [(2048, ""), (1024, "ee key too small")])
def test_a_self_signed_certificate_will_do_if_its_key_is_strong(tmp_path: Path, bits: int, words: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-subj", "/CN=x", "-days", "5", "-addext",
               f"subjectAltName=DNS:{HOST}", "-keyout", "server.key", "-out", "server.crt"]  # fmt: skip
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(Unusable, match=words) if words else nullcontext():
        load(tmp_path / "server.crt", tmp_path / "server.key", HOST)


def _half(issued: Issued) -> Issued:
    return Issued(issued.certificate[: len(issued.certificate) // 2], issued.key)


def _half_chain(issued: Issued) -> Issued:
    return Issued(issued.certificate + AUTHORITY.pem[:200], issued.key)


def _holes(issued: Issued) -> Issued:
    lines = issued.certificate.splitlines()
    return Issued("\n".join([*lines[:3], *lines[5:]]) + "\n", issued.key)


def _half_key(issued: Issued) -> Issued:
    return Issued(issued.certificate, issued.key[:100])


def _damaged_key(issued: Issued) -> Issued:
    lines = issued.key.splitlines()
    return Issued(issued.certificate, "\n".join([lines[0], *lines[2:]]) + "\n")


def _swapped(issued: Issued) -> Issued:
    return Issued(issued.key, issued.certificate)


def _no_key(issued: Issued) -> Issued:
    return Issued(issued.certificate, issued.certificate)


def _other_key(issued: Issued) -> Issued:
    return Issued(issued.certificate, AUTHORITY.issue(HOST).key)


def _other_kind_of_key(issued: Issued) -> Issued:
    key = rsa.generate_private_key(65537, 2048)
    return Issued(
        issued.certificate, key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    )


def _locked_key(issued: Issued) -> Issued:
    key = load_pem_private_key(issued.key.encode(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    return Issued(issued.certificate, locked.decode())


def _wrong_order(issued: Issued) -> Issued:
    return Issued(AUTHORITY.pem + issued.certificate, issued.key)


def _stranger_in_the_chain(issued: Issued) -> Issued:
    return Issued(issued.certificate + Authority("somebody else").pem, issued.key)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_half, "holds half a certificate"),
        (_half_chain, "holds half a certificate"),
        (_holes, "certificate 1 in .* is damaged"),
        (_half_key, "holds half a key"),
        (_damaged_key, "cannot be used with the key"),
        (_swapped, "holds no certificate"),
        (_no_key, "holds no private keys"),
        (_other_key, "does not fit"),
        (_other_kind_of_key, "does not fit"),
        (_locked_key, "protected by a passphrase"),
        (_wrong_order, "does not fit the first certificate"),
        (_stranger_in_the_chain, "do not lead from one to the next"),
    ],
)
def test_spoilt_files_are_refused(tmp_path: Path, spoil: Callable[[Issued], Issued], words: str) -> None:
    with pytest.raises(Unusable, match=words) as refusal:
        _load(spoil(AUTHORITY.issue(HOST)), tmp_path)
    assert str(tmp_path) in str(refusal.value)
    assert "PRIVATE KEY-----\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("issued", "words"),
    [
        (AUTHORITY.issue(HOST, since=-9 * DAY, until=-DAY), "has expired; renew it"),
        (AUTHORITY.issue(HOST, since=DAY), "not valid yet; is this machine's clock right"),
        (AUTHORITY.issue("other.example.com"), "is not for registry.example.com, the host of WHARF_EXTERNAL_URL"),
        (AUTHORITY.issue("*.registry.example.com"), "is not for registry.example.com"),
        # What browsers and docker no longer look at.
        (AUTHORITY.issue(common_name=HOST), "is not for registry.example.com"),
        (AUTHORITY.issue(HOST, usage=ExtendedKeyUsageOID.CLIENT_AUTH), "not meant for servers"),
    ],
)
def test_what_clients_would_refuse_is_refused_first(tmp_path: Path, issued: Issued, words: str) -> None:
    with pytest.raises(Unusable, match=words):
        _load(issued, tmp_path)


def test_a_certificate_for_another_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"is not for 10\.1\.2\.4"):
        _load(AUTHORITY.issue(HOST, "10.1.2.3"), tmp_path, "10.1.2.4")


def test_an_expired_intermediate_is_refused(tmp_path: Path) -> None:
    middle = Authority("intermediate", AUTHORITY, since=-9 * DAY, until=-DAY)
    issued = middle.issue(HOST)
    issued.certificate += middle.pem
    with pytest.raises(Unusable, match="has expired"):
        _load(issued, tmp_path)


def test_files_that_are_none_are_refused_without_waiting(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.issue(HOST).write(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for missing in (tmp_path / "nowhere", certificate / "below"):
        with pytest.raises(Unusable, match=r"WHARF_TLS_CERT: .* does not exist; it must name a file"):
            load(missing, key, HOST)
    for wrong in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(Unusable, match=r"WHARF_TLS_KEY: .* is not a file in PEM form"):
            load(certificate, wrong, HOST)
