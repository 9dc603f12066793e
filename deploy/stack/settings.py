"""What the operator may say through the environment, strictly parsed and remembered for the next time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from deploy import bucket, job_caps
from deploy.bucket import Bucket

# Said anew each time, or only once, or by ourselves: never remembered and never handed on.
NOT_REMEMBERED = {"WHARF_VAR", "WHARF_USER", "WHARF_VENV", "WHARF_ADMIN_PASSWORD"}
OURS = {"WHARF_SECRETS", "WHARF_DATABASE_URL", "WHARF_REDIS_URL", "WHARF_REGISTRY_URL", "WHARF_FINGERPRINT"}
# These shape the configuration files; all others are core's.
OWN_USE = {"WHARF_PORT", "WHARF_EXTERNAL_URL", "WHARF_CORE_WORKERS", "WHARF_CORE_REPLICAS", "WHARF_WORKER_REPLICAS",
           "WHARF_BEAT_REPLICAS", "WHARF_TLS_CERT", "WHARF_TLS_KEY", "WHARF_TLS_PORT",
           "WHARF_STORE_CREDENTIALS"}  # fmt: skip
# Harbor's name for it, without our prefix.
GRACE = "GC_TIME_WINDOW_HOURS"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")


class Unusable(Exception):  # noqa: N818
    """A sentence for the operator: what is wrong and what would be right."""


@dataclass(frozen=True)
class Tls:
    """HTTPS: the operator's certificate and key, and the port it is spoken at."""

    certificate: Path
    key: Path
    port: int


@dataclass(frozen=True)
class Settings:
    """Checked settings."""

    port: int
    external_url: str
    core_workers: int
    passed_on: dict[str, str] = field(default_factory=dict)
    """Other WHARF_ variables, for core."""
    tls: Tls | None = None
    bucket: Bucket | None = None
    """The store; without one it is a folder of WHARF_VAR's."""
    bucket_key: Path | None = None
    """The operator's file with the bucket's key."""
    core_replicas: int = 1
    worker_replicas: int = 1
    beat_replicas: int = 1

    @property
    def ports(self) -> dict[int, str]:
        """Those that nginx opens, each with the setting that chooses it."""
        return {self.port: "WHARF_PORT", **({self.tls.port: "WHARF_TLS_PORT"} if self.tls else {})}

    @property
    def address(self) -> str:
        """What docker calls us: host and port of the external URL."""
        return urlsplit(self.external_url).netloc

    @property
    def host(self) -> str:
        """The address without its port: what a certificate must be for."""
        return urlsplit(self.external_url).hostname or ""

    @property
    def extras(self) -> list[str]:
        """Those of pyproject.toml's optional libraries that are needed."""
        return ["s3"] if self.bucket else []


def parse(given: Mapping[str, str]) -> Settings:
    """Settings from WHARF_ variables; Unusable says what is wrong with one."""
    port = _number(given, "WHARF_PORT", 8080, 1, 65535)
    _number(given, "WHARF_TOKEN_EXPIRATION", 5, 1, 10080)
    _number(given, "WHARF_CREDENTIAL_CACHE_SECONDS", 300, 0, 86400)
    _number(given, "WHARF_LOGIN_FAILURES_PER_MINUTE", 10, 1, 1_000_000)
    _hours(given, GRACE)
    _networks(given, "WHARF_WEBHOOK_ALLOWED_NETWORKS")
    _file(given, "WHARF_CA_BUNDLE")
    _job_caps(given, "WHARF_JOB_CAPS")
    if given.get("WHARF_LOG_LEVEL", "INFO") not in LOG_LEVELS:
        raise Unusable(f"WHARF_LOG_LEVEL is {given['WHARF_LOG_LEVEL']!r}; it must be one of {', '.join(LOG_LEVELS)}")
    tls = _tls(given, port)
    store, key = _bucket(given)
    return Settings(
        port=port,
        external_url=_external_url(given, port, tls),
        tls=tls,
        core_workers=_number(given, "WHARF_CORE_WORKERS", 2, 1, 64),
        bucket=store,
        bucket_key=key,
        passed_on={name: _plain(name, given[name]) for name in sorted(given) if name not in OWN_USE},
        core_replicas=_number(given, "WHARF_CORE_REPLICAS", 1, 1, 16),
        worker_replicas=_number(given, "WHARF_WORKER_REPLICAS", 1, 1, 16),
        beat_replicas=_number(given, "WHARF_BEAT_REPLICAS", 1, 1, 4),
    )


def said(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings among the variables of an environment; an empty one says nothing."""
    return {name: value for name, value in environment.items() if value and _is_setting(name)}


def remembered(folder: Path, environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What counts now, and a word on each part of it that does not come from the environment.

    The environment goes before what was said earlier; an empty value there means: as if never said.
    """
    earlier = _read(folder / "settings.json")
    said = {name: value for name, value in environment.items() if _is_setting(name)}
    kept = {name: value for name, value in earlier.items() if name not in said}
    words = [f"{name} is as said earlier ({name}= would forget it)" for name in sorted(kept)]
    words += [f"{name} is decided here; the environment's value is not used" for name in sorted(OURS & {*environment})]
    return {**kept, **{name: value for name, value in said.items() if value}}, words


def as_text(said: Mapping[str, str]) -> str:
    """What `remembered` reads the next time."""
    return json.dumps(dict(said), indent=2, sort_keys=True) + "\n"


def admin_password(preset: str) -> str:
    """A first password that the platform itself would accept."""
    kinds = (str.islower, str.isupper, str.isdigit)
    if not 8 <= len(preset) <= 128 or not preset.isprintable() or preset != preset.strip():
        raise Unusable("WHARF_ADMIN_PASSWORD must be one line of 8 to 128 characters")
    if not all(any(kind(character) for character in preset) for kind in kinds):
        raise Unusable("WHARF_ADMIN_PASSWORD must have a small letter, a capital letter and a digit")
    return preset


def _is_setting(name: str) -> bool:
    if name == GRACE:
        return True
    return name.startswith("WHARF_") and not name.startswith("WHARF_TEST_") and name not in NOT_REMEMBERED | OURS


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_text()).items() if _is_setting(name)}
    except (ValueError, AttributeError) as error:
        raise Unusable(f"{path} is not readable ({error}); remove it and say the settings again") from error


