"""Certificate authorities of the tests' own, with certificates good and bad."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass
class Issued:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """Their two files."""
        files = folder / f"{name}.crt", folder / f"{name}.key"
        files[0].write_text(self.certificate)
        files[1].write_text(self.key)
        files[1].chmod(0o600)
        return files


@dataclass
class Authority:
    """A root, or with `issuer` one that it signed."""

    name: str = "tests' authority"
    issuer: Authority | None = None
    since: timedelta = -DAY
    until: timedelta = 365 * DAY
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        signer = self.issuer or self
        builder = _builder(self.name, signer.name, self.key.public_key(), self.since, self.until)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = _pem(builder.sign(signer.key, hashes.SHA256()))

    def issue(
        self, *hosts: str, since: timedelta = -DAY, until: timedelta = 90 * DAY, common_name: str = "server",
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH, key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Issued:  # fmt: skip
        """A certificate for these names and addresses; with none of them it has a common name alone."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(common_name, self.name, key.public_key(), since, until)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False
            )
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Issued(_pem(builder.sign(self.key, hashes.SHA256())), private)


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePublicKey, since: timedelta, until: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since)
        .not_valid_after(now + until)
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
