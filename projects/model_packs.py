"""AI models as the CNCF's ModelPack specification packs them: one file or folder a layer, its path in an annotation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from core import errors, oci
from projects import archives

PATHS = ("org.cncf.model.filepath", "org.cnai.model.filepath")
_DOCUMENT_TYPES = ("application/vnd.cncf.model.doc.v1", "application/vnd.cnai.model.doc.v1")
README = ("readme", "readme.md")
LICENSE = ("license", "license.txt")
# A path that is deeper than any real one would only make JSON that nobody can read.
_DEEPEST = 50


def document_layer(manifest: oci.Manifest, names: Sequence[str]) -> oci.Descriptor:
    """The layer that holds a document of one of these names; NotFound when there is none."""
    for layer in manifest.layers:
        if layer.media_type.startswith(_DOCUMENT_TYPES) and _path(layer).lower() in names:
            return layer
    raise errors.NotFound(f"the model has no {names[-1]}")


def document(layer: oci.Descriptor, content: bytes) -> bytes:
    """The text in such a layer's bytes. Unprocessable when it cannot be read, NotFound when the layer lacks it."""
    if layer.media_type.endswith(".raw"):
        return content
    wanted = PurePosixPath(_path(layer)).name
    found = archives.read(
        content, lambda path: path.name == wanted, is_compressed=layer.media_type.endswith(("+gzip", ".gzip"))
    )
    if not found:
        raise errors.NotFound(f"the model's {wanted} is not in its layer")
    return next(iter(found.values()))


def files(manifest: oci.Manifest) -> list[dict[str, Any]]:
    """The model's files as a tree: folders first, then by name, each file with its size in bytes."""
    root: dict[str, Any] = {}
    for layer in manifest.layers:
        path = _path(layer)
        parts = [part for part in path.split("/") if part not in ("", ".", "..")][:_DEEPEST]
        if not parts:
            continue
        folder = root
        for part in parts[:-1]:
            below = folder.setdefault(part, {})
            # A file where another layer has a folder: the first one counts.
            folder = below if isinstance(below, dict) else {}
        folder.setdefault(parts[-1], {} if path.endswith("/") else layer.size)
    return _tree(root)


def _tree(folder: dict[str, Any]) -> list[dict[str, Any]]:
    folders = sorted(name for name, below in folder.items() if isinstance(below, dict))
    plain = sorted(folder.keys() - set(folders))
    return [
        *({"name": name, "type": "directory", "children": _tree(folder[name])} for name in folders),
        *({"name": name, "type": "file", "size": folder[name]} for name in plain),
    ]


def _path(layer: oci.Descriptor) -> str:
    return next((layer.annotations[key] for key in PATHS if layer.annotations.get(key)), "")
