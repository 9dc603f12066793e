"""docker login, push, pull and logout with a real engine."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.docker_engine import Docker
from tests.e2e.platform import Platform

People = dict[str, tuple[str, str]]


def _big_files() -> list[Path]:
    """Files of the machine, more than 50 MB together."""
    found = sorted(Path("/usr/bin").iterdir(), key=lambda path: -path.stat().st_size if path.is_file() else 0)
    chosen: list[Path] = []
    while sum(path.stat().st_size for path in chosen) < 55_000_000:
        chosen.append(found[len(chosen)])
    return chosen


def test_docker_pushes_and_pulls_a_large_image(docker: Docker, platform: Platform, people: People) -> None:
    name = f"{platform.host}/team/big:1.0"
    docker.build(name, *_big_files(), Path("/etc/os-release"))
    docker.login(platform.host, people["bob"])
    pushed = docker("push", name).stdout
    assert "digest: sha256:" in pushed
    identity = docker("image", "inspect", "--format", "{{.Id}}", name).stdout
    docker("rmi", name)
    docker("pull", name)
    assert docker("image", "inspect", "--format", "{{.Id}}", name).stdout == identity
    again = docker("push", name).stdout
    assert "Layer already exists" in again


def test_docker_mounts_layers_of_another_repository(docker: Docker, platform: Platform, people: People) -> None:
    first, second = f"{platform.host}/team/mount-a:1", f"{platform.host}/team/mount-b:1"
    docker.build(first, Path("/usr/bin/make"), Path("/etc/hostname"))
    docker.login(platform.host, people["bob"])
    docker("push", first)
    docker("tag", first, second)
    assert "Mounted from team/mount-a" in docker("push", second).stdout


def test_a_guest_may_pull_but_not_push(docker: Docker, platform: Platform, people: People) -> None:
    name = f"{platform.host}/team/guest:1"
    docker.build(name, Path("/etc/os-release"))
    docker.login(platform.host, people["bob"])
    docker("push", name)
    docker.login(platform.host, people["carol"])
    docker("rmi", name)
    docker("pull", name)
    refused = docker("push", name, check=False)
    assert refused.returncode != 0
    assert "denied" in refused.stderr
    assert "carol has no permission to push" in refused.stderr


def test_a_stranger_may_not_pull(docker: Docker, platform: Platform, people: People) -> None:
    name = f"{platform.host}/team/private:1"
    docker.build(name, Path("/etc/os-release"))
    docker.login(platform.host, people["bob"])
    docker("push", name)
    docker("rmi", name)
    docker.login(platform.host, people["mallory"])
    assert "denied" in docker("pull", name, check=False).stderr
    docker("logout", platform.host)
    assert docker("pull", name, check=False).returncode != 0


def test_anybody_may_pull_from_a_public_project(docker: Docker, platform: Platform, people: People) -> None:
    name = f"{platform.host}/open/app:1"
    docker.build(name, Path("/etc/os-release"))
    docker.login(platform.host, people["alice"])
    docker("push", name)
    docker("rmi", name)
    docker("logout", platform.host)
    assert "Downloaded newer image" in docker("pull", name).stdout


def test_a_wrong_password_is_refused_at_login(docker: Docker, platform: Platform, people: People) -> None:
    refused = docker.login(platform.host, ("bob", "Wrong12345"), check=False)
    assert refused.returncode != 0
    assert "The user name or password is wrong" in refused.stderr


def test_pushing_to_a_project_that_does_not_exist_names_it(docker: Docker, platform: Platform, people: People) -> None:
    name = f"{platform.host}/nowhere/app:1"
    docker.build(name, Path("/etc/os-release"))
    docker.login(platform.host, people["bob"])
    refused = docker("push", name, check=False)
    assert refused.returncode != 0
    assert "nowhere" in refused.stderr
    assert "does not exist" in refused.stderr


def test_a_robot_pushes_with_its_secret(docker: Docker, platform: Platform, people: People) -> None:
    robot = platform.make_robot("team", people["alice"], "docker-ci", "push", "pull")
    name = f"{platform.host}/team/robot:1"
    docker.build(name, Path("/etc/os-release"))
    docker.login(platform.host, (robot["name"], robot["secret"]))
    assert "digest: sha256:" in docker("push", name).stdout
