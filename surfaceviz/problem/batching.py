"""Batches of splits, separately or jointly in batches of one size; the batch norms that make samples depend on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.filter_rules import module_class
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


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms that keep running statistics."""
    found: Any = (module for module in model.modules() if issubclass(module_class(module), _BatchNorm))
    return [module for module in found if module.running_mean is not None]


def coupling_norms(model: nn.Module) -> list[_NormBase]:
    """Return the batch norms that keep no running statistics, so that a sample's output depends on its batch."""
    norms: Any = (module for module in model.modules() if issubclass(module_class(module), _NormBase))
    return [n for n in norms if n.running_mean is None and "InstanceNorm" not in module_class(n).__name__]
