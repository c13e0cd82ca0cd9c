"""A region of an image, segmented at once in this process, as a job would segment it. Knows no HTTP.

Contrast and scale are those of the whole image, and as much around the region is seen as its objects need: so its
labels are those of the whole image, with other numbers.
"""

from __future__ import annotations

import io
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from cellfleet.errors import ServiceError
from cellfleet.images.image import Image
from cellfleet.results.picture import jpeg, outlined
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, SegmentedRegion, segment_region
from cellfleet.run.workflow import predicted_image
from cellfleet.service.access import User
from cellfleet.service.looking import find_image, opened
from cellfleet.service.state import Service
from cellfleet.service.thumbnail import data_address
from cellfleet.spec.http import Preview, PreviewRequest, Region
from cellfleet.spec.record import Told
from cellfleet.tiling.box import Box

LARGEST_SIDE_PX: Final = 1024
_USUAL_SIDE_PX: Final = 512
_MEMORY_BYTES: Final = 3 << 30
"""For one preview; a region with an object so large that it needs more is refused (E512)."""
_MOST_LABELS: Final = 65535
"""That 16 bits hold; a region has fewer objects."""


def preview(service: Service, user: User, request: PreviewRequest) -> Preview:
    """Segment a region.

    Raises:
        CellfleetError: As a job would say it; E934, there is no such image; E935, no such region.
    """
    began = time.monotonic()
    model = service.warm.get(service.models.resolve(request.segment.model))
    _, _, source = find_image(service, user, request.input, request.image)
    with (
        opened(service, request.input, source, request.segment.axes) as image,
        Pools(1, model, _MEMORY_BYTES) as pools,
    ):
        plane, box = _plane(image, request), _box(image, request.region)
        seen, spec = predicted_image(image, request.segment, model, pools)
        if seen.length("Z") < image.length("Z"):  # the stack was used up
            plane //= image.length("Z")
        found = segment_region(seen, spec, model, How(pools), plane, box)
    return Preview(
        image=source.name,
        region=Region(y=box.y0, x=box.x0, height=box.shape[0], width=box.shape[1]),
        objects=int(found.labels.max()),
        median_diameter_px=float(2 * np.sqrt(np.median(found.areas) / np.pi)) if found.areas.size else None,
        contrast=tuple((float(low), float(high)) for low, high in found.survey.contrast),
        notices=tuple(Told(code=notice.code, what=notice.text) for notice in dict.fromkeys(found.notices)),
        picture=data_address(_picture(found), "jpeg"),
        labels=data_address(_labels(found.labels), "png"),
        seconds=time.monotonic() - began,
    )


def _plane(image: Image, request: PreviewRequest) -> int:
    """Return the number of the plane, counted over T, then Z."""
    depth = image.length("Z")
    z = depth // 2 if request.z is None else request.z
    if request.t >= image.length("T") or z >= depth:
        what = (
            f"there is no plane t={request.t}, z={z}: the image has {image.length('T')} time points and {depth} planes"
        )
        raise _no_region(what)
    return request.t * depth + z


def _box(image: Image, region: Region | None) -> Box:
    height, width = image.length("Y"), image.length("X")
    if region is None:
        rows, columns = min(height, _USUAL_SIDE_PX), min(width, _USUAL_SIDE_PX)
        top, left = (height - rows) // 2, (width - columns) // 2
        return Box(top, left, top + rows, left + columns)
    if max(region.height, region.width) > LARGEST_SIDE_PX:
        raise _no_region(f"a preview has at most {LARGEST_SIDE_PX} × {LARGEST_SIDE_PX} px")
    box = Box(region.y, region.x, region.y + region.height, region.x + region.width)
    if box.y1 > height or box.x1 > width:
        raise _no_region(f"the region leaves the image, which has {height} × {width} px")
    return box


def _picture(found: SegmentedRegion) -> bytes:
    nothing = np.zeros(found.labels.shape, np.uint32)
    return jpeg(outlined(found.pixels, found.survey.contrast, nothing, longest=max(found.labels.shape)))


def _labels(labels: NDArray[np.uint32]) -> bytes:
    assert labels.max() <= _MOST_LABELS, "a region has at most a million pixels, an object more than sixteen"
    file = io.BytesIO()
    Picture.fromarray(labels.astype(np.uint16)).save(file, "png")
    return file.getvalue()


def _no_region(what: str) -> ServiceError:
    return ServiceError("E935", what, status=422, action="Choose a region inside the image")
