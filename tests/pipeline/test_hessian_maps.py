"""Baseline: the eigenvalues of dense Hessians by torch.func and numpy at each point of a map."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz.records import HessianMap, describe

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*points lie lower than the centre"),
]


def _trained(seed: int, steps: int) -> tuple[surfaceviz.Problem, Any]:
    """Return a problem on a small trained network, and the function of the Hessian's eigenvalues at a flat vector."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(96, 6, generator=generator, dtype=torch.float64)
    y = x[:, :3].argmax(1)
    y[:8] = torch.randint(0, 3, (8,), generator=generator)
    model = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 3)).double()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    named = {name: p.detach() for name, p in model.named_parameters()}

    def loss(v: Tensor) -> Tensor:
        parts = zip(sorted(named), v.split([named[name].numel() for name in sorted(named)]), strict=True)
        state = {name: part.reshape(named[name].shape) for name, part in parts}
        return nn.functional.cross_entropy(torch.func.functional_call(model, state, (x,)), y)

    theta = torch.cat([named[name].reshape(-1) for name in sorted(named)])

    def eigenvalues(alpha: float, beta: float) -> Any:
        with h5py.File("m.h5") as file:
            rows = [_direction(file[f"directions/{k}"], named) for k in (0, 1)]
        return np.linalg.eigvalsh(torch.func.hessian(loss)(theta + alpha * rows[0] + beta * rows[1]).detach().numpy())

    return surfaceviz.Problem(model, (x, y), "cross_entropy"), eigenvalues


def _direction(group: Any, named: dict[str, Tensor]) -> Tensor:
    parts = [torch.tensor(group[n][...]) if n in group else torch.zeros_like(named[n]) for n in sorted(named)]
    return torch.cat([part.reshape(-1) for part in parts])


def _wrong(found: HessianMap, eigenvalues: Any) -> tuple[int, int]:
    """Return how many eigenvalues are off by more than rtol, and how many statements on what lies beyond are false."""
    wrong = false = 0
    assert found.beyond is not None
    for i, j in np.ndindex(found.origin.shape):
        true = eigenvalues(found.axes[0][i], found.axes[1][j])
        norm = np.abs(true).max()
        for told, residual, exact in (
            (found.lambda_min[i, j], found.residual_min[i, j], true[0]),
            (found.lambda_max[i, j], found.residual_max[i, j], true[-1]),
        ):
            wrong += abs(told - exact) > max(residual, 1e-2 * (abs(exact) if abs(exact) > 1e-2 * norm else norm))
        low, high = found.lambda_min[i, j] - found.beyond[i, j], found.lambda_max[i, j] + found.beyond[i, j]
        false += true[0] < low - 1e-9 or true[-1] > high + 1e-9
    return wrong, false


def _map(problem: surfaceviz.Problem, grid: tuple[int, int], *, cold: bool) -> HessianMap:
    surfaceviz.slice(problem, [(-0.5, 0.5, 3)] * 2, seed=1, output="m.h5", workers=1, engine="eager", overwrite=True)
    return surfaceviz.hessian_map("m.h5", grid, problem=problem, workers=1, cold=cold)


@pytest.mark.parametrize("cold", [False, True])
def test_a_maps_extreme_eigenvalues_are_not_the_second_ones(cold: bool) -> None:
    problem, eigenvalues = _trained(6, 1500)
    found = _map(problem, (9, 5), cold=cold)
    assert _wrong(found, eigenvalues) == (0, 0)
    assert found.unconverged == 0
    assert "at a point, with 99% probability" in dict(describe(surfaceviz.read("m.h5")))[""]


@pytest.mark.long
@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize(("seed", "steps"), [(1, 1500), (2, 200), (4, 1500), (5, 60), (7, 3000), (8, 1500)])
def test_maps_of_many_networks_are_right(seed: int, steps: int, cold: bool) -> None:
    problem, eigenvalues = _trained(seed, steps)
    assert _wrong(_map(problem, (9, 9), cold=cold), eigenvalues) == (0, 0)


@pytest.mark.parametrize("inputs", [1, 4])
def test_a_map_of_a_matrix_of_which_a_search_finds_all_eigenvalues(inputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, inputs, generator=generator, dtype=torch.float64)
    y = (torch.randn(40, 2, generator=generator) > 0).double()
    model = nn.Linear(inputs, 2).double()
    problem = surfaceviz.Problem(model, (x, y), nn.BCEWithLogitsLoss())
    axes = [(-1, 1, 3), (-1, 1, 3)]
    surfaceviz.slice(problem, axes, normalise="none", output="m.h5", workers=1, engine="eager")
    found = surfaceviz.hessian_map("m.h5", (3, 3), problem=problem, workers=1)
    design = torch.cat([x, torch.ones(40, 1, dtype=torch.float64)], dim=1)
    with h5py.File("m.h5") as file:
        steps = [torch.from_numpy(file[f"directions/{k}/weight"][()]) for k in (0, 1)]
    for i, j in np.ndindex(3, 3):
        weight = model.weight.detach() + float(found.axes[0][i]) * steps[0] + float(found.axes[1][j]) * steps[1]
        p = torch.sigmoid(x @ weight.T + model.bias.detach())
        blocks = [design.T @ ((p * (1 - p))[:, k, None] * design) / 80 for k in (0, 1)]  # one for each output
        values = torch.cat([torch.linalg.eigvalsh(block) for block in blocks]).sort().values
        assert found.lambda_max[i, j] == pytest.approx(float(values[-1]), rel=1e-6)
        assert found.lambda_min[i, j] == pytest.approx(float(values[0]), rel=1e-6)
