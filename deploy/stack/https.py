"""Giving nginx the operator's certificate, the first time and again while everything runs."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime, timedelta

from deploy.certificate import Certificate, first
from deploy.stack import layout as layouts
from deploy.stack import supervisor
from deploy.stack.layout import Layout
from deploy.stack.patience import wait

# Longer than nginx takes to read its configuration and to start its workers.
TAKEN_UP_WITHIN = 15
# nginx pauses for 0.1 s between starting new workers and telling the old ones to accept nothing more.
BOTH_ANSWER = 0.3
SOON = timedelta(days=21)


def write(layout: Layout, certificate: Certificate) -> bool:
    """Copy it to where nginx may read it and nobody but root may change it; True when it is another one."""
    if layout.certificate.exists() and layout.certificate.read_text() == certificate.pem:
        return False
    layouts.write(layout.certificate, certificate.pem, group=layout.etc.stat().st_gid, mode=0o640)
    return True


def take_up(layout: Layout, port: int, certificate: Certificate, *, reload: bool) -> None:
    """Return when nginx shows this certificate. It is told to reload when it shows another one, or in any case."""
    wanted = ssl.PEM_cert_to_DER_cert(first(certificate.pem))
    # A signal that came before nginx is ready for it would end it.
    log = layout.log / "nginx.log"
    wait(TAKEN_UP_WITHIN, lambda: _shown(port) is not None, f"nginx does not answer at port {port}; see {log}")
    if reload or _shown(port) != wanted:
        # New workers read it; the old ones finish what they are at.
        supervisor.signal(layout, "nginx", "HUP")
    wait(TAKEN_UP_WITHIN, lambda: _is_shown_by_all(port, wanted), f"nginx does not show the new certificate; see {log}")


def expiry(certificate: Certificate) -> str:
    """For how long it is good, in words."""
    left = certificate.until - datetime.now(UTC)
    hint = "; renew it soon" if left < SOON else ""
    return f"good until {certificate.until:%Y-%m-%d %H:%M} UTC, {left.days} days{hint}"


def _is_shown_by_all(port: int, wanted: bytes) -> bool:
    if _shown(port) != wanted:
        return False
    time.sleep(BOTH_ANSWER)
    return all(_shown(port) == wanted for _ in range(4))


def _shown(port: int) -> bytes | None:
    """The certificate that whoever connects is shown; None when nobody answers."""
    try:
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), timeout=5))
    except OSError:
        return None
