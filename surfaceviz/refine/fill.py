"""Interpolation of whole surfaces from the evaluated points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from surfaceviz.records import FloatArray
from surfaceviz.refine.error_metric import ErrorMetric
from surfaceviz.refine.interpolant import IntArray, predict


def fill(
    axes: Sequence[FloatArray],
    indices: IntArray,
    values: Mapping[str, FloatArray],
    *,
    metrics: Mapping[str, ErrorMetric] | None = None,
) -> dict[str, FloatArray]:
    """Return each of ``values`` (n,), known at the flat ``indices`` (n,), on the whole grid, in the grid's shape.

    Those named in ``metrics`` are interpolated in the metric's variable, where they may grow by orders of
    magnitude; the others as they are, and clipped to the range of what is known. Known points keep their
    value.
    A point that has no finite value is left out, so an array is filled from its finite values only; without
    any the rest is NaN.

    >>> fill([np.array([0.0, 1.0, 2.0])], np.array([0, 2]), {"accuracy": np.array([0.5, 1.0])})["accuracy"].tolist()
    [0.5, 0.75, 1.0]
    """
    shape = tuple(len(axis) for axis in axes)
    rest = np.setdiff1d(np.arange(np.prod(shape)), indices)
    filled = {}
    for name, known in values.items():
        whole = np.full(int(np.prod(shape)), np.nan)
        whole[indices] = known
        finite = np.isfinite(known)
        if finite.any():
            metric = (metrics or {}).get(name)
            whole[rest] = _between(axes, indices[finite], known[finite], rest, metric=metric)
        filled[name] = whole.reshape(shape)
    return filled


def _between(
    axes: Sequence[FloatArray], indices: IntArray, known: FloatArray, rest: IntArray, *, metric: ErrorMetric | None
) -> FloatArray:
    if metric is None:
        mean = predict(axes, indices, known[:, None], rest).mean[:, 0]
        return np.clip(mean, known.min(), known.max())
    u = metric.transform(known)
    return metric.inverse_transform(predict(axes, indices, u[:, None], rest).mean[:, 0], float(u.max()))
