"""Which pages of a list the benchmark measures."""

from __future__ import annotations

import pytest

from bench.lists import ends


@pytest.mark.parametrize(
    ("rows", "total", "numbers"), [(1, 1, [1]), (100, 100, [1]), (100, 101, [1, 2]), (100, 10_000, [1, 100])]
)
def test_both_ends_of_a_list_are_measured(rows: int, total: int, numbers: list[int]) -> None:
    assert [(page.number, page.total) for page in ends("admin", "/users", rows, total)] == [
        (number, total) for number in numbers
    ]


def test_a_list_that_is_empty_for_the_admin_measures_nothing() -> None:
    with pytest.raises(ValueError, match="/schedules is empty for the admin"):
        ends("admin", "/schedules", 0, 0)
    # A plain member may well have no rows: his is the time it takes to find none.
    assert [page.number for page in ends("member", "/schedules", 0, 0)] == [1]


def test_rows_that_are_not_those_that_the_total_promises_are_an_error() -> None:
    with pytest.raises(ValueError, match="/users gave 99 rows of 2000"):
        ends("admin", "/users", 99, 2000)
