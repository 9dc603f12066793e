"""Secrets and the keys that sign tokens: made when missing, rotated in steps.

    keys.py init FOLDER      make whatever is missing
    keys.py prepare FOLDER   a next key; its certificate is trusted from now on
    keys.py switch FOLDER    sign with the next key
    keys.py finish FOLDER    trust the old certificate no more

Each step may be cut off and run again. The registry reads the bundle only when it starts, so it is restarted
after `prepare` and `finish`; core is restarted after each step. Between `switch` and `finish` the last old token
must have expired.
"""

from __future__ import annotations

import base64
import datetime
import os
import secrets
import string
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# `x5c` tokens are checked against the certificate's dates; a short life would only stop logins one day.
LIFETIME = datetime.timedelta(days=3650)


def init(folder: Path) -> None:
    """Every secret of the platform, each only when it is missing."""
    make(folder / "secret-key", lambda: secrets.token_hex(32))
    make(folder / "credential-key", lambda: secrets.token_hex(32))
    make(folder / "registry-http-secret", lambda: secrets.token_hex(32))
    make(folder / "platform-id", lambda: secrets.token_hex(16))
    make(folder / "fernet-key", lambda: base64.urlsafe_b64encode(os.urandom(32)).decode())
    make(folder / "admin-password", lambda: os.environ.get("WHARF_ADMIN_PASSWORD") or _password())
    token = folder / "token"
    token.mkdir(mode=0o700, exist_ok=True)
    _complete_switch(token)
    if not (token / "current.key").exists():
        _make_pair(token, "current")
    _trust(token, "current")


def prepare(folder: Path) -> None:
    """Make the next pair and trust it besides the current one."""
    token = folder / "token"
    _complete_switch(token)
    if not (token / "next.key").exists():
        _make_pair(token, "next")
    _trust(token, "next")


def switch(folder: Path) -> None:
    """The next pair signs; the old certificate stays trusted."""
    token = folder / "token"
    if not (token / "next.key").exists():
        sys.exit("There is no next key: run `prepare` first.")
    _trust(token, "next")
    if (token / "next.crt").exists():
        write(token / "previous.crt", (token / "current.crt").read_text())
        (token / "next.crt").replace(token / "current.crt")
    (token / "next.key").replace(token / "current.key")


def finish(folder: Path) -> None:
    """Only the current certificate is trusted."""
    token = folder / "token"
    write(token / "bundle.pem", (token / "current.crt").read_text())
    (token / "previous.crt").unlink(missing_ok=True)


def make(path: Path, value: Callable[[], str]) -> None:
    """A secret, when it is missing."""
    if not path.exists():
        write(path, value())


def write(path: Path, text: str, *, mode: int = 0o600) -> None:
    """A file, wholly or not at all, and unless said otherwise readable by nobody else."""
    temporary = path.with_name(path.name + ".tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text.rstrip("\n") + "\n")
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    temporary.replace(path)


def _complete_switch(token: Path) -> None:
    """A `switch` that was cut off between its two files left a certificate that does not fit its key."""
    if (token / "next.key").exists() and not (token / "next.crt").exists():
        (token / "next.key").replace(token / "current.key")


def _trust(token: Path, name: str) -> None:
    """Add a certificate to those that the registry trusts, once."""
    bundle, certificate = token / "bundle.pem", token / f"{name}.crt"
    trusted = bundle.read_text() if bundle.exists() else ""
    if certificate.exists() and certificate.read_text() not in trusted:
        write(bundle, trusted + certificate.read_text())


def _password() -> str:
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    while True:
        password = "".join(secrets.choice("".join(kinds)) for _ in range(20))
        if all(any(character in kind for character in password) for kind in kinds):
            return password


def _make_pair(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wharf token service")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    # The certificate first: a key without one would be used, a certificate without a key is made again.
    write(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM).decode())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(folder / f"{name}.key", private.decode())


STEPS = {"init": init, "prepare": prepare, "switch": switch, "finish": finish}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in STEPS:
        sys.exit(__doc__)
    STEPS[sys.argv[1]](Path(sys.argv[2]))
