"""The Python interface to the stability along trainings."""

from __future__ import annotations

from pathlib import Path

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.edge.request import EdgeRequest
from surfaceviz.pipeline.edge.run import run_edge
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Edge
from surfaceviz.reporting import Reporter

_DEFAULT = defaults_of(EdgeRequest.of)


def edge(
    folder: str | Path,
    *,
    problem: str | Problem | None = _DEFAULT.problem,
    learning_rate: float | None = _DEFAULT.learning_rate,
    critical: bool = _DEFAULT.critical,
    checkpoints: int = _DEFAULT.checkpoints,
    batches: int = _DEFAULT.batches,
    batch_size: int | None = _DEFAULT.batch_size,
    rtol: float = _DEFAULT.rtol,
    seed: int = _DEFAULT.seed,
    data: str | None = _DEFAULT.data,
    split: str | None = _DEFAULT.split,
    samples: int | None = _DEFAULT.samples,
    device: str = _DEFAULT.device,
    dtype: str | None = _DEFAULT.dtype,
    memory: int | str | None = _DEFAULT.memory,
    output: str | Path | None = _DEFAULT.output,
    overwrite: bool = _DEFAULT.overwrite,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> Edge:
    """Return the sharpness along a training, next to the threshold of its optimiser.

    With the learning rate eta that each checkpoint records, and H the Hessian of the mean loss over the training split
    plus the L2 penalty that is added to the gradient (decoupled decay is not part of it):

    - SGD: lambda_max(H) against 2 / eta, with momentum beta (2 + 2 beta) / eta, Nesterov's divided by 1 + 2 beta;
    - Adam, AdamW: lambda_max(P^-1/2 H P^-1/2) against (2 + 2 b1) / ((1 - b1) eta), with P from the recorded state;
    - RMSprop: the same against 2 / eta, with momentum m (2 + 2 m) / eta.

    These are the thresholds of a quadratic with the state frozen; a state that still changes moves them. H is in eval
    mode, without augmentation. Batch sharpness is the mean of g_B' H_B g_B / |g_B|^2 over mini-batches of the
    training's size, with batch norms in training mode and without dropout; for plain SGD it is compared with 2 / eta.

    Args:
        folder: of a training: of `train`, or of a `Recorder` with an optimiser.
        problem: a `Problem` or its name; None for a folder of `train`.
        learning_rate: of plain gradient descent, for checkpoints that record none, also of other programs.
        critical: whether to compute critical sharpness instead, 2 / eta_c with eta_c the step along the optimiser's
            next update at which the loss comes out above where it began: one gradient, then forward passes alone.
        checkpoints: the most checkpoints, evenly spread.
        batches: number of mini-batches for batch sharpness.
        batch_size: samples in a mini-batch of the training; None for that of `train`.
        rtol: relative residual of eigenvalues.
        seed: seed of start vectors and mini-batches.
        data: folder of a catalogue problem's data.
        split: the training split; by default the first.
        samples: size of a seeded subset; by default all.
        device: as torch names it; ``auto`` takes a GPU where there is one.
        dtype: float64 or float32; by default float64 for a float64 model, else float32.
        memory: bytes for graphs and vectors, also as ``"4G"``; by default half of the free memory.
        output: the HDF5 file; the same call resumes from what it holds. None returns the result only.
        overwrite: whether to recompute what the file holds, and to replace the file of another training.
        workers: local processes that share the samples; None takes one for each core where the work is worth it.
        reporter: takes what happens; by default a bar in a notebook, and warnings go to `warnings`.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: the folder, the problem, the data or the file are not as they should be.
        KeyboardInterrupt: at Ctrl-C, with the finished checkpoints safe in the output; at SIGTERM `SystemExit`.
    """
    request = EdgeRequest.of(**options_for(EdgeRequest.of, locals()))
    with python_interrupts(reporter):
        return run_edge(request, workers=workers, reporter=reporter, command="surfaceviz.edge").edge
