"""Baseline: matrices whose eigenvalues are given, and quadratic losses with such Hessians."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz.curvature import extreme_eigenpairs
from surfaceviz.curvature.bounds.missed import find_missed
from surfaceviz.curvature.bounds.random_start import missed_distance, missed_fraction
from surfaceviz.records import Spectrum, describe_spectrum
from surfaceviz.records.convergence import has_converged

pytestmark = pytest.mark.usefixtures("one_thread")

EDGE = np.r_[np.linspace(0, 1, 299), 1.06]
FIVEFOLD = np.r_[np.linspace(0, 1, 195), [5.0] * 5]
PAIRS = np.r_[np.linspace(0, 1, 394), [3.0, 3.0, 4.0, 4.0, 5.0, 5.0]]


class Quadratic(nn.Module):
    """The loss w' diag(d) w / 2 for any input, whose Hessian is diag(d)."""

    def __init__(self, eigenvalues: Any) -> None:
        super().__init__()
        self.eigenvalues = torch.as_tensor(eigenvalues)
        self.w = nn.Parameter(torch.zeros(len(eigenvalues), 1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        w = self.w[:, 0]
        return (0.5 * (w * self.eigenvalues * w).sum()).expand(len(x))


def _spectrum(eigenvalues: Any, **options: Any) -> Spectrum:
    data = (torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    problem = surfaceviz.Problem(Quadratic(eigenvalues), data, lambda outputs, _: outputs)
    return surfaceviz.hessian(problem, workers=1, **options)


def _words(found: Spectrum) -> str:
    return "\n".join(text for _, text in describe_spectrum(found))


def test_the_chance_of_a_small_component_is_bounded_by_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.cat([torch.linspace(0, 1, 49, dtype=torch.float64), torch.tensor([1.3], dtype=torch.float64)])
    for degree in (3, 6):
        fraction, missed = missed_fraction(degree, 50, 0.05), 0
        for _ in range(400):
            start = torch.randn(50, generator=generator, dtype=torch.float64)
            krylov, _ = torch.linalg.qr(torch.stack([start * values**k for k in range(degree)], dim=1))
            largest = float(torch.linalg.eigvalsh(krylov.T @ (values[:, None] * krylov))[-1])
            missed += largest < 1.3 - fraction * 1.3
        assert missed <= 32  # of 400, of which 20 are expected at most; 32 is the 99.6% of the binomial


def test_half_of_the_width_is_no_bound() -> None:
    assert missed_distance(0.5, 1.0) == np.inf
    assert missed_distance(0.25, 2.0) == 1.0
    assert missed_fraction(0, 10, 0.01) == 1.0
    assert missed_fraction(20, 10, 0.01, random_part=0.0) == 1.0


@pytest.mark.parametrize(("block", "rtol"), [(1, 0.01), (16, 0.01), (48, 0.01), (16, 0.05)])
def test_no_eigenvalue_lies_beyond_what_is_said_for_any_block(block: int, rtol: float) -> None:
    missed = 0
    for seed in range(5):
        found = _spectrum(EDGE, top=1, bottom=1, block=block, rtol=rtol, seed=seed)
        assert 0 < found.beyond < 1
        missed += EDGE.min() < found.lambda_min - found.beyond or EDGE.max() > found.lambda_max + found.beyond
    assert missed == 0


@pytest.mark.long
@pytest.mark.parametrize("block", [1, 4, 16])
@pytest.mark.parametrize("capacity", [24, 256])
def test_the_99_percent_hold_in_200_seeds_for_blocks_and_restarts(block: int, capacity: int) -> None:
    values = torch.from_numpy(EDGE)
    missed = incomplete = 0
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(block, len(values), generator=generator, dtype=torch.float64)
        ends: dict[str, Any] = {"top": 1, "bottom": 1, "rtol": 0.02, "capacity": max(capacity, 14 + block)}
        first = extreme_eigenpairs(lambda rows: rows * values, start, **ends)
        found = find_missed(lambda rows: rows * values, first, **ends, generator=generator)
        low, high = (float(each) for each in found.eigenvalues)
        if block == 1:
            missed += low - first.beyond > EDGE.min() or high + first.beyond < EDGE.max()
        incomplete += int((values > found.listed_above).sum()) > int((found.eigenvalues > found.listed_above).sum())
        incomplete += int((values < found.listed_below).sum()) > int((found.eigenvalues < found.listed_below).sum())
    assert missed <= 6  # of 200, of which 2 are expected at most; 6 is the 99.6% of the binomial
    assert incomplete <= 6


@pytest.mark.parametrize("values", [FIVEFOLD, PAIRS], ids=["fivefold", "pairs"])
@pytest.mark.parametrize("seed", [0, 1])
def test_copies_of_an_eigenvalue_are_found_by_default(values: Any, seed: int) -> None:
    found = _spectrum(values, top=5, bottom=1, seed=seed)
    np.testing.assert_allclose(found.eigenvalues[1:], np.sort(values)[-5:], rtol=0, atol=5e-3)
    assert found.converged.all()
    assert "as often as it occurs, with 99% probability" in _words(found)


def test_merged_eigenpairs_have_their_true_residuals() -> None:
    values = torch.from_numpy(FIVEFOLD)
    generator = torch.Generator().manual_seed(3)
    basis, _ = torch.linalg.qr(torch.randn(200, 200, generator=generator, dtype=torch.float64))
    matrix = basis @ torch.diag(values) @ basis.T
    start = torch.randn(1, 200, generator=generator, dtype=torch.float64)
    ends: dict[str, Any] = {"top": 5, "bottom": 1, "rtol": 1e-3, "capacity": 256}
    first = extreme_eigenpairs(lambda rows: rows @ matrix, start, **ends)
    found = find_missed(lambda rows: rows @ matrix, first, **ends, generator=generator)
    assert found.products > first.products
    true = found.vectors @ matrix - found.eigenvalues[:, None] * found.vectors
    torch.testing.assert_close(found.residuals, torch.linalg.vector_norm(true, dim=1), rtol=1e-6, atol=1e-11)
    gram = found.vectors @ found.vectors.T
    torch.testing.assert_close(gram, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("options", "end"), [({"bottom": 0}, "smallest"), ({"top": 0, "bottom": 1}, "largest")])
def test_nothing_is_said_of_an_end_that_was_not_looked_for(options: dict[str, int], end: str) -> None:
    found = _spectrum(np.r_[np.linspace(-1, 1, 199), 3.0], **{"top": 1, **options})
    words = _words(found)
    assert f"the {end} were not looked for" in words
    assert "no negative curvature" not in words
    assert ("below" in words) == (end == "largest")
    if end == "smallest":
        assert "negative curvature was not looked for" in found.reason


def test_convergence_is_the_residual_next_to_the_eigenvalue_and_nothing_else() -> None:
    values, residuals = np.array([3.339, 1e-5, 0.1, 0.0]), np.array([1.3e-5, 2e-3, 2e-3, 0.0])
    np.testing.assert_array_equal(has_converged(values, residuals, rtol=1e-3, norm=3.339), [True, True, False, True])
    found = _spectrum(np.r_[np.zeros(195), 1.0, 2.0, 3.0, 4.0, 3.339], top=5, bottom=0)  # exhausted after 6 products
    expected = has_converged(found.eigenvalues, found.residuals, rtol=1e-3, norm=4.0)
    np.testing.assert_array_equal(found.converged, expected)
    assert found.converged.all()


def test_what_has_not_converged_is_a_note_and_a_warning() -> None:
    values = torch.linspace(-1, 1, 500, dtype=torch.float64)
    start = torch.ones(1, 500, dtype=torch.float64)
    ends: dict[str, Any] = {"top": 2, "bottom": 2, "rtol": 1e-9}
    found = extreme_eigenpairs(lambda rows: rows * values, start, **ends, max_products=40)
    assert not found.converged.any()
    kept = find_missed(lambda rows: rows * values, found, **ends, capacity=256, generator=torch.Generator())
    assert kept.listed_above == np.inf
    with pytest.warns(UserWarning, match=r"3 of 3 eigenvalues have not converged in \d+ products"):
        hard = _spectrum(np.linspace(-1, 1, 2000), top=2, bottom=1, rtol=1e-15)
    assert "have not converged" in hard.notes[-1]
    assert "copies of equal eigenvalues were not looked for" in _words(hard)


def test_a_narrow_bulk_does_not_bring_found_eigenvectors_back() -> None:
    values = np.r_[1 + 1e-3 * np.linspace(-1, 1, 300) ** 3, 5.0, 5.0]
    for options in ({"top": 3, "bottom": 1}, {"top": 1, "bottom": 2}):
        found = _spectrum(values, **options)
        expected = np.r_[np.sort(values)[: options["bottom"]], np.sort(values)[-options["top"] :]]
        np.testing.assert_allclose(found.eigenvalues, expected, rtol=1e-3)


def test_all_of_more_than_a_thousand_eigenvalues_come_back() -> None:
    values = np.sort(np.r_[np.zeros(300), np.random.default_rng(0).normal(size=800)])
    found = _spectrum(values, top=1100, bottom=0)
    assert found.whole
    assert found.converged.all()
    np.testing.assert_allclose(found.eigenvalues, values, rtol=0, atol=1e-12)
    assert found.lambda_min == pytest.approx(values[0])
    assert "... 1036 more" in _words(found)


def test_an_eigenvalue_lost_in_the_rounding_of_an_exhausted_space_lies_within_what_is_said() -> None:
    """A space in float32 ends where the next direction is as short as rounding, though -3e-5 was not found."""
    values = torch.zeros(400, dtype=torch.float32)
    values[0], values[1] = 1.0, -3e-5
    lost = wrong = unlisted = 0
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(1, 400, generator=generator, dtype=torch.float64).float()
        ends: dict[str, Any] = {"top": 1, "bottom": 1, "rtol": 1e-3, "capacity": 256, "generator": generator}
        first = extreme_eigenpairs(lambda rows: rows * values, start, **ends)
        found = find_missed(lambda rows: rows * values, first, **ends)
        lost += float(first.eigenvalues[0]) > -2e-5
        wrong += float(first.eigenvalues[0]) - first.beyond > -3e-5
        unlisted += found.listed_below > -3e-5 and float(found.eigenvalues[0]) > -2e-5
    assert lost > 5  # so that the claims are tried
    assert wrong == unlisted == 0


def test_eigenvectors_of_dhd_that_move_nothing_do_not_decide_on_the_kind() -> None:
    """With all weights 0, D is 0 as well: no direction of D H D moves theta."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    for p in model.parameters():
        nn.init.zeros_(p)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    problem = surfaceviz.Problem(model, (x, torch.arange(20) % 2), "cross_entropy")
    found = surfaceviz.hessian(problem, normalised=True, workers=1)
    assert found.kind == "inconclusive"
    assert "not finite" not in found.reason
