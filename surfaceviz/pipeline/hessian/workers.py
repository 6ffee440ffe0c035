"""Workers for curvature: this process, local ones, or the ranks of an MPI job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from surfaceviz.execute import WorkerSpec, can_fork, cores
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.pipeline.mpi import Ranks


@dataclass(frozen=True, slots=True)
class ShareSpectra:
    """Message to ranks: multiply vectors on your share of the samples, until `EndSpectra`."""


@dataclass(frozen=True, slots=True)
class EndSpectra:
    """Message to ranks: no further products follow."""


@dataclass(frozen=True, slots=True)
class ShareMap:
    """Message to ranks: evaluate rows of a map, in batches of this size."""

    batch_size: int


@contextmanager
def sharing_spectra(ranks: Ranks) -> Iterator[None]:
    """Share products with the other ranks within a ``with`` block."""
    ranks.tell(ShareSpectra())
    yield
    ranks.tell(EndSpectra())


def processes_here(ranks: Ranks, spec: WorkerSpec) -> int:
    """Return the number of processes that share this machine's memory."""
    return spec.count if ranks.root is None else ranks.on_node


def worker_spec(targets: HessianTargets, ranks: Ranks, pieces: int, *, worth: bool) -> WorkerSpec:
    """Return the workers for ``pieces`` pieces of work; local processes only if ``worth``."""
    if ranks.spec is not None:
        return ranks.spec
    count = min(ranks.workers or (cores() if worth else 1), pieces)
    return WorkerSpec(count, "fork") if can_fork() and targets.device.type == "cpu" and count > 1 else WorkerSpec()
