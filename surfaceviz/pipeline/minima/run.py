"""The minima job: candidates on the grid, their evaluation, the verdicts, and the file."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

import surfaceviz.lock
from surfaceviz import start_folder, store
from surfaceviz.errors import StoreError
from surfaceviz.execute import retain_freed_memory
from surfaceviz.notebook import default_reporter
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import slice_plan
from surfaceviz.pipeline.minima.pairs import PointPairs
from surfaceviz.pipeline.minima.request import MinimaRequest
from surfaceviz.problem.functional import borrowed
from surfaceviz.records import EVALUATED, FloatArray, Minima, Slice
from surfaceviz.reporting import Reporter
from surfaceviz.signals import deferred_signals, interruptible, raise_if_interrupted
from surfaceviz.topology import NONE, Judged, judge, merge_tree, threshold

_LIVE = Path("slice.h5")  # stands for the file of a slice in memory
_ROUNDS = 20  # of evaluating interpolated minima and passes; ours


def run_minima(request: MinimaRequest, reporter: Reporter | None = None) -> Slice:
    """Return the slice with its minima, which are also stored in its file.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: the slice is not finished or has no per-sample losses, or its problem, weights, data or
            directions are not as they were.
        Interrupted: a signal arrived; the file stays as it was.
    """
    reporter = reporter or default_reporter()
    retain_freed_memory()
    path = request.path
    with interruptible(), start_folder.fixed(), surfaceviz.lock.held(path) if path else nullcontext():
        output = None if path is None else store.OutputFile(path)
        surface = store.read(path) if path else request.surface
        assert isinstance(surface, Slice)
        name = str(path or "the slice")
        split = _checked_split(surface, request.split, name)
        given = HessianRequest.of(
            path or _LIVE, problem=request.problem, data=request.data, device=request.device, trust=request.trust
        )
        plan = slice_plan(given, surface, reporter.say, kept=path)
        with borrowed(plan.problem.model, plan.device):
            surface = replace(surface, minima=_minima(surface, PointPairs(plan, surface, split), split, request.most))
        if path is not None and output is not None:
            with deferred_signals():
                store.write(output, surface, store.read_directions(path))
    return surface


def _checked_split(surface: Slice, split: str | None, name: str) -> str:
    """Return the split whose loss is meant.

    Raises:
        StoreError: the slice holds rays, has no such split, is not finished, or has no per-sample losses.
    """
    if surface.seeds:
        raise StoreError(
            f"{name} holds {len(surface.seeds)} rays; minima are those of one curve or surface. "
            "Take a slice without --repeat"
        )
    split = split or surface.splits[0]
    if split not in surface.splits or f"{split}_loss" not in surface.values:
        raise StoreError(f"got split {split!r}; {name} has {', '.join(surface.splits)}. Name one of these")
    if not surface.complete or surface.unaudited:
        left = f"{surface.done} of {surface.origin.size} points" if not surface.complete else "no audit yet"
        raise StoreError(
            f"{name} is not finished ({left}), so that its minima are not known; run its command again, which resumes"
        )
    if f"{split}_loss" not in surface.stderr:
        raise StoreError(
            f"{name} has no losses of single samples ({split}_loss has no standard error), without which nothing can "
            "be said about minima; give a loss that is a mean over samples, and compute the slice again"
        )
    return split


def _minima(surface: Slice, pairs: PointPairs, split: str, most: int) -> Minima:
    loss = f"{split}_loss"
    values = np.where(np.isnan(surface.values[loss]) & (surface.origin == EVALUATED), np.inf, surface.values[loss])
    values = _evaluated(values, surface, pairs, most)

    def pair(minimum: int, highest: int) -> tuple[float, float]:
        raise_if_interrupted()
        return pairs(minimum, highest)

    judged = judge(values, pair, most=most, held_out=pairs.held_out)
    return _record(
        surface, values, judged, count=len(judged.tree), samples=pairs.samples, held_out=pairs.held_out,
        loss_name=loss, dtype=pairs.dtype,
    )  # fmt: skip


def _evaluated(values: FloatArray, surface: Slice, pairs: PointPairs, most: int) -> FloatArray:
    """Return the values with the minima and passes that would be judged evaluated, where they were interpolated.

    An evaluated value may give other minima, which are evaluated in turn.
    """
    values, known = values.copy(), (surface.origin == EVALUATED).ravel()
    for _ in range(_ROUNDS):
        tree = merge_tree(values)
        points = np.unique(np.concatenate([tree.minimum[:most], tree.highest[:most]]))
        missing = points[(points != NONE) & ~known[points]]
        if not len(missing):
            break
        found = pairs.own_values([int(point) for point in missing])
        values.flat[missing] = np.where(np.isnan(found), np.inf, found)
        known[missing] = True
    return values


def _record(
    surface: Slice, values: FloatArray, judged: Judged, *, count: int, samples: int, held_out: bool, loss_name: str,
    dtype: str,
) -> Minima:  # fmt: skip
    k = len(judged.verdict)
    low, high = judged.tree.minimum[:k], judged.tree.highest[:k]
    met = high != NONE
    found = Minima(
        place=_places(surface, low), loss=values.flat[low],
        pass_place=np.where(met[:, None], _places(surface, np.maximum(high, 0)), np.nan),
        pass_loss=np.where(met, values.flat[np.maximum(high, 0)], np.nan),
        parent=judged.tree.parent[:k], basin=np.zeros(k),
        persistence=judged.difference, persistence_stderr=judged.stderr, verdict=judged.verdict,
        count=count, threshold=threshold(count), samples=samples, held_out=held_out, loss_name=loss_name,
        dtype=dtype,
    )  # fmt: skip
    return replace(found, basin=_basin_shares(surface, judged, found))


def _places(surface: Slice, points: np.ndarray) -> FloatArray:
    index = np.unravel_index(points, surface.shape)
    return np.stack([axis[i] for axis, i in zip(surface.axes, index, strict=True)], axis=1)


def _basin_shares(surface: Slice, judged: Judged, minima: Minima) -> FloatArray:
    """Return the share of the slice's area in the basin of each minimum; a point stands for half of its cells."""
    widths = [np.gradient(axis) if len(axis) > 1 else np.ones(1) for axis in surface.axes]
    area = np.ones(())
    for width in widths:
        area = np.multiply.outer(area, width)
    basin, parent = judged.tree.basin.ravel(), judged.tree.parent
    own = np.bincount(basin[basin != NONE], area.ravel()[basin != NONE], len(parent)) / area.sum()
    shares = own.copy()
    for number in range(len(parent) - 1, 0, -1):  # parents come before
        if parent[number] != NONE and (number >= len(minima) or minima.heir(number) != number):
            shares[parent[number]] += shares[number]
    return np.asarray(shares[: len(minima)])
