"""The page of a job in a real browser, while its log grows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.platform import Platform
from tests.e2e.test_browser import page

__all__ = ["page"]
BEGIN = """
from datetime import timedelta
from django.db.models.functions import Now
from jobservice.models import Execution, Task
run = Execution.objects.create(vendor_type="GARBAGE_COLLECTION", trigger="MANUAL")
task = Task.objects.create(execution_id=run.id, vendor_type=run.vendor_type, queue="bulk", status="Running",
    lease=Now() + timedelta(hours=1))
print(run.id, task.id)
"""
SAY = "from jobservice.models import TaskLog; TaskLog.objects.create(task_id={}, text={!r})"
END = """
from jobservice.models import Execution, Task, TaskLog
TaskLog.objects.filter(task_id={1}).delete()
Task.objects.filter(id={1}).delete()
Execution.objects.filter(id={0}).delete()
"""
BELOW = "(log) => log.scrollHeight - log.scrollTop - log.clientHeight"


def manage(platform: Platform, program: str) -> str:
    done = platform.manage("shell", "-c", program)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def run(platform: Platform) -> Iterator[tuple[int, int]]:
    """An execution under way and its task, by their numbers; it has said much."""
    execution, task = map(int, manage(platform, BEGIN).splitlines()[-1].split())
    manage(platform, SAY.format(task, "".join(f"line {number}\n" for number in range(200))))
    yield execution, task
    manage(platform, END.format(execution, task))


def sign_in(page: Page, platform: Platform) -> None:
    page.goto("/sign-in")
    page.get_by_label("User name").fill(platform.admin[0])
    page.get_by_label("Password").fill(platform.admin[1])
    page.locator("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Sign out")).to_be_visible()


def test_a_log_is_followed_at_its_end_and_read_in_peace_further_up(
    page: Page, platform: Platform, run: tuple[int, int]
) -> None:
    execution, task = run
    sign_in(page, platform)
    page.goto(f"/jobs/{execution}")
    log = page.locator(".log")
    assert log.evaluate(BELOW) < 8
    manage(platform, SAY.format(task, "a new line\n" * 30))
    expect(log).to_contain_text("a new line")
    assert log.evaluate(BELOW) < 8
    log.evaluate("(log) => { log.scrollTop = 100; }")
    manage(platform, SAY.format(task, "one more\n"))
    expect(log).to_contain_text("one more")
    assert log.evaluate("(log) => log.scrollTop") == 100
