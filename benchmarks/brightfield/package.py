"""The packages of `brightfield-dapi` and of the workflows on it: what they say of themselves, and their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cellfleet.models import read_declared
from cellfleet.spec.model import TranslatorManifest
from cellfleet.training.translation_export import write_translator_rdf
from cellfleet.training.translation_spec import TranslationSpec

SPEC = TranslationSpec(name="brightfield-dapi", output="predicted DAPI", diameter_px=29)
"""The diameter is the median of what `nuclei` finds in the stain of the training rows."""
FINDERS = {"brightfield-nuclei": "nuclei", "brightfield-nuclei-detector": "detector"}
"""Workflow → the model that finds nuclei in the predicted stain."""
COVER = "cover.jpg"
_AUTHORS = [{"name": "The cellfleet developers"}]
_CITE = [
    {
        "text": "Christiansen et al., In silico labeling, Cell 173 (2018): training data (CC BY 4.0; Finkbeiner Lab, "
        "Gladstone Institutes; Google Accelerated Science)",
        "doi": "10.1016/j.cell.2018.03.040",
    },
    {
        "text": "Bannon et al., DeepCell Kiosk, Nature Methods 18 (2021): the network",
        "doi": "10.1038/s41592-020-01023-0",
    },
]
_TRANSLATOR = {
    "description": "Predicts DAPI from a stack of transmitted-light planes: a step of workflows. Trained on one field "
    "of human motor neurons, enough to show the method, not to claim a general model.",
    "license": "Apache-2.0",
    "authors": _AUTHORS,
    "cite": _CITE,
    "tags": ["image-translation", "virtual-staining", "phase-contrast", "2d", "nuclei"],
}
_WORKFLOW = {
    "license": "Apache-2.0",
    "authors": _AUTHORS,
    "cite": _CITE,
    "tags": ["segmentation", "workflow", "phase-contrast", "2d", "nuclei"],
}


def write_workflow(folder: Path, scores: dict[str, Any] | None = None) -> None:
    """Write the workflow that the folder is called after; its steps have the versions that are bundled now."""
    folder.mkdir(parents=True, exist_ok=True)
    finder, version = FINDERS[folder.name], _version(folder.name)
    steps = [f"{SPEC.name}:1.0.0", f"{finder}:{version}"]
    manifest = {"task": "workflow", "name": folder.name, "version": version, "steps": steps}
    described = {
        "format_version": "0.5.4",
        "type": "model",
        "name": manifest["name"],
        "version": manifest["version"],
        "description": "Finds nuclei in a stack of transmitted-light planes: brightfield-dapi predicts the nuclear "
        f"stain, {finder} finds the nuclei in it. Trained on one field of human motor neurons; try it on your own "
        "cells first.",
        **_WORKFLOW,
        "documentation": "README.md",
        "config": {"cellfleet": {**manifest, "scores": scores or {}}},
    }
    if (folder / COVER).is_file():
        described["covers"] = [COVER]
    text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=110)
    (folder / "rdf.yaml").write_text(text, encoding="utf-8")


def write_cards(translator: Path, manifest: TranslatorManifest, scores: dict[str, Any]) -> None:
    """Write ``rdf.yaml`` and ``README.md`` of the translation model and of the workflows beside it, with scores."""
    pearson = round(scores["validation"]["pearson_log"], 5)
    told = {"pearson_log": pearson, "pearson_log_linear": round(scores["pearson_linear"], 4)}
    described = {**_TRANSLATOR, "covers": [COVER]} if (translator / COVER).is_file() else _TRANSLATOR
    write_translator_rdf(manifest.model_copy(update={"scores": {"validation": told}}), translator, described)
    (translator / "README.md").write_text(_translator_card(manifest, scores), encoding="utf-8")
    for name, found in scores["validation"]["found"].items():
        workflow = translator.parent / name
        write_workflow(workflow, {"validation, silver truth": {key: round(value, 5) for key, value in found.items()}})
        (workflow / "README.md").write_text(_workflow_card(name, found, pearson), encoding="utf-8")


_DATA = """## Data
One field of 1024 × 1024 px of human motor neurons and astrocytes: 13 phase-contrast planes and the maximum projection
of confocal DAPI, registered. Rows 512–1023 were learned, rows 272–495 are validated, with a gap between. From
`google/in-silico-labeling` (condition B), CC BY 4.0: Christiansen et al., Cell 173 (2018); Finkbeiner Lab, Gladstone
Institutes; Google Accelerated Science. The pixel size is not told.

**What this is not.** One field of one plate shows that the method works. Other cells, microscopes and focus steps need
training data of their own (docs/how-to/workflows.md).
"""


def _translator_card(manifest: TranslatorManifest, scores: dict[str, Any]) -> str:
    training, fewer = manifest.training, scores["fewer_planes"]
    rows = "\n".join(f"| {count} | {value:.3f} |" for count, value in fewer.items())
    network = training["spec"]["network"]
    return f"""# {manifest.name} {manifest.version}

Predicts a nuclear stain from a stack of {manifest.planes} transmitted-light planes; other stacks of at least
{manifest.fewest_planes} planes are spread over these. A step of workflows: see `brightfield-nuclei`.

## Validation

| planes taken | Pearson of predicted and true log intensity, validation rows |
|---|---|
| {manifest.planes} | {scores["validation"]["pearson_log"]:.3f} |
{rows}

A linear model of the same planes reaches {scores["pearson_linear"]:.3f}; on its own training rows the network reaches
{scores["training"]["pearson_log"]:.3f}. `python -m benchmarks.brightfield.run` computes all of it.

## Network
The 3D feature-net of Bannon et al. (Nature Methods 18, 2021) for augmented microscopy: planes as depth, 2 × 2 dilated
convolutions in the place of dilated pools, receptive field {network["receptive_field"]}. Theirs has 64 features a
plane and 200 behind the planes, at full resolution; this one has {network["width"]} and {network["dense"]}, at half
resolution, and {training["parameters"]:,} parameters. The logarithm of the intensity is learned, by squares.

## Training
{training["steps"]} steps of {training["spec"]["batch"]} crops of {training["spec"]["crop_px"]} px,
{training["cpu_minutes"]} minutes of one processor. Crops are turned, flipped and zoomed; planes get gains, offsets and
noise, are shifted, left out and turned upside down. Every setting stands in `rdf.yaml`.

{_DATA}"""


def _version(workflow: str) -> str:
    """Return that of the last step, which is what changes."""
    version: str = read_declared(FINDERS[workflow]).version
    return version


def _workflow_card(name: str, one: dict[str, Any], pearson: float) -> str:
    found = f"{one['true_positives']} of {one['silver_objects']} objects, with {one['objects']} reported"
    return f"""# {name} {_version(name)}

Finds nuclei in a stack of transmitted-light planes. A workflow of two models: `brightfield-dapi` predicts the nuclear
stain, `{FINDERS[name]}` finds the nuclei in it.

## Validation
| data | F1 at IoU 0.5 | AP at IoU 0.5 | mean AP 0.5…0.9 |
|---|---|---|---|
| validation rows, *silver* labels | {one["f1"]:.3f} | {one["ap"]:.3f} | {one["mean_ap"]:.3f} |

Silver: nobody drew these labels, they are what `nuclei` finds in the true stain of these rows: {found}.
So few say little. Pearson's correlation of predicted and true log intensity is {pearson:.3f}.

{_DATA}"""
