"""Who measures curvature: this process, local ones, or the ranks of an MPI job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from surfaceviz.errors import ProblemError
from surfaceviz.execute import MpiRoot, WorkerSpec, can_fork, cores
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.reporting import Reporter


@dataclass(frozen=True, slots=True)
class MapOf:
    """Tells ranks to take rows of a map, in batches of so many samples."""

    batch: int


@dataclass(frozen=True, slots=True)
class HessianWorkers:
    """Who does the work, and who is told.

    Attributes:
        asked: local processes; None chooses.
        crew: the other ranks, of whom this process is rank 0; None without an MPI launcher.
        reporter: told what happens.
        local: this process among those of its node.
        beside: ranks on this node, this one included.
    """

    asked: int | None
    root: MpiRoot | None
    reporter: Reporter
    local: int = 0
    beside: int = 1

    def sharing(self, where: WorkerSpec) -> int:
        """Return the processes that share this machine's memory."""
        return where.count if self.root is None else self.beside

    @contextmanager
    def others(self, word: str | MapOf) -> Iterator[None]:
        """Have the other ranks take part in a kind of work for a ``with`` block."""
        if self.root is not None:
            self.root.broadcast(word)
        yield
        if self.root is not None and word == "spectra":
            self.root.broadcast("over")  # a map's chunks run out by themselves

    def count(self, targets: HessianTargets, most: int, *, worth: bool) -> WorkerSpec:
        """Return the processes for work in ``most`` pieces."""
        if self.root is not None:
            return WorkerSpec(self.root.size, "mpi", self.root)
        count = min(self.asked or (cores() if worth else 1), most)
        return WorkerSpec(count, "fork") if can_fork() and targets.device.type == "cpu" and count > 1 else WorkerSpec()

    def meet(self, targets: HessianTargets) -> None:
        """Compare what all ranks have built.

        Raises:
            ProblemError: a rank has other weights or data, or was asked something else.
        """
        for name, theirs in [] if self.root is None else self.root.gather_reports():
            differing = [key for key, word in targets.identity.items() if theirs.get(key) != word]
            if differing:
                raise ProblemError(f"{name} has another {differing[0]} than rank 0; all ranks must make the same call")
