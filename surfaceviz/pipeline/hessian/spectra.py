"""Spectra of points one after another, the samples shared out: one reduction a product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from surfaceviz.curvature import (
    MAX_BASIS_SIZE,
    Operator,
    SampleShare,
    ShardedHvp,
    SpectrumSpec,
    count_kinks,
    min_basis_size,
    spectrum,
)
from surfaceviz.execute import WorkerSpec, available_memory, map_workers
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.problem.functional import error_context, loss_sums
from surfaceviz.records import Spectrum
from surfaceviz.reporting import Reporter
from surfaceviz.signals import raise_if_interrupted

_BATCH = 512  # samples of a batch that is only looked at
_VECTORS_SHARE = 0.5  # of the memory, at the most


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes for basis vectors, and for the graphs of one process."""

    vectors: int
    graphs: int

    @classmethod
    def of(cls, asked: int | None, vector_bytes: int, *, most: int, bases: int, processes: int) -> Memory:
        """Return how memory is divided between so many bases, of at most so many vectors, and processes."""
        whole = asked or available_memory() // 2
        vectors = min(most * vector_bytes, int(_VECTORS_SHARE * whole / bases))
        return cls(vectors, (whole - bases * vectors) // processes)


def make_sums(targets: HessianTargets, request: HessianRequest, memory: Memory, share: SampleShare) -> ShardedHvp:
    """Return what multiplies vectors on a process's share of the samples."""
    return ShardedHvp(
        targets.problem, share.of(targets.split), targets.layout, targets.own_names, targets.state,
        operator=request.spectrum.operator, memory=memory.graphs, batch=request.batch_size,
    )  # fmt: skip


def divided(targets: HessianTargets, request: HessianRequest, *, bases: int, processes: int) -> Memory:
    """Return how the memory is divided."""
    each = targets.layout.dimension * torch.finfo(targets.dtype).bits // 8
    wanted = request.spectrum
    most = max(MAX_BASIS_SIZE, min_basis_size(*wanted.counts(targets.layout.dimension), wanted.block), wanted.steps)
    return Memory.of(request.memory, each, most=most, bases=bases, processes=processes)


def spectra(
    targets: HessianTargets,
    request: HessianRequest,
    missing: Sequence[tuple[int, SpectrumSpec]],
    workers: WorkerSpec,
    memory: Memory,
    reporter: Reporter,
) -> Iterator[Spectrum]:
    """Yield the spectrum of each point by its number; each process multiplies on its share of the samples."""
    make = lambda number: make_sums(targets, request, memory, SampleShare(number, workers.count))  # noqa: E731
    with map_workers(make, workers) as each:
        operator = Operator(each, targets.layout, targets.dtype)
        for number, wanted in missing:
            raise_if_interrupted()
            site = targets.site(number)
            if words := kinks(targets, number):
                site.fields["notes"] = (f"there is no Hessian in the strict sense: {words} at a kink or tie exactly",)
                reporter.warn(site.fields["notes"][0])
            record, _ = spectrum(operator, site, replace(wanted, memory=memory.vectors), say=reporter.say)
            yield record


def kinks(targets: HessianTargets, number: int) -> str:
    """Return what lies exactly at a kink of a rectifier or a tie of a pooling there, in words; nothing mostly."""
    state, measure = targets.state(number), loss_sums(targets.problem)
    names = [targets.own_names[name] for name in targets.layout.names]

    def run(leaves: Sequence[Tensor]) -> None:
        for batch in targets.split.batches(_BATCH):
            measure({**state, **dict(zip(names, leaves, strict=True))}, batch)

    with error_context("the loss"):
        return count_kinks([state[name] for name in names], run).words
