"""Fixtures of the tests that call the API."""

from __future__ import annotations

from tests.rest import _fresh_memory, story

__all__ = ["_fresh_memory", "story"]
