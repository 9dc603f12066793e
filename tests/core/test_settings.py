"""A setting that cannot be is refused at the start, with what would be right, and not where it is first used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

SECRETS = {"secret-key": "x", "credential-key": "x", "fernet-key": "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="}


def start(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    for name, text in SECRETS.items():
        (folder / name).write_text(text)
    return subprocess.run(
        [sys.executable, "-c", "import core.settings"],
        cwd=settings.BASE_DIR,
        env={"WHARF_SECRETS": str(folder), "WHARF_VAR": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_all_is_well(tmp_path: Path) -> None:
    started = start(tmp_path)
    assert started.returncode == 0, started.stderr


@pytest.mark.parametrize("text", [None, "not PEM", ""])
def test_a_bundle_holds_certificates(tmp_path: Path, text: str | None) -> None:
    bundle = tmp_path / "ca.pem"
    if text is not None:
        bundle.write_text(text)
    started = start(tmp_path, WHARF_CA_BUNDLE=str(bundle))
    assert started.returncode == 1
    assert "which is no file of certificates in PEM that we can read" in started.stderr


def test_blanks_in_a_list_of_networks_are_nothing(tmp_path: Path) -> None:
    """`make up` takes them, so core must."""
    started = start(tmp_path, WHARF_WEBHOOK_ALLOWED_NETWORKS="10.1.0.0/16, fd12::/48,")
    assert started.returncode == 0, started.stderr


def test_a_network_is_one(tmp_path: Path) -> None:
    started = start(tmp_path, WHARF_WEBHOOK_ALLOWED_NETWORKS="10.1.0.1/16")
    assert started.returncode == 1
    assert "it is a list of networks such as 10.1.0.0/16,fd12::/48" in started.stderr


@pytest.mark.parametrize("text", ["2", "WEBHOOK", "WEBHOOK=two", "WEBHOOK=1=2", "WEBHOOK=0"])
def test_how_many_jobs_run_at_once_is_a_number_of_a_kind(tmp_path: Path, text: str) -> None:
    started = start(tmp_path, WHARF_JOB_CAPS=text)
    assert started.returncode == 1
    assert "WHARF_JOB_CAPS must" in started.stderr
