"""Where a request comes from, as nginx saw it."""

from __future__ import annotations

from typing import Any


def client_address(request: Any) -> str:
    """The client's IP address.

    nginx overwrites `X-Real-IP` with the peer's address and is the only one who can reach core, so
    that header is the truth; what clients put into `X-Forwarded-For` is not looked at.
    """
    return str(request.META.get("HTTP_X_REAL_IP") or request.META.get("REMOTE_ADDR") or "")
