"""curl as people and scripts use it: a password with every request, or a session with cookies and a CSRF token."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.platform import PASSWORD, Platform

People = dict[str, tuple[str, str]]


@dataclass
class Curl:
    """Calls with one jar of cookies."""

    url: str
    jar: Path

    def __call__(self, path: str, *options: str, data: Any = None, token: str = "") -> tuple[int, str, dict[str, str]]:
        """Status, body and headers (in lower case); `data` is a form when it is text, else JSON."""
        body = self.jar.with_suffix(".body")
        words = ["curl", "-sS", "-b", str(self.jar), "-c", str(self.jar), "-D", "-", "-o", str(body), *options]
        if data is not None:
            # By stdin: a command line is for everybody on the machine to read.
            words += ["--data-binary", "@-"]
        if data is not None and not isinstance(data, str):
            words += ["-H", "Content-Type: application/json"]
        if token:
            words += ["-H", f"X-Harbor-CSRF-Token: {token}"]
        text = data if isinstance(data, str) else json.dumps(data)
        body.write_text("")
        told = subprocess.run([*words, f"{self.url}{path}"], input=text, capture_output=True, text=True, timeout=60)
        assert told.returncode == 0, told.stderr
        first, *rest = told.stdout.strip().splitlines()
        headers = dict(line.split(": ", 1) for line in rest if ": " in line)
        return int(first.split()[1]), body.read_text(), {name.lower(): value for name, value in headers.items()}

    def token(self, path: str = "/c/login") -> str:
        return self(path)[2]["x-harbor-csrf-token"]


@pytest.fixture
def curl(platform: Platform, people: People, tmp_path: Path) -> Curl:
    return Curl(platform.url, tmp_path / "cookies")


def test_a_password_with_every_request(curl: Curl, platform: Platform, tmp_path: Path) -> None:
    mine = tmp_path / "curlrc"
    mine.write_text(f'user = "alice:{PASSWORD}"\n')
    status, body, headers = curl("/api/v2.0/users/current", "-K", str(mine))
    assert (status, json.loads(body)["username"]) == (200, "alice")
    assert "x-harbor-csrf-token" not in headers
    assert "sid" not in curl.jar.read_text()
    assert curl("/api/v2.0/projects", "-K", str(mine), data={"project_name": "by-password"})[0] == 201


def test_a_session_and_its_token(curl: Curl) -> None:
    refused = curl("/c/login", data=f"principal=alice&password={PASSWORD}")
    assert (refused[0], json.loads(refused[1])["errors"][0]["code"]) == (403, "FORBIDDEN")
    status, body, headers = curl("/c/login", data=f"principal=alice&password={PASSWORD}", token=curl.token())
    assert (status, body) == (200, "")
    token = headers["x-harbor-csrf-token"]
    assert json.loads(curl("/api/v2.0/users/current")[1])["username"] == "alice"
    new = {"project_name": "by-session"}
    status, body, _ = curl("/api/v2.0/projects", data=new)
    assert status == 403
    assert json.loads(body)["errors"][0]["code"] == "FORBIDDEN"
    assert json.loads(body)["errors"][0]["message"].startswith("CSRF token not found in request")
    assert curl("/api/v2.0/projects", data=new, token=token)[0] == 201
    assert curl("/c/log_out")[0] == 200
    assert curl("/api/v2.0/users/current")[0] == 401


def test_a_robot_gets_no_session(curl: Curl, platform: Platform, people: People) -> None:
    robot = platform.make_robot("team", people["alice"], "sitter", "pull")
    form = f"principal={robot['name'].replace('$', '%24').replace('+', '%2B')}&password={robot['secret']}"
    assert curl("/c/login", data=form, token=curl.token())[0] == 401
    assert curl("/api/v2.0/projects/team")[0] == 401
