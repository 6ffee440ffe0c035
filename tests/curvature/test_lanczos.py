"""Baseline: matrices with given eigenvalues, and numpy's dense `eigvalsh`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from surfaceviz.curvature import extreme_eigenpairs
from surfaceviz.curvature.bounds.negative_share import mass_below
from surfaceviz.curvature.density import quadrature, rademacher
from surfaceviz.errors import NotFiniteError


class Matrix:
    """A symmetric matrix with given eigenvalues and random eigenvectors, counting its products."""

    def __init__(self, values: Tensor, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        size = len(values)
        self.basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
        self.dense = self.basis @ torch.diag(values.double()) @ self.basis.T
        self.products = 0

    def __call__(self, rows: Tensor) -> Tensor:
        self.products += len(rows)
        product: Tensor = rows @ self.dense.to(rows)
        return product

    def start(self, count: int = 1, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(count, len(self.dense), generator=generator, dtype=torch.float64).to(dtype)


def _bulk(size: int) -> Tensor:
    """Return eigenvalues as networks have them: a bulk around 0, a negative edge, outliers."""
    generator = torch.Generator().manual_seed(2)
    bulk = 0.05 * torch.randn(size - 8, generator=generator, dtype=torch.float64)
    return torch.cat([bulk, torch.tensor([-2.0, -0.7, 3.0, 5.0, 8.0, 20.0, 20.5, 90.0], dtype=torch.float64)])


def _expected(matrix: Matrix, top: int, bottom: int) -> Tensor:
    values = torch.from_numpy(np.linalg.eigvalsh(matrix.dense.numpy()))
    return torch.cat([values[:bottom], values[len(values) - top :]])


@pytest.mark.parametrize(("top", "bottom"), [(5, 1), (1, 0), (0, 2), (6, 2)])
def test_both_ends_come_from_one_run_each_with_its_true_residual(top: int, bottom: int) -> None:
    matrix = Matrix(_bulk(400))
    found = extreme_eigenpairs(matrix, matrix.start(), top=top, bottom=bottom, rtol=1e-9)
    assert found.converged.all()
    torch.testing.assert_close(found.eigenvalues, _expected(matrix, top, bottom), rtol=0, atol=1e-9)
    true = torch.linalg.vector_norm(matrix(found.vectors) - found.eigenvalues[:, None] * found.vectors, dim=1)
    torch.testing.assert_close(found.residuals, true, rtol=0, atol=1e-11)
    gram = found.vectors @ found.vectors.T
    torch.testing.assert_close(gram, torch.eye(top + bottom, dtype=torch.float64), rtol=0, atol=1e-12)
    assert found.products <= 120


def test_little_room_costs_products_and_no_accuracy() -> None:
    matrix = Matrix(torch.linspace(-1, 1, 400) ** 3)
    ample = extreme_eigenpairs(matrix, matrix.start(), top=5, bottom=2, rtol=1e-8)
    short = extreme_eigenpairs(matrix, matrix.start(), top=5, bottom=2, rtol=1e-8, capacity=24)
    assert 24 < ample.products < short.products < 1000
    assert short.converged.all()
    torch.testing.assert_close(short.eigenvalues, ample.eigenvalues, rtol=0, atol=1e-9)
    true = torch.linalg.vector_norm(matrix(short.vectors) - short.eigenvalues[:, None] * short.vectors, dim=1)
    torch.testing.assert_close(short.residuals, true, rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match="got capacity 20; expected at least 23 for 5 top and 2 bottom"):
        extreme_eigenpairs(matrix, matrix.start(), top=5, bottom=2, capacity=20)


@pytest.mark.parametrize("block", [1, 3])
def test_an_exactly_low_rank_matrix_has_no_ghosts(block: int) -> None:
    values = torch.zeros(300)
    values[:5] = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    matrix = Matrix(values)
    found = extreme_eigenpairs(matrix, matrix.start(block), top=8, bottom=2, rtol=1e-6)
    torch.testing.assert_close(found.eigenvalues, _expected(matrix, 8, 2), rtol=0, atol=1e-10)


@pytest.mark.parametrize("block", [1, 2, 10, 12])
def test_ten_equal_eigenvalues_are_found_ten_times(block: int) -> None:
    values = torch.cat([torch.full((10,), 5.0), torch.full((50,), 1.0), torch.full((60,), -0.5)])
    matrix = Matrix(values)
    found = extreme_eigenpairs(matrix, matrix.start(block), top=12, bottom=3, rtol=1e-8)
    torch.testing.assert_close(found.eigenvalues, _expected(matrix, 12, 3), rtol=0, atol=1e-10)


def test_a_block_finds_the_copies_among_many_other_eigenvalues() -> None:
    values = _bulk(500)
    values[:10] = 40.0
    matrix = Matrix(values)
    found = extreme_eigenpairs(matrix, matrix.start(10), top=12, bottom=1, rtol=1e-8)
    torch.testing.assert_close(found.eigenvalues, _expected(matrix, 12, 1), rtol=0, atol=1e-8)
    one = extreme_eigenpairs(matrix, matrix.start(1), top=2, bottom=1, rtol=1e-8)
    torch.testing.assert_close(one.eigenvalues, _expected(matrix, 2, 1), rtol=0, atol=1e-8)


def test_a_cluster_is_told_apart() -> None:
    values = _bulk(300)
    values[:4] = 50 + 1e-4 * torch.arange(4)
    matrix = Matrix(values)
    found = extreme_eigenpairs(matrix, matrix.start(2), top=5, bottom=1, rtol=1e-9)
    torch.testing.assert_close(found.eigenvalues, _expected(matrix, 5, 1), rtol=0, atol=1e-9)


def test_many_steps_make_no_ghosts_in_single_precision() -> None:
    matrix = Matrix(_bulk(300))
    found = extreme_eigenpairs(matrix, matrix.start(dtype=torch.float32), top=8, bottom=3, rtol=1e-6, max_products=280)
    torch.testing.assert_close(found.eigenvalues, _expected(matrix, 8, 3), rtol=0, atol=1e-4)


def test_a_zero_matrix_is_all_zeros() -> None:
    found = extreme_eigenpairs(torch.zeros_like, torch.ones(1, 4, dtype=torch.float64), top=3, bottom=1)
    assert found.eigenvalues.tolist() == [0, 0, 0, 0]
    assert found.complete
    assert found.norm == 0


def test_all_of_a_small_matrix_are_all() -> None:
    matrix = Matrix(torch.tensor([3.0, -1.0, -1.0, 0.0]))
    found = extreme_eigenpairs(matrix, matrix.start(), top=4, bottom=0)
    assert found.complete
    torch.testing.assert_close(found.eigenvalues, _expected(matrix, 4, 0), rtol=0, atol=1e-12)


def test_what_has_not_converged_is_said() -> None:
    matrix = Matrix(torch.linspace(-1, 1, 500))
    found = extreme_eigenpairs(matrix, matrix.start(), top=2, bottom=2, rtol=1e-9, max_products=40)
    assert not found.converged.any()
    true = torch.linalg.vector_norm(matrix(found.vectors) - found.eigenvalues[:, None] * found.vectors, dim=1)
    torch.testing.assert_close(found.residuals, true, rtol=0, atol=1e-11)


def test_a_negative_edge_in_a_narrow_bulk_is_not_taken_for_zero() -> None:
    values = 1e-4 * torch.randn(600, generator=torch.Generator().manual_seed(5))
    values[:3] = torch.tensor([100.0, 60.0, -0.5])
    matrix = Matrix(values)
    found = extreme_eigenpairs(matrix, matrix.start(), top=2, bottom=1)
    assert float(found.eigenvalues[0]) == pytest.approx(-0.5, abs=1e-3)


def test_a_start_from_neighbouring_eigenvectors_saves_products() -> None:
    here, there = (Matrix(torch.linspace(-1, 1, 400) ** 3) for _ in range(2))
    there.dense = here.dense + 1e-3 * Matrix(torch.linspace(-1, 1, 400), seed=9).dense
    known = extreme_eigenpairs(here, here.start(), top=1, bottom=1, rtol=1e-6)
    start = there.start()
    cold = extreme_eigenpairs(there, start, top=1, bottom=1, rtol=1e-3)
    warm = extreme_eigenpairs(there, known.vectors.sum(0) + 0.3 * start / start.norm(), top=1, bottom=1, rtol=1e-3)
    torch.testing.assert_close(warm.eigenvalues, cold.eigenvalues, rtol=0, atol=1e-5)
    assert warm.products < cold.products


@pytest.mark.parametrize("block", [1, 3])
def test_a_start_from_eigenvectors_that_are_no_longer_extreme_is_not_believed(block: int) -> None:
    values = torch.rand(300, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    values[:3] = torch.tensor([10.0, 9.0, -1.0])
    here = Matrix(values)
    known = extreme_eigenpairs(here, here.start(), top=1, bottom=1, rtol=1e-2)
    values[:6] = torch.tensor([9.0, 10.0, -0.9, -2.0, 0.5, 60.0])
    there = Matrix(values)
    fresh = there.start() / there.start().norm()
    start = torch.cat([known.vectors, fresh]) if block == 3 else known.vectors.sum(0) + 0.3 * fresh
    found = extreme_eigenpairs(there, start, top=1, bottom=1, rtol=1e-2)
    assert found.converged.all()
    torch.testing.assert_close(found.eigenvalues, _expected(there, 1, 1), rtol=0.02, atol=0)


def test_no_residual_is_claimed_below_what_single_precision_can_tell() -> None:
    matrix = Matrix(
        torch.cat([torch.rand(300, generator=torch.Generator().manual_seed(5)), torch.tensor([5.0, 9, 100])])
    )
    found = extreme_eigenpairs(matrix, matrix.start(dtype=torch.float32), top=3, bottom=1, rtol=1e-9, max_products=290)
    vectors = found.vectors.double()
    vectors /= vectors.norm(dim=1, keepdim=True)
    true = torch.linalg.vector_norm(vectors @ matrix.dense - found.eigenvalues[:, None] * vectors, dim=1)
    assert (true <= found.residuals).all()
    assert not found.converged.any()


def test_a_matrix_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NotFiniteError, match="a product with the matrix of second derivatives is not finite"):
        extreme_eigenpairs(lambda rows: rows * torch.nan, torch.ones(1, 9), top=1, bottom=1)


def test_what_lies_beyond_does_so_within_what_is_said() -> None:
    values = torch.zeros(2000, dtype=torch.float64)
    values[:3] = torch.tensor([1.0, 0.5, -0.02])
    missed = 0
    for seed in range(100):
        start = torch.randn(1, 2000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        found = extreme_eigenpairs(
            lambda rows: rows * (values + 1e-4 * torch.linspace(-1, 1, 2000)), start, top=1, bottom=1
        )
        assert 0 < found.beyond < 1
        missed += float(found.eigenvalues[0]) - found.beyond > -0.02
    assert missed <= 4  # of 100, where 1 is expected at the most


def test_more_eigenvalues_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="4 top and 1 bottom eigenvalues of a matrix of dimension 4"):
        extreme_eigenpairs(torch.zeros_like, torch.ones(1, 4), top=4, bottom=1)


def test_the_bounds_of_the_negative_share_hold_for_a_probes_own_measure() -> None:
    matrix = Matrix(_bulk(200))
    values, vectors = np.linalg.eigh(matrix.dense.numpy())
    for seed in range(20):
        probe = rademacher(1, 200, torch.Generator().manual_seed(seed), torch.float64)
        rules = quadrature(matrix, probe, 15)
        true = ((vectors.T @ probe[0].numpy())[values < -0.02] ** 2).sum() / 200
        low, high = mass_below(rules.diagonal[0], rules.off_diagonal[0], -0.02)
        assert low - 1e-12 <= true <= high + 1e-12


def test_an_exhausted_probe_ends_early_and_loses_no_weight() -> None:
    matrix = Matrix(torch.cat([torch.full((30,), 2.0), torch.full((10,), -1.0)]))
    probe = rademacher(2, 40, torch.Generator().manual_seed(0), torch.float64)
    rules = quadrature(matrix, probe, 6)
    assert rules.nodes.isnan().sum(1).tolist() == [4, 4]
    torch.testing.assert_close(rules.nodes[:, :2], torch.tensor([[-1.0, 2.0]] * 2).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(rules.weights.sum(1), torch.ones(2).double(), rtol=0, atol=1e-12)
