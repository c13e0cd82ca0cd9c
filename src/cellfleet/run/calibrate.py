"""A short run of a model over sample images of the package, where nobody has measured yet how fast it is here."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from cellfleet.errors import UsageError
from cellfleet.inference.threads import usable_threads
from cellfleet.models import load_model
from cellfleet.run.run import run
from cellfleet.samples import read_sample
from cellfleet.spec.choices import Device
from cellfleet.spec.model import TranslatorManifest
from cellfleet.spec.segment import ChannelChoice, RunOptions, SegmentSpec

SAMPLE = "large_nuclei.tif"
IMAGES_PER_THREAD = 4


def calibrate(model: str, *, device: Device = "auto", threads: int | None = None) -> None:
    """Run a model over some copies of a sample; `speed_log` keeps what it took.

    Raises:
        ModelError, DeviceError: The model cannot be used here.
        UsageError: E752, the sample is no image for it.
    """
    used = threads or usable_threads()
    loaded = load_model(model, device=device)
    # A workflow is given the sample as every plane of a stack; the channel of its planes is the only one.
    planes = loaded.before[0].manifest if loaded.before else None
    content = _stack_of(planes) if planes else read_sample(SAMPLE)
    roles = () if planes else loaded.manifest.roles
    with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for number in range(used * IMAGES_PER_THREAD):
            (images / f"{number}.tif").write_bytes(content)
        channels = tuple(ChannelChoice(role=role, channels=(1,)) for role in roles)
        record = run(
            [images],
            Path(folder) / "out",
            SegmentSpec(model=model, channels=channels),
            RunOptions(device=device, threads=threads),
        )
    failed = next((image.error for image in record.images if image.error is not None), None)
    if failed is not None:
        raise UsageError(
            "E752",
            f"the sample image says nothing of the speed of {model}: {failed.what}",
            action="Segment a few of your own images first; the plan then knows how fast that was",
        )


def _stack_of(wanted: TranslatorManifest) -> bytes:
    """Return a file with the sample as each of the planes that a model is given."""
    plane = tifffile.imread(io.BytesIO(read_sample(SAMPLE)))
    file = io.BytesIO()
    stack = np.broadcast_to(plane, (wanted.planes, *plane.shape))
    tifffile.imwrite(file, stack, imagej=True, metadata={"axes": f"{wanted.axis}YX"})
    return file.getvalue()
