"""What is nested too deep is seen, whatever it is nested in."""

from __future__ import annotations

from typing import Any

import pytest

from core import nesting
from core.nesting import MOST_LEVELS


def nested(levels: int, *, is_list: bool) -> Any:
    document: Any = 1
    for _ in range(levels):
        document = [document, "x"] if is_list else {"a": document, "b": 2}
    return document


@pytest.mark.parametrize("is_list", [True, False])
@pytest.mark.parametrize(("levels", "expected"), [(0, False), (MOST_LEVELS, False), (MOST_LEVELS + 1, True)])
def test_levels_are_counted(levels: int, is_list: bool, expected: bool) -> None:
    assert nesting.is_too_deep(nested(levels, is_list=is_list)) is expected


def test_no_depth_is_too_much_for_counting() -> None:
    assert nesting.is_too_deep(nested(100_000, is_list=True))
