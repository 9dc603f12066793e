"""Project metadata: Harbor's keys, and which values they take. All values are strings."""

from __future__ import annotations

from collections.abc import Mapping

from core import errors

BOOLEANS = (
    "public",
    "enable_content_trust",
    "enable_content_trust_cosign",
    "prevent_vul",
    "auto_scan",
    "auto_sbom_generation",
    "reuse_sys_cve_allowlist",
)
KEYS = (*BOOLEANS, "severity")
SEVERITIES = ("none", "low", "medium", "high", "critical")


def checked(given: Mapping[str, str]) -> dict[str, str]:
    """The known keys, with their values as Harbor writes them; BadRequest for a value that makes no sense.

    Keys of proxy projects are ignored as Harbor ignores them for a plain project, and so is `retention_id`, which
    belongs to the retention policy, of a new one.
    """
    kept = {key: _boolean(key, given[key]) for key in BOOLEANS if key in given}
    if "severity" in given:
        kept["severity"] = _severity(given["severity"])
    return kept


def checked_one(key: str, value: str) -> str:
    """A single key's value as Harbor writes it; BadRequest for a key that is none, too."""
    kept = checked({key: value})
    if key not in kept:
        raise errors.BadRequest(f"invalid key: {key[:40]!r} is none of {', '.join(KEYS)}")
    return kept[key]


def check_retention(given: Mapping[str, str], project: str) -> None:
    """BadRequest when a change names a retention policy that is not the project's. None has one yet."""
    if "retention_id" in given:
        number = given["retention_id"][:40]
        raise errors.BadRequest(
            f"metadata.retention_id: {number!r} is not the retention policy of the project {project}, "
            "which has none; leave it out"
        )


def _boolean(key: str, value: str) -> str:
    if value.lower() not in ("true", "false"):
        raise errors.BadRequest(f"metadata.{key} should only be 'true' or 'false', but got: {value[:40]!r}")
    return value.lower()


def _severity(value: str) -> str:
    if value.lower() not in SEVERITIES:
        raise errors.BadRequest(f"metadata.severity should be one of {', '.join(SEVERITIES)}")
    return value.lower()
