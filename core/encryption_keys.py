"""The keys that encrypt what is kept secret in the database, as the secret `fernet-key` has them: one a line."""

from __future__ import annotations

import re

# Python's decoder would not mind what follows the "=": two keys on one line would pass for the first.
_KEY = re.compile(r"[A-Za-z0-9+/_-]{43}=")


def parse(text: str) -> list[str]:
    """The keys, the newest first; ValueError with what is wrong, but without a key, when one of the lines is none."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise ValueError("it is empty")
    for number, line in lines:
        if not _KEY.fullmatch(line):
            raise ValueError(f"line {number} is no key, which is 32 bytes in base64, 44 characters")
    return [line for _, line in lines]
