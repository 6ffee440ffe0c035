"""A slice as a height field, and the arrays and text that exports hold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import AXIS_NAMES, FloatArray, Slice
from surfaceviz.render import style
from surfaceviz.render.contours.levels import choose_levels
from surfaceviz.render.export.options import ExportOptions
from surfaceviz.render.labels import has_equal_units
from surfaceviz.render.quantity import Quantity, quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightField:
    """A slice as a shape in space, in units of alpha; arrays are (n_alpha[, n_beta]).

    Attributes:
        x: alpha.
        y: beta, in units that make the sides equally long where their lengths are not similar; 0 of a curve.
        z: the height, from 0 up; 0 where nothing is shown.
        shown: where there is a finite value.
        colours: of the picture's colour scale, red, green and blue from 0 to 1, (n_alpha[, n_beta], 3).
        width: of the longest side.
        words: what x, y and z are.
    """

    x: FloatArray
    y: FloatArray
    z: FloatArray
    shown: NDArray[np.bool_]
    colours: FloatArray
    width: float
    words: dict[str, str]


def height_field(surface: Slice, options: ExportOptions) -> HeightField:
    """Return a slice's shape: z = height width (f(v) - min f) / (max f - min f), f the logarithm or nothing.

    Raises:
        ValueError: no such metric, no finite value, or a logarithm of values that are none above 0.
    """
    drawn = quantity(surface, options.of)
    clip = _clip(drawn, options.clip)
    values = np.where(np.isfinite(drawn.values) & ~drawn.hidden(clip), drawn.values, np.nan)
    if clip is not None and not (values < clip).any():
        raise ValueError(f"clip: nothing lies below {clip:g}; the least value is {np.nanmin(values):.4g}")
    if clip is not None:
        values = np.minimum(values, clip)
    scale = choose_levels([values], "log" if options.log else "linear")
    transformed = scale.transform(values)
    shown = np.isfinite(transformed)
    low, high = float(transformed[shown].min()), float(transformed[shown].max())
    extents = [float(np.ptp(axis)) for axis in surface.axes]
    width, stretch = max(extents) or 1.0, 1.0
    if surface.ndim == 2 and min(extents) > 0 and not has_equal_units(surface):  # noqa: PLR2004
        width, stretch = extents[0], extents[0] / extents[1]
    unit = options.height * width / (high - low) if high > low else 0.0
    x, *rest = np.meshgrid(*surface.axes, indexing="ij")
    shape = "log10 of " * options.log + drawn.label + ("" if clip is None else f", {clip:g} at the most")
    words = {
        "x": "alpha",
        "y": "0" if not rest else "beta" if stretch == 1 else f"beta x {stretch:.9g}",
        "z": f"({shape} - {low:.9g}) x {unit:.9g}",
    }
    colours = mpl.colormaps[style.MAP](scale.norm()(np.where(shown, transformed, low)))[..., :3]
    return HeightField(
        x=x, y=rest[0] * stretch if rest else np.zeros_like(x), z=np.where(shown, (transformed - low) * unit, 0.0),
        shown=shown, colours=np.asarray(colours), width=width, words=words,
    )  # fmt: skip


def _clip(drawn: Quantity, given: float | None) -> float | None:
    """Return where the height ends: at the level of a loss, if what lies above is interpolated and not resolved."""
    if drawn.level is None or not drawn.unresolved.any():
        return given
    return drawn.level if given is None else min(given, drawn.level)


def dimensions_of(surface: Slice) -> tuple[str, ...]:
    """Return the name of each dimension of a slice's arrays: ``alpha``[, ``beta``], of rays ``ray``, ``alpha``."""
    return ("ray",) * bool(surface.seeds) + AXIS_NAMES[: surface.ndim]


def point_arrays(surface: Slice) -> dict[str, NDArray[Any]]:
    """Return the arrays over the grid by name, of the slice's shape: coordinates, origin, metrics, errors.

    Values that are not resolved are NaN. Rays have their numbers and seeds as well.
    """
    coordinates = np.meshgrid(*surface.grid, indexing="ij")
    seeds = np.broadcast_to(np.array(surface.seeds or 0, np.int64)[..., None], surface.shape)
    return {
        **dict(zip(dimensions_of(surface), coordinates, strict=True)),
        **({"seed": seeds} if surface.seeds else {}),
        "origin": surface.origin,
        **{name: surface.resolved(name) for name in surface.values},
        **{f"{name}_stderr": array for name, array in surface.stderr.items()},
        **{f"{name}_rise_stderr": array for name, array in surface.rise_stderr.items()},
    }


def described(surface: Slice) -> str:
    """Return the description of a slice as JSON in ASCII: provenance, values at the centre, directions, marks."""
    told = {
        "provenance": dict(surface.provenance),
        "centre": dict(surface.centre),
        "directions": [
            {"kind": d.kind, "source": d.source, "seed": d.seed, "normalise": d.normalise, "sha256": d.sha256}
            for d in surface.directions
        ],
        "marks": [{"name": mark.name, "coordinates": mark.coordinates, **mark.values} for mark in surface.marks],
    }
    return json.dumps(told, default=lambda value: value.item() if isinstance(value, np.generic) else str(value))


def harmless(text: str) -> str:
    r"""Return a text on one line, without what terminals and XML take for more than text.

    >>> harmless("a\n<script>\x1b[2J")
    'a <script> [2J'
    """
    return "".join(c if c.isprintable() else " " for c in text)
