"""The Python interface to sharpness."""

from __future__ import annotations

from pathlib import Path

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.sharpness.request import SharpnessRequest
from surfaceviz.pipeline.sharpness.run import run_sharpness
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import Reporter
from surfaceviz.sharpness_measures import Sharpness

_DEFAULT = defaults_of(SharpnessRequest.of)


def sharpness(
    target: str | Path | Problem,
    *,
    weights: str | None = _DEFAULT.weights,
    problem: str | Problem | None = _DEFAULT.problem,
    split: str | None = _DEFAULT.split,
    samples: int | None = _DEFAULT.samples,
    draws: int | None = _DEFAULT.draws,
    noise_seed: int | None = _DEFAULT.noise_seed,
    data: str | None = _DEFAULT.data,
    batch_size: int | None = _DEFAULT.batch_size,
    memory: int | str | None = _DEFAULT.memory,
    device: str = _DEFAULT.device,
    seed: int = _DEFAULT.seed,
    starts: int = _DEFAULT.starts,
    iterations: int = _DEFAULT.iterations,
    rescale: bool = _DEFAULT.rescale,
    json: str | Path | None = _DEFAULT.json,
    csv: str | Path | None = _DEFAULT.csv,
    overwrite: bool = _DEFAULT.overwrite,
    trust: bool = _DEFAULT.trust,
    reporter: Reporter | None = None,
) -> Sharpness:
    """Return the sharpness of a minimum by every measure, and which measures survive a change of scale.

    All values are computed in float64. One set of measures costs about 170 passes over the samples, 60 forward and
    backward, and 30 to 100 products with the Hessian. Searches cost some 1,500 passes, and 20 forward and backward for
    each start (of seven more than ``starts``); they run in float32 where that is close enough. Each possible kind of
    rescaling costs as much again.

    Args:
        target: a `Problem`, its name as on the command line, or a slice's file, for its theta.
        weights: ``FILE[:KEY]`` for a problem; by default its own.
        problem: the problem of a slice of live objects.
        split: the split whose loss is meant; by default the first.
        samples: size of a seeded subset; by default all.
        draws: number of draws of a problem's random numbers, over which the loss is averaged; by default 1. A slice's
            file names its own.
        noise_seed: seed of the first draw; by default 0.
        data: folder of a catalogue problem's data.
        batch_size: samples in a batch; by default 128.
        memory: bytes for graphs and vectors, also as ``"4G"``; by default half of the free memory.
        device: as torch names it; ``auto`` takes a GPU where there is one.
        seed: seed of directions, probes, starts and factors.
        starts: random starts of each search for the worst case (phi and m-sharpness).
        iterations: largest number of steps from each start.
        rescale: whether to rescale.
        json: file for all measurements.
        csv: file with a row for each measure, before and after each rescaling.
        overwrite: whether these files are replaced if they hold anything else; what is read never is.
        trust: whether to run and read what a slice's file names, although you did not make it; this is remembered.
        reporter: takes what happens; by default a bar in a notebook, and warnings go to `warnings`.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: problem, weights, data or file are not as they should be, or memory is too short.
        KeyboardInterrupt: at Ctrl-C; at SIGTERM `SystemExit`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        >>> found = sharpness(Problem(model, (x, model(x).detach()), "mse"), rescale=False)
        >>> round(found["lambda_max"].value, 4), round(found["trace"].value, 4)
        (9.0, 10.0)
    """
    options = options_for(SharpnessRequest.of, locals())
    request = SharpnessRequest.of([target], rescale_all=True, **options)
    with python_interrupts(reporter):
        return run_sharpness(request, reporter)[0]
