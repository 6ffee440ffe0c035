"""Spectra of points, one after another. Processes share the samples, with one reduction for each product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from surfaceviz.curvature import (
    DENSE_VECTORS,
    MAX_BASIS_SIZE,
    Operator,
    SampleShare,
    ShardedHvp,
    SpectrumSpec,
    check_derivatives,
    count_kinks,
    min_basis_size,
    random_groups,
    spectrum,
)
from surfaceviz.errors import error_context
from surfaceviz.execute import WorkerSpec, available_memory, map_workers
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.stored_values import refuse_other_value
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.pipeline.hessian.trained import untrained_lines
from surfaceviz.problem.functional import loss_sums
from surfaceviz.records import Spectrum
from surfaceviz.reporting import Reporter
from surfaceviz.signals import raise_if_interrupted

_BATCH = 512  # samples in a batch for counting kinks
_VECTORS_SHARE = 0.5  # largest share of the memory


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """Bytes for basis vectors and for the autograd graphs of one process."""

    vectors: int
    graphs: int

    @classmethod
    def of(cls, total: int | None, vector_bytes: int, *, most: int, bases: int, processes: int) -> MemoryBudget:
        """Divide memory among ``bases`` bases of at most ``most`` vectors and the graphs of ``processes`` processes."""
        whole = total or available_memory() // 2
        vectors = min(most * vector_bytes, int(_VECTORS_SHARE * whole / bases))
        return cls(vectors, (whole - bases * vectors) // processes)


def build_hvp(targets: HessianTargets, request: HessianRequest, memory: MemoryBudget, share: SampleShare) -> ShardedHvp:
    """Return the Hessian-vector product on a process's share of the samples."""
    return ShardedHvp(
        targets.problem, share.of(targets.split), targets.layout, own_names=targets.own_names, states=targets.state,
        operator=request.spectrum.operator, memory=memory.graphs, batch=request.batch_size, share=share,
    )  # fmt: skip


def divide_memory(targets: HessianTargets, request: HessianRequest, *, bases: int, processes: int) -> MemoryBudget:
    """Return the memory for basis vectors and for graphs."""
    each = targets.layout.dimension * torch.finfo(targets.dtype).bits // 8
    wanted = request.spectrum
    dimension = targets.layout.dimension
    most = max(MAX_BASIS_SIZE, min_basis_size(*wanted.counts(dimension), wanted.block), wanted.steps)
    if wanted.is_dense(dimension):
        most = max(most, 8 * DENSE_VECTORS * dimension**2 // each + 1)
    return MemoryBudget.of(request.memory, each, most=most, bases=bases, processes=processes)


def compute_spectra(
    targets: HessianTargets,
    request: HessianRequest,
    missing: Sequence[tuple[int, SpectrumSpec]],
    *,
    workers: WorkerSpec,
    memory: MemoryBudget,
    reporter: Reporter,
    derivatives: str,
) -> Iterator[Spectrum]:
    """Yield the spectrum of each missing point; each process multiplies on its share of the samples."""
    make = lambda number: build_hvp(targets, request, memory, SampleShare(number, workers.count))  # noqa: E731
    with map_workers(make, workers) as each:
        operator = Operator(each, targets.layout, targets.dtype)
        for number, wanted in missing:
            raise_if_interrupted()
            site = targets.site(number)
            site = replace(site, fields={**site.fields, "derivatives": derivatives})
            for line in untrained_lines(targets, number):
                reporter.warn(line)
            if kinks := kinks_at(targets, number):
                note = kink_note(kinks)
                site = replace(site, fields={**site.fields, "notes": (note,)})
                reporter.warn(note)
            given = targets.split.given
            groups = random_groups(len(given) or targets.split.count, single=bool(given))
            site = replace(site, kinks=kinks, groups=groups)
            record, _ = spectrum(operator, site, replace(wanted, memory=memory.vectors), say=reporter.say)
            refuse_other_value(targets.points[number].stored, record.loss)
            for note in record.notes[len(site.fields.get("notes", ())) :]:
                reporter.warn(note)
            yield record


def check_at(targets: HessianTargets, number: int, reporter: Reporter, operator: str = "hessian") -> str:
    """Return whether derivatives at a point agree with differences, on a few samples, in words.

    Raises:
        ProblemError: they do not.
    """
    names = [targets.own_names[name] for name in targets.layout.names]
    found = check_derivatives(targets.problem, targets.split, targets.state(number), names, operator=operator)
    reporter.say(f"derivatives: {found}")
    return str(found)


def kink_note(kinks: str) -> str:
    """Return the warning about kinks."""
    return f"there may be no Hessian in the strict sense: {kinks} at a kink or tie exactly"


def kinks_at(targets: HessianTargets, number: int) -> str:
    """Return the operators whose inputs lie exactly at a kink or tie, in words; '' if there are none."""
    state, sum_losses = targets.state(number), loss_sums(targets.problem)
    names = [targets.own_names[name] for name in targets.layout.names]

    def run(leaves: Sequence[Tensor]) -> None:
        for batch in targets.split.batches(_BATCH):
            sum_losses({**state, **dict(zip(names, leaves, strict=True))}, batch)

    with error_context("the loss"):
        return count_kinks([state[name] for name in names], run).words
