"""Our side of the pair: everything that `cellfleet segment` does for one image, in one thread of one warm process.

Answers ``{"image", "out", "diameter"}`` with seconds. The steps inside a stage are timed by wrapping the functions that
`cellfleet.run.process` calls, so that what we do beyond the peer (hash, thumbnail, record) can be told apart.
Run by `benchmarks.end_to_end.run`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cellfleet import __version__
from cellfleet.images.source import Source
from cellfleet.models import load_model
from cellfleet.results import formats
from cellfleet.run import process
from cellfleet.run.plan import Task
from cellfleet.run.pools import Pools
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import FolderPlace

STEPS = ("identify", "open_image", "outline_picture", "write_image_record")
BEYOND_THE_PEER = ("identify", "outline_picture", "write_image_record")


class Watch:
    """Processor and wall seconds per step."""

    def __init__(self) -> None:
        self.cpu: Counter[str] = Counter()
        self.wall: Counter[str] = Counter()

    def timed(self, step: str | None, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, timed as `step`; None: its first argument names the step."""

        def call(*args: Any, **kwargs: Any) -> Any:
            name = args[0] if step is None else step
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.wall[name] += time.perf_counter() - wall
                self.cpu[name] += time.process_time() - cpu

        return call


class TimedPredictor:
    """A predictor that counts the seconds inside it, wherever it is called from (the estimate of the scale, too)."""

    def __init__(self, predictor: Any, watch: Watch) -> None:
        self._predictor = predictor
        self._watch = watch

    def predict(self, pixels: NDArray[Any], contrast: NDArray[Any]) -> NDArray[np.uint8]:
        """Predict."""
        heads: NDArray[np.uint8] = self._watch.timed("network", self._predictor.predict)(pixels, contrast)
        return heads

    def for_image(self, windows: Sequence[NDArray[Any]], contrast: NDArray[Any]) -> TimedPredictor:
        """Return itself."""
        return self


def main() -> None:
    """Answer requests until the input ends."""
    watch = Watch()
    model = load_model(sys.argv[1], device="cpu")
    model = dataclasses.replace(model, predictor=TimedPredictor(model.predictor, watch))
    for step in STEPS:
        setattr(process, step, watch.timed(step, getattr(process, step)))
    formats.write = watch.timed(None, formats.write)
    pools = Pools(1, model)
    about = {"cellfleet": __version__, "onnxruntime": onnxruntime.__version__, "numpy": np.__version__}
    about |= {"model": f"{model.manifest.name} {model.manifest.version}", "sha256": model.sha256}
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        image, out = Path(request["image"]), Path(request["out"])
        spec = SegmentSpec(model=sys.argv[1], diameter_px=request["diameter"])
        work = process.Work(FolderPlace(out), spec, "benchmark", model, pools)
        outputs = {"labels-tiff": f"{image.stem}_labels.tif", "csv": f"{image.stem}_cells.csv"}
        task = Task(Source(str(image), image.name), 0, outputs)
        watch.cpu.clear()
        watch.wall.clear()
        wall, cpu = time.perf_counter(), time.process_time()
        record = process.process(task, work)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert record and record.status == "done" and record.scale, record
        beyond = sum(watch.cpu[step] for step in BEYOND_THE_PEER), sum(watch.wall[step] for step in BEYOND_THE_PEER)
        answer = {
            "cpu": cpu,
            "wall": wall,
            "cpu_like_peer": cpu - beyond[0],
            "wall_like_peer": wall - beyond[1],
            "stages": record.cpu_seconds,
            "steps": dict(watch.cpu),
            "objects": record.objects,
            "zoom": record.scale.zoom,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
