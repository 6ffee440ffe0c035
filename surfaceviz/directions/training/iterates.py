"""Weights of many checkpoints as rows, read in blocks of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.errors import CheckpointError
from surfaceviz.problem.checkpoints import read_weights
from surfaceviz.records import FloatArray
from surfaceviz.signals import raise_if_interrupted

BLOCK_BYTES = 128 * 2**20  # of the rows that are in memory at once; ours

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Iterates:
    """The checkpoints of trainings as rows theta_t - theta; one block of parameters is in memory at a time.

    Attributes:
        files: ``FILE[:KEY]`` of each checkpoint.
        model: the model that they must fit.
        theta: the weights at the origin: name -> tensor, for the parameters that belong to the rows, sorted.
        block_bytes: of a block of rows in float64.
    """

    files: Sequence[str]
    model: nn.Module
    theta: Mapping[str, Tensor]
    block_bytes: int = BLOCK_BYTES

    @property
    def size(self) -> int:
        """The number of entries of a row."""
        return sum(tensor.numel() for tensor in self.theta.values())

    @property
    def width(self) -> int:
        """The number of entries of a block."""
        return max(1, self.block_bytes // (8 * len(self.files)))

    def check(self, say: Say) -> None:
        """Open every file, without reading its tensors.

        Args:
            say: receives the lines about the first file's names.

        Raises:
            CheckpointError: a file is missing, torn, or of another architecture.
        """
        for number, file in enumerate(self.files):
            self._open(file, say if number == 0 else _drop)

    def _open(self, file: str, say: Say) -> dict[str, Tensor]:
        try:
            return read_weights(file, self.model, say, lazily=True)
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}. A trajectory needs whole checkpoints of one architecture; leave this file out, or write it "
                "again"
            ) from error

    def blocks(self) -> Iterator[tuple[slice, FloatArray]]:
        """Yield the entries of a block, and the block of all rows, (t, width).

        Raises:
            CheckpointError: a file can't be read, or holds NaN or inf.
        """
        for start in range(0, self.size, self.width):
            entries = slice(start, min(start + self.width, self.size))
            yield entries, self._rows(entries)

    def _rows(self, entries: slice) -> FloatArray:
        parts = list(self._parts(entries))
        origin = torch.cat([self.theta[name].flatten()[inside].double() for name, inside in parts])
        rows = np.empty((len(self.files), entries.stop - entries.start))
        for row, file in zip(rows, self.files, strict=True):
            raise_if_interrupted()
            state = self._open(file, _drop)  # again for each block: a map that stays holds every page that was read
            read = [state[name].flatten()[inside].double() for name, inside in parts]
            torch.sub(torch.cat(read), origin, out=torch.from_numpy(row))
            if not np.isfinite(row).all():
                broken = next(name for (name, _), part in zip(parts, read, strict=True) if not part.isfinite().all())
                raise CheckpointError(f"{file} holds NaN or inf in {broken}; leave this checkpoint out")
        return rows

    def _parts(self, entries: slice) -> Iterator[tuple[str, slice]]:
        """Yield the name of each tensor in a block, and which of its entries."""
        start = 0
        for name, tensor in self.theta.items():
            inside = slice(max(entries.start - start, 0), min(entries.stop - start, tensor.numel()))
            if inside.start < inside.stop:
                yield name, inside
            start += tensor.numel()

    def split(self, row: FloatArray) -> dict[str, Tensor]:
        """Return a row as tensors by name, in the dtype of theta."""
        lengths = [tensor.numel() for tensor in self.theta.values()]
        pieces = torch.from_numpy(row).split(lengths)
        return {
            name: piece.reshape(tensor.shape).to(tensor.dtype)
            for (name, tensor), piece in zip(self.theta.items(), pieces, strict=True)
        }


def _drop(_line: str) -> None:
    pass
