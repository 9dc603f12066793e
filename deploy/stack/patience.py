"""Waiting for something, but not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy.stack.settings import Unusable


def wait(seconds: float, question: Callable[[], bool], failure: str) -> None:
    """Return when the answer is yes; after so many seconds Unusable with these words."""
    deadline = time.monotonic() + seconds
    while not question():
        if time.monotonic() > deadline:
            raise Unusable(failure)
        time.sleep(0.1)
