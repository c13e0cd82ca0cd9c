"""What clients of the DeepCell Kiosk ask for, as a request for a job. Knows no HTTP, store or ledger.

Their words and what became of them in the original are described in docs/reference/kiosk.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cellfleet.errors import ServiceError
from cellfleet.spec.http import JobRequest, ModelInfo
from cellfleet.spec.segment import ChannelChoice, SegmentSpec

MESMER: Final = "mesmer"
"""Type of a job for whole cells of tissue: no model is named, and the first channel is the nuclear one."""
JOB_TYPES: Final = ("segmentation", MESMER)
LABELS: Final = ("NuclearSegmentation", "CytoplasmSegmentation", "PhaseCytoSegmentation")
"""The original's model for each label; its n-th selected channel has label n."""
SAME: Mapping[str, str] = MappingProxyType(
    {"NuclearSegmentation": "nuclei", "MultiplexSegmentation": "tissue", "Mesmer": "tissue"}
)
"""The original's name → ours for a model that does the same."""
MICRONS_PER_PIXEL: Final = 0.65
"""Of the original's models for nuclei and cytoplasm: their `scale` is relative to it."""
_TISSUE: Final = "MultiplexSegmentation"
"""The original's name for the model of `MESMER`."""
_TISSUE_MICRONS_PER_PIXEL: Final = 0.5


def _text(value: Any) -> Any:
    """Return what a client sent for one of the fields as text: they send numbers, texts, null or nothing."""
    if value is None or value is False:
        return ""
    return str(value) if isinstance(value, (int, float)) else value


_Text = Annotated[str, BeforeValidator(_text), Field(max_length=1000)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class JobForm(_Form):
    """What newer web pages of the original send besides."""

    scale: _Text = ""
    selected_channels: _Text = ""
    """Numbers from 0, each followed by a comma; nothing between two commas means that there is no such channel."""


class PredictForm(_Form):
    """The body of ``POST /api/predict``, as far as it means something here."""

    job_type: _Text = ""
    image_name: str = Field(min_length=1, max_length=1000)
    uploaded_name: _Text = ""
    model_name: _Text = ""
    model_version: _Text = ""
    data_rescale: _Text = ""
    data_label: _Text = ""
    job_form: Annotated[JobForm, BeforeValidator(lambda value: value or {})] = JobForm()

    @property
    def upload(self) -> str:
        """The name that the upload was given: ``uploads/<id>.png`` → ``<id>``; "" where it cannot be one of ours."""
        name = PurePosixPath(self.uploaded_name or self.image_name).name.partition(".")[0]
        return name if re.fullmatch("[0-9a-z]{1,63}", name) else ""


def job_request(form: PredictForm, upload: str, file: str, models: Sequence[ModelInfo]) -> JobRequest:
    """Return the job that a client asks for.

    Args:
        form: What it sent.
        upload: The set that its file is in.
        file: The file.
        models: Those that this service has.

    Raises:
        ServiceError: E957, there is no such model, or the job cannot be done with one model, or the scale is none.
    """
    label, channels = _label_and_channels(form)
    mesmer = form.job_type == MESMER
    asked = form.model_name or (_TISSUE if mesmer else LABELS[label])
    model, roles, microns_per_pixel = _model(asked, form.model_version if form.model_name else "", models)
    if mesmer and not channels:
        # As in the original, whose pictures of tissue have the nuclear channel first.
        channels = tuple(range(1, roles + 1))
    if len(channels) > roles:
        what = f"{len(channels)} channels are selected, and the model {model} takes {roles}"
        raise _refused(what, "selectedChannels", "Send a job for each, or name another model")
    spec = SegmentSpec(
        model=model,
        channels=tuple(ChannelChoice(channels=(channel,)) for channel in channels),
        microns_per_pixel=_microns_per_pixel(form.job_form.scale or form.data_rescale, microns_per_pixel),
        compartment="whole-cell" if mesmer else None,
    )
    # ImageJ shows the first file of the results, so that has to be labels.
    return JobRequest(name=file[:200], inputs=(f"set:{upload}/{file}",), segment=spec, formats=("labels-tiff", "csv"))


def model_versions(models: Sequence[ModelInfo]) -> dict[str, list[str]]:
    """Return all names of models, ours and the original's, with the versions that clients may ask for."""
    found: dict[str, list[str]] = {}
    for model in models:
        versions = found.setdefault(model.name, [])
        versions += [_whole(model.version)] if _whole(model.version) not in versions else []
    return found | {theirs: found[ours] for theirs, ours in SAME.items() if ours in found and theirs not in found}


def _label_and_channels(form: PredictForm) -> tuple[int, tuple[int, ...]]:
    """Return which of the original's models is meant, and the channels for it, counted from 1."""
    texts = form.job_form.selected_channels.split(",")
    if not all(re.fullmatch(r"\s*\d{0,4}\s*", text) for text in texts):
        what = f"{form.job_form.selected_channels!r} are no channels"
        raise _refused(what, "selectedChannels", "Write for example 0,1, with channels from 0")
    selected = {place: int(text) + 1 for place, text in enumerate(texts) if text.strip()}
    label = str(next(iter(selected))) if len(selected) == 1 else form.data_label or "0"
    if label not in map(str, range(len(LABELS))):
        raise _refused(f"there is no label {label}", "dataLabel", "Give 0, 1 or 2")
    return int(label), tuple(selected.values())


def _model(asked: str, version: str, models: Sequence[ModelInfo]) -> tuple[str, int, float]:
    """Return our name of the model, how many channels it takes, and the µm per pixel that scales are relative to."""
    own = [model for model in models if model.name == asked]
    found = own or [model for model in models if model.name == SAME.get(asked)]
    if not found:
        has = ", ".join(sorted(model_versions(models)))
        raise _refused(f"there is no model {asked}", "modelName", f"There are: {has}")
    if not own or not version:
        of_original = _TISSUE_MICRONS_PER_PIXEL if asked in {_TISSUE, "Mesmer"} else MICRONS_PER_PIXEL
        microns = found[0].microns_per_pixel if own else None
        return found[0].name, len(found[0].roles), microns or of_original
    fitting = [model for model in own if version in {model.version, _whole(model.version)}]
    if not fitting:
        has = ", ".join(model_versions(own)[asked])
        what = f"the model {asked} has no version {version}"
        raise _refused(what, "modelVersion", f"It has: {has}")
    newest = fitting[0]
    return f"{newest.name}:{newest.version}", len(newest.roles), newest.microns_per_pixel or MICRONS_PER_PIXEL


def _whole(version: str) -> str:
    """Return the first number of a version: their clients know whole numbers only."""
    return version.partition(".")[0]


def _microns_per_pixel(scale: str, model_microns_per_pixel: float) -> float | None:
    """Return the pixel size of the image: the original resizes it by `scale` to that of its model. 0 is not given."""
    try:
        factor = float(scale or 0)
    except ValueError:
        factor = math.nan
    if factor == 0:
        return None
    if not 0 < factor < math.inf:
        action = f"Give the pixel size of the image divided by {model_microns_per_pixel:g} µm, or nothing"
        raise _refused(f"{scale!r} is no scale", "scale", action)
    return factor * model_microns_per_pixel


def _refused(what: str, where: str, action: str) -> ServiceError:
    return ServiceError("E957", what, status=400, where=where, action=action)
