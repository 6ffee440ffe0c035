"""Baseline: polynomials whose critical points are known by hand, from the literature, or from numpy's roots."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz import CriticalPoints, Problem
from surfaceviz.errors import ProblemError
from surfaceviz.pipeline.critical_points.request import CriticalPointsRequest
from surfaceviz.records.studies import critical_rows, critical_summary
from surfaceviz.symmetry.unit_permutations import match_units

Function = Callable[[Tensor], Tensor]


class Point(nn.Module):
    def __init__(self, *x: float) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(x, dtype=torch.float64))


def _search(f: Function, *, dimension: int = 2, spread: float = 1.0, starts: int = 200) -> CriticalPoints:
    problem = Problem(Point(*[0.0] * dimension), loss=lambda model: f(model.x))
    return surfaceviz.critical_points(problem, starts=starts, spread=spread)


def _camel_points() -> np.ndarray:
    """Return the critical points of the six-hump camel: f_x gives y as a polynomial in x, f_y one of degree 15."""
    y = np.polynomial.Polynomial([0, -8, 0, 8.4, 0, -2])
    roots = (np.polynomial.Polynomial([0, 1]) - 8 * y + 16 * y**3).roots()
    x = np.sort(roots[np.abs(roots.imag) < 1e-9].real)
    return np.stack([x, y(x)], axis=1)


KNOWN: list[tuple[Function, float, list[tuple[float, float]]]] = [
    (lambda x: x[0] ** 3 / 3 - x[0] + x[1] ** 2, 2.0, [(1, 0), (-1, 0)]),
    (lambda x: x[0] ** 3 + x[1] ** 3 - 3 * x[0] * x[1], 1.0, [(0, 0), (1, 1)]),
    (lambda x: x[0] ** 4 + x[1] ** 4 - 4 * x[0] * x[1], 1.0, [(0, 0), (1, 1), (-1, -1)]),
    (
        lambda x: x[0] ** 4 - 2 * x[0] ** 2 + x[1] ** 4 - 2 * x[1] ** 2,
        1.0,
        [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)],
    ),
    (
        lambda x: (4 - 2.1 * x[0] ** 2 + x[0] ** 4 / 3) * x[0] ** 2 + x[0] * x[1] + (4 * x[1] ** 2 - 4) * x[1] ** 2,
        1.5,
        [(float(a), float(b)) for a, b in _camel_points()],
    ),
]


@pytest.mark.parametrize(("f", "spread", "known"), KNOWN)
def test_all_critical_points_of_a_polynomial_are_found(
    f: Function, spread: float, known: list[tuple[float, float]]
) -> None:
    found = _search(f, spread=spread)
    expected = np.array(sorted(known), dtype=float)
    np.testing.assert_allclose(found.theta[np.lexsort(found.theta.round(6).T[::-1])], expected, atol=1e-8)
    assert found.reached.sum() + found.unconverged == 200


def test_the_camel_has_six_minima_seven_saddles_and_two_maxima() -> None:
    found = _search(KNOWN[-1][0], spread=1.5)
    assert sorted(found.kinds) == ["local maximum"] * 2 + ["local minimum"] * 6 + ["saddle"] * 7
    assert float(found.loss[0]) == pytest.approx(-1.031628453489877, abs=1e-12)  # of the literature


def test_himmelblaus_function_has_four_minima_four_saddles_and_one_maximum() -> None:
    found = _search(lambda x: (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2, spread=3.0)
    assert found.kinds == ("local minimum",) * 4 + ("saddle",) * 4 + ("local maximum",)
    assert found.index.tolist() == [0] * 4 + [1] * 4 + [2]
    minima = [(-3.779310, -3.283186), (-2.805118, 3.131312), (3.0, 2.0), (3.584428, -1.848127)]
    np.testing.assert_allclose(sorted(map(tuple, found.theta[:4])), minima, atol=1e-6)
    np.testing.assert_allclose(found.theta[-1], [-0.270845, -0.923039], atol=1e-6)


def test_a_linear_network_has_one_saddle_and_a_valley_of_minima_that_the_hessian_alone_does_not_prove() -> None:
    found = _search(lambda w: (1 - w[0] * w[1]) ** 2)
    saddle = found.index == 1
    np.testing.assert_allclose(found.theta[saddle], [[0.0, 0.0]], atol=1e-10)
    np.testing.assert_allclose(found.eigenvalues[saddle], [[-2.0, 2.0]], atol=1e-8)
    np.testing.assert_allclose(found.theta[~saddle].prod(axis=1), 1.0, atol=1e-7)
    assert set(np.array(found.kinds)[~saddle]) == {"inconclusive"}
    assert found.zeros[~saddle].tolist() == [1] * int((~saddle).sum())
    assert [row[:4] for row in critical_rows(found)[1:]] == [("0", "0", "1", "inconclusive"), ("1", "1", "0", "saddle")]


def test_minima_of_the_gradients_norm_that_are_not_critical_are_kept_out() -> None:
    found = _search(lambda x: x[0] ** 3 / 3 + x[0], dimension=1, starts=20)  # g = x^2 + 1
    assert (len(found), found.unconverged, found.flat) == (0, 20, 20)
    assert "20 starts reached none, 20 of them at a minimum of |grad|^2 that is not critical" in critical_summary(found)


def test_a_kink_is_not_called_a_minimum() -> None:
    x = torch.tensor([[-1.0], [1.0], [3.0], [4.0], [5.0]], dtype=torch.float64)
    y = torch.tensor([[3.0], [-3.0], [0.0], [1.0], [2.0]], dtype=torch.float64)

    class Unit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.Parameter(torch.tensor([1.0, -3.0, 1.0, 0.0], dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            w, b, v, c = self.p
            output: Tensor = v * torch.relu(w * x + b) + c
            return output

    found = surfaceviz.critical_points(Problem(Unit(), (x, y), "mse"), starts=1, spread=0.0)
    assert found.kinds == ("not smooth here",)
    assert float(found.loss[0]) == pytest.approx(18 / 5)
    assert "at a kink or tie exactly" in found.reasons[0]
    assert "Points that are not smooth here: 1; at a kink no Hessian proves a kind." in critical_summary(found)


def test_the_search_on_a_rectified_network_proves_no_minimum() -> None:
    noise = torch.Generator().manual_seed(0)
    x, y = (torch.randn((6, 1), generator=noise, dtype=torch.float64) for _ in range(2))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    found = surfaceviz.critical_points(Problem(model, (x, y), "mse"), starts=6)
    assert len(found) > 0
    assert "local minimum" not in found.kinds, "a factor between the layers leaves the function as it is: zeros"
    assert (found.zeros > 0).all()


@pytest.mark.slow
def test_points_that_differ_by_a_permutation_of_hidden_units_count_once() -> None:
    x = torch.linspace(-3, 3, 9, dtype=torch.float64)[:, None]
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Softplus(), nn.Linear(2, 1, bias=False)).double()
    model.load_state_dict({"0.weight": torch.tensor([[0.5], [2.0]]), "2.weight": torch.tensor([[1.0, -1.0]])})
    y = model(x).detach()
    model.load_state_dict({"0.weight": torch.full((2, 1), 1.25), "2.weight": torch.zeros(1, 2)})
    problem = Problem(model, (x, y), "mse")
    apart, merged = (surfaceviz.critical_points(problem, starts=40, permuted=each) for each in (False, True))
    minima = apart.theta[(apart.loss < 1e-20) & (apart.zeros == 0)]
    np.testing.assert_allclose(sorted(minima.tolist()), [[0.5, 2.0, 1.0, -1.0], [2.0, 0.5, -1.0, 1.0]], atol=1e-6)
    assert int(((merged.loss < 1e-20) & (merged.zeros == 0)).sum()) == 1
    assert merged.reached.sum() == apart.reached.sum()


def test_units_are_matched_over_two_hidden_layers() -> None:
    torch.manual_seed(0)
    places = [torch.arange(12).view(4, 3), torch.arange(12, 27).view(5, 3)]
    vector, orders = torch.randn(27), [torch.randperm(4), torch.randperm(5)]
    other = vector.clone()
    for layer, order in zip(places, orders, strict=True):
        other[layer] = vector[layer[order]]
    assert not torch.equal(other, vector)
    torch.testing.assert_close(match_units(vector, other, places), vector, rtol=0, atol=0)


def test_a_loss_that_branches_on_values_is_refused() -> None:
    problem = Problem(Point(1.0), loss=lambda m: m.x[0] ** 2 if m.x[0] > 0 else -m.x[0])
    with pytest.raises(
        ProblemError, match=r"can't be mapped over weights by torch.func.vmap.*Write it without branches"
    ):
        surfaceviz.critical_points(problem, starts=2)


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(ProblemError, match="got 1200 parameters; expected at most 1000"):
        surfaceviz.critical_points(Problem(Point(*[0.0] * 1200), loss=lambda m: m.x.square().sum()))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"starts": 0}, "got starts 0; expected a number of at least 1"), ({"spread": -1.0}, "got spread -1; expected")],
)
def test_impossible_options_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        surfaceviz.critical_points(Problem(Point(0.0), loss=lambda m: m.x[0]), **options)  # type: ignore[arg-type]


def test_python_and_request_have_the_same_options_and_defaults() -> None:
    python, request = (
        {name: p.default for name, p in inspect.signature(f).parameters.items() if name != "reporter"}
        for f in (surfaceviz.critical_points, CriticalPointsRequest.of)
    )
    assert python == request
