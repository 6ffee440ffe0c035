"""Baseline: the same samples put together by hand."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from surfaceviz.errors import ProblemError
from surfaceviz.problem import data

X = torch.arange(40.0).reshape(20, 2)
Y = torch.arange(20)


class Stream:
    """A re-iterable of batches of 6, the last of 2."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter([(X[i : i + 6], Y[i : i + 6]) for i in range(0, 20, 6)])


SOURCES: list[Any] = [
    (X, Y),
    (X.numpy(), Y.numpy()),
    TensorDataset(X, Y),
    DataLoader(TensorDataset(X, Y), batch_size=6),
    Stream(),
    list(Stream()),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("samples", [None, 7, 100])
def test_every_kind_of_source_gives_the_same_samples(source: Any, samples: int | None) -> None:
    split = data.load("train", source, samples=samples)
    reference = data.load("train", (X, Y), samples=samples)
    assert split.sha256 == reference.sha256
    assert split.count == (7 if samples == 7 else 20)
    assert [len(y) for _, y in split.batches(6)] == ([6, 1] if samples == 7 else [6, 6, 6, 2])


def test_a_subset_is_nested_and_in_order() -> None:
    small, large = (data.load("train", (X, Y), samples=n).rows[1].tolist() for n in (4, 9))
    assert set(small) < set(large)
    assert small == sorted(small)
    assert small != [0, 1, 2, 3]


def test_dict_batches_and_arrays() -> None:
    batches = [{"x": X[:8], "labels": Y[:8]}, {"x": X[8:], "labels": Y[8:]}]
    split = data.load("train", batches)
    assert torch.equal(split.rows["labels"], Y)
    assert data.load("train", {"x": X, "labels": Y}).sha256 == split.sha256


@pytest.mark.parametrize("samples", [None, 7])
def test_columns_by_keyword_stand_next_to_targets(samples: int | None) -> None:
    split = data.load("train", ({"x": X, "mask": Y % 2}, Y), samples=samples)
    reference = data.load("train", TensorDataset(X, Y), samples=samples)
    inputs, targets = split.rows
    assert torch.equal(inputs["x"], reference.rows[0])
    assert torch.equal(inputs["mask"], reference.rows[1] % 2)
    assert torch.equal(targets, reference.rows[1])


@pytest.mark.parametrize(
    "batches", [[(X[:8], Y[:8]), {"x": X[8:]}], [{"x": X}, {"y": X}], [(X, Y), (X, Y, Y)], [{"x": X}, X]]
)
def test_batches_of_other_kinds_stay_as_given(batches: list[Any]) -> None:
    assert len(data.load("train", batches).given) == 2


def test_a_given_measure_may_take_batches_of_any_kind() -> None:
    Pair = namedtuple("Pair", ["x", "y"])  # noqa: PYI024
    named = data.load("train", [Pair(X, Y), Pair(X, Y)], as_given=True)
    assert torch.equal(named.batches(1)[0].y, Y)
    opaque = data.load("train", [{"word"}, {"other"}], as_given=True)
    assert (opaque.count, opaque.batches(1)) == (2, [{"word"}, {"other"}])


def test_batches_of_other_shapes_stay_as_given() -> None:
    batches = [(torch.ones(3, 5), torch.ones(3)), (torch.ones(2, 7), torch.ones(2))]
    split = data.load("train", batches)
    assert split.count == 5
    assert [tuple(x.shape) for x, _ in split.batches(128)] == [(3, 5), (2, 7)]


def test_shuffling_is_refused() -> None:
    shuffling = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True)
    with pytest.raises(ProblemError, match="split train: the loader is shuffling"):
        data.load("train", shuffling)

    class Shuffler:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            order = torch.randperm(20)
            return iter([(X[order[i : i + 5]], Y[order[i : i + 5]]) for i in range(0, 20, 5)])

    with pytest.raises(ProblemError, match=r"the second time \(shuffling or augmenting"):
        data.load("train", Shuffler())


def test_swapped_batches_are_called_shuffled() -> None:
    class Swapper:
        turn = 0

        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            self.turn += 1
            return iter([(X[:10], Y[:10]), (X[10:], Y[10:])][:: 1 if self.turn % 2 else -1])

    with pytest.raises(ProblemError, match="its batches in another order the second time"):
        data.load("train", Swapper())


def test_augmenting_and_one_shot_are_refused() -> None:
    class Augmented(Dataset[tuple[Tensor, int]]):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, i: int) -> tuple[Tensor, int]:
            return X[i] + torch.rand(2), i

    with pytest.raises(ProblemError, match=r"gives other samples the second time \(augmenting"):
        data.load("train", Augmented())
    with pytest.raises(ProblemError, match="is a one-shot iterator"):
        data.load("train", iter(list(Stream())))


@pytest.mark.parametrize(
    "source", [(X[:0], Y[:0]), TensorDataset(X[:0], Y[:0]), DataLoader(TensorDataset(X[:0], Y[:0]))]
)
def test_an_empty_split_is_refused(source: Any) -> None:
    with pytest.raises(ProblemError, match="split train is empty"):
        data.load("train", source)


def test_what_is_no_data_is_refused() -> None:
    with pytest.raises(ProblemError, match="expected tensors, a data set or batches, got int"):
        data.load("train", 3)
    with pytest.raises(ProblemError, match=r"tensors of different lengths \[19, 20\]"):
        data.load("train", (X, Y[:-1]))

    class Ragged(Dataset[Tensor]):
        def __len__(self) -> int:
            return 600

        def __getitem__(self, i: int) -> Tensor:
            return torch.ones(3 if i < 512 else 4)

    with pytest.raises(ProblemError, match="its samples differ in shape"):
        data.load("train", Ragged())


def test_loading_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    data.load("train", DataLoader(TensorDataset(X, Y), batch_size=4))
    assert torch.equal(before, torch.get_rng_state())


def test_fingerprints_see_order_and_values() -> None:
    flipped = np.ascontiguousarray(X.numpy()[::-1])
    assert data.load("train", (flipped, Y)).sha256 != data.load("train", (X, Y)).sha256
