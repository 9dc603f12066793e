"""A certificate authority of one's own, for trying HTTPS before a real certificate is there."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.stack.layout import Layout
from deploy.stack.settings import Unusable

AUTHORITY_DAYS, SERVER_DAYS = 3650, 90


def folder(layout: Layout) -> Path:
    """Where they lie: `ca.crt` for clients, `server.crt` and `server.key` for us."""
    return layout.var / "trial-tls"


def make(folder: Path, host: str) -> None:
    """Make them all; an authority that is there already signs again."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "ca.crt").exists():
        _openssl(folder, "ca", AUTHORITY_DAYS, "Wharf trial authority", [
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,keyCertSign,cRLSign",
        ])  # fmt: skip
    _openssl(folder, "server", SERVER_DAYS, "Wharf trial server", [
        f"subjectAltName={_kind(host)}:{host}",
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=serverAuth",
    ], "-CA", "ca.crt", "-CAkey", "ca.key")  # fmt: skip


def how_to_use(folder: Path, address: str, settings: Mapping[str, str]) -> str:
    """What to do next, here and where docker is."""
    exports = "\n".join(f"    export {name}={value}" for name, value in settings.items())
    return f"""made {folder}/ca.crt, an authority for trying,
  and beside it server.crt, its certificate for {address}, good for {SERVER_DAYS} days

  here:
{exports}
    make up

  wherever docker shall trust it, with ca.crt copied there:
    mkdir -p /etc/docker/certs.d/{address}
    cp ca.crt /etc/docker/certs.d/{address}/ca.crt
"""


def _kind(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "DNS"
    return "IP"


def _openssl(folder: Path, name: str, days: int, subject: str, extensions: list[str], *signer: str) -> None:
    """A new key and its certificate, put in place when both are made."""
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-batch"]
    words += ["-days", str(days), "-subj", f"/CN={subject}", "-keyout", "new.key", "-out", "new.crt", *signer]
    # An empty configuration: what Debian's adds is not wanted twice.
    words += ["-config", "/dev/null", *(word for each in extensions for word in ("-addext", each))]
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, umask=0o077)
    if result.returncode != 0:
        raise Unusable(f"openssl could not make the certificate of {subject}:\n{result.stderr}")
    (folder / "new.key").replace(folder / f"{name}.key")
    (folder / "new.crt").chmod(0o644)
    (folder / "new.crt").replace(folder / f"{name}.crt")
