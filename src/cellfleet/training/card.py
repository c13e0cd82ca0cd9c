"""The model card: a README beside the weights that says what a model finds, where it comes from and how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cellfleet.spec.model import ModelManifest

_WIDTH, _HEIGHT, _MARGIN = 560, 220, 44


def write_card(manifest: ModelManifest, out: Path, log: Sequence[dict[str, Any]]) -> None:
    """Write ``README.md`` and ``curve.svg`` into a model package.

    Args:
        manifest: With scores and training block.
        out: Package folder.
        log: One entry per epoch: step, loss, f1, ap, mean_ap (of cells where there are also nuclei).
    """
    (out / "curve.svg").write_text(curve(log), encoding="utf-8")
    training = manifest.training
    scores = "\n".join(
        f"| {name} | {s['f1']:.3f} | {s['ap']:.3f} | {s['mean_ap']:.3f} |" for name, s in manifest.scores.items()
    )
    low, high = manifest.diameter_range_px or (0.0, 0.0)
    text = f"""# {manifest.name} {manifest.version}

{_finds(manifest)}; one channel for each of: {", ".join(manifest.roles)}.{_frames(manifest)}
Works best at a median object diameter of {manifest.diameter_px:g} px. Images between {low:g} and {high:g} px stay at
their own scale; others are resampled, by a diameter that the user gives or that a first pass estimates.

## Validation

| data | F1 at IoU 0.5 | AP at IoU 0.5 | mean AP 0.5…0.9 |
|---|---|---|---|
{scores}

AP is TP / (TP + FP + FN); counts are pooled over all images. The post-processing parameters were chosen on the
validation images, so these scores are slightly optimistic.

## Training
- Images: {training.get("train_images")} with {_objects(training)}.
- Held out for validation: {training.get("validation_images")} images.
- Network: {training.get("spec", {}).get("network")}, {training.get("parameters")} parameters.
- Run: {training.get("steps")} steps, {training.get("minutes")} minutes on {training.get("device")}{_began(training)}.
- Every setting stands in `rdf.yaml` under `config.cellfleet.training.spec`; `cellfleet train --help` has the options.

![Validation scores over the training run](curve.svg)
"""
    (out / "README.md").write_text(text, encoding="utf-8")


def _finds(manifest: ModelManifest) -> str:
    return f"Finds {manifest.compartment} objects" if manifest.nuclei is None else "Finds whole cells and their nuclei"


def _frames(manifest: ModelManifest) -> str:
    if manifest.frames == 1:
        return ""
    return f"\nFor volumes and movies: {manifest.frames} consecutive planes are looked at, the middle one is labelled."


def _began(training: dict[str, Any]) -> str:
    return f", beginning with the weights of {training['started_from']}" if "started_from" in training else ""


def _objects(training: dict[str, Any]) -> str:
    nuclei = training.get("train_nuclei")
    objects = training.get("train_objects")
    return f"{objects} objects" if nuclei is None else f"{objects} cells and {nuclei} nuclei"


def curve(log: Sequence[dict[str, Any]]) -> str:
    """Draw F1, AP and mean AP over the steps as an SVG."""
    last = max((entry["step"] for entry in log), default=1)
    lines = []
    for name, colour in (("f1", "#0072b2"), ("ap", "#d55e00"), ("mean_ap", "#009e73")):
        points = [(_x(entry["step"] / last), _y(entry[name])) for entry in log]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<text x="{x + 4:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>' for x, y in points[-1:]]
    for value in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        lines.append(f'<path d="M{_x(0)} {_y(value)}H{_x(1)}" stroke="#ccc"/>')
        lines.append(f'<text x="8" y="{_y(value) + 4}" fill="#555">{value}</text>')
    lines.append(f'<text x="{_x(0.5)}" y="{_HEIGHT - 8}" fill="#555" text-anchor="middle">steps (0 to {last})</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + 20} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="#fff"/>{"".join(lines)}</svg>\n'
    )


def _x(share: float) -> float:
    return _MARGIN + share * (_WIDTH - 2 * _MARGIN)


def _y(score: float) -> float:
    """Scores from 0.5 to 1 fill the height; lower ones lie on the floor."""
    return 12 + (1 - (max(score, 0.5) - 0.5) / 0.5) * (_HEIGHT - 50)
