"""Ties: equal largest values in a pooling window or a row, and equal neighbours in a sorted row.

Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from surfaceviz.curvature.nonsmooth.elementwise import rounding

POOLS = ("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d")
REDUCTIONS = ("max", "min", "amax", "amin", "argmax", "argmin")
SORTS = ("sort", "topk", "kthvalue", "median", "nanmedian", "cummax", "cummin")

_Axis: TypeAlias = tuple[int, ...]  # a pool's kernel, stride, padding and dilation along one axis


class Ties(NamedTuple):
    """The windows or neighbours of an operator that tie.

    Attributes:
        tied: whether each ties.
        label: returns the winner of each, and 0 where there is none.
        most: the value that is attained twice, of windows.
    """

    tied: Tensor
    label: Callable[[], Tensor]
    most: Tensor | None = None


def ties_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any, *, exact: bool) -> Ties | None:
    """Return the ties of an operator; None if it is not one that selects.

    Args:
        name: of the operator.
        args: its arguments.
        kwargs: its keyword arguments.
        result: its result.
        exact: whether only equal entries tie, or also those that differ by rounding.
    """
    if name in POOLS or name in REDUCTIONS:
        return _window_ties(name, args, result, exact=exact)
    if name in SORTS:
        return _sorted_ties(name, args, kwargs)
    if name == "aminmax":
        axis = kwargs.get("dim")
        pair = [_window_ties(each, [args[0], *([] if axis is None else [axis])], None, exact=exact)
                for each in ("amin", "amax")]  # fmt: skip
        return Ties(torch.stack([each.tied for each in pair]), lambda: torch.stack([each.label() for each in pair]))
    return None


def _window_ties(name: str, args: Sequence[Any], result: Any, *, exact: bool) -> Ties:
    x = args[0] if name in POOLS else _rows(*args[:2])
    x = x.neg() if "min" in name else x
    most, winner = result if name in POOLS else x.max(-1)
    # In a moved model, two ways of computing one function may differ by rounding.
    least = most if exact else most - rounding(most)
    times = _times_attained(name, args, least) if name in POOLS else (x >= least.unsqueeze(-1)).sum(-1)
    return Ties((times > 1) & most.isfinite(), lambda: torch.where(times > 1, 0, winner + 1), most)


def _sorted_ties(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Ties:
    """Return the ties of neighbours in sorted rows, as far as their order decides which one is selected."""
    x = torch.atleast_1d(args[0])
    count, axis, descending = _selection(name, args, kwargs)
    rows = x.flatten() if axis is None else x.movedim(axis, -1)
    if name.startswith("cum"):
        values, indices = rows, getattr(rows, name)(-1).indices
        before = getattr(rows, name)(-1).values[..., :-1]
        gap = values[..., 1:] - before
    else:
        values, indices = rows.sort(-1, descending=descending)
        gap = values[..., 1:] - values[..., :-1]
    near = rounding(values[..., :-1])
    order = indices[..., :-1] * rows.shape[-1] + indices[..., 1:] + 1  # differs if one of the two does
    chosen = slice(None)
    if count is not None:
        chosen = slice(0, count) if name == "topk" else slice(max(count - 1, 0), count + 1)
    gap, near, order = gap[..., chosen], near[..., chosen], order[..., chosen]
    return Ties(gap == 0, lambda: torch.where(gap.abs() <= near, 0, order))


def _selection(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int | None, int | None, bool]:
    """Return the number or place of the selected entries (None: all), the axis (None: flat), and the order."""
    x, rest = torch.atleast_1d(args[0]), list(args[1:])
    if name == "topk":
        largest = rest[2] if len(rest) > 2 else True  # noqa: PLR2004  k, dim, largest
        return rest[0], (rest[1] if len(rest) > 1 else -1), bool(largest)
    if name == "kthvalue":
        return rest[0] - 1, (rest[1] if len(rest) > 1 else -1), False
    if "median" in name:
        axis = rest[0] if rest else None
        size = x.numel() if axis is None else x.shape[axis]
        return (size - 1) // 2, axis, False
    axis = kwargs.get("dim", rest[0] if rest and not isinstance(rest[0], bool) else -1)
    return None, axis, bool(kwargs.get("descending", False))


def _rows(x: Tensor, axes: int | Sequence[int] | None = ()) -> Tensor:
    """Return x with the reduced axes (all by default) flattened into the last one."""
    x = torch.atleast_1d(x)
    axes = [axes] if isinstance(axes, int) else list(axes or ()) or list(range(x.ndim))
    return x.movedim(axes, list(range(-len(axes), 0))).flatten(-len(axes))


def _times_attained(name: str, args: Sequence[Any], least: Tensor) -> Tensor:
    """Return the number of entries in each window of a pool that are at least ``least``."""
    sizes = least.shape[-2 if "2d" in name else -3 :]
    x, axes = _spread(args[0], sizes) if "adaptive" in name else (args[0], _axes(args[1:5], len(sizes)))
    edges: list[int] = []
    offsets: list[list[Any]] = []  # the k-th entries of all windows, for each k
    for (kernel, stride, padding, dilation), size, span in zip(axes, sizes, x.shape[-len(sizes) :], strict=True):
        last = (size - 1) * stride + 1
        starts = range(0, kernel * dilation, dilation)
        # Pad or crop to the pool's number of windows: ceil_mode adds windows, otherwise a remainder is cropped.
        edges = [padding, starts[-1] + last - padding - span, *edges]
        offsets.append([slice(start, start + last, stride) for start in starts])
    x = functional.pad(x, edges, value=-math.inf)
    times = torch.zeros_like(least, dtype=torch.int32)
    for at in product(*offsets):
        times += x[(..., *at)] >= least
    return times


def _axes(given: Sequence[Any], number: int) -> list[_Axis]:
    """Return the options of a pool for each axis; a single option applies to all axes."""
    kernel, *rest = given
    stride, padding, dilation = rest + [[], [0], [1]][len(rest) :]
    return [tuple(of[i % len(of)] for of in (kernel, stride or kernel, padding, dilation)) for i in range(number)]


def _spread(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, list[_Axis]]:
    """Return an adaptive pool as a plain one, whose adjacent windows are padded with -inf."""
    axes: list[_Axis] = []
    for axis, size in zip(range(-len(sizes), 0), sizes, strict=True):
        span, number = x.shape[axis], torch.arange(size)
        first, end = number * span // size, -(-(number + 1) * span // size)
        k = int((end - first).max())
        at = first[:, None] + torch.arange(k)
        at = torch.where(at < end[:, None], at, span).flatten().to(x.device)
        x = functional.pad(x, [0, 0] * (-axis - 1) + [0, 1], value=-math.inf).index_select(axis, at)
        axes.append((k, k, 0, 1))
    return x, axes
