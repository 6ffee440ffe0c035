"""Data of the user, materialised once and in order."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, default_collate

from surfaceviz.errors import ProblemError, user_code_location
from surfaceviz.pytree import Tree, leaves, map_leaves, map_tensors, update_digest

_CHUNK = 512  # samples of a data set that are collated at a time
_AGAIN = 64  # samples, and _AGAIN_BATCHES batches, that are read twice to detect shuffling and augmentation
_AGAIN_BATCHES = 4
_NO_SUBSET = "a subset of samples needs a loss on samples, not measure= on given batches"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSplit:
    """The data of one split: one tree of tensors, or fixed batches that must not be cut again."""

    name: str
    count: int  # samples
    sha256: str
    rows: Tree = None  # leading axis: samples
    given: tuple[Tree, ...] = ()

    def batches(self, size: int) -> list[Tree]:
        """Return the batches of a pass, in order: views of ``size`` samples, or the batches as given."""
        if self.given:
            return list(self.given)
        return [_rows(self.rows, slice(start, start + size)) for start in range(0, self.count, size)]

    def head(self, count: int) -> DataSplit:
        """Return the first ``count`` samples, or the batches that hold them, with the whole fingerprint."""
        if count >= self.count:
            return self
        if self.given:
            each = max(1, self.count // len(self.given))
            kept = self.given[: math.ceil(count / each)]
            return replace(self, count=min(self.count, each * len(kept)), given=kept)
        return replace(self, count=count, rows=_rows(self.rows, slice(0, count)))

    def subset(self, samples: int) -> DataSplit:
        """Return the seeded subset of ``samples`` samples as in `load`, with the fingerprint of the whole split.

        Raises:
            ProblemError: the split has fixed batches.
        """
        if self.given:
            raise ProblemError(f"split {self.name}: {_NO_SUBSET}")
        index = _chosen(self.count, samples)
        return self if index is None else replace(self, count=samples, rows=_rows(self.rows, index))

    def mapped(self, function: Callable[[Tree], Tree]) -> DataSplit:
        """Return the split with a function applied to its trees (to move or to cast them)."""
        rows = None if self.given else function(self.rows)
        return replace(self, rows=rows, given=tuple(map(function, self.given)))


def load(name: str, source: Any, *, samples: int | None = None, as_given: bool = False) -> DataSplit:
    """Return a split materialised from the user's source.

    Args:
        name: the split's name, for messages.
        source: a tuple or dict of arrays, a map-style data set (of samples), or a re-iterable of
            batches such as a `DataLoader`.
        samples: the size of the seeded subset to keep. The subset does not depend on the kind of source, and
            a smaller subset is part of a larger one. Ours.
        as_given: keep the batches of a re-iterable as they are, for losses that couple a batch.

    Raises:
        ProblemError: the data are empty, have unequal lengths, or change when read again (shuffled, augmented,
            one-shot).
    """
    with torch.random.fork_rng(devices=[]), _guarded(name):  # a loader draws a seed even without shuffling
        if _is_arrays(source):
            return _finish(name, _subset_arrays(name, _tensors(source), samples))
        if _is_dataset(source):
            return _finish(name, _read_dataset(name, source, samples))
        if not isinstance(source, Iterable):
            raise ProblemError(f"split {name}: expected tensors, a data set or batches, got {type(source).__name__}")
        return _read_batches(name, source, samples, as_given=as_given)


@contextmanager
def _guarded(name: str) -> Iterator[None]:
    """Convert an exception of the user's data set or loader into a `ProblemError` that names the split."""
    try:
        yield
    except ProblemError:
        raise
    except Exception as error:
        raise ProblemError(f"split {name} raised {type(error).__name__}: {error}{user_code_location(error)}") from error


def combined_sha256(splits: Iterable[DataSplit]) -> str:
    """Return one fingerprint for several splits."""
    return hashlib.sha256("".join(f"{s.name}\0{s.sha256}\0" for s in splits).encode()).hexdigest()


def _is_arrays(source: Any) -> bool:
    """Return whether the source is columns: a tuple or dict of arrays. A list holds batches."""
    if isinstance(source, Tensor | np.ndarray):
        return True
    values = source.values() if isinstance(source, Mapping) else source if isinstance(source, tuple) else ()
    return bool(values) and all(isinstance(value, Tensor | np.ndarray) for value in values)


def _is_dataset(source: Any) -> bool:
    if isinstance(source, IterableDataset):
        raise ProblemError("an IterableDataset gives samples once; wrap it in a DataLoader, or give tensors")
    indexable = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    return isinstance(source, Dataset) or (indexable and not isinstance(source, Sequence | Mapping))


def _tensors(source: Tree) -> Tree:
    """Return the tree with arrays as tensors, lists as tuples."""
    return map_leaves(_as_tensor, source)


def _as_tensor(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(leaf))
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


def _length(name: str, tree: Tree) -> int:
    lengths = {len(leaf) if leaf.ndim else 0 for leaf in leaves(tree)}
    if not lengths:
        raise ProblemError(f"split {name} holds no tensor; give tensors, arrays, or batches of them")
    if len(lengths) != 1:
        raise ProblemError(f"split {name}: tensors of different lengths {sorted(lengths)}; one row for each sample")
    return lengths.pop()


def _rows(tree: Tree, index: slice | Tensor) -> Tree:
    return map_tensors(lambda tensor: tensor[index], tree)


def _priorities() -> Iterator[float]:
    """Return an endless stream of priorities, one for each sample; a subset keeps the smallest."""
    generator = np.random.Generator(np.random.Philox(key=0))
    while True:
        yield from generator.random(4096).tolist()


def _chosen(count: int, samples: int | None) -> Tensor | None:
    """Return the sorted indices of the subset, or None for all."""
    if samples is None or samples >= count:
        return None
    return torch.from_numpy(np.sort(subset_order(count)[:samples]))


