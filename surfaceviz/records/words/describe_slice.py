"""Slices in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from surfaceviz.records.arrays import AXIS_NAMES, EVALUATED, INTERPOLATED
from surfaceviz.records.minima import minima_summary
from surfaceviz.records.words.describe_trajectory import trajectory_rows

if TYPE_CHECKING:
    from surfaceviz.records.slices import Audit, DirectionRecord, Slice


def describe(surface: Slice) -> list[tuple[str, str]]:
    """Return the contents of a slice as (label, text) rows, for `info` and for notebooks.

    >>> import numpy as np
    >>> from surfaceviz.records import Slice
    >>> line = Slice(axes=(np.array([0.0, 1.0]),), values={"train_loss": np.array([1.0, 2.0])},
    ...              origin=np.array([1, 1], np.uint8), centre={"train_loss": 1.0})
    >>> describe(line)[0]
    ('grid', '2 points: alpha 0 .. 1; 2 done')
    """
    ranges = ", ".join(
        f"{name} {axis[0]:g} .. {axis[-1]:g}" for name, axis in zip(AXIS_NAMES, surface.axes, strict=False)
    )
    done = f"{surface.done} done" if surface.complete else f"{surface.done} of {surface.origin.size} done"
    if surface.evaluated < surface.done:
        done = f"{surface.evaluated} evaluated, {surface.done - surface.evaluated} interpolated"
    shard = str(surface.provenance.get("shard", "none"))
    part = "" if shard == "none" else f" (part {shard})"
    rows = [("grid", f"{surface.shape_words} points: {ranges}; {done}{part}")]
    if surface.audit is not None:
        rows.append(("audit", describe_audit(surface.audit) + ("" if surface.levels else _NO_LEVEL)))
    if surface.unaudited:
        rows.append(("audit", "none yet: the run is not finished, and what is interpolated may be far off"))
    rows += [("centre", f"{name} {value:.6g}") for name, value in surface.centre.items()]
    rows += [("level", _describe_level(surface, name)) for name in surface.levels if name in surface.values]
    rows += [(name, _describe_values(surface, name)) for name in surface.values]
    for axis, direction in zip(AXIS_NAMES, surface.directions, strict=False):
        first = "first ray, " * bool(surface.seeds)
        rows.append((f"direction {axis}", first + _describe_direction(direction)))
    if surface.seeds:
        rows.append(("rays", f"seeds {', '.join(map(str, surface.seeds))}"))
    for mark in surface.marks:
        where = ", ".join(f"{x:.4g}" for x in mark.coordinates)
        rows.append(
            (
                "mark",
                f"{mark.name} at ({where}): " + ", ".join(f"{k} {v:.6g}" for k, v in mark.values.items()),
            )
        )
    rows += [("spectrum", f"{spectrum!r}"[1:-1]) for spectrum in surface.spectra]
    if surface.hessian_map is not None:
        measured = int(np.count_nonzero(surface.hessian_map.origin))
        rows.append(("hessian map", f"{measured} of {surface.hessian_map.origin.size} points"))
        rows.append(("", surface.hessian_map.beyond_words))
    if surface.trajectory is not None:
        rows += trajectory_rows(surface.trajectory)
    if surface.minima is not None:
        rows.append(("minima", minima_summary(surface.minima).removeprefix("minima of ")))
    told = {"level", "made_from_mark", *(f"{name}_level" for name in surface.levels)}
    rows += [(key.replace("_", " "), str(value)) for key, value in surface.provenance.items() if key not in told]
    return rows


def _describe_level(surface: Slice, name: str) -> str:
    """Return the level of a loss and what lies above it, in words."""
    level, known = surface.levels[name], surface.values[name][surface.origin > 0]
    above = np.count_nonzero(~(known <= level))
    hidden = int(np.count_nonzero(surface.unresolved(name)))
    share = f"{above / known.size:.0%} of the points lie above" if known.size else "no point is there yet"
    rest = f"; {hidden} of them are interpolated, and not resolved" if hidden else ""
    return f"{name} {level:.4g}: {share}{rest}"


def _describe_values(surface: Slice, name: str) -> str:
    """Return the range of a metric, without what is not resolved, and how many points have no value."""
    array = surface.resolved(name)
    finite = array[np.isfinite(array)]
    bounds = f"{finite.min():.6g} .. {finite.max():.6g}" if finite.size else "no finite value"
    bare = ~np.isfinite(surface.values[name])
    diverged = int(np.count_nonzero((surface.origin == EVALUATED) & bare))
    empty = int(np.count_nonzero((surface.origin == INTERPOLATED) & bare))
    return (
        bounds
        + (f", {diverged} diverged" if diverged else "")
        + (f", {empty} left empty: no value at some points, so that it can't be interpolated" if empty else "")
    )


def describe_audit(audit: Audit) -> str:
    """Return the result of an audit, in words."""
    if not audit.count and not audit.above_count:
        return "every point was evaluated"
    below = (
        f"{audit.over} of {audit.count} fresh points over {audit.tolerance:g}: with 95% confidence at most "
        f"{audit.share_upper95:.1%} of the interpolated ones are; worst of the {audit.count}: {audit.worst:.2g}"
    )
    parts = [below] * (audit.count > 0)
    if audit.above_count:
        parts.append(
            f"above the level {audit.above_over} of {audit.above_count} fresh points lie below it: with 95% confidence "
            f"at most {audit.above_share_upper95:.1%} of the interpolated ones do"
        )
    return "; ".join(parts)


_NO_LEVEL = "; written by an earlier version, which did not judge values above the loss of a guess, nor accuracies"


def _describe_direction(direction: DirectionRecord) -> str:
    parts = [direction.kind]
    if direction.source is not None:
        parts.append(f"to {direction.source}" if direction.kind == "difference" else direction.source)
    if direction.seed is not None:
        parts.append(f"seed {direction.seed}, normalise {direction.normalise}, ignore {direction.ignore}")
    return ", ".join(parts) + (f", sha256 {direction.sha256[:12]}" if direction.sha256 else "")
