"""Metrics of all splits at given weights: one pass over the data.

The user's model is never changed: `torch.func.functional_call` replaces its tensors during a pass, and
`borrowed` restores the model even after an exception. This module does not know the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from surfaceviz.errors import ProblemError, add_hint, error_context
from surfaceviz.problem.batching import BatchedSplits, batch_norms
from surfaceviz.problem.estimates import MeanEstimates, detach_sums, estimate_means, mean_over_draws, sum_and_weight
from surfaceviz.problem.forward.compile_stance import compile_stance
from surfaceviz.problem.forward.forward_writes import BufferKeeper
from surfaceviz.problem.forward.model_tensors import model_tensors
from surfaceviz.problem.forward.module_state import ModuleState, kept_random_states, switch_to_eval
from surfaceviz.problem.losses import Measured
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.problem.problem import Problem
from surfaceviz.pytree import leaves
from surfaceviz.signals import deferred_signals

State = Mapping[str, Tensor]  # the model's own names -> weights and buffers
Call = Callable[[Any, Sequence[Any]], list[dict[str, Measured]]]  # (state, batches) -> for each batch


class DataPass:
    """A pass over the data that measures all splits with given weights.

    Args:
        problem: the problem; its model is borrowed.
        sections: the splits' batches, on the device and in the dtype of the weights.
        call: the function that measures batches with a state; by default `eager`.
    """

    def __init__(self, problem: Problem, sections: Sequence[BatchedSplits], call: Call | None = None) -> None:
        self._problem, self._call = problem, call or eager(problem)
        self._sections = sections
        self._inputs = [leaf for section in sections for leaf in leaves(section.batches)]
        self._versions = tensor_versions(self._inputs)

    def __call__(self, state: Any) -> MeanEstimates:
        """Return the mean estimates at the weights and buffers in ``state``, keyed by the model's own names.

        Each batch starts from the buffers in ``state``, which stay as they are. Random numbers start from the same
        seeds for each batch, so that a random loss, or its mean over draws, is a function of the weights only.

        Raises:
            ProblemError: the model, the loss or a metric raised, or wrote into its input.
        """
        return mean_over_draws([self._estimates(state) for _ in self._problem.draws.each()])

    def _estimates(self, state: Any) -> MeanEstimates:
        """Return the estimates for the current draw of random numbers."""
        estimates_by_name: MeanEstimates = {}
        for section in self._sections:
            parts = measure_batches(self._problem, self._call, section.batches, state, title=section.title)
            by_metric = {
                metric: estimate_means(p, section.counts, f"{section.title} {metric}") for metric, p in parts.items()
            }
            for i, split in enumerate(section.names):
                estimates_by_name |= {f"{split}_{metric}": each[i] for metric, each in by_metric.items()}
        raise_if_written(self._versions, self._inputs)
        return estimates_by_name


def measure_batches(
    problem: Problem, call: Call, batches: Sequence[Any], state: Any, *, title: str
) -> dict[str, list[Measured]]:
    """Return the results of the batches for each metric: metric -> list over batches; in the current draw.

    Raises:
        ProblemError: the model, the loss or a metric raised, or gave other names from batch to batch.
        MemoryShortError: there was too little memory.
    """
    problem.draws.reseed()
    with error_context(f"measuring split {title}"), torch.enable_grad():  # a loss may differentiate
        parts = call(state, batches)
    if any(part.keys() != parts[0].keys() for part in parts):
        raise ProblemError(f"measuring split {title} gave other names from batch to batch; give the same each time")
    return {metric: [part[metric] for part in parts] for metric in parts[0]}


def tensor_versions(tensors: Iterable[Tensor]) -> list[int]:
    """Return the version counter of each tensor, which each in-place write increments."""
    return [tensor._version for tensor in tensors]  # noqa: SLF001  torch has no public counter


def raise_if_written(before: Sequence[int], tensors: Iterable[Tensor]) -> None:
    """Raise if a tensor was written in place since its version in ``before`` was read.

    Raises:
        ProblemError: the model wrote into its input.
    """
    if tensor_versions(tensors) != list(before):
        raise ProblemError("the model writes into its input (an in-place operation); clone it first in forward")


def eager(problem: Problem, learned: Collection[str] = ()) -> Call:
    """Return a function that measures batches with a state, by temporarily replacing the model's tensors.

    Each batch starts from the buffers of the state. ``learned`` names those that stay as forward wrote them.
    """
    host, keeper, to_model = _Host(problem), BufferKeeper(problem, learned), model_tensors(problem.model)

    def call(state: State, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        swapped = to_model(state)
        keeper.reset_attributes()
        result: list[dict[str, Measured]] = _call_with(swapped, host, batches, keeper.restoring(state, swapped))
        return result

    return call


def traceable(problem: Problem) -> Call:
    """Return `eager` without restoring buffers, for engines that trace it and restore them by a `BufferKeeper`."""
    host, to_model = _Host(problem), model_tensors(problem.model)

    def call(state: State, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        result: list[dict[str, Measured]] = _call_with(to_model(state), host, batches)
        return result

    return call


def _call_with(state: State, host: _Host | _Loss | _Outputs, *arguments: Any) -> Any:
    """Call a host of the model with a state, and what the user compiled inside of the model eagerly.

    Compiled modules and functions can't be differentiated twice, and round in another way than the Hessian's graph.
    """
    swapped = {f"model.{name}": tensor for name, tensor in state.items()}
    if torch.compiler.is_compiling():
        return functional_call(host, swapped, arguments, tie_weights=False)
    with compile_stance("force_eager"):
        try:
            return functional_call(host, swapped, arguments, tie_weights=False)
        except Exception as error:
            if hint := host.hint(arguments[0], error):
                add_hint(error, hint)
            raise


class _Host(nn.Module):
    """Lets `functional_call` swap the model's tensors once for all batches of a pass."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.model = problem.model
        self._measure, self._draws = problem.measure, problem.draws
        self._hint = problem.hint

    def forward(self, batches: Sequence[Any], restore: Callable[[], None] | None = None) -> list[dict[str, Measured]]:
        made = []
        for batch in batches:
            if restore is not None:
                self._draws.reseed()
            made.append({k: detach_sums(v) for k, v in self._measure(self.model, batch).items()})
            if restore is not None:
                restore()
        return made

    def hint(self, batches: Sequence[Any], error: BaseException) -> str:
        """Return a line that may help where the model raised."""
        return self._hint(batches[0], error) if batches else ""


