"""Random numbers that a model draws: the same at every point, as its generators are seeded again for each batch."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

SOURCES = ("torch", "numpy", "python")  # global generators


@dataclass(slots=True, kw_only=True)
class RandomDraws:
    """The draws of random numbers over which a loss is averaged.

    Draw 0 seeds generators with ``seed``, draw k with a hash of (seed, k).

    Attributes:
        seed: seed of the first draw.
        count: number of draws; they are taken only where the model draws random numbers.
        sources: global generators that forward or the loss uses, found by a pass; torch's is always seeded.
        generators: generators in attributes of the model that forward uses.
    """

    seed: int = 0
    count: int = 1
    sources: frozenset[str] = frozenset()
    generators: list[Any] = field(default_factory=list)
    _first: int = 0
    _current: int = 0

    @property
    def are_taken(self) -> bool:
        """Whether the model or the loss draws random numbers."""
        return bool(self.sources or self.generators)

    @property
    def caveat(self) -> str:
        """A line about a loss of one draw or of a mean over draws; '' if none are taken."""
        of = "those of one draw" if self.count == 1 else f"means over {self.count} draws"
        return f"the model draws random numbers: values are {of}, of seed {self.seed}" if self.are_taken else ""

    def reseed(self) -> None:
        """Seed the generators for the current draw. Generators of the model keep their own state in draw 0 of seed 0.

        `torch.manual_seed` would record a traceback for a GPU that is never used.
        """
        seed = _seed_of(self.seed, self._current)
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
        if "numpy" in self.sources:
            np.random.seed(seed)  # noqa: NPY002  the global one, which a model may use
        if "python" in self.sources:
            random.seed(seed)
        for generator in self.generators if seed else ():
            _seed(generator, seed)

    def each(self) -> Iterator[int]:
        """Yield the number of each draw, which is the current one until the next; one draw if none are taken."""
        before = self._current
        try:
            for number in range(self.count if self.are_taken else 1):
                self._current = self._first + number
                yield number
        finally:
            self._current = before

    @contextmanager
    def others(self) -> Iterator[None]:
        """Take as many other draws in a ``with`` block."""
        self._first = self._current = self.count
        try:
            yield
        finally:
            self._first = self._current = 0


def _seed_of(seed: int, draw: int) -> int:
    """Return the seed of a draw.

    >>> _seed_of(7, 0), _seed_of(7, 1) != _seed_of(8, 1)
    (7, True)
    """
    return seed if draw == 0 else int(np.random.SeedSequence((seed, draw)).generate_state(1)[0])


def _seed(generator: Any, seed: int) -> None:
    """Seed a generator of torch, numpy or Python."""
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, np.random.Generator):
        kind: Any = type(generator.bit_generator)
        generator.bit_generator.state = kind(seed).state
    else:
        generator.seed(seed)  # np.random.RandomState, random.Random


def is_generator(value: object) -> bool:
    """Return whether a value is a random generator of torch, numpy or Python."""
    return isinstance(value, torch.Generator | np.random.Generator | np.random.RandomState | random.Random)


def state_of(generator: Any) -> Any:
    """Return a copy of a generator's state."""
    if isinstance(generator, np.random.Generator):
        return copy.deepcopy(generator.bit_generator.state)
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def same_state(state: Any, other: Any) -> bool:
    """Return whether two states of a generator are equal."""
    if isinstance(state, torch.Tensor):
        return torch.equal(state, other)
    with np.printoptions(threshold=2**12):  # states hold arrays
        return str(state) == str(other)


def restore_state(generator: Any, state: Any) -> None:
    """Put a generator into an earlier state."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)


def global_states(device: torch.device) -> dict[str, str]:
    """Return the states of the global generators as text: source -> state."""
    on_device = torch.cuda.get_rng_state(device).tolist() if device.type == "cuda" else []
    legacy: Any = np.random.get_state()  # noqa: NPY002
    return {
        "torch": str((torch.get_rng_state().tolist(), on_device)),
        "numpy": str((legacy[1].tolist(), *legacy[2:])),
        "python": str(random.getstate()),
    }
