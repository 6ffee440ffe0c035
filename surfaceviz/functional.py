"""One pass over the splits with given weights: the sums. It knows no grid.

The user's model is borrowed, never changed: its tensors are swapped for ours by
`torch.func.functional_call` during a pass, and whatever happens it is put back as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from surfaceviz.errors import ProblemError, SurfacevizError, place_of
from surfaceviz.interrupt import shielded
from surfaceviz.losses import Measured, PerSample
from surfaceviz.parameters import named_tensors
from surfaceviz.problem import Problem
from surfaceviz.tree import leaves

Batches = Mapping[str, Sequence[Any]]  # split -> its batches


@dataclass(frozen=True, slots=True)
class Tally:
    """A metric of one split: its mean, and each sample's share in the deviation from it.

    ``residuals`` are r_i = (v_i - R w_i) / W for R = sum v / sum w and W = sum w: the linearised
    deviation of the ratio, whose squares add up to its variance. None without per-sample values.
    """

    mean: float
    residuals: Tensor | None = None  # (n,) float64

    @property
    def stderr(self) -> float:
        """The standard error of the mean over samples, as draws from their population."""
        return self._spread(self.residuals)

    def rise_stderr(self, centre: Tally) -> float:
        """Return the standard error of the paired difference to ``centre``."""
        if self.residuals is None or centre.residuals is None:
            return math.nan
        return self._spread(self.residuals - centre.residuals.to(self.residuals))

    def _spread(self, residuals: Tensor | None) -> float:
        n = 0 if residuals is None else len(residuals)
        if residuals is None or n < 2 or not math.isfinite(self.mean):  # noqa: PLR2004
            return math.nan
        return math.sqrt(n / (n - 1) * float(residuals.square().sum()))


Tallies = dict[str, Tally]  # <split>_<metric> -> tally


class Pass:
    """Measures all splits with given weights.

    Args:
        problem: whose model is borrowed.
        batches: split -> batches, on the device and in the dtype of the weights.
    """

    def __init__(self, problem: Problem, batches: Batches) -> None:
        self._host = _Host(problem)
        self._batches = batches
        self._inputs = [leaf for split in batches.values() for leaf in leaves(list(split))]
        self._versions = self._input_versions()

    def __call__(self, state: Mapping[str, Tensor]) -> Tallies:
        """Return the tallies with the weights and buffers in ``state``, by the model's own names.

        Buffers that the model writes to are written to in ``state``. Torch's random numbers start
        from one seed at each pass, so that a loss that draws some is one function of the weights.

        Raises:
            ProblemError: the model, the loss or a metric raised, or wrote into its input.
        """
        tallies: Tallies = {}
        for split, batches in self._batches.items():
            for metric, parts in self._measured(split, batches, state).items():
                tallies[f"{split}_{metric}"] = _tally(parts, f"{split}_{metric}")
        if self._input_versions() != self._versions:
            raise ProblemError("the model writes into its input (an in-place operation); clone it first in forward")
        return tallies

    def _input_versions(self) -> list[int]:
        return [tensor._version for tensor in self._inputs]  # noqa: SLF001  torch has no public counter

    def recalibrate(self, state: Mapping[str, Tensor], batches: Sequence[Any]) -> None:
        """Recompute the batch norms' running statistics in ``state``, in place, from ``batches``.

        Cumulative averages over the batches in order, dropout off; a short last batch is left out, for
        its statistics would count as a whole one's.
        """
        sizes = [len(leaves(batch)[0]) for batch in batches]
        if len(batches) > 1 and sizes[-1] < sizes[0]:
            batches = batches[:-1]
        norms = batch_norms(self._host.model)
        own_names = {id(named.tensor): named.own_name for named in named_tensors(self._host.model).values()}
        for norm in norms:
            for buffer, start in ((norm.running_mean, 0), (norm.running_var, 1), (norm.num_batches_tracked, 0)):
                if buffer is not None:
                    state[own_names[id(buffer)]].fill_(start)
        with _learning(norms):
            self._measured("train, for batch norm,", batches, state)

    def _measured(self, split: str, batches: Sequence[Any], state: Mapping[str, Tensor]) -> dict[str, list[Measured]]:
        torch.manual_seed(0)
        try:
            with torch.enable_grad():  # a loss may differentiate; nothing here requires a gradient by itself
                measured: list[dict[str, Measured]] = functional_call(
                    self._host, {f"model.{name}": tensor for name, tensor in state.items()}, (batches,)
                )
        except SurfacevizError:
            raise
        except Exception as error:
            raise ProblemError(
                f"measuring split {split} raised {type(error).__name__}: {str(error).strip()}{place_of(error)}"
            ) from error
        if any(part.keys() != measured[0].keys() for part in measured):
            raise ProblemError(f"measuring split {split} gave other names from batch to batch; give the same each time")
        return {metric: [part[metric] for part in measured] for metric in measured[0]}


class _Host(nn.Module):
    """Lets `functional_call` swap the model's tensors once for all batches of a pass."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.model = problem.model
        self._measure = problem.measure

    def forward(self, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        return [{k: _detached(v) for k, v in self._measure(self.model, batch).items()} for batch in batches]


def _detached(measured: Measured) -> Measured:
    if isinstance(measured, PerSample):
        return PerSample(measured.values.detach().double(), measured.weights.detach().double())
    total, weight = (x.detach().double() if isinstance(x, Tensor) else x for x in measured)
    return total, weight


def _tally(parts: list[Measured], name: str) -> Tally:
    samples = [part for part in parts if isinstance(part, PerSample)]
    if len(samples) == len(parts):
        values, weights = torch.cat([p.values for p in samples]), torch.cat([p.weights for p in samples])
        weight = weights.sum()
        mean = values.sum() / weight
        return Tally(float(mean), (values - mean * weights) / weight)
    pairs = [part for part in parts if not isinstance(part, PerSample)]
    if len(pairs) != len(parts):
        raise ProblemError(f"{name}: some batches gave (sum, weight), others values for each sample; give one kind")
    total = math.fsum(finite) if all(map(math.isfinite, finite := [float(t) for t, _ in pairs])) else sum(finite)
    weight_sum = math.fsum(float(w) for _, w in pairs)
    return Tally(total / weight_sum if weight_sum else math.nan)


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms that keep running statistics."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]


@contextmanager
def _learning(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Let batch norms gather cumulative statistics; `borrowed` puts their settings back."""
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.training = None, True
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum, norm.training = momentum, False


@contextmanager
def borrowed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Lend the model in eval mode, torch at one thread; put everything back, whatever happens.

    One thread, because results are then the same bits whatever the number of workers, and because
    one single-threaded process a core is faster than intra-op threads.
    """
    modules = list(model.modules())
    flags = [module.training for module in modules]
    registers = [(m, dict(m._parameters), dict(m._buffers)) for m in modules]  # noqa: SLF001
    momenta = [(m, m.momentum) for m in modules if isinstance(m, _BatchNorm)]
    flat = [(m, list(m._flat_weights)) for m in modules if isinstance(m, nn.RNNBase)]  # noqa: SLF001
    threads = torch.get_num_threads()
    on_gpu = device.type == "cuda" or (torch.cuda.is_available() and torch.cuda.is_initialized())
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if on_gpu else []):
        try:
            torch.set_num_threads(1)
            model.eval()
            yield
        finally:
            # A signal may have cut functional_call short in the midst of its own putting back.
            with shielded():
                torch.set_num_threads(threads)
                for module, parameters, buffers in registers:
                    _put_back(module._parameters, parameters)  # noqa: SLF001
                    _put_back(module._buffers, buffers)  # noqa: SLF001
                for rnn, weights in flat:
                    rnn._flat_weights = weights  # noqa: SLF001
                for norm, momentum in momenta:
                    norm.momentum = momentum
                for module, flag in zip(modules, flags, strict=True):
                    module.training = flag


def _put_back(register: dict[str, Any], before: dict[str, Any]) -> None:
    """Make a module's register what it was; a buffer that a forward pass registered goes."""
    for name in register.keys() - before.keys():
        del register[name]
    register.update(before)
