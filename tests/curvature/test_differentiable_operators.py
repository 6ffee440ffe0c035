"""Baseline: differences of torch's own first derivatives in float64, of the model without what makes it hard.

That is a dense embedding for a sparse one, the model not compiled for a compiled one; torch's distances have a right
first derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import dense
import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import surfaceviz
from surfaceviz.errors import ProblemError
from surfaceviz.problem.batching import batch_norms, coupling_norms
from surfaceviz.problem.forward.differentiable_operators import DifferentiableOperators
from surfaceviz.problem.parameters import filters_of
from surfaceviz.problem.problem import Problem

pytestmark = pytest.mark.usefixtures("one_thread")

Function = Callable[[Tensor], Tensor]


class Tokens(nn.Module):
    """A classifier of three tokens."""

    def __init__(self, embed: Function, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.head = nn.Linear(4, 2).double()
        self.embed = embed

    def forward(self, tokens: Tensor) -> Tensor:
        rows: Tensor = self.embed(self.weight, tokens)  # type: ignore[call-arg]
        z: Tensor = self.head(torch.tanh(rows.sum(1) if rows.ndim > 2 else rows))
        return z


def _tokens(embed: Callable[[Tensor, Tensor], Tensor]) -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = Tokens(embed, torch.randn(9, 4, dtype=torch.float64))  # type: ignore[arg-type]
    tokens = torch.randint(0, 9, (30, 3), generator=torch.Generator().manual_seed(1))
    return Problem(model, (tokens, (tokens.sum(1) > 12).long()), "cross_entropy")


def _flat_bags(weight: Tensor, tokens: Tensor, *, last: bool = False) -> Tensor:
    starts = torch.arange(0, tokens.numel() + 3 * last, 3)
    return functional.embedding_bag(tokens.reshape(-1), weight, starts, mode="sum", include_last_offset=last)


def _weighted(weight: Tensor, tokens: Tensor) -> Tensor:
    scale = torch.linspace(0.5, 2, 3, dtype=weight.dtype).expand(tokens.shape)
    return functional.embedding_bag(tokens, weight, mode="sum", per_sample_weights=scale.contiguous())


EMBEDDINGS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "sparse": (lambda w, t: functional.embedding(t, w, sparse=True), lambda w, t: w[t]),
    "torch.embedding": (lambda w, t: torch.embedding(w, t, -1, False, True), lambda w, t: w[t]),
    "scaled by frequency": (lambda w, t: functional.embedding(t, w, scale_grad_by_freq=True), lambda w, t: w[t]),
    "sum": (lambda w, t: functional.embedding_bag(t, w, mode="sum", sparse=True), lambda w, t: w[t].sum(1)),
    "mean": (lambda w, t: functional.embedding_bag(t, w), lambda w, t: w[t].mean(1)),
    "max": (lambda w, t: functional.embedding_bag(t, w, mode="max"), lambda w, t: w[t].amax(1)),
    "offsets": (_flat_bags, lambda w, t: w[t].sum(1)),
    "last offset": (lambda w, t: _flat_bags(w, t, last=True), lambda w, t: w[t].sum(1)),
    "weighted": (_weighted, lambda w, t: (w[t] * torch.linspace(0.5, 2, 3, dtype=w.dtype)[:, None]).sum(1)),
    "padded": (
        lambda w, t: functional.embedding_bag(t, w, padding_idx=-2),
        lambda w, t: (w[t] * (t != 7)[..., None]).sum(1) / (t != 7).sum(1, keepdim=True).clamp(min=1),
    ),
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_embeddings_have_the_hessian_and_gradient_of_rows_taken_by_index(name: str) -> None:
    given, plain = (_tokens(embed) for embed in EMBEDDINGS[name])
    matrix = dense.dense_hessian(plain, dense.loss_of(plain))
    np.testing.assert_allclose(dense.Bench(given, batch=7).matrix(), matrix, rtol=0, atol=1e-8)
    x, _ = given.load("train").rows
    with DifferentiableOperators():
        torch.testing.assert_close(given.model(x), plain.model(x), rtol=1e-13, atol=1e-13)


def test_an_embedding_that_renormalises_is_left_to_torch() -> None:
    weight, tokens = torch.full((3, 2), 4.0), torch.tensor([[0, 1]])
    with DifferentiableOperators():
        functional.embedding_bag(tokens, weight, max_norm=1.0)
    assert torch.allclose(weight.norm(dim=1), torch.tensor([1.0, 1.0, 4 * 2**0.5]), atol=1e-5)


class Distances(nn.Module):
    """Logits from distances of features to four prototypes, or among the samples of a fixed set."""

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.features, self.distance = nn.Linear(3, 2), distance
        # No coordinate is near that of another row, where powers of differences are not smooth.
        self.prototypes = nn.Parameter(torch.tensor([[1.5, -2.5], [-1.7, 2.1], [3.0, 4.0], [-3.2, -4.2]]))

    def forward(self, x: Tensor) -> Tensor:
        return -self.distance(self.features(x).tanh(), self.prototypes)


def _pairs(x: Tensor, prototypes: Tensor) -> Tensor:
    among = torch.pdist(prototypes)
    return torch.cdist(x, prototypes) * among[:4] + among.sum()


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    **{f"p = {p}": partial(torch.cdist, p=p) for p in (1.0, 1.5, 2.0, 3.0, float("inf"))},
    "squared": lambda a, b: torch.cdist(a, b) ** 2,
    "among themselves": lambda a, b: torch.cdist(a, b) + torch.cdist(b, b).sum(1),
    "batched": lambda a, b: torch.cdist(a[:, None], b.expand(len(a), 4, 2))[:, 0],
    "pdist": _pairs,
}


@pytest.mark.parametrize("size", [5, 40])
@pytest.mark.parametrize("name", DISTANCES)
def test_distances_have_second_derivatives_for_any_batch_size(name: str, size: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = Distances(DISTANCES[name]).double()
    problem = Problem(model, dense.classes(40, 4, 3), "cross_entropy")
    matrix = dense.dense_hessian(problem, dense.loss_of(problem))
    np.testing.assert_allclose(dense.Bench(problem, batch=size).matrix(), matrix, rtol=0, atol=1e-6)


def test_many_distances_are_a_product_of_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surfaceviz.problem.forward.differentiable_operators._MOST_DIFFERENCES", 10)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        problem = Problem(Distances(DISTANCES["squared"]).double(), dense.classes(40, 4, 3), "cross_entropy")
    matrix = dense.dense_hessian(problem, dense.loss_of(problem))
    np.testing.assert_allclose(dense.Bench(problem, batch=5).matrix(), matrix, rtol=0, atol=1e-6)


@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, 2.0, 3.0, float("inf")])
def test_distances_of_equal_rows_are_zero_with_zero_derivatives(p: float) -> None:
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 5.0]], dtype=torch.float64, requires_grad=True)
    with DifferentiableOperators():
        made = torch.cdist(rows, rows, p=p)
    torch.testing.assert_close(made, torch.cdist(rows, rows, p=p))
    if p > 1:
        (first,) = torch.autograd.grad(made[0, :2].sum(), rows, create_graph=True)
        assert torch.equal(first, torch.zeros_like(rows))
        assert torch.autograd.grad(first.sum(), rows)[0].isfinite().all()


class Whole(nn.Module):
    def __init__(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.body, self.head = wrap(nn.Sequential(nn.Linear(3, 5), nn.Tanh())), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(self.body(x))
        return z


def _whole(wrap: Callable[[nn.Module], nn.Module]) -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Problem(Whole(wrap).double(), dense.classes(20, 2, 3), "cross_entropy")


def _in_place(module: nn.Module) -> nn.Module:
    module.compile(backend="aot_eager")
    return module


WRAPS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "scripted": torch.jit.script,
    "traced": lambda m: torch.jit.trace(m.double(), torch.zeros(4, 3, dtype=torch.float64)),
    "compiled": lambda m: torch.compile(m, backend="aot_eager"),  # type: ignore[dict-item,return-value]
    "compiled in place": _in_place,
}


@pytest.mark.parametrize("name", WRAPS)
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_or_compiled_part_changes_nothing(name: str) -> None:
    plain, given = _whole(lambda m: m), _whole(WRAPS[name])
    before = {key: (id(t), t.clone()) for key, t in given.model.named_parameters()}
    matrix = dense.dense_hessian(plain, dense.loss_of(plain))
    np.testing.assert_allclose(dense.Bench(given, batch=7).matrix(), matrix, rtol=0, atol=1e-8)
    one, other = (oracles.run_slice(each, [(-1, 1, 5), (-1, 1, 4)]) for each in (plain, given))
    np.testing.assert_allclose(other.values["train_loss"], one.values["train_loss"], rtol=1e-12)
    assert before.keys() == dict(given.model.named_parameters()).keys()
    assert all(id(t) == before[k][0] and torch.equal(t, before[k][1]) for k, t in given.model.named_parameters())


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_model_is_the_model() -> None:
    plain, x = _whole(lambda m: m), dense.classes(20, 2, 3)
    given = Problem(torch.jit.script(_whole(lambda m: m).model), x, "cross_entropy")
    matrix = dense.dense_hessian(plain, dense.loss_of(plain))
    np.testing.assert_allclose(dense.Bench(given, batch=7).matrix(), matrix, rtol=0, atol=1e-8)
    one, other = (oracles.run_slice(each, [(-1, 1, 5)]).values["train_loss"] for each in (plain, given))
    np.testing.assert_allclose(other, one, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_filters_and_batch_norms_of_a_scripted_part_are_known_by_its_class() -> None:
    def parts() -> list[nn.Module]:
        return [
            nn.Linear(5, 1), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Embedding(3, 1), nn.BatchNorm1d(4),
            nn.BatchNorm1d(4, track_running_stats=False),
        ]  # fmt: skip

    plain, given = nn.ModuleList(parts()), nn.ModuleList([torch.jit.script(part) for part in parts()])
    assert filters_of(given) == filters_of(plain)
    assert [len(norms(given)) for norms in (batch_norms, coupling_norms)] == [1, 1]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_batch_norm_is_not_recalibrated() -> None:
    model = nn.Sequential(torch.jit.script(nn.BatchNorm1d(3)), nn.Linear(3, 2))
    with pytest.raises(ProblemError, match="a scripted batch norm's statistics can't be recomputed; give the module"):
        oracles.run_slice(Problem(model, dense.classes(20, 2, 3), "cross_entropy"), [(-1, 1, 3)], bn="recalibrate")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["compiled", "vmapped", "folded"])
@pytest.mark.parametrize("name", ["scripted", "compiled"])
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_or_compiled_part_is_right_in_every_engine(name: str, engine: str) -> None:
    plain, given = (
        oracles.run_slice(_whole(wrap), [(-1, 1, 5)], engine=each, dtype="float64")
        for wrap, each in ((lambda m: m, "eager"), (WRAPS[name], engine))
    )
    np.testing.assert_allclose(given.values["train_loss"], plain.values["train_loss"], rtol=1e-9)


@pytest.mark.slow
def test_the_sharpness_of_a_sparse_embedding_is_that_of_a_dense_one() -> None:
    one, other = (_tokens(embed) for embed in EMBEDDINGS["sparse"])
    values = [surfaceviz.sharpness(each, reporter=oracles.Recorder(), starts=1, iterations=2) for each in (one, other)]
    got, expected = (np.array([m.value for m in each.measurements.values()], float) for each in values)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_all_eigenvalues_of_a_small_matrix_are_no_shortage() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        problem = Problem(Distances(DISTANCES["squared"]).double(), dense.classes(130, 4, 3), "cross_entropy")
    spectrum = surfaceviz.hessian(problem, top=2, reporter=oracles.Recorder())
    assert spectrum.converged.all()
    assert not spectrum.notes
