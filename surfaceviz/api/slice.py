"""The Python interface to slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.slice.ranks import run_slice
from surfaceviz.pipeline.slice.request import Names, Request
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice
from surfaceviz.reporting import Reporter

_DEFAULT = defaults_of(Request.of)


def slice(  # noqa: A001  the field's word for a cut
    problem: Problem | str,
    axes: Sequence[str | Sequence[float]] | None = _DEFAULT.axes,
    *,
    reach: float | None = _DEFAULT.reach,
    output: str | Path | None = _DEFAULT.output,
    weights: str | None = _DEFAULT.weights,
    data: str | None = _DEFAULT.data,
    seed: int = _DEFAULT.seed,
    normalise: str = _DEFAULT.normalise,
    ignore: str = _DEFAULT.ignore,
    orthogonal: bool = _DEFAULT.orthogonal,
    only: Names | None = _DEFAULT.only,
    freeze: Names | None = _DEFAULT.freeze,
    repeat: int = _DEFAULT.repeat,
    toward: Names | None = _DEFAULT.toward,
    along: Names | None = _DEFAULT.along,
    radius: float = _DEFAULT.radius,
    directions: str | Path | None = _DEFAULT.directions,
    regenerate: bool = _DEFAULT.regenerate,
    splits: Names | None = _DEFAULT.splits,
    samples: int | str | None = _DEFAULT.samples,
    draws: int = _DEFAULT.draws,
    noise_seed: int = _DEFAULT.noise_seed,
    bn: str = _DEFAULT.bn,
    dtype: str | None = _DEFAULT.dtype,
    device: str = _DEFAULT.device,
    engine: str | None = _DEFAULT.engine,
    batch_size: int | None = _DEFAULT.batch_size,
    tol: float | None = _DEFAULT.tol,
    level: float | None = _DEFAULT.level,
    shard: str | None = _DEFAULT.shard,
    overwrite: bool = _DEFAULT.overwrite,
    watch: bool = _DEFAULT.watch,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> Slice:
    """Return a 1-D or 2-D slice of the loss around a minimum.

    Under an MPI launcher this is a collective call: every rank makes it with the same arguments and gets the whole
    slice; only rank 0 writes and reports.

    Args:
        problem: a `Problem`, or its name as on the command line.
        axes: (min, max, num) or ``"MIN:MAX:NUM"`` for each dimension, or ``"auto:NUM"`` for the range over which the
            loss rises to that of a guess; by default 25 x 25 over [-1, 1]^2, and a range that holds the models with
            ``toward``.
        reach: instead of axes, 25 x 25 points over [-reach, reach]^2.
        output: the HDF5 file; the same call resumes from what it holds. None keeps the slice in memory.
        weights: ``FILE[:KEY]``; by default the problem's own.
        data: folder of a catalogue problem's data.
        seed: seed of the random directions.
        normalise: filter, layer, weight, dfilter, dlayer or none.
        ignore: ``biasbn`` keeps biases and the gains of normalisation layers fixed; ``none`` moves them along
            themselves (d := w, as in the reference code), or as noise with ``normalise="none"``.
        orthogonal: whether the second direction is made orthogonal to the first, filter by filter.
        only: patterns of parameter names; the others stay fixed.
        freeze: patterns of parameters that stay fixed.
        repeat: number of rays: curves along as many random directions, with one axis and one file; the arrays of the
            slice then have the shape (repeat, n_alpha). The first is the curve of the seed alone, the seeds of all are
            ``Slice.seeds``, and more rays are added by a larger number.
        toward: one ``FILE[:KEY]`` for the line to its weights, two for the plane through three models, alpha toward the
            first.
        along: unit directions that the loss determines: ``hessian`` (top eigenvectors), ``extremes`` (top and bottom
            eigenvector), ``gradient``, or ``ascent`` (toward the highest loss within ``radius``); the last two with a
            random second axis. See `LOSS_DIRECTIONS`. Or one or two entries of parameters, such as
            ``["fc.weight[0,1]", "fc.bias[3]"]``; a coordinate is the change of the entry.
        radius: distance within which ``along="ascent"`` looks for the highest loss.
        directions: a file whose directions are taken as they are: of the reference code (``xdirection``,
            ``ydirection``), or of a slice that keeps its directions.
        regenerate: whether random directions are generated at each point instead of held in memory, for models of
            which memory holds little more than two copies; the same bits, but slower.
        splits: names; by default all.
        samples: size of a seeded subset of each split; ``auto`` for as few as ``tol`` permits, audited on all.
        draws: number of draws of the random numbers that the model or the loss takes: values are means over them, and
            standard errors hold theirs as well. The draws are the same at every point.
        noise_seed: seed of the first draw.
        bn: batch norms with ``fixed`` running statistics, or ``recalibrate`` at each point.
        dtype: float64, float32, tf32, bf16 or float16; by default float64 for a float64 model, else float32;
            ``auto`` for the fastest whose error is below a tenth of the tolerance.
        device: as torch names it; several, such as ``"cuda:0,cuda:1"``, take one process each (under MPI one rank);
            ``auto`` takes a GPU where there is one, under MPI a different one for each rank of a node.
        engine: eager, folded, compiled or vmapped; None measures which finishes first.
        batch_size: samples in a batch, at most; None measures that as well.
        tol: relative error up to which points may be interpolated, audited; None evaluates all points.
        level: loss above which nothing is resolved, by ``tol`` and in pictures; by default the larger of that of a
            guess and ten times the centre's, of a custom loss ten times the median rise of the lowest quarter of a
            coarse lattice.
        shard: ``"I/N"``: evaluate the I-th of N parts of the grid, into a file that `merge` joins with the others.
        overwrite: whether to start again, whatever the output holds.
        watch: whether to draw the picture next to the output again as levels are completed.
        workers: local processes of one thread each; None takes one for each core where the work is worth it.
        reporter: takes what happens; by default a bar in a notebook, and warnings go to `warnings`.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: the problem, the weights, the data or the file are not as they should be.
        KeyboardInterrupt: at Ctrl-C, with the finished points safe in the output; at SIGTERM `SystemExit`.

    Example:
        >>> import torch
        >>> x = torch.linspace(-1, 1, 8).reshape(8, 1)
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> model.load_state_dict({"weight": torch.tensor([[2.0]])})
        <All keys matched successfully>
        >>> slice(Problem(model, (x, 2 * x), "mse"), [(-1, 1, 3)]).values["train_loss"].round(3).tolist()
        [1.714, 0.0, 1.714]
    """
    request = Request.of(**options_for(Request.of, locals()))
    with python_interrupts(reporter):
        return run_slice(request, workers=workers, reporter=reporter, command="surfaceviz.slice").surface
