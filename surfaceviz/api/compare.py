"""The Python interface to comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.compare.request import CompareRequest
from surfaceviz.pipeline.compare.run import run_compare
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Comparison
from surfaceviz.reporting import Reporter

_DEFAULT = defaults_of(CompareRequest.of)


def compare(
    *targets: str | Path | Problem,
    groups: Sequence[str] | None = _DEFAULT.groups,
    weights: str | Sequence[str] | None = _DEFAULT.weights,
    problem: str | Problem | None = _DEFAULT.problem,
    data: str | None = _DEFAULT.data,
    split: str | None = _DEFAULT.split,
    samples: int | None = _DEFAULT.samples,
    directions: int | None = _DEFAULT.directions,
    axes: Sequence[str | Sequence[float]] | None = _DEFAULT.axes,
    seed: int = _DEFAULT.seed,
    tol: float | None = _DEFAULT.tol,
    grid: int | None = _DEFAULT.grid,
    quick: bool = _DEFAULT.quick,
    device: str = _DEFAULT.device,
    output: str | Path | None = _DEFAULT.output,
    overwrite: bool = _DEFAULT.overwrite,
    trust: bool = _DEFAULT.trust,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> Comparison:
    """Return networks sliced and measured alike, and the verdicts on their differences.

    Args:
        targets: slices' files, problems or their names, or folders of `train`; each is one network.
        groups: trainings that are compared as groups, each as ``NAME=PATTERN``: folders of `train`, slices' files, or
            weights. The training is then the unit of every interval.
        weights: checkpoints of the one problem in ``targets``, each a network.
        problem: the problem of slices' files that do not name it, or of weights in groups.
        data: folder of a catalogue problem's data.
        split: the split whose loss is compared; by default the first.
        samples: size of a seeded subset of each split; by default all, with ``quick`` 512.
        directions: number of random directions of each network.
        axes: of the planes; by default those of the files if they are equal, else the range over which the median loss
            along random directions rises to that of a guess.
        seed: of directions, probes and subsets.
        tol: relative error up to which points of planes may be interpolated, audited.
        grid: number of points along each axis of the maps of |lambda_min / lambda_max|, 0 for none; by default 5, with
            ``quick`` none.
        quick: whether to leave out the gauge, the worst cases, spectra and maps, and to take fewer directions, points
            and samples. With ``grid`` there are spectra too.
        device: as torch names it; ``auto`` takes a GPU where there is one.
        output: the HDF5 file; by default named after the networks, in the current folder.
        overwrite: whether another comparison in the file is replaced.
        trust: whether problems named in files of others are used.
        workers: local processes; by default as many as pay.
        reporter: receives progress and warnings.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: a problem, weights, data or a file can't be used.
        KeyboardInterrupt: at Ctrl-C, with what is finished safe in the output; at SIGTERM `SystemExit`.
    """
    request = CompareRequest.of(
        targets, **{k: v for k, v in options_for(CompareRequest.of, locals()).items() if k != "targets"}
    )
    with python_interrupts(reporter):
        return run_compare(request, workers=workers, reporter=reporter, command="surfaceviz.compare").comparison
