"""`run.json`, `failures.csv` and `report.html` from the records of a run, and the run as a command and as Python."""

from __future__ import annotations

import contextlib
import platform
import shlex
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import cellfleet
from cellfleet.models import AnyModel, LoadedClassifier, bundled_names
from cellfleet.pipeline.clock import Clock
from cellfleet.results.classes import with_class_tables
from cellfleet.results.failures import write_failures
from cellfleet.results.record import write_run_record
from cellfleet.results.report import write_report
from cellfleet.results.tables import portable_text
from cellfleet.spec.choices import TOP
from cellfleet.spec.job import PinnedModel
from cellfleet.spec.record import ImageRecord, ModelUsed, RunRecord
from cellfleet.spec.segment import ChannelChoice, RunOptions, SegmentSpec
from cellfleet.stores.place import Place
from cellfleet.stores.url import is_url, without_secrets

Status = Literal["running", "done", "done-with-failures", "stopped"]
_LIBRARIES = ("numpy", "onnxruntime", "onnxruntime-gpu", "tifffile", "imagecodecs", "pyarrow", "pillow")
"""As installed. On a machine with a GPU, ONNX Runtime has the other name (docs/how-to/gpu.md)."""


def begin(
    inputs: Sequence[str],
    out: Place,
    spec: SegmentSpec,
    options: RunOptions,
    model: AnyModel,
    threads: int,
    memory_bytes: int | None,
) -> RunRecord:
    """Return the record of a run that has begun."""
    shown, target = [absolute(given) for given in inputs], absolute(out.url)
    return RunRecord(
        cellfleet=cellfleet.__version__,
        command=portable_text(as_command(shown, target, spec, options)),
        python=portable_text(as_python(shown, target, spec, options)),
        started=_now(),
        status="running",
        spec=spec,
        key=spec.digest(model.sha256),
        model=model_used(
            PinnedModel(name=model.manifest.name, version=model.manifest.version, sha256=model.sha256),
            () if isinstance(model, LoadedClassifier) else model.steps,
        ),
        manifest=model.manifest.model_dump(mode="json"),
        formats=options.formats,
        device=model.device,
        threads=threads,
        memory_bytes=memory_bytes,
        inputs=tuple(map(portable_text, shown)),
        shard=str(options.shard) if options.shard else None,
        versions=versions(),
    )


def model_used(model: PinnedModel, steps: Sequence[PinnedModel]) -> ModelUsed:
    """Return what is recorded of a model, and of the steps of a workflow."""
    used = tuple(ModelUsed(**step.model_dump()) for step in steps)
    return ModelUsed(**model.model_dump(), steps=used)


def finish(
    run: RunRecord,
    images: Sequence[ImageRecord],
    worked: Sequence[ImageRecord | Clock],
    wall_seconds: float,
    *,
    stopped: bool,
) -> RunRecord:
    """Return the record of the run at its end.

    Args:
        run: As begun.
        images: All images that are finished, of this and of earlier runs.
        worked: Those of this run, and its shares of others: its times are theirs.
        wall_seconds: Of this run.
        stopped: Whether it ended before the last image.
    """
    seconds = _summed(record.seconds for record in worked)
    busy = _summed(record.cpu_seconds for record in worked)
    waited = _summed(record.waiting_seconds for record in worked)
    for stage, wall in seconds.items():
        # In a stage but not computing: waiting for the disk, the network or a free processor.
        waited[stage] = waited.get(stage, 0) + max(0, wall - busy.get(stage, 0))
    failed = any(record.status == "failed" for record in images)
    status: Status = "stopped" if stopped else "done-with-failures" if failed else "done"
    available = max(wall_seconds * run.threads, 1e-9)
    return run.model_copy(
        update={
            "finished": _now(),
            "status": status,
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
            "waiting_seconds": {stage: round(value, 4) for stage, value in waited.items()},
            "busy_share": {stage: round(value / available, 4) for stage, value in busy.items()},
            "wall_seconds": round(wall_seconds, 3),
            "images": tuple(images),
        }
    )


def _summed(times: Iterable[dict[str, float]]) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for stages in times:
        for stage, value in stages.items():
            total[stage] += value
    return dict(total)


def write_summary(out: Place, run: RunRecord) -> None:
    """Write `run.json`, `failures.csv`, `report.html`, and the tables of classes. Raises `OutputError`."""
    if run.spec.top:
        deque(with_class_tables(out, run.images), maxlen=0)
    write_overview(out, run)


