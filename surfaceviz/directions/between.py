"""Directions between models: a line to one, the plane through three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from surfaceviz.directions.axes import Axes, Axis, axes_around
from surfaceviz.directions.minimum import DirectionSet, Minimum
from surfaceviz.directions.random import line, plane
from surfaceviz.directions.specs import Toward
from surfaceviz.problem.parameters import fingerprint

LINE: Axes = (Axis(-0.5, 1.5, 41),)  # between two models. Source: Goodfellow et al., arXiv 1412.6544, with a margin
_INSIDE: Axes = (Axis(0.0, 1.0, 41),)  # with running variances, which fall below 0 beyond the models
_POINTS = (25, 25)  # grid of the plane through three models
_MARGIN = 0.25  # around three models, as a share of their extent


def directions_between(
    spec: Toward, minimum: Minimum, others: Sequence[dict[str, Tensor]], axes: Axes | None
) -> DirectionSet:
    """Return the directions to one or two other models, which are marked on the slice.

    Args:
        spec: the models' files.
        minimum: the model at the origin.
        others: weights and buffers of the models, in the dtype of ``minimum.theta``.
        axes: the requested axes; by default axes that contain all models.

    Raises:
        DirectionError: two models are equal, or three lie on one line.
    """
    theta, parameters = minimum.theta, list(minimum.filters)
    names = [Path(model).name for model in spec.models]
    places: Sequence[tuple[float, ...]]
    if len(others) == 1:
        default = _INSIDE if any(name.endswith("running_var") for name in theta) else LINE
        directions, places = [line(theta, others[0], names[0])], [(1.0,)]
    else:
        directions, places = plane(theta, others[0], others[1], parameters, sources=(names[0], names[1]))
        default = tuple(axes_around(places, _POINTS, margin=_MARGIN))
    return DirectionSet(
        directions=directions,
        axes=axes or default,
        moving=parameters,
        marks=list(zip(names, places, strict=True)),
        models=[fingerprint(other) for other in others],
        differing=_differing_buffers(theta, others),
    )


def _differing_buffers(theta: Mapping[str, Tensor], others: Sequence[Mapping[str, Tensor]]) -> list[str]:
    """Return the integer tensors in which models differ, except the counters of batch norms, which have no effect."""
    fixed = [k for k, w in theta.items() if not w.is_floating_point() and not k.endswith("num_batches_tracked")]
    return [name for name in fixed if any(not torch.equal(theta[name], other[name]) for other in others)]
