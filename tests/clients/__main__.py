"""`make test-clients`: clients generated from Harbor's contract and from our own document, against a platform.

The package of the generator brings its program along, which needs Java.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from tests.clients import virtualenv
from tests.contracts.contract import CONTRACT
from tests.e2e.platform import Platform, new_platform, remove

GENERATOR = "openapi-generator-cli==4.3.1"
JAR = "lib/python*/site-packages/openapi_generator_cli/openapi-generator.jar"


def main() -> int:
    """0; whatever goes wrong ends with what was wrong."""
    platform = new_platform()
    folder = platform.var.parent / "clients"
    try:
        python = virtualenv.make(folder, GENERATOR)
        platform.up()
        for name, document in (("harbor_client", as_swagger()), ("wharf_client", own_document(platform))):
            generate(python, document, name)
            script = f"{name}_life.py"
            print(f"{name}: {', '.join(virtualenv.live(python, script, platform, folder / f'{name}-image'))}")
        return 0
    finally:
        remove(platform)


def as_swagger() -> dict[str, Any]:
    """Harbor's contract as the description that it was derived from, without its prose."""
    paths: dict[str, dict[str, Any]] = {}
    for key, operation in CONTRACT["operations"].items():
        method, _, path = key.partition(" ")
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "swagger": "2.0",
        "info": {"title": "Harbor", "version": "2.0"},
        "basePath": "/api/v2.0",
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "securityDefinitions": {"basic": {"type": "basic"}},
        "security": [{"basic": []}],
        "paths": paths,
        **{part: CONTRACT[part] for part in ("definitions", "parameters", "responses")},
    }


def own_document(platform: Platform) -> dict[str, Any]:
    document: dict[str, Any] = requests.get(f"{platform.url}/api/v2.0/openapi.json", timeout=30).json()
    return document


def generate(python: Path, document: dict[str, Any], package: str) -> None:
    """Make a Python client of a document, and install it."""
    folder = python.parents[1]
    (jar,) = folder.glob(JAR)
    source, target = folder / f"{package}.json", folder / package
    source.write_text(json.dumps(document))
    options = ["-i", str(source), "-g", "python", "-o", str(target), "--package-name", package]
    # Harbor's own description is not valid in every word; ours has to be.
    if "swagger" in document:
        options.append("--skip-validate-spec")
    made = subprocess.run(["java", "-jar", str(jar), "generate", *options], capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
    virtualenv.install(python, str(target))


if __name__ == "__main__":
    sys.exit(main())
