"""How what a model predicts becomes labels: by the deep watershed of its heads, or from the objects that it detects.

Names and meanings of the watershed's parameters are those of DeepCell's ``deep_watershed`` (deepcell_toolbox 0.12.1),
so that published settings can be used unchanged.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PositiveFloat, Tag

_LARGEST_PX = 1000
"""Lengths beyond this are a mistake in a manifest, not a wish."""


class DeepWatershed(BaseModel):
    """Seeds are the prominent peaks of one head; they flood the basin of another head above a floor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["deep-watershed"] = "deep-watershed"
    maxima_head: str = "inner_distance"
    """Head whose prominent peaks are the seeds."""
    interior_head: str = "outer_distance"
    """Head that is flooded, and cut at `interior_threshold`."""
    radius: int = Field(default=2, ge=0, le=_LARGEST_PX)
    """Reach of the peak search, px at model scale (docs/reference/watershed.md)."""
    maxima_threshold: float = Field(default=0.1, ge=0)
    """Least prominence (peak − saddle, the h of h-maxima) of a seed, in units of the head (0…1)."""
    maxima_smooth: float = Field(default=0, ge=0, le=_LARGEST_PX)
    """Gaussian sigma on the maxima head, px at model scale."""
    interior_threshold: float = Field(default=0.2, ge=0)
    """Pixels above this value of the smoothed interior head belong to objects (0…1)."""
    interior_smooth: float = Field(default=1, ge=0, le=_LARGEST_PX)
    """Gaussian sigma on the interior head, px at model scale."""
    small_objects_threshold: float = Field(default=0, ge=0)
    """Objects of fewer pixels than this are dropped, px² at model scale."""
    fill_holes_threshold: float = Field(default=0, ge=0)
    """Holes of at most this many pixels inside one object are filled, px² at model scale."""
    pixel_expansion: int = Field(default=0, ge=0, le=_LARGEST_PX)
    """Grey dilation of the interior head by a square of 2·n+1 px before the flood."""

    def scaled(self, zoom: float) -> DeepWatershed:
        """Return the same settings for fields that were enlarged by `zoom` (lengths × zoom, areas × zoom²)."""
        return self.model_copy(
            update={
                "radius": round(self.radius * zoom),
                "maxima_smooth": self.maxima_smooth * zoom,
                "interior_smooth": self.interior_smooth * zoom,
                "small_objects_threshold": self.small_objects_threshold * zoom * zoom,
                "fill_holes_threshold": self.fill_holes_threshold * zoom * zoom,
                "pixel_expansion": round(self.pixel_expansion * zoom),
            }
        )


class Detection(BaseModel):
    """Objects are found whole, each with a box, a score and a mask; the better one wins where they overlap."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["detection"]
    score_threshold: float = Field(default=0.5, ge=0, le=1)
    """Detections of a lower score are left out."""
    overlap_threshold: float = Field(default=0.5, ge=0, le=1)
    """A detection is left out where a better one overlaps its box by a larger IoU than this."""
    mask_threshold: float = Field(default=0.5, ge=0, lt=1)
    """Pixels above this value of an object's mask belong to it (0…1)."""
    mask_margin: float = Field(default=0, ge=0, le=1)
    """A mask covers its box and, on each side, this share of the box's height or width."""
    visible_share: float = Field(default=0.5, ge=0, le=1)
    """An object is left out where less of its mask than this is one piece that no better object covers."""
    small_objects_threshold: float = Field(default=0, ge=0)
    """Objects of fewer pixels than this are left out, px² at model scale."""
    largest_px: PositiveFloat = Field(default=128, le=_LARGEST_PX)
    """Detections whose mask covers more than this in height or width are left out, px at model scale."""


def _method(given: object) -> str:
    found = given.get("method", "deep-watershed") if isinstance(given, dict) else getattr(given, "method", None)
    return str(found)


Postprocess = Annotated[
    Annotated[DeepWatershed, Tag("deep-watershed")] | Annotated[Detection, Tag("detection")], Discriminator(_method)
]
"""Told apart by `method`; where it is not stated, the deep watershed."""
