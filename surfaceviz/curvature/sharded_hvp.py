"""One process's share of the samples: derivatives of the summed loss at a point, with graphs kept while they fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surfaceviz.curvature.flat_parameters import ParameterLayout
from surfaceviz.curvature.hvp import Build, Graph, Held, builder
from surfaceviz.errors import MemoryShortError
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import State, raise_if_written, tensor_versions
from surfaceviz.problem.problem import Problem
from surfaceviz.pytree import leaves, map_tensors

Place: TypeAlias = tuple[float, ...]
Rows: TypeAlias = NDArray[Any]

_SIZES = (128, 512, 2048)  # samples of a batch that are tried; ours
_TIMED = 0.1  # seconds of products that tell a size; ours
_TRANSIENT = 1.0  # times a batch's graph that differentiating it takes beside


@dataclass(frozen=True, slots=True)
class Open:
    """Asks for a point to be opened: its number among those that are known."""

    number: int


@dataclass(frozen=True, slots=True)
class Multiply:
    """Asks for products of vectors, rows (b, P), with the matrix of the open point."""

    rows: Rows


@dataclass(frozen=True, slots=True)
class Opened:
    """The sums of a point: loss, weight, gradient (P,)."""

    loss: float
    weight: float
    gradient: Rows


@dataclass(frozen=True, slots=True)
class SampleShare:
    """The ``number``-th of ``count`` shares of the samples."""

    number: int = 0
    count: int = 1

    def of(self, split: DataSplit) -> DataSplit:
        """Return this share of a split, which may be empty."""
        if split.given:
            mine = split.given[self.number :: self.count]
            return DataSplit(split.name, split.count if mine else 0, split.sha256, given=mine)
        start, stop = (split.count * k // self.count for k in (self.number, self.number + 1))
        rows = map_tensors(lambda tensor: tensor[start:stop], split.rows)
        return DataSplit(split.name, stop - start, split.sha256, rows)


class Sums:
    """Answers `Open` and `Multiply` for a share of the samples.

    Args:
        problem: whose model is borrowed.
        split: this share of the samples, on the device and in the dtype of the weights.
        layout: the parameters that the matrix is over.
        own_names: canonical name -> the model's own.
        states: gives the state (by the model's own names) of a point by its number.
        operator: ``hessian`` or ``ggn``.
        memory: bytes that graphs may take.
        batch: samples in a batch; None measures it.

    Attributes:
        size: samples in a batch; 0 until it is chosen.
    """

    def __init__(
        self,
        problem: Problem,
        split: DataSplit,
        layout: ParameterLayout,
        own_names: Mapping[str, str],
        states: Callable[[int], State],
        *,
        operator: str = "hessian",
        memory: int,
        batch: int | None = None,
    ) -> None:
        self._build: Build = builder(problem, operator)
        self._split, self._layout, self._states = split, layout, states
        self._names = [own_names[name] for name in layout.names]
        self._memory, self._batch = memory, batch
        self.size = 0
        self._bytes = 1  # of a batch's graph, once it is measured
        self._state: State = {}
        self._kept: list[Graph] = []
        self._others: list[Any] = []  # batches of which no graph is kept
        self._inputs = leaves(split.rows) if split.rows is not None else [x for b in split.given for x in leaves(b)]
        self._versions = tensor_versions(self._inputs)

    def __call__(self, message: Open | Multiply) -> Opened | Rows:
        """Return the answer."""
        return self.open(message.number) if isinstance(message, Open) else self.multiply(message.rows)

    def open(self, number: int) -> Opened:
        """Go to a point: build its graphs, and keep as many as there is memory for."""
        self._kept, self._others = [], []
        self._state = self._states(number)
        if not self._split.count:
            return Opened(0.0, 0.0, np.zeros(self._layout.dimension))
        if not self.size:
            self._choose()
        room = int(self._memory / self._bytes - _TRANSIENT)
        loss = weight = 0.0
        gradient = np.zeros(self._layout.dimension)
        for batch in self._split.batches(self.size):
            graph = self._built(batch)
            loss, weight = loss + graph.loss, weight + graph.weight
            gradient += self._layout.flat(graph.gradient).double().cpu().numpy()
            if len(self._kept) < room:
                self._kept.append(graph)
            else:
                self._others.append(batch)
        raise_if_written(self._versions, self._inputs)
        return Opened(loss, weight, gradient)

    def multiply(self, rows: Rows) -> Rows:
        """Return the products of vectors with the matrix of the summed loss, rows (b, P)."""
        like = self._state[self._names[0]]
        vectors = [self._layout.split(torch.as_tensor(row, dtype=like.dtype, device=like.device)) for row in rows]
        total = np.zeros(rows.shape, rows.dtype)
        for graph in self._kept:
            self._add(total, graph, vectors)
        for batch in self._others:  # built once for all vectors
            self._add(total, self._built(batch), vectors)
        return total

    def _add(self, total: Rows, graph: Graph, vectors: Sequence[Sequence[Tensor]]) -> None:
        for i, vector in enumerate(vectors):
            total[i] += self._layout.flat(graph.product(vector)).cpu().numpy()

    def _built(self, batch: Any) -> Graph:
        return self._build(self._state, self._names, batch)

    def _choose(self) -> None:
        """Choose the size of a batch: given, or the one of the fastest products of those whose graphs fit."""
        if self._split.given or self._batch:
            self.size = self._batch or self._split.count
            self._bytes = self._measured(self.size)
            if (1 + _TRANSIENT) * self._bytes > self._memory:
                raise MemoryShortError(
                    f"the graph of a batch of {self._samples(self.size)} samples takes "
                    f"{_megabytes((1 + _TRANSIENT) * self._bytes)} with what differentiating it needs, over the "
                    f"{_megabytes(self._memory)} there are for graphs; give a smaller --batch, or more --memory"
                )
            return
        sizes = sorted({min(size, self._split.count) for size in _SIZES})
        smallest, taken = self._fitting(sizes[0])
        most = self._memory * smallest / ((1 + _TRANSIENT) * taken)  # a graph grows as its samples
        fitting = [smallest, *(size for size in sizes if smallest < size <= most)]
        self.size = min(fitting, key=self._seconds) if len(fitting) > 1 else smallest
        self._bytes = taken * self.size // smallest

    def _fitting(self, size: int) -> tuple[int, int]:
        """Return a size whose graph fits, halved as often as it must be, and the bytes of that graph."""
        while (1 + _TRANSIENT) * (taken := self._measured(size)) > self._memory:
            if size == 1:
                raise MemoryShortError(
                    f"the graph of one sample takes {_megabytes((1 + _TRANSIENT) * taken)} with what differentiating "
                    f"it needs, over the {_megabytes(self._memory)} there are for graphs; give more --memory"
                )
            size //= 2
        return size, taken

    def _measured(self, size: int) -> int:
        """Return the bytes that the graph of the first batch saves."""
        held = Held([*self._inputs, *self._state.values()])  # which are there anyway
        self._build(self._state, self._names, self._split.batches(size)[0], held)
        return max(held.bytes, 1)

    def _seconds(self, size: int) -> float:
        """Return the seconds that a product takes for each sample."""
        graph = self._built(self._split.batches(size)[0])
        vector = [torch.ones_like(self._state[name]) for name in self._names]
        spent, runs = 0.0, 0
        while runs == 0 or (spent < _TIMED and runs < 3):  # noqa: PLR2004  a long one is told well by one
            begun = time.perf_counter()
            graph.product(vector)[0].flatten()[:1].tolist()  # a device is waited for
            spent, runs = spent + time.perf_counter() - begun, runs + 1
        return spent / runs / self._samples(size)

    def _samples(self, size: int) -> int:
        return len(leaves(self._split.batches(size)[0])[0])


def _megabytes(count: float) -> str:
    return f"{count / 2**20:,.1f} MB"
