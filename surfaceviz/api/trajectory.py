"""The Python interface to trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.slice.request import Names
from surfaceviz.pipeline.trajectory.request import TrajectoryRequest
from surfaceviz.pipeline.trajectory.run import run_trajectory
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice
from surfaceviz.reporting import Reporter

_DEFAULT = defaults_of(TrajectoryRequest.of)


def trajectory(
    *checkpoints: str | Path,
    problem: Problem | str | None = _DEFAULT.problem,
    plane: str = _DEFAULT.plane,
    centred: bool = _DEFAULT.centred,
    axes: Sequence[str | Sequence[float]] | None = _DEFAULT.axes,
    reach: float | None = _DEFAULT.reach,
    output: str | Path | None = _DEFAULT.output,
    data: str | None = _DEFAULT.data,
    ignore: str = _DEFAULT.ignore,
    only: Names | None = _DEFAULT.only,
    freeze: Names | None = _DEFAULT.freeze,
    splits: Names | None = _DEFAULT.splits,
    samples: int | str | None = _DEFAULT.samples,
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
    """Return the slice in the plane of trainings; its `trajectory` holds their paths and the losses of the iterates.

    With rows d_t = theta_t - theta_final (of the first training), the plane passes through theta_final and is spanned
    by the two leading right singular vectors of the uncentred rows. The directions have length 1, so that coordinates
    and distances are in units of weight space. The buffers on the plane are those of theta_final.

    Args:
        checkpoints: files ``FILE[:KEY]`` of a training, or folders of checkpoints, each of one training. Files are
            taken in natural order, epoch-2 before epoch-10.
        problem: a `Problem`, or its name; None for a folder that is a problem itself.
        plane: ``pca``; ``last``, the principal plane of the last half of each training; or ``START,MIDDLE,END``, the
            plane through three checkpoints, given by their steps in the first training or by their files' names.
        centred: whether the rows are centred on their mean first, as scikit-learn does.
        axes: see `slice`; in units of weight space; ``"auto:NUM"`` fits the range to the path (the default).
        reach: see `slice`.
        output: the HDF5 file; the same call resumes from what it holds. None keeps the slice in memory.
        data: folder of a catalogue problem's data.
        ignore: ``biasbn`` leaves out biases and the gains of normalisation layers.
        only: patterns of parameter names; the others are left out.
        freeze: patterns of parameters that are left out.
        splits: see `slice`.
        samples: see `slice`.
        bn: see `slice`; ``recalibrate`` also at the iterates.
        dtype: see `slice`; the iterates are evaluated in the model's usual dtype.
        device: see `slice`.
        engine: see `slice`.
        batch_size: see `slice`.
        tol: see `slice`.
        level: see `slice`.
        shard: see `slice`.
        overwrite: see `slice`.
        watch: see `slice`.
        workers: see `slice`.
        reporter: see `slice`.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: a checkpoint, the problem, the data or the file are not as they should be.
        KeyboardInterrupt: at Ctrl-C, with the finished points safe in the output; at SIGTERM `SystemExit`.
    """
    given = locals()
    request = TrajectoryRequest.of(*checkpoints, **options_for(TrajectoryRequest.of, _without(given, "checkpoints")))
    with python_interrupts(reporter):
        return run_trajectory(request, workers=workers, reporter=reporter, command="surfaceviz.trajectory").surface


def _without(given: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in given.items() if key != name}
