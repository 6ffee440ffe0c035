"""The command ``surfaceviz train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from surfaceviz.cli.app import app
from surfaceviz.cli.options import shared as options
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.train.request import TrainRequest

_DEFAULT = defaults_of(TrainRequest.of)
_TRAINING = "Training"


@app.command(epilog="Example: surfaceviz train resnet20 digits -o run")
def train(
    context: typer.Context,
    network: Annotated[str, typer.Argument(metavar="NETWORK", help="Name of a network; see surfaceviz catalogue.")],
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="digits, mnist, fashion-mnist, cifar10, cifar100, a folder of .npz files, or a text file.",
        ),
    ],
    *,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the training split [default: the network's own].", rich_help_panel=_TRAINING),
    ] = _DEFAULT.epochs,
    batch_size: Annotated[
        str | None,
        typer.Option(
            "--batch",
            metavar="N|all",
            help="Samples in a batch; all: gradient descent [default: the network's own].",
            rich_help_panel=_TRAINING,
        ),
    ] = _DEFAULT.batch_size,
    lr: Annotated[
        float | None,
        typer.Option(help="Largest learning rate [default: the network's own].", rich_help_panel=_TRAINING),
    ] = _DEFAULT.lr,
    optimiser: Annotated[
        Literal["sgd", "adam", "adamw"] | None,
        typer.Option(help="Optimiser [default: the network's own].", rich_help_panel=_TRAINING),
    ] = _DEFAULT.optimiser,
    momentum: Annotated[
        float | None, typer.Option(help="Momentum of SGD [default: 0.9, of mlp-tanh 0].", rich_help_panel=_TRAINING)
    ] = _DEFAULT.momentum,
    nesterov: Annotated[
        bool | None,
        typer.Option("--nesterov/--no-nesterov", help="Momentum of Nesterov [default].", rich_help_panel=_TRAINING),
    ] = _DEFAULT.nesterov,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            help="Factor of the L2 penalty; of adamw, that of the decay [default: the network's own].",
            rich_help_panel=_TRAINING,
        ),
    ] = _DEFAULT.weight_decay,
    schedule: Annotated[
        Literal["one-cycle", "steps", "constant"] | None,
        typer.Option(
            help="Schedule of the learning rate; steps: a tenth from half of the training, a hundredth from three "
            "quarters [default: the network's own].",
            rich_help_panel=_TRAINING,
        ),
    ] = _DEFAULT.schedule,
    augment: Annotated[
        bool,
        typer.Option(
            "--augment/--no-augment",
            help="Random shifts of images, and mirror images where they make sense.",
            rich_help_panel=_TRAINING,
        ),
    ] = _DEFAULT.augment,
    seed: Annotated[
        int, typer.Option(help="Seed of weights, order and augmentation.", rich_help_panel=_TRAINING)
    ] = _DEFAULT.seed,
    data: options.Data = _DEFAULT.data,
    device: Annotated[
        str,
        typer.Option(help="Device as torch names it; auto: a GPU where there is one.", rich_help_panel=options.COMPUTE),
    ] = _DEFAULT.device,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder [NETWORK-DATA-run].", rich_help_panel=options.OUTPUT
        ),
    ] = _DEFAULT.output,
    every: Annotated[
        int | None,
        typer.Option(
            help="Epochs between checkpoints, which are denser at the start [default: about 100 in all].",
            rich_help_panel=options.OUTPUT,
        ),
    ] = _DEFAULT.every,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Start again, whatever the folder holds.", rich_help_panel=options.OUTPUT),
    ] = _DEFAULT.overwrite,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train a network into a folder of checkpoints, which is then a problem: surfaceviz slice FOLDER.

    The same command resumes a training that was stopped.
    """
    request = TrainRequest.of(**options_for(TrainRequest.of, context.params))
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.train.run import run_train
    from surfaceviz.recording import recorded_steps

    with Terminal(quiet=quiet) as terminal:
        folder = run_train(request, terminal)
        terminal.say(f"folder   {folder}: {len(recorded_steps(folder))} checkpoints; surfaceviz slice {folder}")
