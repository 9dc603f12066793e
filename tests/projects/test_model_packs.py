"""AI models: their files, and their documents (CNCF ModelPack specification)."""

from __future__ import annotations

import pytest

from core import errors, oci
from projects import model_packs
from tests.archives import make_tar

WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
DOC = "application/vnd.cncf.model.doc.v1"


def layer(path: str, size: int = 7, media_type: str = WEIGHT, key: str = model_packs.PATHS[0]) -> oci.Descriptor:
    return oci.Descriptor(media_type, "sha256:" + "0" * 64, size, annotations={key: path} if path else {})


def model(*layers: oci.Descriptor) -> oci.Manifest:
    return oci.Manifest(b"", "", oci.OCI_MANIFEST, None, layers, (), None, "", {})


def test_files_are_a_tree_with_folders_first() -> None:
    layers = [
        layer("weights/b.bin", 20),
        layer("README.md", 3, key=model_packs.PATHS[1]),
        layer("weights/a.bin", 10),
        layer("configs/"),
        layer("", 99),
    ]
    assert model_packs.files(model(*layers)) == [
        {"name": "configs", "type": "directory", "children": []},
        {
            "name": "weights",
            "type": "directory",
            "children": [{"name": "a.bin", "type": "file", "size": 10}, {"name": "b.bin", "type": "file", "size": 20}],
        },
        {"name": "README.md", "type": "file", "size": 3},
    ]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/../../etc/passwd"], [{"name": "etc", "type": "directory"}]),
        (["..", "/", "./."], []),
        (["a", "a/b"], [{"name": "a", "type": "file"}]),
        (["a/b", "a"], [{"name": "a", "type": "directory"}]),
        (["a", "a"], [{"name": "a", "type": "file"}]),
    ],
)
def test_paths_that_are_tricks(paths: list[str], expected: list[dict[str, str]]) -> None:
    found = model_packs.files(model(*(layer(path) for path in paths)))
    assert [{key: each[key] for key in ("name", "type")} for each in found] == expected


def test_a_path_of_thousands_of_folders_stays_readable() -> None:
    (found,) = model_packs.files(model(layer("a/" * 100_000 + "b")))
    depth = 1
    while found.get("children"):
        found, depth = found["children"][0], depth + 1
    assert depth == 50


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        (f"{DOC}.raw", b"# Model"),
        (f"{DOC}.tar", make_tar(("README.md", b"# Model"), is_compressed=False)),
        (f"{DOC}.tar+gzip", make_tar(("docs/README.md", b"# Model"))),
        ("application/vnd.cnai.model.doc.v1.tar", make_tar(("README.md", b"# Model"), is_compressed=False)),
    ],
)
def test_a_document_is_read_however_it_is_packed(media_type: str, content: bytes) -> None:
    wanted = layer("README.md", media_type=media_type)
    assert model_packs.document_layer(model(layer("x"), wanted), model_packs.README) == wanted
    assert model_packs.document(wanted, content) == b"# Model"


def test_a_document_that_is_not_there_is_said() -> None:
    with pytest.raises(errors.NotFound, match=r"the model has no license.txt"):
        model_packs.document_layer(model(layer("LICENSE")), model_packs.LICENSE)
    tar = f"{DOC}.tar"
    with pytest.raises(errors.NotFound, match="is not in its layer"):
        model_packs.document(layer("README.md", media_type=tar), make_tar(("x", b""), is_compressed=False))
