"""A new key for signing tokens, while everything goes on."""

from __future__ import annotations

import time

from deploy import keys
from deploy.compose import configuration
from deploy.compose.places import SECRETS
from deploy.stack.settings import Settings

# The registry finishes its requests for at most a minute before it starts again with the new certificates.
SETTLE_SECONDS = 90
# Tokens live as long as is set, and the registry forgives another minute.
LEEWAY_SECONDS = 60


def rotate(settings: Settings) -> None:
    """The three steps of deploy/keys.py; the programs notice each by themselves."""
    configuration.become_user()
    expiry = int(settings.passed_on.get("WHARF_TOKEN_EXPIRATION", "5")) * 60
    for name, word, seconds in (
        ("prepare", "the registry learns the next certificate", SETTLE_SECONDS),
        ("switch", "the next key signs, the old tokens expire", expiry + LEEWAY_SECONDS + SETTLE_SECONDS),
        ("finish", "the old certificate is trusted no more", 0),
    ):
        print(f"{word} ({seconds} s)" if seconds else word, flush=True)
        step(name, settings)
        time.sleep(seconds)


def step(name: str, settings: Settings) -> None:
    """One of `prepare`, `switch`, `finish`."""
    keys.STEPS[name](SECRETS)
    configuration.write(settings)
