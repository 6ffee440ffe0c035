"""Batches of splits: each split separately, or several splits jointly in batches of one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.problem.data import DataSplit
from surfaceviz.pytree import Tree, leaves, map_leaves, map_tensors


@dataclass(frozen=True, slots=True)
class BatchedSplits:
    """Splits that share batches, one after another; rows after the last split only pad the last batch."""

    names: tuple[str, ...]
    counts: tuple[int, ...]  # samples of each split; () if batches need not give one value per sample
    batches: tuple[Tree, ...]

    @property
    def title(self) -> str:
        """The splits' names, for messages."""
        return ", ".join(self.names)


def batch_separately(splits: Sequence[DataSplit], size: int) -> list[BatchedSplits]:
    """Return each split's own batches: of ``size`` with a shorter last batch, or the fixed batches of the split."""
    return [BatchedSplits((split.name,), (), tuple(split.batches(size))) for split in splits]


def batch_jointly(splits: Sequence[DataSplit], size: int) -> list[BatchedSplits]:
    """Return joint batches of the splits whose samples have equal shapes and dtypes, of one size up to ``size``.

    The batch size is reduced to minimise padding: 1797 samples in batches of at most 480 make four batches of
    450. Copies of the last sample pad the last batch.
    """
    alike: dict[str, list[DataSplit]] = {}
    for split in splits:
        alike.setdefault(_kind(split.rows), []).append(split)
    return [_row(group, size) for group in alike.values()]


def _kind(rows: Tree) -> str:
    return str(map_leaves(lambda leaf: (leaf.dtype, leaf.shape[1:]) if isinstance(leaf, Tensor) else leaf, rows))


def _row(splits: Sequence[DataSplit], size: int) -> BatchedSplits:
    total = sum(split.count for split in splits)
    number = math.ceil(total / size)
    size = math.ceil(total / number)
    columns = list(zip(*(leaves(split.rows) for split in splits), strict=True))
    batches = []
    for batch in range(number):
        run_slice = iter([_cut(parts, batch * size, size) for parts in columns])
        batches.append(map_tensors(lambda _, run_slice=run_slice: next(run_slice), splits[0].rows))  # type: ignore[misc]
    return BatchedSplits(tuple(s.name for s in splits), tuple(s.count for s in splits), tuple(batches))


def _cut(parts: Sequence[Tensor], start: int, size: int) -> Tensor:
    """Return ``size`` rows of the concatenated parts, padded with copies of the last row; a view where possible."""
    pieces, offset = [], 0
    for part in parts:
        piece = part[max(start - offset, 0) : max(start + size - offset, 0)]
        pieces += [piece] if len(piece) else []
        offset += len(part)
    missing = size - sum(map(len, pieces))
    if missing:
        last = parts[-1][-1:]
        pieces.append(last.expand(missing, *last.shape[1:]))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
