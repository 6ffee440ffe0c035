"""Directions that the loss itself names: eigenvectors of its Hessian, its gradient, the worst way up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz import evaluate
from surfaceviz.curvature import Operator, ParameterLayout, ShardedHvp, SpectrumSpec, eigenpairs
from surfaceviz.directions.random import Direction, RandomSpec, random_directions
from surfaceviz.errors import DirectionError
from surfaceviz.evaluate import Perturber
from surfaceviz.execute import available_memory
from surfaceviz.problem.data import Split
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.parameters import Filters, fingerprint, named_tensors
from surfaceviz.problem.problem import Problem
from surfaceviz.records import DirectionRecord

ALONG = ("hessian", "extremes", "gradient", "ascent")
RADIUS = 0.05  # of the ascent. Source: Foret et al., arXiv 2010.01412, section 3

_STEPS = 20  # of the ascent; ours
_RTOL = 1e-5  # of ||H||: residuals of eigenvectors, whose angles are off by these over the gap to the next; ours
_MEMORY_SHARE = 0.25  # of what is free, each, for graphs and vectors


@dataclass(frozen=True, slots=True)
class Around:
    """A minimum, and what moves around it.

    Attributes:
        theta: canonical name -> weights and buffers, on the CPU.
        filters: of every parameter.
        moving: names of the parameters that move.
        split: whose loss; as loaded.
        dtype: a key of `evaluate.DTYPES`, float32 or wider.
    """

    problem: Problem
    theta: Mapping[str, Tensor]
    filters: Mapping[str, Filters]
    moving: Sequence[str]
    split: Split
    dtype: str
    device: torch.device


def directions_along(what: str, around: Around, random: RandomSpec, *, count: int, radius: float) -> list[Direction]:
    """Return unit directions, so that a coordinate is a distance in weight space.

    ``hessian``: the eigenvectors of the largest eigenvalues; ``extremes``: of the largest and of the smallest;
    ``gradient``: the way up; ``ascent``: toward the highest loss within a radius. The last two have a random direction
    for their second axis.

    Args:
        what: one of `ALONG`.
        around: the minimum.
        random: of the random direction.
        count: 1 or 2.
        radius: of the ascent.

    Raises:
        DirectionError: the gradient is 0, or eigenvectors have not converged.
        ProblemError: the loss is not twice differentiable.
    """
    names = tuple(sorted(around.moving))
    layout = ParameterLayout(names, tuple(around.theta[name].shape for name in names))
    path = _Path(around, layout)
    with borrowed(around.problem.model, around.device):
        if what in ("hessian", "extremes"):
            made = _eigenvectors(path.operator, layout, what, count)
        else:
            made = [_uphill(path, layout, what, radius)]
    if len(made) < count:
        made += random_directions(dict(around.theta), around.filters, around.moving, random, count=count)[1:]
    return made


class _Path:
    """Points on the way from theta, opened one after another."""

    def __init__(self, around: Around, layout: ParameterLayout) -> None:
        own_names = {name: named.own_name for name, named in named_tensors(around.problem.model).items()}
        placer = Perturber(own_names, around.theta, [], around.dtype, around.device)
        self._start = {name: tensor.clone() for name, tensor in placer.centre.items()}
        self._names = [own_names[name] for name in layout.names]
        self._layout, self._step = layout, torch.zeros(layout.dimension, dtype=torch.float64)
        dtype = evaluate.DTYPES[around.dtype]
        split = around.split.mapped(lambda tree: around.problem.cast(tree, dtype, around.device))
        memory = int(_MEMORY_SHARE * available_memory())
        sums = ShardedHvp(around.problem, split, layout, own_names, self._state, memory=memory)
        self.operator = Operator(lambda message: [sums(message)], layout, dtype)

    def _state(self, _number: int) -> dict[str, Tensor]:
        moved = dict(self._start)
        for name, part in zip(self._names, self._layout.split(self._step), strict=True):
            moved[name] = self._start[name] + part.to(self._start[name])
        return moved

    def at(self, step: Tensor) -> tuple[float, Tensor]:
        """Return loss and gradient at theta plus a step, (P,) float64."""
        self._step = step
        begun = self.operator.set_point(0)
        return begun.loss, begun.gradient


def _eigenvectors(operator: Operator, layout: ParameterLayout, what: str, count: int) -> list[Direction]:
    top, bottom = (1, count - 1) if what == "extremes" else (count, 0)
    operator.set_point(0)
    found = eigenpairs(
        operator,
        operator,
        SpectrumSpec(top=top, bottom=bottom, rtol=_RTOL, memory=int(_MEMORY_SHARE * available_memory())),
    )
    if not bool((found.residuals <= _RTOL * found.norm).all()):
        raise DirectionError(
            f"eigenvectors have not converged in {found.products} products (residuals "
            f"{', '.join(f'{r:.1e}' for r in found.residuals)}); --along gradient or "
            "random directions take none"
        )
    order = range(len(found.eigenvalues) - 1, -1, -1)
    return [
        _direction(
            "eigenvector", _with_sign(found.vectors[k].double()), layout,
            f"eigenvalue {float(found.eigenvalues[k]):.6g}, residual {float(found.residuals[k]):.1e}",
        )
        for k in order
    ]  # fmt: skip


def _with_sign(vector: Tensor) -> Tensor:
    """Return one of the two eigenvectors: with its largest entry positive."""
    return vector if vector[vector.abs().argmax()] > 0 else -vector


def _uphill(path: _Path, layout: ParameterLayout, what: str, radius: float) -> Direction:
    """Return the gradient's direction, or that of the highest loss that an ascent finds within a radius.

    The ascent begins as SAM's, e = radius g / ||g||, and goes on likewise from there: a linear maximisation over the
    ball at each step. Source of the first step: Foret et al., arXiv 2010.01412, equation 2; going on: ours.
    """
    start, gradient = path.at(torch.zeros(layout.dimension, dtype=torch.float64))
    norm = float(torch.linalg.vector_norm(gradient))
    if not norm > 0:
        raise DirectionError("the gradient is 0: no way up can be told; take --along hessian")
    if what == "gradient":
        return _direction("gradient", gradient / norm, layout, f"norm {norm:.6g}")
    best, highest, reach = gradient, start, radius
    step = reach * gradient / norm
    for _ in range(_STEPS):
        loss, slope = path.at(step)
        if loss > highest:
            best, highest = step, loss
            step = reach * slope / torch.linalg.vector_norm(slope)
        elif best is gradient:  # the first step leads over a ridge: nearer
            reach /= 2
            step = reach * gradient / norm
        else:
            break
    if best is gradient:
        raise DirectionError(f"no higher loss was found along the gradient within {radius:g}; take --along gradient")
    unit = best / torch.linalg.vector_norm(best)
    return _direction("ascent", unit, layout, f"loss {highest:.6g} at distance {reach:g}")


def _direction(kind: str, vector: Tensor, layout: ParameterLayout, source: str) -> Direction:
    tensors = {n: part.clone() for n, part in zip(layout.names, layout.split(vector.cpu()), strict=True) if part.any()}
    return Direction(
        DirectionRecord(kind=kind, sha256=fingerprint(tensors), rule=dict.fromkeys(layout.names, kind), source=source),
        tensors,
    )
