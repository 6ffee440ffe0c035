"""The Python interface to spectra and Hessian maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.run import run_hessian
from surfaceviz.problem.problem import Problem
from surfaceviz.records import HessianMap, Spectrum
from surfaceviz.reporting import Reporter

_DEFAULT = defaults_of(HessianRequest.of)


def hessian(
    target: Problem | str | Path,
    at: Sequence[float] | None = None,
    *,
    top: int | None = _DEFAULT.top,
    bottom: int | None = _DEFAULT.bottom,
    density: bool = _DEFAULT.density,
    trace: bool = _DEFAULT.trace,
    by_layer: bool = _DEFAULT.by_layer,
    operator: str = _DEFAULT.operator,
    parameters: str = _DEFAULT.parameters,
    normalised: bool = _DEFAULT.normalised,
    rtol: float | None = _DEFAULT.rtol,
    probes: int = _DEFAULT.probes,
    steps: int = _DEFAULT.steps,
    block: int = _DEFAULT.block,
    seed: int = _DEFAULT.seed,
    weight_decay: float | None = _DEFAULT.weight_decay,
    weights: str | None = _DEFAULT.weights,
    problem: str | Problem | None = _DEFAULT.problem,
    data: str | None = _DEFAULT.data,
    split: str | None = _DEFAULT.split,
    samples: int | None = _DEFAULT.samples,
    draws: int | None = _DEFAULT.draws,
    noise_seed: int | None = _DEFAULT.noise_seed,
    device: str = _DEFAULT.device,
    dtype: str | None = _DEFAULT.dtype,
    batch_size: int | None = _DEFAULT.batch_size,
    memory: int | str | None = _DEFAULT.memory,
    output: str | Path | None = _DEFAULT.output,
    overwrite: bool = _DEFAULT.overwrite,
    trust: bool = _DEFAULT.trust,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> Spectrum:
    """Return the curvature of the loss at a point: at a problem's weights, or on a slice, whose file then holds it.

    The matrix is that of the split's mean loss (no weight decay, no augmentation, no dropout, batch norm in eval mode)
    over the parameters. A spectrum that the file holds already is returned as it is. Under an MPI launcher this is a
    collective call, and every rank gets the result.

    Args:
        target: a `Problem`, its name as on the command line, or a slice's file.
        at: coordinates on the slice, (ndim,); by default theta.
        top: number of largest eigenvalues; by default 5.
        bottom: number of smallest eigenvalues; by default 1 (and all of a matrix over at most 64 parameters).
        density: whether to compute the density of all eigenvalues, by quadrature.
        trace: whether to estimate the trace.
        by_layer: whether to compute trace and top eigenvalue of each tensor's own block.
        operator: ``hessian`` or ``ggn``.
        parameters: ``all``, ``weights`` (no biases, no gains) or a pattern of names.
        normalised: whether to take D H D, D = ||w_i|| / sqrt(n_i) on each filter.
        rtol: an eigenvalue has converged when its residual is at most ``rtol`` |lambda| (``rtol`` ||H|| near 0); by
            default 1e-3.
        probes: number of random vectors for trace and density.
        steps: products for each probe, for the density.
        block: number of start vectors; as many copies of a multiple eigenvalue are found.
        seed: seed of start vectors and probes.
        weight_decay: the training's, to compute the gradient's norm with it as well.
        weights: ``FILE[:KEY]`` for a problem; by default its own.
        problem: the problem of a slice of live objects.
        data: folder of a catalogue problem's data.
        split: the split whose loss is meant; by default the first.
        samples: size of a seeded subset; by default all.
        draws: number of draws of a problem's random numbers, over which the loss is averaged; by default 1. A slice's
            file names its own.
        noise_seed: seed of the first draw; by default 0.
        device: as torch names it; ``auto`` takes a GPU where there is one.
        dtype: float64 or float32; by default float64 for a float64 model, else float32.
        batch_size: samples in a batch; None measures.
        memory: bytes for graphs and vectors, also as ``"4G"``; by default half of the free memory.
        output: HDF5 file for a problem; None returns the result only.
        overwrite: whether to recompute what the file holds.
        trust: whether to run and read what a slice's file names, although you did not make it; this is remembered.
        workers: local processes that share the samples; None takes one for each core where the work is worth it.
        reporter: takes what happens; by default a bar in a notebook, and warnings go to `warnings`.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: problem, weights, data or file are not as they should be, the point lies off the slice, the
            loss is not twice differentiable, or memory is too short.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        >>> hessian(Problem(model, (x, model(x).detach()), "mse")).eigenvalues.round(4).tolist()
        [1.0, 9.0]
    """
    options = options_for(HessianRequest.of, locals())
    request = HessianRequest.of(**{**options, "at": None if at is None else [at]})
    with python_interrupts(reporter):
        result = run_hessian(request, workers=workers, reporter=reporter, command="surfaceviz.hessian")
    return result.spectra[0]


def hessian_map(
    path: str | Path,
    shape: Sequence[int],
    *,
    cold: bool = _DEFAULT.cold,
    operator: str = _DEFAULT.operator,
    parameters: str = _DEFAULT.parameters,
    normalised: bool = _DEFAULT.normalised,
    rtol: float | None = _DEFAULT.rtol,
    block: int = _DEFAULT.block,
    seed: int = _DEFAULT.seed,
    problem: str | Problem | None = _DEFAULT.problem,
    data: str | None = _DEFAULT.data,
    split: str | None = _DEFAULT.split,
    samples: int | None = _DEFAULT.samples,
    device: str = _DEFAULT.device,
    dtype: str | None = _DEFAULT.dtype,
    batch_size: int | None = _DEFAULT.batch_size,
    memory: int | str | None = _DEFAULT.memory,
    overwrite: bool = _DEFAULT.overwrite,
    trust: bool = _DEFAULT.trust,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> HessianMap:
    """Return the largest and the smallest eigenvalue and the gradient norm on a grid over a slice, also into its file.

    Args:
        path: the slice's file; the same call resumes from what it holds.
        shape: numbers of points, (p,)[, (q,)].
        cold: whether each point starts from random vectors, and not from its neighbour's eigenvectors.
        operator: see `hessian`.
        parameters: see `hessian`.
        normalised: see `hessian`.
        rtol: relative residual of the eigenvalues; by default 1e-2.
        block: see `hessian`.
        seed: see `hessian`.
        problem: see `hessian`.
        data: see `hessian`.
        split: see `hessian`.
        samples: see `hessian`.
        device: see `hessian`.
        dtype: see `hessian`.
        batch_size: see `hessian`.
        memory: see `hessian`.
        overwrite: see `hessian`.
        trust: see `hessian`.
        workers: local processes, which take a row each.
        reporter: takes what happens; by default a bar in a notebook, and warnings go to `warnings`.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: see `hessian`, or the file holds another map.
    """
    request = HessianRequest.of(path, grid=shape, **options_for(HessianRequest.of, locals()))
    with python_interrupts(reporter):
        found = run_hessian(request, workers=workers, reporter=reporter, command="surfaceviz.hessian_map").hessian_map
    assert found is not None
    return found
