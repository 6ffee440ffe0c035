"""The data of the page as JSON: the pure part of a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from surfaceviz.records import (
    AXIS_NAMES,
    MINIMA_HEAD,
    FloatArray,
    HessianMap,
    Mark,
    Minima,
    Slice,
    Trajectory,
    complete_rays,
    describe,
    median_ray,
    minima_rows,
    minima_summary,
)
from surfaceviz.render import style
from surfaceviz.render.contours.hessian_map import MAP_QUANTITIES, map_label
from surfaceviz.render.contours.minima import numbered
from surfaceviz.render.labels import axis_label, has_equal_units
from surfaceviz.render.report.decimate import Decimated, decimate, decimate_path
from surfaceviz.render.report.json_arrays import encode_array, json_number
from surfaceviz.render.report.ray_bands import with_bands
from surfaceviz.render.report.spectrum_data import spectra
from surfaceviz.render.report.tables import sharpness_table
from surfaceviz.render.same_distance import same_distance

_PLAIN_SYMBOLS = {r"$\alpha$": "alpha", r"$\beta$": "beta", r"$\lambda$": "lambda"}  # TeX to plain text
_SCENES = 8  # 3-D drawings on a page: browsers give a page about 16 WebGL contexts, phones fewer; ours
Json = dict[str, Any]


def payload(surfaces: Sequence[Slice], names: Sequence[str], title: str) -> Json:
    """Return the data of a page of slices.

    Args:
        surfaces: all 1-D or all 2-D.
        names: of their files.
        title: of the page.

    Raises:
        ValueError: no slice, mixed dimensions, or no finite value in any of them.
    """
    if not surfaces:
        raise ValueError("nothing to report: give at least one slice")
    if len({surface.ndim for surface in surfaces}) != 1:
        raise ValueError("1-D and 2-D slices don't go into one report; write one for each")
    for surface, name in zip(surfaces, names, strict=True):
        if surface.seeds and not len(complete_rays(surface)):
            raise ValueError(
                f"{name}: none of the {len(surface.seeds)} rays is complete; run the same command again first"
            )
        if not any(np.isfinite(array).any() for array in surface.values.values()):
            raise ValueError(f"{name}: no finite value to draw: every point is missing or diverged")
    return {
        "title": title,
        "ndim": surfaces[0].ndim,
        "files": [_file(surface, name) for surface, name in zip(same_distance(surfaces, names), names, strict=True)],
        "spectra": spectra(surfaces),
        "sharpness": sharpness_table(surfaces, names),
        "scenes": _SCENES,
        "colours": {
            "lines": style.COLOURS[:-1],  # black is invisible on a dark page
            "missing": style.MISSING,
            "diverged": style.DIVERGED,
            "unresolved": style.UNRESOLVED,
        },
    }


def _file(surface: Slice, name: str) -> Json:
    """Return the data of one slice; arrays over the grid keep its order, [i, j] at (alpha[i], beta[j]).

    Of rays, the curve is their median, and bands go with it.
    """
    rays, surface = surface, median_ray(surface) if surface.seeds else surface
    shown = decimate(surface)
    return {
        "name": name,
        "title": surface.title or name,
        "summary": _summary(rays),
        "thinned": shown.words,
        "unaudited": surface.unaudited,
        "axes": [encode_array(axis[kept], exact=True) for axis, kept in zip(surface.axes, shown.kept, strict=True)],
        "labels": [_plain(axis_label(surface, k)) for k in range(surface.ndim)],
        "equal": surface.ndim > 1 and has_equal_units(surface),
        "splits": surface.splits,
        "series": with_bands(_series(surface, shown), rays, shown) if rays.seeds else _series(surface, shown),
        "origin": encode_array(shown.of(surface.origin)),
        "marks": [_mark(mark) for mark in surface.marks],
        "map": None if surface.hessian_map is None or surface.ndim == 1 else _map(surface.hessian_map),
        "trajectory": None if surface.trajectory is None else _trajectory(surface.trajectory),
        "minima": None if surface.minima is None else _minima(surface.minima),
        "provenance": [list(row) for row in describe(rays)],
    }


def _summary(surface: Slice) -> str:
    """Return a slice in a line: its grid, and the centre's values."""
    centre = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in surface.centre.items())
    return describe(surface)[0][1] + (f". At theta: {centre}" if centre else "")


