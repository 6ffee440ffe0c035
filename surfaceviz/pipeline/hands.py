"""Who measures curvature: this process, local ones, or the ranks of an MPI job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from surfaceviz.errors import ProblemError
from surfaceviz.execute import Crew, Workers, can_fork, cores
from surfaceviz.listener import Listener
from surfaceviz.pipeline.ground import Ground


@dataclass(frozen=True, slots=True)
class MapOf:
    """Tells ranks to take rows of a map, in batches of so many samples."""

    batch: int


@dataclass(frozen=True, slots=True)
class Hands:
    """Who does the work, and who is told.

    Attributes:
        asked: local processes; None chooses.
        crew: the other ranks, of whom this process is rank 0; None without an MPI launcher.
        listener: told what happens.
        local: this process among those of its node.
        beside: ranks on this node, this one included.
    """

    asked: int | None
    crew: Crew | None
    listener: Listener
    local: int = 0
    beside: int = 1

    def sharing(self, where: Workers) -> int:
        """Return the processes that share this machine's memory."""
        return where.count if self.crew is None else self.beside

    @contextmanager
    def others(self, word: str | MapOf) -> Iterator[None]:
        """Have the other ranks take part in a kind of work for a ``with`` block."""
        if self.crew is not None:
            self.crew.tell(word)
        yield
        if self.crew is not None and word == "spectra":
            self.crew.tell("over")  # a map's chunks run out by themselves

    def count(self, ground: Ground, most: int, *, worth: bool) -> Workers:
        """Return the processes for work in ``most`` pieces."""
        if self.crew is not None:
            return Workers(self.crew.size, "mpi", self.crew)
        count = min(self.asked or (cores() if worth else 1), most)
        return Workers(count, "fork") if can_fork() and ground.device.type == "cpu" and count > 1 else Workers()

    def meet(self, ground: Ground) -> None:
        """Compare what all ranks have built.

        Raises:
            ProblemError: a rank has other weights or data, or was asked something else.
        """
        for name, theirs in [] if self.crew is None else self.crew.hear():
            differing = [key for key, word in ground.identity.items() if theirs.get(key) != word]
            if differing:
                raise ProblemError(f"{name} has another {differing[0]} than rank 0; all ranks must make the same call")
