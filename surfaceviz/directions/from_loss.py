"""Directions from the loss: eigenvectors of the Hessian, the gradient, an ascent.

Each function takes (spec, minimum, moving, count) and returns one or two unit directions, so that a coordinate is a
distance in weight space. `specs.LOSS_DIRECTIONS` lists them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surfaceviz import evaluate
from surfaceviz.curvature import Operator, ParameterLayout, ShardedHvp, SpectrumSpec, check_derivatives, eigenpairs
from surfaceviz.directions.minimum import Minimum
from surfaceviz.directions.random import Direction
from surfaceviz.directions.specs import FromLoss
from surfaceviz.errors import DirectionError
from surfaceviz.evaluate import Perturber
from surfaceviz.execute import available_memory
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.parameters import fingerprint, named_tensors
from surfaceviz.records import DirectionRecord as Record

_STEPS = 20  # steps of the ascent; ours
_RTOL = 1e-5  # residuals of eigenvectors relative to ||H||; the error of an angle is this over the relative gap; ours
_MEMORY_SHARE = 0.25  # share of the free memory for graphs, and the same for vectors


def top_eigenvectors(_spec: FromLoss, minimum: Minimum, moving: Sequence[str], count: int) -> list[Direction]:
    """Return the eigenvectors of the ``count`` largest eigenvalues of the Hessian.

    Raises:
        DirectionError: they did not converge.
        ProblemError: the loss is not twice differentiable.
    """
    return _eigenvectors(minimum, moving, top=count, bottom=0)


def extreme_eigenvectors(_spec: FromLoss, minimum: Minimum, moving: Sequence[str], count: int) -> list[Direction]:
    """Return the eigenvectors of the largest and, for two axes, of the smallest eigenvalue of the Hessian.

    Raises:
        DirectionError: they did not converge.
        ProblemError: the loss is not twice differentiable.
    """
    return _eigenvectors(minimum, moving, top=1, bottom=count - 1)


def gradient(_spec: FromLoss, minimum: Minimum, moving: Sequence[str], _count: int) -> list[Direction]:
    """Return the unit vector along the gradient.

    Raises:
        DirectionError: the gradient is 0.
    """
    loss = LossNearTheta(minimum, moving)
    with borrowed(minimum.problem.model, minimum.device):
        checked = loss.check(order=1)
        _, slope, norm = loss.start()
    return [unit_direction("gradient", slope / norm, loss.layout, f"norm {norm:.6g}", derivatives=checked)]


def ascent(spec: FromLoss, minimum: Minimum, moving: Sequence[str], _count: int) -> list[Direction]:
    """Return the unit vector toward the highest loss that an ascent finds within ``spec.radius``.

    The first step is SAM's, e = radius g / ||g||; each further step maximises the linearised loss over the ball.
    Source of the first step: Foret et al., arXiv 2010.01412, equation 2; further steps: ours.

    Raises:
        DirectionError: the gradient is 0, or no higher loss was found.
    """
    loss = LossNearTheta(minimum, moving)
    with borrowed(minimum.problem.model, minimum.device):
        checked = loss.check(order=1)
        best, highest, reach = _ascend(loss, spec.radius)
    unit = best / torch.linalg.vector_norm(best)
    words = f"loss {highest:.6g} at distance {reach:g}"
    return [unit_direction("ascent", unit, loss.layout, words, derivatives=checked)]


def _ascend(loss: LossNearTheta, radius: float) -> tuple[Tensor, float, float]:
    """Return the step to the highest loss found, that loss, and the distance."""
    highest, slope, norm = loss.start()
    best: Tensor | None = None
    reach = radius
    step = reach * slope / norm
    for _ in range(_STEPS):
        value, there = loss.at(step)
        if value > highest:
            best, highest = step, value
            step = reach * there / torch.linalg.vector_norm(there)
        elif best is None:  # the first step crosses a ridge: halve it
            reach /= 2
            step = reach * slope / norm
        else:
            break
    if best is None:
        raise DirectionError(f"found no higher loss along the gradient within {radius:g}; take --along gradient")
    return best, highest, reach


class LossNearTheta:
    """The loss, its gradient and its Hessian at points near theta."""

    def __init__(self, minimum: Minimum, moving: Sequence[str]) -> None:
        names = tuple(sorted(moving))
        self.layout = layout = ParameterLayout(names, tuple(minimum.theta[name].shape for name in names))
        own_names = {name: named.own_name for name, named in named_tensors(minimum.problem.model).items()}
        perturb = Perturber(own_names, minimum.theta, [], minimum.dtype, device=minimum.device)
        self._centre = {name: tensor.clone() for name, tensor in perturb.centre.items()}
        self._names = [own_names[name] for name in layout.names]
        self._step = torch.zeros(layout.dimension, dtype=torch.float64)
        dtype = evaluate.DTYPES[minimum.dtype]
        self._problem = minimum.problem
        given = minimum.split.as_given()
        self._split = split = given.mapped(lambda tree: minimum.problem.cast(tree, dtype, minimum.device))
        memory = int(_MEMORY_SHARE * available_memory())
        sums = ShardedHvp(minimum.problem, split, layout, own_names=own_names, states=self._state, memory=memory)
        self.operator = Operator(lambda message: [sums(message)], layout, dtype)

    def check(self, *, order: int) -> str:
        """Return whether the derivatives at theta agree with differences, in words.

        Args:
            order: 1 for the gradient only.

        Raises:
            ProblemError: they do not.
        """
        found = check_derivatives(self._problem, self._split, self._centre, self._names, order=order)
        return str(found)

    def _state(self, _number: int) -> dict[str, Tensor]:
        moved = dict(self._centre)
        for name, part in zip(self._names, self.layout.split(self._step), strict=True):
            moved[name] = self._centre[name] + part.to(self._centre[name])
        return moved

    def start(self) -> tuple[float, Tensor, float]:
        """Return loss, gradient (P,) float64 and its norm at theta.

        Raises:
            DirectionError: the gradient is 0.
        """
        loss, slope = self.at(torch.zeros(self.layout.dimension, dtype=torch.float64))
        norm = float(torch.linalg.vector_norm(slope))
        if not norm > 0:
            raise DirectionError("the gradient is 0 and has no direction; take --along hessian")
        return loss, slope, norm

    def at(self, step: Tensor) -> tuple[float, Tensor]:
        """Return loss and gradient at theta plus a step, (P,) float64."""
        self._step = step
        point = self.operator.set_point(0)
        return point.loss, point.gradient


def _eigenvectors(minimum: Minimum, moving: Sequence[str], *, top: int, bottom: int) -> list[Direction]:
    loss = LossNearTheta(minimum, moving)
    spec = SpectrumSpec(top=top, bottom=bottom, rtol=_RTOL, memory=int(_MEMORY_SHARE * available_memory()))
    with borrowed(minimum.problem.model, minimum.device):
        checked = loss.check(order=2)
        loss.operator.set_point(0)
        found = eigenpairs(loss.operator, loss.operator, spec)
    if not bool((found.residuals <= _RTOL * found.norm).all()):
        raise DirectionError(
            f"eigenvectors did not converge in {found.products} products (residuals "
            f"{', '.join(f'{r:.1e}' for r in found.residuals)}); take --along gradient or random directions"
        )
    count = len(found.eigenvalues)  # all, where a small matrix is known as a whole
    return [
        unit_direction(
            "eigenvector", _with_sign(found.vectors[k].double()), loss.layout,
            f"eigenvalue {float(found.eigenvalues[k]):.6g}, residual {float(found.residuals[k]):.1e}",
            eigenvalue=float(found.eigenvalues[k]), derivatives=checked,
        )
        for k in reversed((*range(min(bottom, count - top)), *range(count - top, count)))
    ]  # fmt: skip


def _with_sign(vector: Tensor) -> Tensor:
    """Return the eigenvector with the sign that makes its largest entry positive."""
    return vector if vector[vector.abs().argmax()] > 0 else -vector


def unit_direction(
    kind: str,
    vector: Tensor,
    layout: ParameterLayout,
    source: str,
    *,
    eigenvalue: float | None = None,
    derivatives: str | None = None,
) -> Direction:
    """Return a direction along a unit vector (P,), with its record; tensors that are 0 are absent."""
    tensors = {n: part.clone() for n, part in zip(layout.names, layout.split(vector.cpu()), strict=True) if part.any()}
    record = Record(
        kind=kind, sha256=fingerprint(tensors), rule=dict.fromkeys(layout.names, kind), source=source,
        eigenvalue=eigenvalue, derivatives=derivatives,
    )  # fmt: skip
    return Direction(record, tensors)
