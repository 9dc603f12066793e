"""Names, digests, references and manifests."""

from __future__ import annotations

import pytest

from core import errors, oci

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "project", "rest"),
    [
        ("library/app", "library", "app"),
        ("team.one/a/b/c", "team.one", "a/b/c"),
        ("p/a__b-c--d.e", "p", "a__b-c--d.e"),
    ],
)
def test_repository_names_have_a_project(text: str, project: str, rest: str) -> None:
    name = oci.RepositoryName.parse(text)
    assert (name.project, name.rest, str(name)) == (project, rest, text)


@pytest.mark.parametrize(
    "text",
    [
        "app",
        "Library/app",
        "p/App",
        "p/",
        "/p",
        "p//a",
        "p/../q",
        "p/a/..",
        "p/.a",
        "p/a.",
        "p/" + "a" * 254,
        "p/a b",
        "p/ü",
        "p/a\n",
        "",
    ],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(errors.NameInvalid):
        oci.RepositoryName.parse(text)
