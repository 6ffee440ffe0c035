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
from surfaceviz.problem.checks.source_hints import refuse_columns, refuse_samples
from surfaceviz.problem.rows import as_tensors, concatenated, length_of, rows_at, samples_in, sha256_of, single_rows
from surfaceviz.pytree import OpaqueObjectError, Tree, holds_objects, leaves

_CHUNK = 512  # samples of a data set that are collated at a time
_AGAIN = 64  # samples, and _AGAIN_BATCHES batches, that are read twice to detect shuffling and augmentation
_AGAIN_BATCHES = 4
_NO_SUBSET = "a subset of samples needs a loss on samples, not measure= on given batches"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSplit:
    """The data of one split: one tree of tensors, or fixed batches that must not be cut again.

    ``batch`` is the size of all batches, whichever size is asked for; 0 for any size. Random numbers that a model draws
    depend on the batches.
    """

    name: str
    count: int  # samples
    sha256: str
    rows: Tree = None  # leading axis: samples
    given: tuple[Tree, ...] = ()
    batch: int = 0

    @property
    def is_bound(self) -> bool:
        """Whether the batches must stay as they are."""
        return bool(self.given or self.batch)

    def as_given(self) -> DataSplit:
        """Return the split with batches of a fixed size as given batches, for sums over shares of them."""
        return replace(self, rows=None, given=tuple(self.batches(self.batch)), batch=0) if self.batch else self

    def batches(self, size: int) -> list[Tree]:
        """Return the batches of a pass, in order: views of ``size`` samples, or the batches as given."""
        if self.given:
            return list(self.given)
        size = self.batch or size
        return [rows_at(self.rows, slice(start, start + size)) for start in range(0, self.count, size)]

    def head(self, count: int) -> DataSplit:
        """Return the first ``count`` samples, or the batches that hold them, with the whole fingerprint."""
        if count >= self.count:
            return self
        if self.given:
            each = max(1, self.count // len(self.given))
            kept = self.given[: math.ceil(count / each)]
            return replace(self, count=min(self.count, each * len(kept)), given=kept)
        return replace(self, count=count, rows=rows_at(self.rows, slice(0, count)))

    def subset(self, samples: int) -> DataSplit:
        """Return the seeded subset of ``samples`` samples as in `load`, with the fingerprint of the whole split.

        Raises:
            ProblemError: the split has fixed batches.
        """
        if self.given:
            raise ProblemError(f"split {self.name}: {_NO_SUBSET}")
        index = _chosen(self.count, samples)
        return self if index is None else replace(self, count=samples, rows=rows_at(self.rows, index))

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
            return _finish(name, _subset_arrays(name, as_tensors(source), samples))
        if _is_dataset(source):
            return _finish(name, _read_dataset(name, source, samples))
        refuse_columns(name, source)
        if not isinstance(source, Iterable):
            hint = "; a batch that is an object goes in a list: [data]" if leaves(source) else ""
            raise ProblemError(
                f"split {name}: expected tensors, a data set or batches, got {type(source).__name__}{hint}"
            )
        return _read_batches(name, source, samples, as_given=as_given)


@contextmanager
def _guarded(name: str) -> Iterator[None]:
    """Convert an exception of the user's data set or loader into a `ProblemError` that names the split."""
    try:
        yield
    except ProblemError:
        raise
    except OpaqueObjectError as error:
        raise ProblemError(f"split {name}: {error}; give tensors, or objects that consist of them") from error
    except Exception as error:
        raise ProblemError(f"split {name} raised {type(error).__name__}: {error}{user_code_location(error)}") from error


def combined_sha256(splits: Iterable[DataSplit]) -> str:
    """Return one fingerprint for several splits."""
    return hashlib.sha256("".join(f"{s.name}\0{s.sha256}\0" for s in splits).encode()).hexdigest()


def _is_arrays(source: Any) -> bool:
    """Return whether the source is columns: a tuple or dict of arrays. A list holds batches.

    Elements of a tuple may be dicts of arrays too, next to an array: (inputs by keyword, targets).
    """
    if _is_array(source):
        return True
    if isinstance(source, tuple):
        columns = [value for each in source for value in (each.values() if isinstance(each, Mapping) else [each])]
        return any(map(_is_array, source)) and all(map(_is_array, columns))
    return isinstance(source, Mapping) and bool(source) and all(map(_is_array, source.values()))


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _is_dataset(source: Any) -> bool:
    if isinstance(source, IterableDataset):
        raise ProblemError("an IterableDataset gives samples once; wrap it in a DataLoader, or give tensors")
    indexable = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    return isinstance(source, Dataset) or (indexable and not isinstance(source, Sequence | Mapping))


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
    index = _chosen(length_of(name, tree), samples)
    return tree if index is None else rows_at(tree, index)


def _read_dataset(name: str, source: Any, samples: int | None) -> Tree:
    count = len(source)
    chosen = _chosen(count, samples)
    indices: list[int] = list(range(count)) if chosen is None else chosen.tolist()
    if not indices:
        raise ProblemError(f"split {name} is empty")
    chunks = [_collated(name, source, indices[start : start + _CHUNK]) for start in range(0, len(indices), _CHUNK)]
    rows = concatenated(chunks)
    if rows is None:
        raise ProblemError(f"split {name}: its samples differ in shape; give a DataLoader that pads them")
    places = sorted({i * len(indices) // _AGAIN for i in range(min(_AGAIN, len(indices)))})
    again = _collated(name, source, [indices[place] for place in places])
    if sha256_of(again) != sha256_of(rows_at(rows, torch.tensor(places))):
        raise ProblemError(
            f"split {name} gives other samples the second time (augmenting?); a surface needs fixed data"
        )
    return rows


def _collated(name: str, source: Any, indices: Sequence[int]) -> Tree:
    """Return samples of a data set as one batch.

    Raises:
        ProblemError: the source is one object and not a data set, or its samples are objects.
    """
    if not isinstance(source, Dataset) and leaves(source) and not _takes(source, indices[0]):
        raise ProblemError(
            f"split {name} is one {type(source).__name__}; a batch that is an object goes in a list: [data]"
        )
    samples = [source[i] for i in indices]
    try:
        return as_tensors(default_collate(samples))
    except TypeError as error:
        if not holds_objects(samples):
            raise
        raise ProblemError(
            f"split {name}: its samples are objects ({type(samples[0]).__name__}), which torch does not join; give a "
            "loader that makes batches of them, or a list of batches"
        ) from error


def _takes(source: Any, index: int) -> bool:
    """Return whether a source gives a sample by its number."""
    try:
        source[index]
    except (KeyError, TypeError, AttributeError):
        return False
    return True


def _read_batches(name: str, source: Iterable[Any], samples: int | None, *, as_given: bool) -> DataSplit:
    if isinstance(source, DataLoader) and isinstance(source.sampler, RandomSampler):
        raise ProblemError(f"split {name}: the loader is shuffling; give shuffle=False, a surface needs fixed data")
    if isinstance(source, Iterator):
        raise ProblemError(f"split {name} is a one-shot iterator; give a list or a loader that starts again")
    if samples is not None and as_given:
        raise ProblemError(f"split {name}: {_NO_SUBSET}")
    if not as_given:
        refuse_samples(name, source)
    batches = [as_tensors(batch) for batch in source] if samples is None else _thinned(name, source, samples)
    if not batches:
        raise ProblemError(f"split {name} is empty")
    if samples is None:
        _refuse_changing(name, source, batches)
    rows = None if as_given else concatenated(batches)
    if rows is not None:
        return _finish(name, rows)
    count = sum(samples_in(batch, as_given=as_given) for batch in batches)
    return DataSplit(name=name, count=count, sha256=sha256_of(tuple(batches)), given=tuple(batches))


def _thinned(name: str, source: Iterable[Any], samples: int) -> list[Tree]:
    """Return the rows of the subset, reading batch by batch; at most about twice as many rows are held."""
    _refuse_changing(name, source, [as_tensors(b) for b in itertools.islice(iter(source), _AGAIN_BATCHES)])
    _refuse_objects(name, source)
    stream = _priorities()
    kept: list[tuple[float, Tree]] = []
    for batch in source:
        rows = as_tensors(batch)
        kept += [(next(stream), rows_at(rows, slice(i, i + 1))) for i in range(length_of(name, rows))]
        if len(kept) > 2 * samples:
            kept = _smallest(kept, samples)
    return [row for _, row in _smallest(kept, samples)]


def _refuse_objects(name: str, source: Iterable[Any]) -> None:
    if any(holds_objects(batch) for batch in itertools.islice(iter(source), 1)):
        raise ProblemError(
            f"split {name}: a subset of samples needs batches of tensors, not of objects; give fewer batches"
        )


def _smallest(kept: list[tuple[float, Tree]], samples: int) -> list[tuple[float, Tree]]:
    limit = sorted(priority for priority, _ in kept)[: samples + 1]
    return kept if len(limit) <= samples else [row for row in kept if row[0] < limit[samples]]


def _refuse_changing(name: str, source: Iterable[Any], batches: list[Tree]) -> None:
    first = batches[:_AGAIN_BATCHES]
    again = [as_tensors(batch) for batch in itertools.islice(iter(source), len(first))]
    if not again:
        raise ProblemError(f"split {name} is one-shot: nothing comes the second time; give a list or a loader")
    if sha256_of(tuple(again)) == sha256_of(tuple(first)):
        return
    moved = sorted(map(sha256_of, single_rows(again))) == sorted(map(sha256_of, single_rows(first)))
    what = "its batches in another order" if moved else "other batches"
    raise ProblemError(
        f"split {name} gives {what} the second time (shuffling or augmenting?); a surface needs fixed data: "
        "shuffle=False, no augmentation"
    )


def _finish(name: str, rows: Tree) -> DataSplit:
    count = length_of(name, rows)
    if count == 0:
        raise ProblemError(f"split {name} is empty")
    return DataSplit(name=name, count=count, sha256=sha256_of(rows), rows=rows)
