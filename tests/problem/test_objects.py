"""Baseline: the same samples given as tensors, and hashes computed in other processes."""

from __future__ import annotations

import collections
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils import _pytree
from torch.utils.data import Dataset

import surfaceviz
from surfaceviz import pytree
from surfaceviz.errors import ProblemError
from surfaceviz.problem import rows
from surfaceviz.problem.problem import Problem

X = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long()
CPU = torch.device("cpu")


class Graph:
    """Like a graph of PyTorch Geometric: attributes lie in a store that refers back, strongly and weakly."""

    def __init__(self, **values: Any) -> None:
        self.__dict__["store"] = Store(self, values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "store":
            raise AttributeError(name)
        return getattr(self.store, name)

    def __len__(self) -> int:
        return len(self.store.values)

    def __getitem__(self, key: str) -> Any:
        return self.store.values[key]


class Store:
    """Attributes of a graph, with a set, whose order differs from process to process."""

    def __init__(self, owner: Graph, values: dict[str, Any]) -> None:
        self.owner, self.values, self.tags = owner, values, {"red", "green", "blue"}
        self.function = lambda x: x + len(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "values":
            raise AttributeError(name)
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


class Plain:
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y, self.note, self.parts = x, y, "note", [x, {"y": y}]


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y


@dataclass(frozen=True, slots=True)
class Frozen:
    x: Tensor
    y: Tensor
    extra: Any = None


class Registered(Plain):
    """Known to torch by registration alone: it can't be copied."""

    def __reduce_ex__(self, _protocol: Any) -> Any:
        raise TypeError("not to be copied")


_pytree.register_pytree_node(Registered, lambda r: ([r.x, r.y], None), lambda parts, _: Registered(*parts))


class Pair(NamedTuple):
    x: Tensor
    scale: Tensor


class Net(nn.Module):
    """A classifier that takes its input from an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _mlp()

    def forward(self, batch: Any) -> Tensor:
        z: Tensor = self.body(batch.x * batch.scale if isinstance(batch, Pair) else batch.x)
        return z


def _mlp() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def graph(x: Tensor, y: Tensor) -> Graph:
    return Graph(x=x, y=y, edge_index=torch.tensor([[0, 1], [1, 2]]))


KINDS: dict[str, Any] = {
    "graph": graph,
    "plain": Plain,
    "slotted": Slotted,
    "frozen": Frozen,
    "frozen with more": lambda x, y: Frozen(x, y, {"k": [np.arange(3), Frozen(x, y)]}),
    "registered": Registered,
    "pair": lambda x, y: (Pair(x, torch.ones(len(x), 1)), y),
}


def _problem(make: Any, **options: Any) -> Problem:
    return Problem(Net(), [make(X[:20], Y[:20]), make(X[20:], Y[20:])], "cross_entropy", **options)


def _reference() -> Problem:
    return Problem(Net().body, (X, Y), "cross_entropy")


@pytest.mark.parametrize("kind", KINDS)
def test_slice_and_hessian_of_objects_are_those_of_their_tensors(kind: str) -> None:
    given, reference = _problem(KINDS[kind]), _reference()
    own = {"normalise": "none", "dtype": "float64"}
    names = [name for name, _ in given.model.named_parameters()]
    assert [f"body.{name}" for name, _ in reference.model.named_parameters()] == names
    centre, other = (
        oracles.run_slice(each, [(-1, 1, 3)], **own).values["train_loss"][1] for each in (given, reference)
    )
    assert centre == pytest.approx(other, rel=1e-12)
    one, two = (
        surfaceviz.hessian(each, top=3, dtype="float64", reporter=oracles.Recorder()) for each in (given, reference)
    )
    np.testing.assert_allclose(one.eigenvalues, two.eigenvalues, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_casting_reaches_tensors_inside_and_leaves_the_users_data(kind: str) -> None:
    batch = KINDS[kind](X, Y)
    before = [(id(t), t.dtype, t.clone()) for t in pytree.leaves(batch)]
    made = _problem(KINDS[kind]).cast(batch, torch.float64, CPU)
    assert type(made) is type(batch)
    floating = [t for t in pytree.leaves(made) if t.is_floating_point()]
    assert floating
    assert all(t.dtype == torch.float64 for t in floating)
    for tensor in pytree.leaves(made):
        tensor.zero_()
    assert all(
        id(t) == i and t.dtype == d and torch.equal(t, c)
        for t, (i, d, c) in zip(pytree.leaves(batch), before, strict=True)
    )


def test_targets_inside_of_an_object_stay_in_single_precision() -> None:
    batch = Plain(X, torch.rand(30))
    made = Problem(Net(), [batch], "mse").cast(batch, torch.bfloat16, CPU)
    assert (made.x.dtype, made.y.dtype) == (torch.bfloat16, torch.float32)


def test_a_copied_object_refers_to_itself() -> None:
    made = pytree.map_tensors(lambda t: t.double() if t.is_floating_point() else t, graph(X, Y))
    assert made.store.owner is made
    assert made.x.dtype == torch.float64
    assert made.x is made.store.values["x"]


@pytest.mark.parametrize("kind", KINDS)
def test_hashes_follow_values(kind: str) -> None:
    one, same, other = (rows.sha256_of(KINDS[kind](x, Y)) for x in (X, X.clone(), X + 1e-6))
    assert one == same
    assert one != other


def test_hashes_follow_other_values_of_an_object() -> None:
    hashes = {rows.sha256_of(Frozen(X, Y, extra)) for extra in (None, 1, 2, {1, 2}, {1, 3}, [1], len, sum, np.ones(2))}
    assert len(hashes) == 9


@pytest.mark.filterwarnings("ignore:.*deprecated:UserWarning", "ignore:Sparse CSR:UserWarning")  # torch's own
def test_hashes_of_other_layouts_follow_values() -> None:
    eye = torch.eye(3)
    kinds = [
        eye,
        eye.to_sparse(),
        eye.to_sparse_csr(),
        eye.to_sparse_csc(),
        torch.quantize_per_tensor(eye, 0.1, 0, torch.qint8),
    ]
    assert len({rows.sha256_of(each) for each in kinds}) == len(kinds)
    assert rows.sha256_of((2 * eye).to_sparse()) != rows.sha256_of(eye.to_sparse())


def test_hashes_of_plain_trees_are_those_of_older_files() -> None:
    tree = {"x": torch.arange(6.0).reshape(2, 3), "rest": (torch.tensor([1, 2]), "name", 3, None)}
    assert rows.sha256_of(tree) == OLD


OLD = "06cf1c3fcb7b1ed5ac8e84aa5dd057999f1174d271a93250788a4f49732bfd32"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["graph", "frozen with more", "registered"])
def test_hashes_are_the_same_in_each_process(kind: str) -> None:
    code = f"import test_objects as t; print(t.rows.sha256_of(t.KINDS[{kind!r}](t.X, t.Y)))"
    made = {rows.sha256_of(KINDS[kind](X, Y))}
    for seed in "12":
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent), *sys.path])
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        made.add(subprocess.check_output([sys.executable, "-c", code], env=env, text=True).strip())
    assert len(made) == 1


@pytest.mark.slow
def test_workers_shards_and_the_hessian_know_objects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)]))
    name, axes = "test_objects:stored", [(-1, 1, 5), (-1, 1, 3)]
    one = oracles.run_slice(name, axes, workers=1, output="one.h5")
    two = oracles.run_slice(name, axes, workers=2, output="two.h5")
    np.testing.assert_array_equal(two.values["train_loss"], one.values["train_loss"])
    again = oracles.run_slice(name, axes, output="two.h5")
    np.testing.assert_array_equal(again.values["train_loss"], one.values["train_loss"])
    for part in (1, 2):
        oracles.run_slice(name, axes, output=f"part{part}.h5", shard=f"{part}/2", workers=part)
    merged = surfaceviz.merge("part1.h5", "part2.h5", output="whole.h5")
    np.testing.assert_array_equal(merged.values["train_loss"], one.values["train_loss"])
    assert surfaceviz.hessian("two.h5", top=1, workers=2, reporter=oracles.Recorder()).converged.all()


def stored() -> Problem:
    return _problem(graph)


class Samples(Dataset[Any]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return Plain(X[index], Y[index])


REFUSED: dict[str, tuple[Any, str]] = {
    "lock": ([Frozen(X, Y, threading.Lock())], "object of type lock inside of an object of type Frozen has no value"),
    "bare": (graph(X, Y), r"is one Graph; a batch that is an object goes in a list: \[data\]"),
    "bare, no index": (Plain(X, Y), r"got Plain; a batch that is an object goes in a list: \[data\]"),
    "samples": (Samples(), r"its samples are objects \(Plain\)"),
    "meta": ([Plain(X.to("meta"), Y)], "a tensor on the meta device holds no values"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_not_be_read_is_refused_in_one_line(kind: str) -> None:
    source, line = REFUSED[kind]
    with pytest.raises(ProblemError, match=line) as caught:
        Problem(Net(), source, "cross_entropy").load("train")
    assert "\n" not in str(caught.value)


def test_a_subset_of_objects_and_an_object_without_targets_are_refused() -> None:
    with pytest.raises(ProblemError, match="a subset of samples needs batches of tensors, not of objects"):
        _problem(graph).load("train", samples=5)
    with pytest.raises(ProblemError, match=r"a batch has no targets \(Graph\)"):
        Problem(Net(), [Graph(x=X)], "cross_entropy").load("train")


def test_an_object_that_can_not_be_copied_is_refused() -> None:
    class Stubborn(Plain):
        def __deepcopy__(self, _memo: Any) -> Any:
            return Stubborn(self.x.clone(), self.y.clone())

    with pytest.raises(pytree.OpaqueObjectError, match="makes other tensors where it is copied"):
        pytree.map_tensors(torch.clone, Stubborn(X, Y))


@pytest.mark.parametrize("as_given", [False, True])
def test_named_tuples_and_mappings_keep_their_type(as_given: bool) -> None:
    from surfaceviz.problem import data  # noqa: PLC0415

    class Batch(NamedTuple):
        inputs: Mapping[str, Tensor]
        y: Tensor

    batches = [Batch(collections.OrderedDict(x=X[i : i + 10]), Y[i : i + 10]) for i in (0, 10, 20)]
    split = data.load("train", batches, as_given=as_given)
    (first, *_) = split.batches(15)
    assert isinstance(first, Batch)
    assert isinstance(first.inputs, collections.OrderedDict)
    torch.testing.assert_close(torch.cat([each.y for each in split.batches(15)]), Y)
    cast = Problem(Net(), batches, "cross_entropy").cast(first, torch.float64, CPU)
    assert isinstance(cast, Batch)
    assert cast.inputs["x"].dtype == torch.float64


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(3, 4), nn.Linear(4, 2)

    def forward(self, packed: PackedSequence) -> Tensor:
        z: Tensor = self.head(self.rnn(packed)[1][0])
        return z


def test_packed_sequences_are_batches_of_their_targets() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = Recurrent()
    packed = [(pack_sequence([X[:3], X[3:5]]), Y[:2]), (pack_sequence([X[5:7]]), Y[2:3])]
    problem = Problem(model, packed, "cross_entropy")
    assert problem.load("train").count == 3
    losses = [float(nn.functional.cross_entropy(model(p), y, reduction="sum").detach()) for p, y in packed]
    got = oracles.run_slice(problem, [(-1, 1, 3)]).values["train_loss"][1]
    assert got == pytest.approx(sum(losses) / 3, rel=1e-6)


def test_signatures_differ_by_shapes_and_by_values_inside_of_objects() -> None:
    trees = [Plain(X, Y), Plain(X[:5], Y), Plain(X.double(), Y), Frozen(X, Y, 1), Frozen(X, Y, 2), (X, Y), (X.T, Y)]
    assert len({pytree.signature(tree) for tree in trees}) == len(trees)
    assert pytree.signature(Frozen(X, Y, 1)) == pytree.signature(Frozen(X + 1, Y, 1))


def test_weak_references_and_cycles_are_walked_once() -> None:
    plain = Plain(X, Y)
    plain.parts = [plain, weakref.ref(plain)]
    assert len(pytree.leaves(plain)) == 2
    assert pytree.map_tensors(torch.clone, plain).parts[0].x is not X


def test_moving_calls_the_objects_own_method() -> None:
    class Placed(Plain):
        place = "nowhere"

        def to(self, device: torch.device) -> None:
            self.place = str(device)

    own = Placed(X, Y)
    moved = pytree.move_objects((own, X), torch.device("meta"))
    assert (moved[0].place, own.place) == ("meta", "nowhere")
    assert moved[1] is X