def loss_sums(
    problem: Problem, weigh: Callable[[Measured], tuple[Tensor, Any]] = sum_and_weight
) -> Callable[[State, Any], tuple[Tensor, Any]]:
    """Return a function that computes the loss of a batch at a state as (sum, weight); the sum keeps its graph.

    Both are means over the draws of random numbers. Buffers of the state are copied for each batch. With `sums` for
    ``weigh``, `vmap` may map the function over states.
    """
    host, keeper, to_model = _Loss(problem), BufferKeeper(problem), model_tensors(problem.model)

    def call(state: State, batch: Any) -> tuple[Tensor, Any]:
        made = []
        for _ in problem.draws.each():
            swapped = to_model(keeper.fresh(state))
            problem.draws.reseed()
            made.append(weigh(_call_with(swapped, host, batch)))
        if len(made) == 1:
            return made[0]
        totals, weights = zip(*made, strict=True)
        return torch.stack(totals).mean(0), sum(weights) / len(weights)

    return call


class _Loss(nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.model = problem.model
        self._measure = problem.measure_loss
        self.hint = problem.hint

    def forward(self, batch: Any) -> Measured:
        return self._measure(self.model, batch)


def outputs(problem: Problem) -> Callable[[State, Any], Any]:
    """Return a function that computes the model's outputs on a batch at a state."""
    host, to_model = _Outputs(problem), model_tensors(problem.model)

    def call(state: State, batch: Any) -> Any:
        return _call_with(to_model(state), host, batch)

    return call


class _Outputs(nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.model = problem.model
        self._outputs = problem.outputs
        self.hint = problem.hint

    def forward(self, batch: Any) -> Any:
        return self._outputs(self.model, batch)


def recalibrate(problem: Problem, state: State, batches: Sequence[Any]) -> None:
    """Recompute the batch norms' running statistics in ``state``, in place, from ``batches``.

    Raises:
        ProblemError: a batch norm is scripted.

    Cumulative averages over the batches in order, dropout off; a shorter last batch is skipped, as
    its statistics would have the weight of a full batch.
    """
    sizes = [len(leaves(batch)[0]) for batch in batches]
    if len(batches) > 1 and sizes[-1] < sizes[0]:
        batches = batches[:-1]
    norms = batch_norms(problem.model)
    if any(isinstance(norm, torch.jit.ScriptModule) for norm in norms):
        raise ProblemError(
            "a scripted batch norm's statistics can't be recomputed; give the module that was scripted, or bn='fixed'"
        )
    own_names = {id(named.tensor): named.own_name for named in named_tensors(problem.model).values()}
    learned = [own_names[id(b)] for norm in norms for b in norm.buffers() if id(b) in own_names]
    for norm in norms:
        for buffer, start in ((norm.running_mean, 0), (norm.running_var, 1), (norm.num_batches_tracked, 0)):
            if buffer is not None:
                state[own_names[id(buffer)]].fill_(start)
    with _learning(norms):
        call = eager(problem, learned)
        for _ in problem.draws.each():
            measure_batches(problem, call, batches, state, title="train, for batch norm,")


@contextmanager
def _learning(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Make batch norms collect cumulative statistics; restore their settings at the end."""
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
    """Put the model in eval mode and torch on one thread; restore everything at the end, also after an exception.

    With one thread, the results are bit-identical for any number of workers, and one
    single-threaded process per core is faster than intra-op threads. Attention runs without torch's fused inference
    path, which treats padded positions in another way than the path that is differentiated.
    """
    before = ModuleState(model)
    threads, fast_path = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
    on_gpu = device.type == "cuda" or (torch.cuda.is_available() and torch.cuda.is_initialized())
    with kept_random_states(range(torch.cuda.device_count()) if on_gpu else []):
        try:
            torch.set_num_threads(1)
            torch.backends.mha.set_fastpath_enabled(False)
            switch_to_eval(model)
            yield
        finally:
            # A signal may have interrupted functional_call while it restored the tensors itself.
            with deferred_signals():
                torch.set_num_threads(threads)
                torch.backends.mha.set_fastpath_enabled(fast_path)
                before.restore()
