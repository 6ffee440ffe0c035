"""An independent float64 program: losses, errors, dense Hessians, normalisations, on one batch of the whole split.

It shares no code with the tool. It reads the raw numbers of the tool's file.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import random_problems
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

Array = NDArray[np.float64]
NOISE = 2.0**-23  # relative size of the noise by which sensitivities are measured
SAFETY = 8.0  # times the largest of a few draws of that noise
_EPS = 2.0**-52


class Program:
    """The losses and derivatives of a random problem as functions of all parameters in a row.

    Args:
        given: the problem.
    """

    def __init__(self, given: random_problems.RandomProblem) -> None:
        self.loss = given.loss
        self.data = {name: tuple(map(_double, pair)) for name, pair in given.data.items()}
        self.model = copy.deepcopy(given.model).double().eval()
        self.names = [name for name, _ in self.model.named_parameters()]
        self.shapes = [p.shape for p in self.model.parameters()]
        self.theta = torch.cat([p.detach().reshape(-1) for p in self.model.parameters()])
        self.eps = torch.finfo(next(given.model.parameters()).dtype).eps
        self.recalibrated = given.slice_options["bn"] == "recalibrate"
        self._plain = copy.deepcopy(self.model)  # without noise
        self._noise: torch.Generator | None = None
        for module in self.model.modules():
            if not list(module.children()):
                module.register_forward_hook(self._rounded)

    def _rounded(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
        """Add noise to a layer's output, of the size by which float sums of its terms may be off."""
        if self._noise is None:
            return None
        noise = torch.randn(output.shape, generator=self._noise, dtype=torch.float64)
        return output + NOISE * output.detach().abs().amax() * noise

    @contextmanager
    def noise(self, seed: int) -> Iterator[None]:
        """Perturb every layer's output by `NOISE`."""
        self._noise = torch.Generator().manual_seed(seed)
        try:
            yield
        finally:
            self._noise = None

    def roundings(self, function: Callable[[Tensor], Array], theta: Tensor, draws: int = 3) -> list[Array]:
        """Return changes of the values of a function as large as rounding in the problem's dtype may make them.

        Rounding acts as a relative error of weights and of layers' outputs, about 2^-24 in float32. To first order its
        effect is that of random errors of `NOISE`, here drawn a few times and scaled to the dtype, times `SAFETY`,
        since a few draws do not show the largest effect.
        """
        exact, changes = function(theta), []
        for seed in range(draws):
            generator = torch.Generator().manual_seed(100 + seed)
            shaken = theta * (1 + NOISE * torch.randn(theta.shape, generator=generator, dtype=torch.float64))
            with self.noise(seed):
                changes.append(SAFETY * self.eps / NOISE * (function(shaken) - exact))
        return changes

    def allowance(self, function: Callable[[Tensor], Array], theta: Tensor) -> Array:
        """Return the largest change by rounding, elementwise, and that of this program's own sums."""
        exact = np.abs(function(theta))
        own = 64 * _EPS * (exact + exact.max(initial=0.0))
        return np.asarray(np.max(np.abs(self.roundings(function, theta)), axis=0) + own)

    def state(self, theta: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name."""
        parts = theta.split([shape.numel() for shape in self.shapes])
        return {name: part.view(shape) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)}

    def buffers(self, theta: Tensor) -> dict[str, Tensor]:
        """Return the statistics of batch norms at weights: as trained, or those of all training samples in a batch."""
        if not self.recalibrated:
            return dict(self.model.named_buffers())
        model = copy.deepcopy(self._plain)
        model.load_state_dict(self.state(theta), strict=False)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None
                module.train()
        with torch.no_grad():
            model(self.data["train"][0])
        return dict(model.named_buffers())

    def terms(self, theta: Tensor, split: str = "train", buffers: dict[str, Tensor] | None = None) -> Any:
        """Return numerators and weights of samples, and outputs."""
        x, y = self.data[split]
        fixed = self.buffers(theta.detach()) if buffers is None else buffers
        outputs = functional_call(self.model, {**self.state(theta), **fixed}, (x,))
        values, weights = self.loss.terms(outputs, y)
        return values + self._loss_noise(outputs), weights, outputs

    def _loss_noise(self, outputs: Tensor) -> Tensor:
        """Return noise (n,) of the loss's own arithmetic, in float64 or for a callable in the problem's dtype.

        A softmax in float64 has absolute errors of 2^-52 in log p and in p, so that first and second derivatives are
        off by as much however small they are.
        """
        if self._noise is None:
            return torch.zeros(len(outputs), dtype=torch.float64)
        values, slopes, curvatures = torch.randn((3, *outputs.shape), generator=self._noise, dtype=torch.float64)
        fixed = outputs.detach()
        each = values * (1 + fixed.abs()) + slopes * (outputs - fixed) + curvatures * (outputs - fixed) ** 2
        size = NOISE * (_EPS / self.eps if self.loss.is_widened else 1.0)
        noise: Tensor = size * each.flatten(1).sum(1)
        return noise

    def value(self, theta: Tensor, split: str = "train", buffers: dict[str, Tensor] | None = None) -> Tensor:
        """Return the loss of a split."""
        values, weights, _ = self.terms(theta, split, buffers)
        mean: Tensor = values.sum() / weights.sum()
        return mean.sqrt() if self.loss.root else mean

    def residuals(self, theta: Tensor, split: str) -> Array:
        """Return the linearised deviation of the ratio for each sample, (v_i - R w_i) / W."""
        values, weights, _ = self.terms(theta, split)
        ratio = values.sum() / weights.sum()
        return np.asarray(((values - ratio * weights) / weights.sum()).numpy())

    def gradient(self, theta: Tensor, buffers: dict[str, Tensor] | None = None) -> Array:
        """Return the gradient, with the statistics of batch norms fixed."""
        theta = theta.detach().requires_grad_()
        fixed = self.buffers(theta.detach()) if buffers is None else buffers
        return np.asarray(torch.autograd.grad(self.value(theta, "train", fixed), theta)[0].numpy())

    def sample_gradients(self, theta: Tensor) -> Array:
        """Return the gradients of the samples' residuals about the mean, (n, P)."""
        theta = theta.detach().requires_grad_()
        values, weights, _ = self.terms(theta, "train", self.buffers(theta.detach()))
        ratio = (values.sum() / weights.sum()).detach()
        total, count = weights.sum(), len(values)
        mean = torch.autograd.grad(values.sum(), theta, retain_graph=True)[0] / total
        rows = [torch.autograd.grad(values[i], theta, retain_graph=True)[0] for i in range(count)]
        assert torch.isfinite(ratio)
        return np.stack([((row - weights[i] * mean) / total).numpy() for i, row in enumerate(rows)])

    def hessian(self, theta: Tensor) -> Array:
        """Return the Hessian, row by row."""
        theta = theta.detach().requires_grad_()
        loss = self.value(theta, "train", self.buffers(theta.detach()))
        (slope,) = torch.autograd.grad(loss, theta, create_graph=True)
        rows = [torch.autograd.grad(s, theta, retain_graph=True)[0] for s in slope]
        matrix = torch.stack(rows).numpy()
        return np.asarray((matrix + matrix.T) / 2)

    def directions(self, file: Path) -> list[Tensor]:
        """Return the directions of a file as vectors; a tied tensor goes by the first of its names."""
        first: dict[int, str] = {}
        for name, p in self.model.named_parameters(remove_duplicate=False):
            first[id(p)] = min(name, first.get(id(p), name))
        stored = [first[id(p)] for p in self.model.parameters()]
        vectors = []
        with h5py.File(file) as opened:
            for number in sorted(opened["directions"], key=int):
                group = opened[f"directions/{number}"]
                assert set(group) <= set(stored)
                parts = [
                    torch.from_numpy(group[name][()]).double().reshape(-1) if name in group else torch.zeros(s.numel())
                    for name, s in zip(stored, self.shapes, strict=True)
                ]
                vectors.append(torch.cat(parts).double())
        return vectors

    def filter_scales(self, theta: Tensor) -> Array:
        """Return ||w_i|| / sqrt(n_i) for each entry's filter, NaN for biases and gains of norms."""
        state, scales = self.state(theta), []
        for name in self.names:
            path, _, kind = name.rpartition(".")
            module, w = self.model.get_submodule(path), state[name]
            axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
            filters = isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding)
            if kind == "bias" or not filters:
                scales.append(torch.full((w.numel(),), torch.nan, dtype=torch.float64))
                continue
            rows = w.movedim(axis, 0).reshape(w.shape[axis], -1)
            scale = rows.square().mean(1).sqrt()  # ||w_i|| / sqrt(n_i)
            shape = [1] * w.ndim
            shape[axis] = -1
            scales.append(scale.view(shape).expand(w.shape).reshape(-1))
        return np.asarray(torch.cat(scales).detach().numpy())


def spectral_norm(matrix: Array) -> float:
    """Return the largest |eigenvalue| of a symmetric matrix."""
    return float(np.abs(np.linalg.eigvalsh(matrix)).max(initial=0.0))


def stored(file: Path, group: str) -> dict[str, Any]:
    """Return the raw attributes and data sets of a group of a file, by name."""
    found: dict[str, Any] = {}
    with h5py.File(file) as opened:
        if group not in opened:
            return found
        found |= dict(opened[group].attrs)
        opened[group].visititems(lambda name, each: found.update({name: each[()]} if hasattr(each, "dtype") else {}))
    return found


def deviation(residuals: Array) -> float:
    """Return the standard error of a mean from residuals that sum to 0."""
    n = len(residuals)
    return float(np.sqrt(n / (n - 1) * np.square(residuals).sum()))


def at(theta: Tensor, directions: Sequence[Tensor], place: Sequence[float]) -> Tensor:
    """Return theta + alpha delta + beta eta."""
    return theta + sum((x * d for x, d in zip(place, directions, strict=True)), torch.zeros_like(theta))


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
