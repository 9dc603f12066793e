"""What a Helm chart's archive tells: its values, its readme and the charts it depends on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

import yaml

from core import errors
from projects import archives

# Where Helm 3 writes a chart's dependencies, and where Helm 2 did.
_DEPENDENCIES_IN = {"v2": "chart.yaml", "v1": "requirements.yaml"}
_SHOWN = ("values.yaml", "readme.md", "chart.yaml", "requirements.yaml")
_DEPENDENCY = ("name", "version", "repository", "condition", "tags", "import-values", "alias")
_YAML_MOST_BYTES = 256 * 1024
_DEEPEST = 50
# Every scalar is a text here: `version: 1.10` is not 1.1. Written in C where the library was built so.
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def text_of(archive: bytes, name: str) -> bytes:
    """A file of the chart's own folder, by its name in small letters; empty when there is none.

    Unprocessable when the archive cannot be read.
    """
    return _files(archive).get(name, b"")


def dependencies(archive: bytes) -> list[dict[str, Any]]:
    """The charts that this one depends on, each as Helm writes it. Unprocessable when that cannot be read."""
    files = _files(archive)
    chart = _document(files, "chart.yaml")
    where = _DEPENDENCIES_IN.get(str(chart.get("apiVersion", "v1")), "chart.yaml")
    found = _document(files, where).get("dependencies") or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise errors.Unprocessable(f"the chart cannot be shown: dependencies in its {where} is no list of charts")
    return [{key: each[key] for key in _DEPENDENCY if key in each} for each in found]


def _files(archive: bytes) -> dict[str, bytes]:
    """What is shown of the chart's own folder; the charts in its `charts/` have such files too."""
    found = archives.read(archive, _is_shown, is_compressed=True)
    files = {path.name.lower(): content for path, content in found.items()}
    if len(files) < len(found):
        raise errors.Unprocessable("the chart cannot be shown: two of its files differ in their folder or case alone")
    return files


def _is_shown(path: PurePosixPath) -> bool:
    return len(path.parts) == 2 and path.parts[0] not in ("..", "/") and path.name.lower() in _SHOWN


def _document(files: dict[str, bytes], name: str) -> dict[str, Any]:
    text = files.get(name, b"")
    if len(text) > _YAML_MOST_BYTES:
        raise errors.Unprocessable(f"the chart cannot be shown: its {name} has more than {_YAML_MOST_BYTES} bytes")
    try:
        _check_form(yaml.parse(text, Loader=_Loader), name)
        document = yaml.load(text, Loader=_Loader) or {}  # noqa: S506 - this loader makes nothing but texts and lists
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise errors.Unprocessable(f"the chart cannot be shown: its {name} is no YAML") from error
    if not isinstance(document, dict):
        raise errors.Unprocessable(f"the chart cannot be shown: its {name} is no YAML mapping")
    return document


def _check_form(events: Iterable[yaml.Event], name: str) -> None:
    """Refuse what is written once and referred to a thousand times, which JSON would repeat, and what is too deep."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise errors.Unprocessable(f"the chart cannot be shown: its {name} has aliases")
        if depth > _DEEPEST:
            raise errors.Unprocessable(f"the chart cannot be shown: its {name} is nested too deep")
