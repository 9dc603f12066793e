"""Path converters for the pages' addresses."""

from __future__ import annotations


class DigestConverter:
    """A whole digest. It holds a colon, which no repository name may: `a/artifacts/b` stays a repository."""

    regex = "sha256:[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value
