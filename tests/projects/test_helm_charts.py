"""What a Helm chart's archive tells."""

from __future__ import annotations

import pytest

from core import errors
from projects import helm_charts
from tests.archives import make_chart, make_tar

V2 = """
apiVersion: v2
name: app
version: 1.2.3
dependencies:
  - name: postgresql
    version: 1.10
    repository: https://charts.example.com
    condition: postgresql.enabled
    tags: [database]
    import-values:
      - child: default.data
        parent: data
    alias: db
    something: else
"""
DEPENDENCY = {
    "name": "postgresql",
    # Not 1.1: versions are texts.
    "version": "1.10",
    "repository": "https://charts.example.com",
    "condition": "postgresql.enabled",
    "tags": ["database"],
    "import-values": [{"child": "default.data", "parent": "data"}],
    "alias": "db",
}
V1 = "apiVersion: v1\nname: app\nversion: 1.2.3\n"
REQUIREMENTS = b"dependencies:\n- name: redis\n  version: ~3\n  repository: ''\n"


def test_files_of_the_charts_own_folder_whatever_their_case() -> None:
    files = [("README.md", b"# App"), ("values.yaml", b"a: 1"), ("charts/db/values.yaml", b"b: 2")]
    archive = make_chart(files=files)
    assert helm_charts.text_of(archive, "readme.md") == b"# App"
    assert helm_charts.text_of(archive, "values.yaml") == b"a: 1"


def test_what_a_chart_does_not_have_is_empty() -> None:
    assert helm_charts.text_of(make_chart(), "readme.md") == b""
    assert helm_charts.dependencies(make_chart()) == []


def test_dependencies_of_helm_3() -> None:
    archive = make_chart(chart=V2, files=[("requirements.yaml", REQUIREMENTS)])
    assert helm_charts.dependencies(archive) == [DEPENDENCY]


def test_dependencies_of_helm_2() -> None:
    archive = make_chart(chart=V1, files=[("requirements.yaml", REQUIREMENTS)])
    assert helm_charts.dependencies(archive) == [{"name": "redis", "version": "~3", "repository": ""}]


@pytest.mark.parametrize(
    ("chart", "why"),
    [
        ("- a list", "no YAML mapping"),
        ("a: [", "no YAML"),
        ("a: \x00", "no YAML"),
        ("apiVersion: v2\ndependencies: none", "no list of charts"),
        ("apiVersion: v2\ndependencies: [none]", "no list of charts"),
        ("a: &a [x, x]\nb: [*a, *a]", "has aliases"),
        # The library in C has a limit of its own.
        ("a: " + "[" * 60_000 + "]" * 60_000, "nested too deep|no YAML"),
        ("a: " + "[" * 60 + "]" * 60, "nested too deep"),
        ("# " + "x" * 300_000, "more than 262144 bytes"),
    ],
    ids=["list", "broken", "null-byte", "words", "words-in-a-list", "aliases", "very-deep", "deep", "long"],
)
def test_charts_that_cannot_be_read_say_why(chart: str, why: str) -> None:
    with pytest.raises(errors.Unprocessable, match=why):
        helm_charts.dependencies(make_chart(chart=chart))


def test_two_folders_or_two_spellings_are_no_chart() -> None:
    for other in ("other/values.yaml", "app/VALUES.yaml"):
        archive = make_tar(("app/values.yaml", b"harmless"), (other, b"not so"))
        with pytest.raises(errors.Unprocessable, match="differ in their folder or case alone"):
            helm_charts.text_of(archive, "values.yaml")
