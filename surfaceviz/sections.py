"""How splits are cut into batches: each by itself, or all in a row in batches of one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.data import Split
from surfaceviz.tree import Tree, leaves, map_leaves, map_tensors


@dataclass(frozen=True, slots=True)
class Section:
    """Splits that lie in a row in the same batches; rows behind the last one's only fill the last batch."""

    names: tuple[str, ...]
    counts: tuple[int, ...]  # samples; () where a batch need not give one value for each
    batches: tuple[Tree, ...]

    @property
    def title(self) -> str:
        """The splits' names, for messages."""
        return ", ".join(self.names)


def apart(splits: Sequence[Split], size: int) -> list[Section]:
    """Return a section for each split: batches of ``size`` with a short last one, or the batches as given."""
    return [Section((split.name,), (), tuple(split.batches(size))) for split in splits]


def in_a_row(splits: Sequence[Split], size: int) -> list[Section]:
    """Return sections of splits whose samples are alike, in batches of one size of at most ``size``.

    The size is evened out, so that little is filled: 1797 samples in batches of at most 480 make four of
    450. The last batch is filled with copies of the last sample.
    """
    alike: dict[str, list[Split]] = {}
    for split in splits:
        alike.setdefault(_kind(split.rows), []).append(split)
    return [_row(group, size) for group in alike.values()]


def _kind(rows: Tree) -> str:
    return str(map_leaves(lambda leaf: (leaf.dtype, leaf.shape[1:]) if isinstance(leaf, Tensor) else leaf, rows))


def _row(splits: Sequence[Split], size: int) -> Section:
    total = sum(split.count for split in splits)
    number = math.ceil(total / size)
    size = math.ceil(total / number)
    columns = zip(*(leaves(split.rows) for split in splits), strict=True)
    filled = iter([_filled(parts, number * size) for parts in columns])
    rows = map_tensors(lambda _: next(filled), splits[0].rows)
    batches = tuple(map_tensors(lambda t, i=i: t[i * size : (i + 1) * size], rows) for i in range(number))  # type: ignore[misc]
    return Section(tuple(s.name for s in splits), tuple(s.count for s in splits), batches)


def _filled(parts: Sequence[Tensor], total: int) -> Tensor:
    """Return the parts in a row, filled up to ``total`` rows with copies of the last."""
    last = parts[-1][-1:]
    return torch.cat([*parts, last.expand(total - sum(map(len, parts)), *last.shape[1:])])
