"""…/additions: what is told about an artifact apart from it, as in Harbor. Other rooms register what they know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.http import HttpResponse
from rest_framework.request import Request

from core import errors, oci
from core.api.operations import operation
from projects import contents, helm_charts, model_packs
from projects.api.parents import InProject
from projects.kinds import Kind
from projects.models import Artifact

# Harbor's; any other is no word of its API.
NAMES = ("build_history", "values.yaml", "readme.md", "dependencies", "sbom", "license", "files")
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
MARKDOWN = "text/markdown; charset=utf-8"
SBOM = "application/vnd.goharbor.harbor.sbom.v1"
_CHART_LAYERS = ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "application/tar+gzip")


@dataclass(frozen=True)
class Addition:
    """Something that is told about some artifacts."""

    name: str
    content_type: str
    applies: Callable[[Artifact], bool]
    read: Callable[[oci.Manifest], bytes]
    """The content, from an artifact's manifest; raises what the caller shall hear."""
    is_linked: bool = True
    """Whether artifacts name it among their `addition_links`."""


_known: list[Addition] = []


def register(*additions: Addition) -> None:
    """Make additions known; of several with one name the first that applies to an artifact counts."""
    _known.extend(additions)


def links(artifact: Artifact) -> dict[str, Any]:
    """Harbor's `addition_links`: name → where it is."""
    project, _, repository = artifact.repository.name.partition("/")
    # Harbor's clients expect its slashes encoded twice.
    rest = quote(quote(repository, safe=""), safe="")
    base = f"/api/v2.0/projects/{project}/repositories/{rest}/artifacts/{artifact.digest}/additions"
    names = (each.name for each in _of(artifact) if each.is_linked)
    return {name: {"href": f"{base}/{name}", "absolute": False} for name in names}


class Additions(InProject):
    """One addition of an artifact."""

    resource = "artifact-addition"
    verbs = {"vulnerabilities": "read"}
    honours_tag_scope = True

    @operation(
        "Read what an artifact tells besides", gives=Any, media_types=(JSON, TEXT, MARKDOWN, SBOM), refuses=(422,)
    )
    def retrieve(self, request: Request, addition: str, **_: Any) -> HttpResponse:
        if addition not in NAMES:
            raise errors.Unprocessable(f"addition in path should be one of {list(NAMES)}")
        artifact = self.get_artifact()
        found = next((each for each in _of(artifact) if each.name == addition), None)
        if found is None:
            raise errors.BadRequest(f"addition {addition} isn't supported for {artifact.kind}")
        return HttpResponse(found.read(contents.manifest_of(artifact)), content_type=found.content_type)

    @operation("Read an artifact's vulnerability reports", gives=dict[str, Any])
    def vulnerabilities(self, request: Request, **_: Any) -> HttpResponse:
        """Reports by their media type: none, while there is no scanner."""
        self.get_artifact()
        return HttpResponse(b"{}", content_type="application/json")


def _of(artifact: Artifact) -> Iterator[Addition]:
    return (each for each in _known if each.applies(artifact))


# --- what artifacts tell by themselves -----------------------------------------------------------------------------
def _is(*kinds: Kind) -> Callable[[Artifact], bool]:
    """Whether it is one of these; indexes have nothing of their own to show."""
    return lambda artifact: artifact.kind in kinds and artifact.media_type not in oci.INDEX_TYPES


def _history(manifest: oci.Manifest) -> bytes:
    return _json(contents.build_history(contents.read(manifest.config)) if manifest.config else [])


def _chart_file(name: str) -> Callable[[oci.Manifest], bytes]:
    return lambda manifest: helm_charts.text_of(_chart(manifest), name)


def _chart(manifest: oci.Manifest) -> bytes:
    for layer in manifest.layers:
        if layer.media_type in _CHART_LAYERS:
            return contents.read(layer)
    raise errors.NotFound("the chart has no layer with its archive")


def _model_document(names: tuple[str, ...]) -> Callable[[oci.Manifest], bytes]:
    def read(manifest: oci.Manifest) -> bytes:
        layer = model_packs.document_layer(manifest, names)
        return model_packs.document(layer, contents.read(layer))

    return read


def _sbom(manifest: oci.Manifest) -> bytes:
    if len(manifest.layers) != 1:
        raise errors.NotFound("the SBOM has not one layer, which would be it")
    return contents.read(manifest.layers[0])


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


register(
    Addition("build_history", JSON, _is(Kind.IMAGE, Kind.WASM), _history),
    Addition("values.yaml", TEXT, _is(Kind.CHART), _chart_file("values.yaml")),
    Addition("readme.md", MARKDOWN, _is(Kind.CHART), _chart_file("readme.md")),
    Addition("dependencies", JSON, _is(Kind.CHART), lambda manifest: _json(helm_charts.dependencies(_chart(manifest)))),
    Addition("readme.md", MARKDOWN, _is(Kind.CNAI), _model_document(model_packs.README)),
    Addition("license", TEXT, _is(Kind.CNAI), _model_document(model_packs.LICENSE)),
    Addition("files", JSON, _is(Kind.CNAI), lambda manifest: _json(model_packs.files(manifest))),
    # Harbor links it from the artifact that it belongs to, once that was scanned.
    Addition("sbom", SBOM, _is(Kind.SBOM), _sbom, is_linked=False),
)
