"""The certificate that nginx shows, looked at before it is used, with the eyes of a client.

Standard library only. Each file is read once, so what was checked is what is used.
"""

from __future__ import annotations

import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.stack.settings import Unusable

# A chain of ten certificates has some 20 kB.
MOST_BYTES = 1 << 20
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\n.*?\n-----END \1-----", re.DOTALL)
# Of the same kind as the certificate's or not; OpenSSL keeps certificates by kind and finds none for the key then.
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
# X509_V_ERR_… of OpenSSL's x509_vfy.h. In each sentence comes the file before, the host after.
_REFUSALS = {
    9: "{file} holds a certificate that is not valid yet; is this machine's clock right?",
    10: "{file} holds a certificate that has expired; renew it",
    20: "the certificates in {file} do not lead from one to the next; first comes the server's, then its issuer's",
    26: "{file} holds a certificate that is not meant for servers (its extended key usage)",
    62: "the certificate in {file} is not for {host}, the host of WHARF_EXTERNAL_URL; set that to a name it is for",
    64: "the certificate in {file} is not for {host}, the host of WHARF_EXTERNAL_URL; set that to a name it is for",
}


@dataclass(frozen=True)
class Certificate:
    """A certificate that clients will accept, if they trust its authority."""

    pem: str
    """Private key and chain in one file: nginx takes both from it, and one rename changes both."""
    until: datetime
    """When it expires."""


def load(certificate: Path, key: Path, host: str) -> Certificate:
    """Both files checked and put together for a server at `host`; Unusable says what is wrong with one."""
    chain = _chain(certificate)
    return _seen_by_a_client(chain, _private_key(key), host, certificate, key)


def first(pem: str) -> str:
    """The first certificate of a file: the server's own."""
    return next(match[0] for match in _BLOCK.finditer(pem) if match[1] == "CERTIFICATE")


def _chain(path: Path) -> list[str]:
    text = _read("WHARF_TLS_CERT", path)
    found = [match[0] for match in _BLOCK.finditer(text) if match[1] == "CERTIFICATE"]
    begun = text.count("-----BEGIN CERTIFICATE-----")
    if not begun:
        raise Unusable(f"WHARF_TLS_CERT: {path} holds no certificate; it must have a line -----BEGIN CERTIFICATE-----")
    if len(found) < begun:
        raise Unusable(f"WHARF_TLS_CERT: {path} holds half a certificate, a BEGIN without its END; copy the whole file")
    for place, each in enumerate(found, start=1):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=each)
        except (ssl.SSLError, ValueError) as error:
            raise Unusable(f"WHARF_TLS_CERT: certificate {place} in {path} is damaged; copy the whole file") from error
    return found


def _private_key(path: Path) -> str:
    text = _read("WHARF_TLS_KEY", path)
    found = [match for match in _BLOCK.finditer(text) if match[1].endswith("PRIVATE KEY")]
    if len(found) < len(re.findall("-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----", text)):
        raise Unusable(f"WHARF_TLS_KEY: {path} holds half a key, a BEGIN without its END; copy the whole file")
    if len(found) != 1:
        raise Unusable(f"WHARF_TLS_KEY: {path} holds {len(found) or 'no'} private keys; it must hold one")
    if "ENCRYPTED" in found[0][0]:
        raise Unusable(
            f"WHARF_TLS_KEY: {path} is protected by a passphrase, and nobody is there to type it when nginx starts; "
            f"name a file without one (openssl pkey -in {path} -out FILE)"
        )
    return found[0][0]


def _read(name: str, path: Path) -> str:
    try:
        # Reading anything else, a pipe or a device, might never end.
        if path.is_file() and path.stat().st_size <= MOST_BYTES:
            # Windows' line ends and blanks at the end of a line harm nobody.
            return "\n".join(line.rstrip() for line in path.read_text(errors="replace").splitlines())
    except OSError as error:
        raise Unusable(f"{name}: {path} cannot be read ({error.strerror})") from error
    what = "is not a file in PEM form" if path.exists() else "does not exist"
    raise Unusable(f"{name}: {path} {what}; it must name a file that root can read")


def _seen_by_a_client(chain: list[str], private: str, host: str, certificate: Path, key: Path) -> Certificate:
    pem = "\n".join([private, *chain]) + "\n"
    try:
        until = _handshake(_server(pem), _client(chain), host)
    except ssl.SSLCertVerificationError as error:
        sentence = _REFUSALS.get(error.verify_code, f"clients will refuse what is in {{file}}: {error.verify_message}")
        raise Unusable("WHARF_TLS_CERT: " + sentence.format(file=certificate, host=host)) from error
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            raise Unusable(
                f"WHARF_TLS_KEY: {key} does not fit the first certificate in {certificate}; they must be made together"
            ) from error
        reason = (error.reason or "damaged").replace("_", " ").lower()
        raise Unusable(f"the certificate in {certificate} cannot be used with the key in {key}: {reason}") from error
    return Certificate(pem, until)


def _server(pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL wants a file. This one is in memory alone: a private key leaves no trace on a disk.
    with os.fdopen(os.memfd_create("certificate"), "w") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


def _client(chain: list[str]) -> ssl.SSLContext:
    """One that trusts whatever the chain ends in: whom the real ones trust is theirs to know."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata="\n".join(chain[1:] or chain))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # Neither docker nor browsers look at the common name any more.
    context.hostname_checks_common_name = False
    return context


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> datetime:
    """Let them meet in memory; when the certificate expires, as the client heard it."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there, server_hostname=host)
    answering = server.wrap_bio(there, back, server_side=True)
    for side in (asking, answering, asking):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    shown = asking.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
