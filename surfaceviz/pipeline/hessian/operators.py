"""Operators of the matrix at the targets, and the memory that their vectors and graphs may take."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from surfaceviz.curvature import DENSE_VECTORS, MAX_BASIS_SIZE, SampleShare, ShardedHvp, min_basis_size
from surfaceviz.execute import available_memory
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets

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
