"""Tokens that the registry trusts: ES256 with `x5c`, the one header that registry 2.8 and 3 both read.

Key and certificates are files (`deploy/keys.py` makes and rotates them): `current.key`, `current.crt`
sign; every certificate of `bundle.pem` is trusted, so that two are during a rotation.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from django.conf import settings

from core import clock

ALGORITHM = "ES256"


@dataclass(frozen=True)
class Token:
    """A verified token: who, and what it lets them do."""

    subject: str
    expires: int
    access: dict[str, frozenset[str]]
    """Repository name → actions (`pull`, `push`, `delete`, `*`)."""
    catalog: bool = False
    claims: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)

    def allows(self, repository: str, action: str) -> bool:
        actions = self.access.get(repository, frozenset())
        return action in actions or "*" in actions


class InvalidToken(Exception):  # noqa: N818
    """The token is expired, forged or not meant for us."""


def sign(*, subject: str, access: list[dict[str, Any]], lifetime: int, claims: dict[str, Any] | None = None) -> str:
    """A token for `access` (the Docker token spec's list), valid for `lifetime` seconds."""
    now = int(clock.time())
    key, certificate = _signer()
    payload = {
        "iss": settings.TOKEN_ISSUER,
        "aud": settings.TOKEN_SERVICE,
        "sub": subject,
        "iat": now,
        "nbf": now,
        "exp": now + lifetime,
        "jti": uuid.uuid4().hex,
        "access": access,
        **({"wharf": claims} if claims else {}),
    }
    return jwt.encode(payload, key, algorithm=ALGORITHM, headers={"x5c": [certificate]})


def sign_for_store(repository: str, *actions: str, reads: str = "") -> str:
    """Core's own short token for one repository of the registry behind us, and for pulling from another one."""
    access = [{"type": "repository", "name": repository, "actions": list(actions)}]
    if reads:
        access.append({"type": "repository", "name": reads, "actions": ["pull"]})
    return sign(subject="wharf-core", access=access, lifetime=120)


def unsigned(*, subject: str, expires: int, access: list[dict[str, Any]], claims: dict[str, Any]) -> Token:
    """What a token with this `access` says, for those who need not send it to anybody."""
    return Token(
        subject=subject,
        expires=expires,
        access={entry["name"]: frozenset(entry["actions"]) for entry in access if entry["type"] == "repository"},
        catalog=any(entry["type"] == "registry" and entry["name"] == "catalog" for entry in access),
        claims=claims,
    )


def verify(text: str) -> Token:
    """The token, or InvalidToken."""
    token = _verified(text)
    if token.expires <= clock.time():
        raise InvalidToken("expired")
    return token


@lru_cache(maxsize=4096)
def _verified(text: str) -> Token:
    """Remembered: verifying costs more than everything else a manifest GET does. Expiry is judged by the caller."""
    try:
        chain = jwt.get_unverified_header(text).get("x5c")
        key = _trusted().get(chain[0] if isinstance(chain, list) and chain else "")
        if key is None:
            raise InvalidToken("not signed by a trusted certificate")
        payload = jwt.decode(
            text,
            key,
            algorithms=[ALGORITHM],
            audience=settings.TOKEN_SERVICE,
            issuer=settings.TOKEN_ISSUER,
            # Times are the platform's clock's business, and PyJWT would ask this machine's.
            options={
                "require": ["exp", "sub", "access"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError as error:
        raise InvalidToken(str(error)) from error
    return unsigned(
        subject=payload["sub"], expires=payload["exp"], access=payload["access"], claims=payload.get("wharf", {})
    )


@cache
def _signer() -> tuple[EllipticCurvePrivateKey, str]:
    folder = settings.SECRETS / "token"
    key = load_pem_private_key((folder / "current.key").read_bytes(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError(f"{folder / 'current.key'} must be a P-256 key")
    certificate = x509.load_pem_x509_certificate((folder / "current.crt").read_bytes())
    return key, _x5c(certificate)


@cache
def _trusted() -> dict[str, EllipticCurvePublicKey]:
    """Certificate as `x5c` carries it → its key."""
    keys: dict[str, EllipticCurvePublicKey] = {}
    for certificate in x509.load_pem_x509_certificates((settings.SECRETS / "token" / "bundle.pem").read_bytes()):
        key = certificate.public_key()
        if isinstance(key, EllipticCurvePublicKey):
            keys[_x5c(certificate)] = key
    return keys


def _x5c(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
