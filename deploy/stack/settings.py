"""What the operator may say through the environment, strictly parsed and remembered for the next time."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

# Kept from one `make up` to the next; everything that matters to a running platform.
REMEMBERED = ("WHARF_PORT", "WHARF_EXTERNAL_URL", "WHARF_CORE_WORKERS", "WHARF_TOKEN_EXPIRATION",
              "WHARF_CREDENTIAL_CACHE_SECONDS", "WHARF_LOGIN_FAILURES_PER_MINUTE", "WHARF_LOG_LEVEL")  # fmt: skip


class Unusable(Exception):  # noqa: N818
    """A sentence for the operator: what is wrong and what would be right."""


@dataclass(frozen=True)
class Settings:
    """Checked settings."""

    port: int
    external_url: str
    core_workers: int
    passed_on: dict[str, str] = field(default_factory=dict)
    """Other WHARF_ variables, for core."""


def parse(given: Mapping[str, str]) -> Settings:
    """Settings from WHARF_ variables; Unusable says what is wrong with one."""
    port = _number(given, "WHARF_PORT", 8080, 1, 65535)
    url = given.get("WHARF_EXTERNAL_URL") or f"http://localhost:{port}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise Unusable(
            f"WHARF_EXTERNAL_URL is {url!r}; it must look like http://localhost:8080 or https://registry.example.com"
        )
    return Settings(
        port=port,
        external_url=url.rstrip("/"),
        core_workers=_number(given, "WHARF_CORE_WORKERS", 2, 1, 64),
        passed_on={name: given[name] for name in REMEMBERED[3:] if name in given},
    )


def remembered(folder: Path) -> dict[str, str]:
    """What was said at an earlier time, overridden by what the environment says now."""
    path = folder / "settings.json"
    earlier = json.loads(path.read_text()) if path.exists() else {}
    return {**earlier, **{name: os.environ[name] for name in REMEMBERED if os.environ.get(name)}}


def remember(folder: Path, given: Mapping[str, str]) -> None:
    (folder / "settings.json").write_text(json.dumps(dict(given), indent=2) + "\n")


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise Unusable(f"{name} is {text!r}; it must be a number from {least} to {most}")
    return int(text)
