"""How values and commands are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from web import commands
from web.templatetags import web_text

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("kind", "tag", "command"),
    [
        ("IMAGE", "1.0", "docker pull localhost:8080/team/app:1.0"),
        ("IMAGE", "", f"docker pull localhost:8080/team/app@{DIGEST}"),
        ("CHART", "1.0_build.2", "helm pull oci://localhost:8080/team/app --version 1.0+build.2"),
        ("CHART", "", f"oras pull localhost:8080/team/app@{DIGEST}"),
        ("WASM", "1.0", "oras pull localhost:8080/team/app:1.0"),
    ],
)
def test_an_artifact_is_pulled_by_the_tool_that_understands_it(kind: str, tag: str, command: str) -> None:
    assert commands.pull(kind=kind, repository="team/app", tag=tag, digest=DIGEST) == command


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "0 B"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1_300_000, "1.2 MiB"),
        (5 * 1024**5, "5.0 PiB"),
        (5 * 1024**6, "5120.0 PiB"),
    ],
)
def test_sizes_are_for_people(number: int | None, text: str) -> None:
    assert web_text.size(number) == text


def test_times_are_relative() -> None:
    now = timezone.now()
    assert web_text.ago(now) == "just now"
    assert web_text.ago(now + timedelta(minutes=5)) == "just now"
    assert web_text.ago(now - timedelta(hours=3, minutes=5)).replace("\xa0", " ") == "3 hours ago"


@pytest.mark.parametrize(
    ("said", "platform"),
    [
        ({}, ""),
        ({"platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}, "linux/arm/v7"),
        ({"platform": {"os": "windows", "architecture": "amd64", "os.version": "10.0.1"}}, "windows/amd64 10.0.1"),
        (
            {
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
            },
            "attestation",
        ),
    ],
)
def test_platforms(said: dict[str, Any], platform: str) -> None:
    assert web_text.platform_of(said) == platform


def test_what_a_client_wrote_may_be_nonsense() -> None:
    assert web_text.when("2026-01-02T03:04:05.123456789Z") == datetime(2026, 1, 2, 3, 4, 5, 123456, UTC)
    nonsense: list[Any] = ["soon", "2026-13-41T00:00:00Z", 7, None, []]
    assert [web_text.when(text) for text in nonsense] == [None] * 5
    assert web_text.command_line(["sh", "-c", "echo hi"]) == "sh -c 'echo hi'"
    assert [web_text.command_line(words) for words in ("sh", [1], None, {"a": 1})] == [""] * 4
