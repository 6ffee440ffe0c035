"""Hessian-vector products on one process's share of the samples; graphs are kept while they fit into memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surfaceviz.curvature.flat_parameters import ParameterLayout
from surfaceviz.curvature.products.hvp import BatchGraph, SavedTensorBytes, graph_builder, summed_gradient
from surfaceviz.curvature.products.same_loss import refuse_other_loss
from surfaceviz.errors import MemoryShortError
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import State, raise_if_written, tensor_versions
from surfaceviz.problem.problem import Problem
from surfaceviz.pytree import leaves, map_tensors

Rows: TypeAlias = NDArray[Any]

_SIZES = (128, 512, 2048)  # batch sizes to try; ours
_GROUP_BATCH = 128  # most samples of a group in one pass; ours
_TIMED = 0.1  # seconds of products to time a batch size; ours
_TRANSIENT = 1.0  # memory of one product, relative to the graph of a batch


@dataclass(frozen=True, slots=True)
class SetPoint:
    """A message: move to a point, by its number among the known points."""

    number: int


@dataclass(frozen=True, slots=True)
class ApplyMatrix:
    """A message: multiply vectors, rows (b, P), by the matrix at the current point."""

    rows: Rows


@dataclass(frozen=True, slots=True)
class DisplacedGradient:
    """A message: loss and gradient at the current point plus a vector (P,); the matrix stays that of the point."""

    vector: Rows


@dataclass(frozen=True, slots=True)
class PointSums:
    """The answer to `SetPoint` and `DisplacedGradient`: loss, weight and gradient (P,), summed over a share."""

    loss: float
    weight: float
    gradient: Rows


@dataclass(frozen=True, slots=True)
class GroupSums:
    """A message: gradient at the current point, summed over some samples.

    Attributes:
        samples: their indices among all samples, or the indices of batches that the user gave.
        count: the number of all samples.
    """

    samples: NDArray[np.int64]
    count: int


MESSAGES = (SetPoint, ApplyMatrix, DisplacedGradient, GroupSums)


@dataclass(frozen=True, slots=True)
class SampleShare:
    """The ``number``-th of ``count`` shares of the samples."""

    number: int = 0
    count: int = 1

    def of(self, split: DataSplit) -> DataSplit:
        """Return this share of a split; it may be empty."""
        if split.given:
            mine = split.given[self.number :: self.count]
            return DataSplit(name=split.name, count=split.count if mine else 0, sha256=split.sha256, given=mine)
        start, stop = (split.count * k // self.count for k in (self.number, self.number + 1))
        rows = map_tensors(lambda tensor: tensor[start:stop], split.rows)
        return DataSplit(name=split.name, count=stop - start, sha256=split.sha256, rows=rows)

    def batches(self, mine: DataSplit, group: GroupSums, size: int) -> Iterator[Any]:
        """Yield batches of a group, of at most ``size`` samples, that are in this share, whose split is ``mine``."""
        if mine.given:
            yield from (mine.given[i // self.count] for i in group.samples if i % self.count == self.number)
            return
        start = group.count * self.number // self.count
        own = group.samples[(group.samples >= start) & (group.samples < start + mine.count)] - start
        for part in torch.from_numpy(own).split(min(size, _GROUP_BATCH)) if len(own) else ():
            yield map_tensors(lambda rows, part=part: rows[part.to(rows.device)], mine.rows)  # type: ignore[misc]


class ShardedHvp:
    """Derivatives of the loss summed over a share of the samples; answers `MESSAGES`.

    Args:
        problem: its model is borrowed.
        split: this share of the samples, on the device and in the dtype of the weights.
        layout: the parameters of the matrix.
        own_names: canonical name -> name in the model.
        states: returns the state (by names in the model) of a point by its number.
        operator: ``hessian`` or ``ggn``.
        memory: bytes for graphs.
        batch: samples in a batch; None chooses it by timing.
        share: which share this is, for `GroupSums`; all samples by default.

    Attributes:
        batch_size: samples in a batch; 0 until it is chosen.
    """

    def __init__(
        self,
        problem: Problem,
        split: DataSplit,
        layout: ParameterLayout,
        *,
        own_names: Mapping[str, str],
        states: Callable[[int], State],
        operator: str = "hessian",
        memory: int,
        batch: int | None = None,
        share: SampleShare | None = None,
    ) -> None:
        self._problem, self._build = problem, graph_builder(problem, operator)
        self._split, self._layout, self._states = split, layout, states
        self._names = [own_names[name] for name in layout.names]
        self._memory, self._batch, self._share = memory, batch, share or SampleShare()
        self.batch_size = 0
        self._bytes = 1  # of the graph of a batch, once measured
        self._state: State = {}
        self._kept: list[BatchGraph] = []
        self._rebuilt: list[Any] = []  # batches whose graph is not kept
        self._inputs = leaves(split.rows) if split.rows is not None else [x for b in split.given for x in leaves(b)]
        self._versions = tensor_versions(self._inputs)

    def __call__(self, message: SetPoint | ApplyMatrix | DisplacedGradient | GroupSums) -> PointSums | Rows:
        """Return the answer to a message."""
        if isinstance(message, GroupSums):
            return self._gradient(self._state, self._share.batches(self._split, message, self.batch_size))
        if isinstance(message, DisplacedGradient):
            return self.displaced(message.vector)
        return self.set_point(message.number) if isinstance(message, SetPoint) else self.multiply(message.rows)

    def set_point(self, number: int) -> PointSums:
        """Move to a point and build its graphs; keep as many as fit into memory."""
        self._kept, self._rebuilt = [], []
        self._state = self._states(number)
        if not self._split.count:
            return PointSums(0.0, 0.0, np.zeros(self._layout.dimension))
        if not self.batch_size:
            self._choose_batch_size()
        capacity = int(self._memory / self._bytes - _TRANSIENT)
        loss = weight = 0.0
        gradient = np.zeros(self._layout.dimension)
        for batch in self._split.batches(self.batch_size):
            graph = self._graph(batch)
            loss, weight = loss + graph.loss, weight + graph.weight
            gradient += self._layout.flat(graph.gradient).double().cpu().numpy()
            if len(self._kept) < capacity:
                self._kept.append(graph)
            else:
                self._rebuilt.append(batch)
        raise_if_written(self._versions, self._inputs)
        refuse_other_loss(self._problem, self._state, self._split.batches(self.batch_size), (loss, weight))
        return PointSums(loss, weight, gradient)

    def displaced(self, vector: Rows) -> PointSums:
        """Return loss and gradient at the current point plus a vector (P,)."""
        moved = {}
        for name, part in zip(self._names, self._layout.split(torch.as_tensor(vector)), strict=True):
            tensor = self._state[name]
            moved[name] = tensor.double().add(part.to(tensor.device)).to(tensor.dtype)
        batches = self._split.batches(self.batch_size) if self._split.count else ()
        return self._gradient({**self._state, **moved}, batches)

    def _gradient(self, state: State, batches: Iterable[Any]) -> PointSums:
        loss = weight = 0.0
        gradient = np.zeros(self._layout.dimension)
        for batch in batches:
            summed, w, parts = summed_gradient(self._problem, state, self._names, batch)
            loss, weight = loss + summed, weight + w
            gradient += self._layout.flat(parts).double().cpu().numpy()
        return PointSums(loss, weight, gradient)

    def multiply(self, rows: Rows) -> Rows:
        """Return the products of the summed loss's matrix with vectors, rows (b, P)."""
        like = self._state[self._names[0]]
        vectors = [self._layout.split(torch.as_tensor(row, dtype=like.dtype, device=like.device)) for row in rows]
        total = np.zeros(rows.shape, rows.dtype)
        for graph in self._kept:
            self._add(total, graph, vectors)
        for batch in self._rebuilt:  # each graph is built once for all vectors
            self._add(total, self._graph(batch), vectors)
        return total

    def _add(self, total: Rows, graph: BatchGraph, vectors: Sequence[Sequence[Tensor]]) -> None:
        for i, vector in enumerate(vectors):
            total[i] += self._layout.flat(graph.product(vector)).detach().cpu().numpy()

    def _graph(self, batch: Any) -> BatchGraph:
        return self._build(self._state, self._names, batch)

    def _choose_batch_size(self) -> None:
        """Set the batch size: the given one, or the fastest of those whose graphs fit into memory."""
        if self._split.given or self._batch:
            self.batch_size = self._batch or self._split.count
            self._bytes = self._graph_bytes(self.batch_size)
            if (1 + _TRANSIENT) * self._bytes > self._memory:
                raise MemoryShortError(
                    f"the graph of a batch of {self._samples(self.batch_size)} samples needs "
                    f"{_megabytes((1 + _TRANSIENT) * self._bytes)} to be differentiated, but only "
                    f"{_megabytes(self._memory)} are available for graphs; give a smaller --batch, or more --memory"
                )
            return
        sizes = sorted({min(size, self._split.count) for size in _SIZES})
        smallest, taken = self._largest_fitting(sizes[0])
        most = self._memory * smallest / ((1 + _TRANSIENT) * taken)  # a graph grows linearly with its samples
        fitting = [smallest, *(size for size in sizes if smallest < size <= most)]
        self.batch_size = min(fitting, key=self._seconds) if len(fitting) > 1 else smallest
        self._bytes = taken * self.batch_size // smallest

    def _largest_fitting(self, size: int) -> tuple[int, int]:
        """Return a batch size whose graph fits, found by halving, and the bytes of that graph."""
        while (1 + _TRANSIENT) * (taken := self._graph_bytes(size)) > self._memory:
            if size == 1:
                raise MemoryShortError(
                    f"the graph of one sample needs {_megabytes((1 + _TRANSIENT) * taken)} to be differentiated, "
                    f"but only {_megabytes(self._memory)} are available for graphs; give more --memory"
                )
            size //= 2
        return size, taken

    def _graph_bytes(self, size: int) -> int:
        """Return the bytes of the tensors that the graph of the first batch saves."""
        counter = SavedTensorBytes([*self._inputs, *self._state.values()])
        self._build(self._state, self._names, self._split.batches(size)[0], counter)
        return max(counter.bytes, 1)

    def _seconds(self, size: int) -> float:
        """Return the seconds of a product per sample."""
        graph = self._graph(self._split.batches(size)[0])
        vector = [torch.ones_like(self._state[name]) for name in self._names]
        spent, runs = 0.0, 0
        while runs == 0 or (spent < _TIMED and runs < 3):  # noqa: PLR2004  one run is enough where it is long
            begun = time.perf_counter()
            graph.product(vector)[0].flatten()[:1].tolist()  # waits for the device
            spent, runs = spent + time.perf_counter() - begun, runs + 1
        return spent / runs / self._samples(size)

    def _samples(self, size: int) -> int:
        return len(leaves(self._split.batches(size)[0])[0])


def _megabytes(count: float) -> str:
    return f"{count / 2**20:,.1f} MB"
