"""The Python interface to trainings."""

from __future__ import annotations

from pathlib import Path

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.train.request import TrainRequest
from surfaceviz.pipeline.train.run import run_train
from surfaceviz.reporting import Reporter

_DEFAULT = defaults_of(TrainRequest.of)


def train(
    network: str,
    dataset: str | Path,
    *,
    output: str | Path | None = _DEFAULT.output,
    epochs: int | None = _DEFAULT.epochs,
    batch_size: int | str | None = _DEFAULT.batch_size,
    lr: float | None = _DEFAULT.lr,
    optimiser: str | None = _DEFAULT.optimiser,
    momentum: float | None = _DEFAULT.momentum,
    nesterov: bool | None = _DEFAULT.nesterov,
    weight_decay: float | None = _DEFAULT.weight_decay,
    schedule: str | None = _DEFAULT.schedule,
    augment: bool = _DEFAULT.augment,
    seed: int = _DEFAULT.seed,
    every: int | None = _DEFAULT.every,
    data: str | None = _DEFAULT.data,
    device: str = _DEFAULT.device,
    overwrite: bool = _DEFAULT.overwrite,
    reporter: Reporter | None = None,
) -> Path:
    """Train a network into a folder of checkpoints, and return the folder, which is then the name of a problem.

    The same call resumes a training that was stopped, to the same bits on the same kind of CPU and number of threads.

    Args:
        network: the name of a network; ``surfaceviz catalogue`` lists them.
        dataset: ``digits``, ``mnist``, ``fashion-mnist``, ``cifar10``, ``cifar100``, a folder of ``.npz`` files, or a
            text file.
        output: the folder; by default ``NETWORK-DATA-run`` in the current folder.
        epochs: passes over the training split; by default the network's own number, as for all that is None here.
        batch_size: samples in a batch; ``"all"`` for gradient descent.
        lr: the largest learning rate.
        optimiser: ``sgd``, ``adam`` or ``adamw``.
        momentum: of SGD.
        nesterov: whether SGD's momentum is Nesterov's.
        weight_decay: the factor of the L2 penalty; of AdamW, that of the decoupled decay.
        schedule: ``one-cycle``, ``steps`` (a tenth from half of the training, a hundredth from three quarters) or
            ``constant``.
        augment: whether images are moved at random, and mirrored where that makes sense.
        seed: seed of the initial weights, the order of the samples and the augmentation.
        every: epochs between checkpoints, which are denser at the start; by default about a hundred in all.
        data: folder of a named data set; or the place of a path that was moved.
        device: as torch names it; ``auto`` takes a GPU where there is one.
        overwrite: whether to start again, whatever the folder holds.
        reporter: takes the rows of the table; by default they are dropped.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: the network, the data or the folder are not as they should be.
        KeyboardInterrupt: at Ctrl-C, with the weights so far safe in the folder; at SIGTERM `SystemExit`.

    Example:
        >>> import tempfile
        >>> folder = train("mlp", "digits", output=tempfile.mkdtemp() + "/run", epochs=1)
        >>> sorted(path.name for path in folder.glob("step-*"))[-1]
        'step-00000012.safetensors'
    """
    request = TrainRequest.of(**options_for(TrainRequest.of, locals()))
    with python_interrupts(reporter):
        return run_train(request, reporter)
