"""The Python interface to curvature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surfaceviz.api.slice import as_python_has_it
from surfaceviz.curvature import SpectrumSpec
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.run import run_hessian
from surfaceviz.problem.problem import Problem
from surfaceviz.records import HessianMap, Spectrum
from surfaceviz.reporting import QuietReporter, Reporter


def hessian(
    target: Problem | str | Path,
    at: Sequence[float] | None = None,
    *,
    top: int | None = None,
    bottom: int | None = None,
    rtol: float = 1e-3,
    density: bool = False,
    trace: bool = False,
    by_layer: bool = False,
    operator: str = "hessian",
    parameters: str = "all",
    normalised: bool = False,
    probes: int = 10,
    steps: int = 60,
    block: int = 1,
    seed: int = 0,
    weight_decay: float | None = None,
    weights: str | None = None,
    workers: int | None = None,
    reporter: Reporter | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Spectrum:
    """Return the curvature of the loss at a point: of a problem's weights, or of a slice's file, into which it goes.

    The matrix is that of the split's mean loss (no weight decay, no augmentation, no dropout, batch norm in eval mode)
    over the parameters. A spectrum that the file holds already is returned as it is. Under an MPI launcher this is a
    collective call, and every rank gets the answer.

    Args:
        target: a `Problem`, its name as on the command line, or a slice's file.
        at: coordinates on the slice, (ndim,); by default theta.
        top: the number of largest eigenvalues; by default 5.
        bottom: the number of smallest; by default 1 (and all of a matrix over at most 64 parameters).
        rtol: an eigenvalue has converged when its residual is at most ``rtol`` |lambda| (``rtol`` ||H|| near 0).
        density: whether to take the density of all eigenvalues, by quadrature.
        trace: whether to estimate the trace.
        by_layer: whether to take trace and top eigenvalue of each tensor's own block.
        operator: ``hessian`` or ``ggn``.
        parameters: ``all``, ``weights`` (no biases, no gains) or a pattern on names.
        normalised: whether to take D H D, D = ||w_i|| / sqrt(n_i) on each filter.
        probes: random vectors for trace and density.
        steps: products a probe, for the density.
        block: start vectors; as many copies of a multiple eigenvalue are found.
        seed: of start vectors and probes.
        weight_decay: of training, to tell the gradient's norm with it as well.
        weights: ``FILE[:KEY]`` for a problem; by default its own.
        workers: local processes that share the samples; None takes one a core where the work is worth it.
        reporter: told what happens; by default warnings go to `warnings`.
        overwrite: whether to compute anew what the file holds.
        options: split, samples, data, problem (for a slice of live objects), device, dtype, batch, memory (bytes), as
            of `Inquiry`.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: problem, weights, data or file are not as they should be, the point lies off the slice, the
            loss is not twice differentiable, or memory is too short.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        >>> hessian(Problem(model, (x, model(x).detach()), "mse")).eigenvalues.round(4).tolist()
        [1.0, 9.0]
    """
    reporter = reporter or QuietReporter()
    wanted = SpectrumSpec(
        top=top, bottom=bottom, density=density, trace=trace, by_layer=by_layer, operator=operator,
        parameters=parameters, normalised=normalised, rtol=rtol, probes=probes, steps=steps, block=block,
        seed=seed, weight_decay=weight_decay,
    )  # fmt: skip
    request = HessianRequest(
        target, wanted, at=() if at is None else (tuple(map(float, at)),),
        weights=() if weights is None else (weights,), overwrite=overwrite, **options,
    )  # fmt: skip
    with as_python_has_it(reporter):
        return run_hessian(request, workers=workers, reporter=reporter, command="surfaceviz.hessian").spectra[0]


def hessian_map(
    path: str | Path,
    shape: Sequence[int],
    *,
    cold: bool = False,
    rtol: float = 1e-2,
    workers: int | None = None,
    reporter: Reporter | None = None,
    **options: Any,
) -> HessianMap:
    """Return largest and smallest eigenvalue and gradient norm on a grid over a slice, also into its file.

    Args:
        path: the slice's file, which the same call goes on with.
        shape: numbers of points, (p,)[, (q,)].
        cold: whether each point starts from random vectors, and not from its neighbour's eigenvectors.
        rtol: relative residual of the eigenvalues.
        workers: local processes, which take a row each.
        reporter: told what happens.
        options: operator, parameters, normalised, seed, of `Wanted`; split, samples, problem, data, device, dtype,
            batch, memory, overwrite, of `Inquiry`.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: as of `hessian`, or the file holds another map.
    """
    reporter = reporter or QuietReporter()
    own = {key: options.pop(key) for key in ("operator", "parameters", "normalised", "seed") if key in options}
    request = HessianRequest(
        path, SpectrumSpec(rtol=rtol, **own), map_rtol=rtol, grid=tuple(shape), cold=cold, **options
    )
    with as_python_has_it(reporter):
        found = run_hessian(request, workers=workers, reporter=reporter, command="surfaceviz.hessian_map").hessian_map
    assert found is not None
    return found
