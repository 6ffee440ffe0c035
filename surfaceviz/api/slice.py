"""The Python interface: what the command line does, in one call."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from surfaceviz.directions.axes import parse_axis
from surfaceviz.directions.random import RandomSpec
from surfaceviz.errors import Interrupted
from surfaceviz.pipeline.slice.along import RADIUS
from surfaceviz.pipeline.slice.ranks import run_slice
from surfaceviz.pipeline.slice.request import Request, Shard
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice
from surfaceviz.reporting import QuietReporter, Reporter

Names = str | Sequence[str]


def slice(  # noqa: A001  the field's word for a cut
    problem: Problem | str,
    axes: Sequence[str | Sequence[float]] | None = None,
    *,
    seed: int = 0,
    output: str | Path | None = None,
    weights: str | None = None,
    data: str | None = None,
    normalise: str = "filter",
    ignore: str = "biasbn",
    orthogonal: bool = False,
    only: Names = (),
    freeze: Names = (),
    toward: Names = (),
    along: str | None = None,
    radius: float = RADIUS,
    directions: str | Path | None = None,
    splits: Names = (),
    samples: int | str | None = None,
    bn: str = "fixed",
    dtype: str | None = None,
    device: str = "auto",
    engine: str | None = None,
    batch_size: int | None = None,
    tol: float | None = None,
    regenerate: bool = False,
    workers: int | None = None,
    shard: str | None = None,
    overwrite: bool = False,
    watch: bool = False,
    reporter: Reporter | None = None,
) -> Slice:
    """Return a 1-D or 2-D slice of the loss around a minimum.

    Under an MPI launcher this is a collective call: every rank makes it, with the same arguments, and gets the
    whole slice; rank 0 alone writes and reports.

    Args:
        problem: a `Problem`, or its name as on the command line.
        axes: (min, max, num) or ``"MIN:MAX:NUM"`` for each dimension, or ``"auto:NUM"`` for the range over
            which the loss rises to that of a guess; by default 25 x 25 over [-1, 1]^2, and fitted to the
            models with ``toward``.
        seed: of the random directions.
        output: the HDF5 file; the same call goes on from what it holds. None keeps the slice in memory.
        weights: ``FILE[:KEY]``; by default the problem's own.
        data: the folder of a catalogue problem's data.
        normalise: filter, layer, weight, dfilter, dlayer or none.
        ignore: biasbn (gains stay still) or none.
        orthogonal: whether the second direction is made orthogonal to the first, filter by filter.
        only: patterns on parameter names; the others stay still.
        freeze: patterns of parameters that stay still.
        along: directions of unit length that the loss names: ``hessian`` (the top eigenvectors), ``extremes`` (top and
            bottom), ``gradient``, or ``ascent`` (toward the highest loss within ``radius``); the last two with a random
            second axis.
        radius: of the ascent.
        directions: a file of directions, taken as they are: of the reference code (``xdirection``, ``ydirection``), or
            of a slice that keeps its own.
        toward: one ``FILE[:KEY]`` for the line to its weights, two for the plane through three models.
        splits: names; all by default.
        samples: the size of a seeded subset of each split; ``auto``: as few as ``tol`` bears, audits on all.
        bn: ``fixed`` running statistics, or ``recalibrate`` at each point.
        dtype: float64, float32, tf32, bf16 or float16; by default float64 for such a model, else float32;
            ``auto``: the fastest whose error is under a tenth of the tolerance.
        device: as torch names it; several, ``"cuda:0,cuda:1"``, take a process each (under MPI a rank);
            ``auto`` takes a GPU where there is one, under MPI each rank another of its node's.
        engine: eager, folded, compiled or vmapped; None measures which is done soonest.
        batch_size: samples in a batch, at most; None measures that as well.
        tol: the relative error up to which points may be interpolated, audited; None evaluates all.
        regenerate: whether random directions are made anew at each point instead of held, for models of which memory
            holds little more than two copies; the same bits, and slower.
        workers: local processes of one thread each; None takes one a core where the work is worth it.
        shard: ``"I/N"``: evaluate the I-th of N parts of the grid, into a file that `merge` joins with the others.
        overwrite: start anew whatever the output holds.
        watch: draw the picture beside the output again as levels complete.
        reporter: told what happens; by default warnings go to `warnings`.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: the problem, the weights, the data or the file are not as they should be.
        KeyboardInterrupt: at Ctrl-C, what was done being safe in the output; at SIGTERM `SystemExit`.

    Example:
        >>> import torch
        >>> x = torch.linspace(-1, 1, 8).reshape(8, 1)
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> model.load_state_dict({"weight": torch.tensor([[2.0]])})
        <All keys matched successfully>
        >>> slice(Problem(model, (x, 2 * x), "mse"), [(-1, 1, 3)]).values["train_loss"].round(3).tolist()
        [1.714, 0.0, 1.714]
    """
    reporter = reporter or QuietReporter()
    request = Request(
        problem=problem,
        axes=None if axes is None else tuple(map(parse_axis, axes)),
        weights=weights,
        data=data,
        random=RandomSpec(seed=seed, normalise=normalise, ignore=ignore, orthogonal=orthogonal),
        only=_tuple(only),
        freeze=_tuple(freeze),
        toward=_tuple(toward),
        along=along,
        radius=radius,
        directions=None if directions is None else str(directions),
        splits=_tuple(splits),
        samples=samples,
        bn=bn,
        dtype=dtype,
        device=device,
        engine=None if engine == "auto" else engine,
        batch_size=batch_size,
        tolerance=tol,
        regenerate=regenerate,
        output=None if output is None else Path(output),
        shard=None if shard is None else Shard.parse(shard),
        overwrite=overwrite,
        watch=watch,
    )
    with as_python_has_it(reporter):
        return run_slice(request, workers=workers, reporter=reporter, command="surfaceviz.slice").surface


@contextmanager
def as_python_has_it(reporter: Reporter) -> Iterator[None]:
    """Raise `KeyboardInterrupt` for SIGINT, `SystemExit` for SIGTERM, as Python's callers expect it."""
    try:
        yield
    except Interrupted as error:
        if error.signum == signal.SIGINT:
            raise KeyboardInterrupt(*error.args) from None
        reporter.warn(str(error))
        raise SystemExit(128 + error.signum) from None


def _tuple(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
