"""The largest eigenvalues of the Hessian and its density by each library; `bench_peers.py` compares them.

`hessian_contenders.py` asks the same more strictly, of a larger network: to one residual for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from peer_slices import Task
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

import surfaceviz

TOP = 5
RTOL = 1e-3  # residual, or change, that each library is asked for
PROBES, STEPS = 2, 40  # of a density

Job = Callable[[], list[float]]


def _whole(task: Task) -> list[tuple[Tensor, Tensor]]:
    return [(task.x, task.y)]


def surfaceviz_top(task: Task) -> Job:
    """Return what finds the eigenvalues by `surfaceviz.hessian`: its residual is the tolerance."""
    return lambda: _hessian(task, top=TOP, rtol=RTOL)


def surfaceviz_density(task: Task) -> Job:
    """Return what estimates the density likewise; it needs one eigenvalue for the scale, which is part of the time."""
    return lambda: _hessian(task, top=1, density=True, probes=PROBES, steps=STEPS)


def _hessian(task: Task, **options: Any) -> list[float]:
    quiet = surfaceviz.QuietReporter()
    found = surfaceviz.hessian(task.problem, bottom=0, workers=1, device="cpu", reporter=quiet, **options)
    assert found.eigenvalues is not None
    return [float(value) for value in found.eigenvalues]


def curvlinops_top(task: Task) -> Job:
    """Return the same by scipy's ARPACK over curvlinops."""
    operator = _curvlinops(task)
    return lambda: eigsh(operator.to_scipy(), k=TOP, which="LA", tol=RTOL, return_eigenvectors=False).tolist()


def curvlinops_density(task: Task) -> Job:
    """Return the same by curvlinops, which finds the ends of the spectrum first."""
    from curvlinops import lanczos_approximate_spectrum  # noqa: PLC0415  each child imports its own

    operator = _curvlinops(task)

    def density() -> list[float]:
        ends = None
        for _ in range(PROBES):
            grid, _heights = lanczos_approximate_spectrum(operator, STEPS, boundaries=ends)
            ends = (float(grid[0]), float(grid[-1]))
        return []

    return density


def _curvlinops(task: Task) -> Any:
    from curvlinops import HessianLinearOperator  # noqa: PLC0415

    parameters = list(task.model.parameters())
    loss = nn.CrossEntropyLoss()
    return HessianLinearOperator(task.model, loss, parameters, _whole(task), check_deterministic=False)


def eigenthings_top(task: Task) -> Job:
    """Return the same by hessian-eigenthings, by as many Lanczos steps as it takes by default."""
    from hessian_eigenthings import lanczos  # noqa: PLC0415

    operator = _eigenthings(task)

    def top() -> list[float]:
        found = lanczos(operator, k=TOP, tol=RTOL, which="LA", seed=0)
        return [float(value) for value in found.eigenvalues]

    return top


def eigenthings_density(task: Task) -> Job:
    """Return the same by hessian-eigenthings."""
    from hessian_eigenthings import spectral_density  # noqa: PLC0415

    operator = _eigenthings(task)

    def density() -> list[float]:
        spectral_density(operator, num_runs=PROBES, lanczos_steps=STEPS, seed=0)
        return []

    return density


def _eigenthings(task: Task) -> Any:
    from hessian_eigenthings import HessianOperator  # noqa: PLC0415

    loss = nn.functional.cross_entropy
    return HessianOperator(task.model, _whole(task), lambda model, batch: loss(model(batch[0]), batch[1]))


def landscaper_top(task: Task) -> Job:
    """Return the same by landscaper's power method, its graph being kept."""
    operator = _landscaper(task)
    return lambda: [float(value) for value in operator.eigenvalues(top_n=TOP, tol=RTOL)[0]]


def landscaper_density(task: Task) -> Job:
    """Return the same by landscaper."""
    operator = _landscaper(task)

    def density() -> list[float]:
        operator.density(iter=STEPS, n_v=PROBES)
        return []

    return density


def _landscaper(task: Task) -> Any:
    from landscaper import PyHessian  # noqa: PLC0415

    return PyHessian(task.model, nn.CrossEntropyLoss(), _whole(task), "cpu", try_cache=True)


def landscape_3d_top(task: Task) -> Job:
    """Return the quotients of the two eigenvectors of loss-landscape-3d; it has no more."""
    from loss_landscape_3d import generate_hessian_directions  # noqa: PLC0415

    matvec = exact_product(task)

    def top() -> list[float]:
        first, second, _ = generate_hessian_directions(
            task.model, _whole(task), nn.CrossEntropyLoss(), max_iter=100, tol=RTOL
        )
        vectors = [torch.cat([part.reshape(-1) for part in each.values()]).double().numpy() for each in (first, second)]
        return [float(v @ matvec(v) / (v @ v)) for v in vectors]

    return top


def exact_product(task: Task) -> Callable[[np.ndarray], np.ndarray]:
    """Return products with the Hessian in float64, by two backward passes written down plainly."""
    import copy  # noqa: PLC0415

    model = copy.deepcopy(task.model).double()
    parameters = list(model.parameters())
    loss = nn.functional.cross_entropy(model(task.x.double()), task.y)
    slopes = torch.autograd.grad(loss, parameters, create_graph=True)

    def product(vector: np.ndarray) -> np.ndarray:
        parts = torch.as_tensor(vector, dtype=torch.float64).reshape(-1).split([p.numel() for p in parameters])
        shaped = [part.view_as(p) for part, p in zip(parts, parameters, strict=True)]
        images = torch.autograd.grad(slopes, parameters, shaped, retain_graph=True)
        return torch.cat([image.reshape(-1) for image in images]).numpy()

    return product


def exact_top(task: Task) -> list[float]:
    """Return the largest eigenvalues, ascending, by ARPACK over products in float64, to rounding."""
    size = sum(p.numel() for p in task.model.parameters())
    operator = LinearOperator((size, size), matvec=exact_product(task), dtype=np.float64)
    found = eigsh(operator, k=TOP, which="LA", tol=1e-9, return_eigenvectors=False)
    return sorted(float(value) for value in found)


TOPS: dict[str, Callable[[Task], Job]] = {
    "surfaceviz": surfaceviz_top,
    "curvlinops": curvlinops_top,
    "hessian-eigenthings": eigenthings_top,
    "landscaper": landscaper_top,
    "loss-landscape-3d": landscape_3d_top,
}
DENSITIES: dict[str, Callable[[Task], Job]] = {
    "surfaceviz": surfaceviz_density,
    "curvlinops": curvlinops_density,
    "hessian-eigenthings": eigenthings_density,
    "landscaper": landscaper_density,
}