def subset_order(count: int) -> NDArray[np.intp]:
    """Return the sample indices in the order in which growing subsets include them."""
    return np.argsort(np.fromiter(itertools.islice(_priorities(), count), np.float64, count), kind="stable")


def _subset_arrays(name: str, tree: Tree, samples: int | None) -> Tree:
    index = _chosen(_length(name, tree), samples)
    return tree if index is None else _rows(tree, index)


def _read_dataset(name: str, source: Any, samples: int | None) -> Tree:
    count = len(source)
    chosen = _chosen(count, samples)
    indices: list[int] = list(range(count)) if chosen is None else chosen.tolist()
    if not indices:
        raise ProblemError(f"split {name} is empty")
    chunks = [
        _tensors(default_collate([source[i] for i in indices[start : start + _CHUNK]]))
        for start in range(0, len(indices), _CHUNK)
    ]
    rows = _concatenate(chunks)
    if rows is None:
        raise ProblemError(f"split {name}: its samples differ in shape; give a DataLoader that pads them")
    places = sorted({i * len(indices) // _AGAIN for i in range(min(_AGAIN, len(indices)))})
    again = _tensors(default_collate([source[indices[place]] for place in places]))
    if _digest(again) != _digest(_rows(rows, torch.tensor(places))):
        raise ProblemError(
            f"split {name} gives other samples the second time (augmenting?); a surface needs fixed data"
        )
    return rows


def _read_batches(name: str, source: Iterable[Any], samples: int | None, *, as_given: bool) -> DataSplit:
    if isinstance(source, DataLoader) and isinstance(source.sampler, RandomSampler):
        raise ProblemError(f"split {name}: the loader is shuffling; give shuffle=False, a surface needs fixed data")
    if isinstance(source, Iterator):
        raise ProblemError(f"split {name} is a one-shot iterator; give a list or a loader that starts again")
    if samples is not None and as_given:
        raise ProblemError(f"split {name}: {_NO_SUBSET}")
    batches = [_tensors(batch) for batch in source] if samples is None else _thinned(name, source, samples)
    if not batches:
        raise ProblemError(f"split {name} is empty")
    if samples is None:
        _refuse_changing(name, source, batches)
    rows = None if as_given else _concatenate(batches)
    if rows is not None:
        return _finish(name, rows)
    # With measure=, a batch that is not a tree of rows counts as one sample.
    count = sum(len(leaves(b)[0]) if leaves(b) and leaves(b)[0].ndim else 1 for b in batches)
    return DataSplit(name=name, count=count, sha256=_digest(tuple(batches)), given=tuple(batches))


def _thinned(name: str, source: Iterable[Any], samples: int) -> list[Tree]:
    """Return the rows of the subset, reading batch by batch; at most about twice as many rows are held."""
    _refuse_changing(name, source, [_tensors(b) for b in itertools.islice(iter(source), _AGAIN_BATCHES)])
    stream = _priorities()
    kept: list[tuple[float, Tree]] = []
    for batch in source:
        rows = _tensors(batch)
        kept += [(next(stream), _rows(rows, slice(i, i + 1))) for i in range(_length(name, rows))]
        if len(kept) > 2 * samples:
            kept = _smallest(kept, samples)
    return [row for _, row in _smallest(kept, samples)]


def _smallest(kept: list[tuple[float, Tree]], samples: int) -> list[tuple[float, Tree]]:
    limit = sorted(priority for priority, _ in kept)[: samples + 1]
    return kept if len(limit) <= samples else [row for row in kept if row[0] < limit[samples]]


def _refuse_changing(name: str, source: Iterable[Any], batches: list[Tree]) -> None:
    first = batches[:_AGAIN_BATCHES]
    again = [_tensors(batch) for batch in itertools.islice(iter(source), len(first))]
    if not again:
        raise ProblemError(f"split {name} is one-shot: nothing comes the second time; give a list or a loader")
    if _digest(tuple(again)) == _digest(tuple(first)):
        return
    moved = sorted(map(_digest, _single_rows(again))) == sorted(map(_digest, _single_rows(first)))
    what = "its batches in another order" if moved else "other batches"
    raise ProblemError(
        f"split {name} gives {what} the second time (shuffling or augmenting?); a surface needs fixed data: "
        "shuffle=False, no augmentation"
    )


def _single_rows(batches: list[Tree]) -> list[Tree]:
    return [_rows(b, slice(i, i + 1)) for b in batches for i in range(len(leaves(b)[0]) if leaves(b) else 0)]


def _concatenate(batches: Sequence[Tree]) -> Tree | None:
    """Return the batches as one tree along the first axis, or None where their shapes differ."""
    first = batches[0]
    if isinstance(first, Tensor):
        alike = all(isinstance(b, Tensor) and b.ndim and b.shape[1:] == first.shape[1:] for b in batches)
        return torch.cat(list(batches)) if alike else None
    if isinstance(first, Mapping):
        parts = {key: _concatenate([batch[key] for batch in batches]) for key in first}
        return None if any(part is None for part in parts.values()) else parts
    if isinstance(first, tuple):
        each = tuple(_concatenate(column) for column in zip(*batches, strict=True))
        return None if any(part is None for part in each) else each
    return None  # a leaf that is not a tensor, such as a string: the batches stay fixed


def _finish(name: str, rows: Tree) -> DataSplit:
    count = _length(name, rows)
    if count == 0:
        raise ProblemError(f"split {name} is empty")
    return DataSplit(name=name, count=count, sha256=_digest(rows), rows=rows)


def _digest(tree: Tree) -> str:
    digest = hashlib.sha256()
    update_digest(digest, tree)
    return digest.hexdigest()