def _series(surface: Slice, shown: Decimated) -> list[Json]:
    """Return every metric with its errors, and after a split's loss its rise over the centre."""
    found = []
    for name, values in surface.values.items():
        split, metric = _parted(surface, name)
        errors = {"stderr": surface.stderr.get(name), "rise_stderr": surface.rise_stderr.get(name)}
        centre = surface.centre.get(name, math.nan)
        hidden, level = surface.unresolved(name), surface.levels.get(name, math.nan)
        veil = {
            "level": json_number(level),
            "unresolved": encode_array(shown.of(hidden).astype(np.uint8)) if hidden.any() else None,
        }
        found.append({**_one(split, metric, shown, values, centre=centre, errors=errors), **veil})
        if metric == "loss" and math.isfinite(centre):
            # subtracted here, in double precision
            rise = {"stderr": errors["rise_stderr"], "rise_stderr": None}
            one = _one(split, "rise of the loss", shown, values - centre, centre=0.0, errors=rise, derived=True)
            found.append({**one, **veil, "level": json_number(level - centre)})
    return found


def _one(
    split: str, metric: str, shown: Decimated, values: FloatArray, *, centre: float,
    errors: dict[str, FloatArray | None], derived: bool = False,
) -> Json:  # fmt: skip
    return {
        "split": split,
        "metric": metric,
        "loss": metric.endswith("loss"),
        "derived": derived,
        "centre": json_number(centre),
        "values": encode_array(shown.of(values)),
        "bands": [],
        **{key: None if array is None else encode_array(shown.of(array)) for key, array in errors.items()},
    }


def _parted(surface: Slice, name: str) -> tuple[str, str]:
    """Return the split and the metric that a name is made of; no split where it begins with none."""
    split = next((split for split in surface.splits if split and name.startswith(f"{split}_")), "")
    return split, name.removeprefix(f"{split}_")


def _mark(mark: Mark) -> Json:
    return {
        "name": mark.name,
        "at": [json_number(x) for x in mark.coordinates],
        "values": [[key.replace("_", " "), json_number(value)] for key, value in mark.values.items()],
    }


def _map(found: HessianMap) -> Json:
    return {
        "axes": [encode_array(axis, exact=True) for axis in found.axes],
        "origin": encode_array(found.origin),
        "shades": {
            key: {"label": map_label(found, key, tex=False), "values": encode_array(quantity.read(found))}
            for key, quantity in MAP_QUANTITIES.items()
        },
    }


def _trajectory(trajectory: Trajectory) -> Json:
    path = trajectory.with_gaps
    kept = decimate_path(len(path.step))
    kept = np.union1d(kept, np.flatnonzero(np.isnan(path.step))) if trajectory.run is not None else kept
    left_out = f"{len(kept)} of {len(path.step)} iterates shown" if len(kept) < len(path.step) else ""
    return {
        "at": [encode_array(column[kept]) for column in path.coordinates.T[: len(AXIS_NAMES)]],
        "step": encode_array(path.step[kept]),
        "distance": encode_array(path.distance[kept]),
        "values": [[key.replace("_", " "), encode_array(values[kept])] for key, values in path.values.items()],
        "thinned": left_out,
        "provenance": [[key.replace("_", " "), str(value)] for key, value in path.provenance.items()],
    }


def _minima(minima: Minima) -> Json:
    """Return the table of minima, its line, and the points that are drawn: minima, then the passes of the numbered."""
    rows, chosen = minima_rows(minima), numbered(minima)
    points = [
        {
            "at": [json_number(x) for x in minima.place[k]],
            "text": str(k + 1) if k in chosen else "",
            "words": f"minimum {k + 1}: loss {rows[k][2]}, counts: {rows[k][-1]}",
            "is_pass": False,
        }
        for k in range(len(minima))
    ]
    points += [
        {
            "at": [json_number(x) for x in minima.pass_place[k]],
            "text": str(k + 1),
            "words": f"pass of minimum {k + 1}: loss {rows[k][3].partition(' at ')[0]}, persistence {rows[k][4]}",
            "is_pass": True,
        }
        for k in chosen
        if np.isfinite(minima.pass_loss[k])
    ]
    return {
        "of": minima.loss_name,
        "head": list(MINIMA_HEAD),
        "rows": rows,
        "summary": minima_summary(minima),
        "points": points,
    }


def _plain(label: str) -> str:
    for symbol, word in _PLAIN_SYMBOLS.items():
        label = label.replace(symbol, word)
    return " ".join(label.split())
