"""Values, standard errors and float64 errors of a slice, compared with the independent program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from comparison import Comparison
from float64_program import Array, Program, at, deviation, stored
from random_problems import RandomProblem
from torch import Tensor


def compare_slice(told: Comparison, given: RandomProblem, program: Program, file: Path) -> None:
    """Compare a slice at its centre and at about six points."""
    surface, root = stored(file, "slice"), stored(file, "/")
    directions = program.directions(file)
    axes = [surface[name] for name in ("alpha", "beta") if name in surface]
    told.holds("every point was evaluated", (surface["origin"] == 1).all())
    if not given.loss.per_sample:
        told.holds("no standard error of a loss without values of samples", "train_loss_stderr" not in surface)
    total = surface["origin"].size
    for number in sorted({*range(0, total, max(1, total // 5)), total - 1}):
        index = np.unravel_index(number, surface["origin"].shape)
        place = [float(axis[i]) for axis, i in zip(axes, index, strict=True)]
        for split in program.data:
            _compare_point(told, program, at(program.theta, directions, place), surface, (split, index, given))
    for split in program.data:
        true, allowed = _loss(program, program.theta, split)
        told.close(f"centre {split}", surface[f"centre_{split}_loss"], true, allowed)
        name = f"{split}_loss_float64_error"
        if name in root:
            _compare_error(told, surface, root, (program, split))


def _loss(program: Program, theta: Tensor, split: str) -> tuple[float, float]:
    """Return a loss and the allowance for its rounding."""

    def value(x: Tensor) -> Array:
        with torch.no_grad():
            return np.array([float(program.value(x, split))])

    return float(value(theta)[0]), float(program.allowance(value, theta)[0])


def _compare_point(told: Comparison, program: Program, theta: Tensor, surface: dict[str, Array],
                   where: tuple[str, tuple[np.intp, ...], RandomProblem]) -> None:  # fmt: skip
    split, index, given = where
    name = f"{split}_loss"
    true, allowed = _loss(program, theta, split)
    told.close(f"{name} {index}", surface[name][index], true, allowed)
    if f"{split}_accuracy" in surface:
        _compare_accuracy(told, program, theta, surface, (split, index))
    if not given.loss.per_sample:
        return

    def errors(x: Tensor) -> Array:
        with torch.no_grad():
            here, centre = program.residuals(x, split), program.residuals(program.theta, split)
        return np.array([deviation(here), deviation(here - centre)])

    (stderr, rise), room = errors(theta), program.allowance(errors, theta)
    told.close(f"{name}_stderr {index}", surface[f"{name}_stderr"][index], stderr, room[0])
    told.close(f"{name}_rise_stderr {index}", surface[f"{name}_rise_stderr"][index], rise, room[1])


def _compare_accuracy(told: Comparison, program: Program, theta: Tensor, surface: dict[str, Array],
                      where: tuple[str, tuple[np.intp, ...]]) -> None:  # fmt: skip
    """Compare an accuracy, up to samples whose two largest logits differ by rounding only."""
    split, index = where
    x, y = program.data[split]
    del x
    loss = program.loss.given
    ignored = getattr(loss, "ignore_index", -100)
    with torch.no_grad():
        outputs = program.terms(theta, split)[2]
        room = program.allowance(lambda t: program.terms(t, split)[2].detach().numpy(), theta).max()
    counted = y != ignored
    two = outputs.topk(2, dim=1).values
    tied = (two[:, 0] - two[:, 1] <= 2 * room) & counted
    right = (outputs.argmax(1) == y) & counted
    told.close(f"{split}_accuracy {index}", surface[f"{split}_accuracy"][index],
               int(right.sum()) / int(counted.sum()), int(tied.sum()) / int(counted.sum()) + 1e-12)  # fmt: skip


def _compare_error(told: Comparison, surface: dict[str, Array], root: dict[str, float],
                   where: tuple[Program, str]) -> None:  # fmt: skip
    """Compare the told float64 error with the centre's: that of eager sums, from which other engines differ by eps."""
    program, split = where
    with torch.no_grad():
        true = float(program.value(program.theta, split))
    own = abs(float(surface[f"centre_{split}_loss"]) - true)
    told.holds(f"the float64 error of {split}, {root[f'{split}_loss_float64_error']:.3g}, is at least that of the "
               f"centre, {own:.3g}", own <= root[f"{split}_loss_float64_error"] + program.eps * abs(true))  # fmt: skip
