"""Two models on the same labelled images, through the pipeline that users run. Knows no store."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import TrainingError
from cellfleet.evaluation.matching import Match, match, pool
from cellfleet.images.read import image_from_array
from cellfleet.inference.threads import usable_threads
from cellfleet.models import LoadedModel
from cellfleet.results.labelled import read_all
from cellfleet.run.pools import Pools
from cellfleet.run.resources import fair_share
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.model import Compartment
from cellfleet.spec.segment import ChannelChoice, SegmentSpec
from cellfleet.spec.training_http import ComparedImage, ComparedObjects, Scores
from cellfleet.training.dataset import Sample


def compare(
    samples: Sequence[Sample],
    new: LoadedModel,
    present: LoadedModel,
    roles: Sequence[str],
    microns_per_pixel: float | None = None,
) -> tuple[ComparedObjects, ...]:
    """Segment images with both models, and score both.

    Args:
        samples: With their truth.
        new: A model.
        present: Another one.
        roles: Of the samples' channels.
        microns_per_pixel: Of the samples; None: it is not known.

    Returns:
        For each kind of objects that is labelled and that both models find.

    Raises:
        TrainingError: E635, there is no such kind, or the images lack a channel that a model needs.
    """
    labelled = _labelled(samples[0])
    both = [kind for kind in labelled if {kind} <= set(new.manifest.compartments) & set(present.manifest.compartments)]
    if not both:
        what = f"the images label {' and '.join(labelled)} objects, which not both models find"
        raise _not_comparable(present, what)
    compared = []
    for kind in both:
        truths = [sample.compartments[labelled.index(kind)] for sample in samples]
        found = [_matches(samples, truths, model, kind, roles, microns_per_pixel) for model in (new, present)]
        images = tuple(
            ComparedImage(image=sample.name, objects=_count(truth), new=_scores(of_new), present=_scores(of_present))
            for sample, truth, of_new, of_present in zip(samples, truths, *found, strict=True)
        )
        pooled = [_scores(pool(matches)) for matches in found]
        compared.append(ComparedObjects(compartment=kind, new=pooled[0], present=pooled[1], images=images))
    return tuple(compared)


def _labelled(sample: Sample) -> tuple[Compartment, ...]:
    """Return what the label images of a sample show, in their order."""
    kinds: tuple[Compartment, ...] = ("whole-cell", "nuclear") if sample.whole_cells else ("nuclear",)
    return kinds[: len(sample.compartments)]


def _matches(
    samples: Sequence[Sample],
    truths: Sequence[NDArray[np.int32]],
    model: LoadedModel,
    kind: Compartment,
    roles: Sequence[str],
    microns_per_pixel: float | None,
) -> list[Match]:
    if model.before:
        raise _not_comparable(model, "it is a workflow, whose first step wants stacks: the images are what it predicts")
    missing = [role for role in model.manifest.roles if role not in roles]
    if missing:
        what = f"it needs a channel that shows {missing[0]}, and the images have {', '.join(roles)}"
        raise _not_comparable(model, what)
    channels = (ChannelChoice(role=role, channels=(roles.index(role) + 1,)) for role in model.manifest.roles)
    spec = SegmentSpec(
        channels=tuple(channels),
        microns_per_pixel=microns_per_pixel,
        compartment=kind if len(model.manifest.compartments) > 1 else None,
    )
    with Pools(usable_threads(), model, fair_share()) as pools:
        return [
            match(_segmented(sample, len(roles), spec, model, How(pools)), truth)
            for sample, truth in zip(samples, truths, strict=True)
        ]


def _segmented(sample: Sample, roles: int, spec: SegmentSpec, model: LoadedModel, how: How) -> NDArray[np.uint32]:
    """Return the labels of the plane that is labelled; a model that looks at its neighbours gets these, too."""
    stack = sample.pixels.reshape(roles, -1, *sample.pixels.shape[1:])
    middle = stack.shape[1] // 2
    if model.manifest.frames == 1:
        image = image_from_array(stack[:, middle], axes="CYX", name=sample.name)
    else:
        image = image_from_array(stack, axes="CZYX", name=sample.name)
    found = segment_image(image, spec, model, how)
    assert isinstance(found, Segmented), "nobody else does a share"
    labels = read_all(found.labels)
    return labels if labels.ndim == 2 else labels[middle]


def _scores(found: Match) -> Scores:
    values = {
        "f1": found.at(0.5).f1,
        "ap": found.at(0.5).average_precision,
        "mean_ap": found.mean_average_precision,
    }
    return Scores(**{name: None if math.isnan(value) else round(value, 4) for name, value in values.items()})


def _count(labels: NDArray[np.int32]) -> int:
    return int(np.unique(labels[labels > 0]).size)


def _not_comparable(model: LoadedModel, what: str) -> TrainingError:
    where = f"{model.manifest.name}:{model.manifest.version}"
    return TrainingError("E635", what, where=where, action="Compare with a model that finds the same in such images")
