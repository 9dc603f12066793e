"""`make conformance`: install the suite, start a platform of its own, run it with API version 1.1, print the totals.

sha512 content is switched off: registry 2.8 files it under other names, so Wharf refuses it with words.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.platform import Platform, new_platform, remove

SUITE = "github.com/opencontainers/distribution-spec/conformance"
# The module proxy serves only some commits of the suite; this is one with the runner of 2026.
VERSION = "v0.0.0-20260831232431-97274622c111"


def main() -> int:
    """0 when no test failed."""
    platform = new_platform()
    folder = platform.var.parent / "conformance"
    try:
        binary = install(folder)
        platform.up()
        platform.make_project("conformance", platform.admin)
        return run(binary, platform, folder / "results")
    finally:
        remove(platform)


def install(folder: Path) -> Path:
    """The suite's program, built by the ordinary Go client."""
    if shutil.which("go") is None:
        sys.exit("wharf: make conformance needs Go 1.24 or newer on the PATH")
    environment = {**os.environ, "GOBIN": str(folder)}
    subprocess.run(["go", "install", f"{SUITE}@{VERSION}"], env=environment, check=True)
    return folder / "conformance"


def run(binary: Path, platform: Platform, results: Path) -> int:
    name, password = platform.admin
    environment = {
        "PATH": os.environ["PATH"],
        "OCI_REGISTRY": platform.host,
        "OCI_TLS": "disabled",
        "OCI_REPO1": "conformance/repo1",
        "OCI_REPO2": "conformance/repo2",
        "OCI_USERNAME": name,
        "OCI_PASSWORD": password,
        "OCI_RESULTS_DIR": str(results),
        "OCI_VERSION": "1.1",
        "OCI_DATA_SHA512": "false",
    }
    finished = subprocess.run([str(binary)], env=environment, capture_output=True, text=True, timeout=600)
    for line in (finished.stdout + finished.stderr).splitlines():
        if "failed test" in line:
            print(line)
    totals = re.search(r"<testsuite [^>]*>", (results / "junit.xml").read_text())
    print(f"conformance {VERSION}: {totals[0] if totals else 'no totals'}")
    return finished.returncode


if __name__ == "__main__":
    sys.exit(main())
