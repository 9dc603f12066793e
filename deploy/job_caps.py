"""How many jobs of a kind run at once, where an operator wants fewer than may: what may be said about it.

Standard library only, for `make up` has no other when it begins.
"""

from __future__ import annotations

MOST: dict[str, int | None] = {"GARBAGE_COLLECTION": 1, "PURGE_AUDIT_LOG": 1, "SLACK": None, "WEBHOOK": None}
"""How many of each kind can be at work side by side, as its class says (`most_at_once`); None: any number."""

HIGHEST = 1000


def check(text: str) -> None:
    """Of KIND=NUMBER, with commas between them and nothing else. ValueError with a sentence for what cannot be."""
    said = [part.partition("=") for part in text.split(",")] if text else []
    for kind, _, number in said:
        if kind not in MOST:
            raise ValueError(f"{kind!r} is no kind of job; there are {', '.join(MOST)}")
        if [each for each, _, _ in said].count(kind) > 1:
            raise ValueError(f"{kind} is there twice")
        if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= HIGHEST:
            raise ValueError(f"{kind} is {number!r}; it must be a number from 1 to {HIGHEST}")
        most = MOST[kind]
        if most is not None and int(number) > most:
            raise ValueError(f"{kind} is {number}, and no more than {most} can be at work at a time")
