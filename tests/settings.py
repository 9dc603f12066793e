"""The platform's settings for tools that only read the code (mypy, makemigrations), with secrets of the moment."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.secrets import make_secrets

if "WHARF_SECRETS" not in os.environ:
    _folder = tempfile.TemporaryDirectory(prefix="wharf-secrets-")
    os.environ["WHARF_SECRETS"] = f"{_folder.name}/secrets"
    make_secrets(Path(os.environ["WHARF_SECRETS"]))

from core.settings import *  # noqa: F403
