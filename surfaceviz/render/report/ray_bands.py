"""The bands of rays in a report: quartiles and range around the median."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from surfaceviz.records import FloatArray, Slice, ray_spread
from surfaceviz.render.report.decimate import Decimated
from surfaceviz.render.report.json_arrays import encode_array

Json = dict[str, Any]


def with_bands(series: list[Json], rays: Slice, shown: Decimated) -> list[Json]:
    """Return the series of the median with the bands of the rays, the quartiles first.

    Args:
        series: of each metric, and of the rise of each loss, as of a curve.
        rays: the slice that they are the medians of.
        shown: the points that the page shows.
    """
    return [{**each, "bands": _bands(each, rays, shown)} for each in series]


def _bands(series: Json, rays: Slice, shown: Decimated) -> list[Json]:
    name = f"{series['split']}_{series['metric']}".removeprefix("_")
    shift = 0.0
    if series["derived"]:  # the rise of a loss
        name = f"{series['split']}_loss".removeprefix("_")
        shift = rays.centre.get(name, math.nan)
    spread = ray_spread(rays, rays.resolved(name), is_loss=bool(series["loss"]))
    return [
        _band("quartiles", spread.lower_quartile - shift, spread.upper_quartile - shift, shown),
        _band("range", spread.lowest - shift, spread.highest - shift, shown),
    ]


def _band(words: str, low: FloatArray, high: FloatArray, shown: Decimated) -> Json:
    """Return a band; it has a gap where a ray diverged, as the page's scale ends at what is finite."""
    known = np.isfinite(low) & np.isfinite(high)
    ends = (np.where(known, each, np.nan) for each in (low, high))
    return {"words": words, **dict(zip(("low", "high"), (encode_array(shown.of(end)) for end in ends), strict=True))}
