"""Baseline: matrices with given eigenvalues, whose negative share is counted, and dense Hessians by torch.func."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz.curvature.bounds.negative_share import mass_below, share_below, zero_threshold
from surfaceviz.curvature.density import quadrature, rademacher
from surfaceviz.records import Spectrum, describe_spectrum

pytestmark = pytest.mark.usefixtures("one_thread")


def _spectra() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "bulk": rng.normal(size=300) * 0.1 - 0.03,
        "zeros": np.r_[np.zeros(100), rng.normal(size=200) * 0.05, 3.0, 5.0],
        "decades": np.r_[np.zeros(100), -(10.0 ** rng.uniform(-8, -1, 100)), 10.0 ** rng.uniform(-8, 0, 100)],
        "positive": rng.uniform(0.5, 1, 100),
        "two": np.r_[-np.ones(10), np.ones(30)],
        "few": np.r_[-np.ones(3), np.ones(3)],
    }


def _coverage(values: Any, *, steps: int, probes: int, seeds: int) -> int:
    """Return how many brackets hold the true share, and check the bounds of each probe's own measure."""
    d = torch.as_tensor(values, dtype=torch.float64)
    basis, _ = torch.linalg.qr(torch.randn(len(d), len(d), generator=torch.Generator().manual_seed(0)).double())
    matrix = basis @ torch.diag(d) @ basis.T
    zero = zero_threshold(float(d.abs().max()), len(d), torch.float64)
    held = 0
    for seed in range(seeds):
        z = rademacher(probes, len(d), torch.Generator().manual_seed(seed + 1), torch.float64)
        rules = quadrature(lambda rows: rows @ matrix, z, steps)
        low, high = share_below([rules], -zero)
        held += low <= float((d < -zero).double().mean()) <= high
        for i, m in enumerate(rules.lengths):
            own = float((z[i] @ basis)[d < -zero].square().sum()) / len(d)
            least, most = mass_below(rules.diagonal[i, :m], rules.off_diagonal[i, :m], -zero)
            assert least - 1e-9 <= own <= most + 1e-9
    return held


@pytest.mark.parametrize("name", list(_spectra()))
def test_the_bracket_of_a_share_holds_the_truth_in_19_of_20_seeds(name: str) -> None:
    assert _coverage(_spectra()[name], steps=10, probes=3, seeds=20) >= 19


@pytest.mark.long
@pytest.mark.parametrize("name", list(_spectra()))
@pytest.mark.parametrize(("steps", "probes"), [(5, 1), (10, 10), (30, 3)])
def test_the_bracket_of_a_share_holds_the_truth_in_183_of_200_seeds(name: str, steps: int, probes: int) -> None:
    assert _coverage(_spectra()[name], steps=steps, probes=probes, seeds=200) >= 183  # 95%: 0.1% of the binomial


def test_an_interval_closes_where_the_measure_is_known() -> None:
    diagonal, off = torch.tensor([0.0, 0.0]).double(), torch.tensor([1.0, 0.0]).double()  # at -1 and 1, a half each
    assert mass_below(diagonal, off, 0.0) == pytest.approx((0.5, 0.5))
    assert mass_below(diagonal, off, -2.0) == (0.0, 0.0)


def _network(seed: int) -> tuple[surfaceviz.Problem, Any]:
    """Return a problem on a small network, and its Hessian by torch.func."""
    torch.manual_seed(seed)
    layers = nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 6), nn.ReLU(), nn.Linear(6, 3)
    model, x, y = nn.Sequential(*layers).double(), torch.randn(60, 6, dtype=torch.float64), torch.randint(0, 3, (60,))
    named = dict(model.named_parameters())
    names = sorted(named)

    def loss(v: Tensor) -> Tensor:
        parts = zip(names, v.split([named[name].numel() for name in names]), strict=True)
        state = {name: part.reshape(named[name].shape) for name, part in parts}
        return nn.functional.cross_entropy(torch.func.functional_call(model, state, (x,)), y)

    theta = torch.cat([named[name].detach().reshape(-1) for name in names])
    return surfaceviz.Problem(model, (x, y), "cross_entropy"), torch.func.hessian(loss)(theta).detach().numpy()


def _words(found: Spectrum) -> str:
    return "\n".join(text for _, text in describe_spectrum(found))


@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_a_small_network_is_counted(seed: int) -> None:
    problem, matrix = _network(seed)
    values = np.linalg.eigvalsh(matrix)
    found = surfaceviz.hessian(problem, density=True, by_layer=True, workers=1)
    assert found.zero_threshold is not None
    assert found.zero_threshold < 1e-12 * found.norm
    assert found.negative_share == np.mean(values < -found.zero_threshold)
    assert found.zero_share == np.mean(np.abs(values) <= found.zero_threshold)
    assert found.negative_share_stderr == 0
    assert found.trace == pytest.approx(np.trace(matrix), rel=1e-10)
    assert found.effective_rank == pytest.approx(np.trace(matrix) ** 2 / np.sum(matrix**2), rel=1e-8)
    assert found.layers is not None
    assert found.layers.trace.sum() == pytest.approx(np.trace(matrix), rel=1e-10)
    assert f"of the eigenvalues, counted from all {len(values)}" in _words(found)
    np.testing.assert_allclose(found.eigenvalues[1:], values[-5:], rtol=1e-9)


def test_a_bracket_is_said_where_the_eigenvalues_are_too_many() -> None:
    problem, matrix = _network(0)
    found = surfaceviz.hessian(problem, density=True, probes=2, steps=6, workers=1)  # 8 times 12 products are too few
    assert found.zero_share is None
    assert found.negative_bounds is not None
    low, high = found.negative_bounds
    assert low <= np.mean(np.linalg.eigvalsh(matrix) < -1e-12 * found.norm) <= high
    words = _words(found)
    assert "95% confidence" in words
    assert "(95% by Student's t, 2 probes)" in words


def test_one_probe_states_no_error() -> None:
    problem, _ = _network(0)
    found = surfaceviz.hessian(problem, trace=True, probes=1, workers=1)
    assert "from 1 probe, which does not tell its error" in _words(found)
    assert "nan" not in _words(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the train accuracy at the centre", "ignore:.*points lie lower than the centre")
def test_the_spread_of_single_directions_is_that_of_many_slices() -> None:
    problem, _ = _network(1)
    seen = []
    for seed in range(40):
        surfaceviz.slice(problem, [(-1, 1, 3)], seed=seed, output="s.h5", overwrite=True, workers=1, engine="eager")
        seen.append(float(surfaceviz.hessian("s.h5", problem=problem, workers=1).along[0, 0]))  # type: ignore[index]
    found = surfaceviz.hessian(problem, density=True, workers=1)  # exact, and the spread of 400 directions
    assert found.expected_spread == pytest.approx(np.std(seen, ddof=1), rel=0.4)
    assert found.expected is not None
    assert abs(found.expected - np.mean(seen)) < 4 * np.std(seen, ddof=1) / np.sqrt(40)
    by_probes = surfaceviz.hessian(problem, trace=True, probes=100, workers=1)
    assert by_probes.expected_spread == pytest.approx(found.expected_spread, rel=0.35)
    assert "a single direction differs from the mean by" in _words(by_probes)