def _tls(given: Mapping[str, str], port: int) -> Tls | None:
    paths = {name: Path(given[name]) for name in ("WHARF_TLS_CERT", "WHARF_TLS_KEY") if name in given}
    tls_port = _number(given, "WHARF_TLS_PORT", 8443, 1, 65535)
    if not paths:
        return None
    if len(paths) == 1:
        raise Unusable(f"{next(iter(paths))} is set alone; HTTPS needs both WHARF_TLS_CERT and WHARF_TLS_KEY")
    for name, path in paths.items():
        if not path.is_absolute():
            raise Unusable(f"{name} is {str(path)!r}; it must be an absolute path, for it is read again later")
    if tls_port == port:
        raise Unusable(
            f"WHARF_TLS_PORT and WHARF_PORT are both {port}; plain HTTP, which redirects, needs its own port"
        )
    return Tls(paths["WHARF_TLS_CERT"], paths["WHARF_TLS_KEY"], tls_port)


def _external_url(given: Mapping[str, str], port: int, tls: Tls | None) -> str:
    nearest = f"https://localhost:{tls.port}" if tls else f"http://localhost:{port}"
    url = _url(given.get("WHARF_EXTERNAL_URL") or nearest)
    if tls and not url.startswith("https://"):
        raise Unusable(f"WHARF_EXTERNAL_URL is {url!r}; with WHARF_TLS_CERT it must begin with https://")
    return url


def _bucket(given: Mapping[str, str]) -> tuple[Bucket | None, Path | None]:
    """A bucket and the file with its key, or neither."""
    if "WHARF_STORE" not in given:
        for name in ("WHARF_STORE_ENDPOINT", "WHARF_STORE_REGION", "WHARF_STORE_CREDENTIALS"):
            if name in given:
                raise Unusable(f"{name} is set, but WHARF_STORE names no bucket; it must look like s3://bucket/prefix")
        return None, None
    try:
        parsed = bucket.parse(
            given["WHARF_STORE"], given.get("WHARF_STORE_ENDPOINT", ""), given.get("WHARF_STORE_REGION", "")
        )
    except ValueError as error:
        raise Unusable(str(error)) from error
    key = Path(given.get("WHARF_STORE_CREDENTIALS", ""))
    if not key.is_absolute():
        raise Unusable(
            f"WHARF_STORE_CREDENTIALS is {given.get('WHARF_STORE_CREDENTIALS', '')!r}; it must be the absolute path of "
            "a file with a section [default] that has aws_access_key_id and aws_secret_access_key"
        )
    return parsed, key


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "")
        plain = f"{parts.scheme}://{parts.netloc}".rstrip("/") == text.rstrip("/") and "@" not in parts.netloc
        if right and plain and parts.port != 0 and not parts.netloc.endswith(":"):
            return text.rstrip("/")
    except ValueError:
        pass
    raise Unusable(
        f"WHARF_EXTERNAL_URL is {text!r}; it must look like http://localhost:8080 or https://registry.example.com"
    )


def _plain(name: str, value: str) -> str:
    """A value that survives the supervisor's configuration file."""
    if not value.isprintable() or any(character in value for character in "\"'\\"):
        raise Unusable(f"{name} must be one line without quotes and backslashes")
    return value


def _hours(given: Mapping[str, str], name: str) -> None:
    try:
        is_sensible = 0 <= float(given.get(name, "2")) <= 8760
    except ValueError:
        is_sensible = False
    if not is_sensible:
        raise Unusable(f"{name} is {given[name]!r}; it must be a number of hours from 0 to 8760")


def _networks(given: Mapping[str, str], name: str) -> None:
    try:
        for each in given.get(name, "").split(","):
            ip_network(each.strip() or "::/0")
    except ValueError as error:
        raise Unusable(f"{name}: {error}; it is a list of networks such as 10.1.0.0/16,fd12::/48") from error


def _job_caps(given: Mapping[str, str], name: str) -> None:
    try:
        job_caps.check(given.get(name, ""))
    except ValueError as error:
        raise Unusable(f"{name}: {error}; it is a list such as WEBHOOK=2,SLACK=1") from error


def _file(given: Mapping[str, str], name: str) -> None:
    path = Path(given.get(name) or "/dev/null")
    if not path.is_absolute() or not path.exists():
        raise Unusable(f"{name} is {str(path)!r}; it must be the absolute path of a file that Wharf's user may read")


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise Unusable(f"{name} is {text!r}; it must be a number from {least} to {most}")
    return int(text)
