"""What a request asks of its model, settled: what the model has no use for is refused. Knows no ledger and no store."""

from __future__ import annotations

from cellfleet.errors import UsageError
from cellfleet.models.package import not_a_classifier, not_a_segmenter
from cellfleet.run.request import asked_manifest
from cellfleet.spec.choices import TOP, Format
from cellfleet.spec.http import JobRequest
from cellfleet.spec.model import Manifest, ModelManifest, TranslatorManifest, WorkflowManifest
from cellfleet.spec.segment import SegmentSpec


def settle(request: JobRequest, manifest: Manifest) -> tuple[SegmentSpec, tuple[Format, ...]]:
    """Return what is to be done, and the files of each image: none where the model classifies.

    Raises:
        ModelError: E416, the model does nothing by itself; E774, it finds objects and is asked for classes.
        UsageError: E050, the model does not find that compartment; E775, the model classifies, and something is asked
            for that only objects have.
    """
    spec = request.segment
    if isinstance(manifest, TranslatorManifest | WorkflowManifest):
        raise not_a_segmenter(manifest)
    if isinstance(manifest, ModelManifest):
        if spec.top is not None:
            raise not_a_classifier(manifest)
        asked_manifest(manifest, spec)
        return spec, tuple(dict.fromkeys(request.formats))
    useless = [name for name in ("microns_per_pixel", "diameter_px", "compartment") if getattr(spec, name) is not None]
    if set(request.formats) != set(JobRequest.model_fields["formats"].default):
        useless.append("formats")
    if useless:
        raise UsageError(
            "E775",
            f"is a classifier, which has no use for {', '.join(useless)}",
            where=f"{manifest.name}:{manifest.version}",
            action="Leave it out, or choose a model that finds objects",
        )
    return spec.model_copy(update={"top": spec.top or TOP}), ()