def write_overview(out: Place, run: RunRecord) -> None:
    """Write `run.json`, `failures.csv` and `report.html`; the tables of classes are there. Raises `OutputError`."""
    write_run_record(out, run)
    write_failures(out, run.images)
    write_report(out, run)


def as_command(inputs: Sequence[str], out: str, spec: SegmentSpec, options: RunOptions) -> str:
    """Return the run as a shell command without what is default; inputs and output as they are given here."""
    command = "classify" if spec.top else "segment"
    return shlex.join(["cellfleet", command, *inputs, "-o", out, *_asked(spec), *_how_to_run(options)])


def _asked(spec: SegmentSpec) -> list[str]:
    words: list[str] = []
    if spec.top and spec.top != TOP:
        words += ["--top", str(spec.top)]
    if spec.model != SegmentSpec().model:
        words += ["--model", _anywhere(spec.model)]
    for choice in spec.channels:
        words += ["--channel", _channel_text(choice)]
    if spec.microns_per_pixel:
        words += ["--pixel-size", _exact(spec.microns_per_pixel)]
    if spec.diameter_px:
        words += ["--diameter", _exact(spec.diameter_px)]
    if spec.axes:
        words += ["--axes", spec.axes]
    if spec.compartment:
        words += ["--compartment", spec.compartment]
    return words


def _how_to_run(options: RunOptions) -> list[str]:
    usual, words = RunOptions(), list[str]()
    if options.device != usual.device:
        words += ["--device", options.device]
    if options.threads:
        words += ["--threads", str(options.threads)]
    if options.memory_bytes:
        words += ["--memory", str(options.memory_bytes)]
    if options.shard:
        words += ["--shard", str(options.shard)]
    if options.formats and options.formats != usual.formats:
        words += [word for form in options.formats for word in ("--format", form)]
    return words


def as_python(inputs: Sequence[str], out: str, spec: SegmentSpec, options: RunOptions) -> str:
    """Return the run as Python. Numbers of channels count from 0 there."""
    arguments: list[str] = [repr(list(inputs))]
    if spec.model != SegmentSpec().model:
        arguments.append(f"model={_anywhere(spec.model)!r}")
    if spec.channels:
        arguments.append(f"channels={_python_channels(spec.channels)}")
    if spec.microns_per_pixel:
        arguments.append(f"pixel_size={_exact(spec.microns_per_pixel)}")
    if spec.diameter_px:
        arguments.append(f"diameter={_exact(spec.diameter_px)}")
    if spec.axes:
        arguments.append(f"axes={spec.axes!r}")
    if spec.compartment:
        arguments.append(f"compartment={spec.compartment!r}")
    if options.device != RunOptions().device:
        arguments.append(f"device={options.device!r}")
    if spec.top:
        arguments += [] if spec.top == TOP else [f"top={spec.top}"]
        return (
            "import cellfleet\n\n"
            f"for image in cellfleet.classify({', '.join(arguments)}):\n"
            "    print(image.name, image.planes[0].top[0].name)\n"
        )
    formats = list(options.formats)
    return (
        "import cellfleet\n\n"
        f"for cells in cellfleet.segment({', '.join(arguments)}):\n"
        f"    cells.save({out!r}, formats={formats!r})\n"
    )


def absolute(given: str) -> str:
    """Return a path as seen from anywhere; addresses are that already, and lose what may be a signature."""
    return without_secrets(given) if is_url(given) else str(Path(given).absolute())


def _exact(number: float) -> str:
    """Return the shortest text that gives the same number back."""
    return repr(number).removesuffix(".0")


def _anywhere(model: str) -> str:
    """Return a model's name (``mine:2.0`` may be one that only a service has), or its folder as seen from anywhere."""
    return absolute(model) if model not in bundled_names() and Path(model, "rdf.yaml").is_file() else model


def _channel_text(choice: ChannelChoice) -> str:
    names = "+".join(map(str, choice.channels))
    return f"{choice.role}={names}" if choice.role else names


def _python_channels(choices: tuple[ChannelChoice, ...]) -> str:
    counted = [[c - 1 if isinstance(c, int) else c for c in choice.channels] for choice in choices]
    if all(choice.role for choice in choices):
        return repr({choice.role: channels for choice, channels in zip(choices, counted, strict=True)})
    return repr(counted)


def versions() -> dict[str, str]:
    """Return the versions of Python, platform and libraries of this process."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
