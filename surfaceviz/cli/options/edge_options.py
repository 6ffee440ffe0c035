"""Options of ``surfaceviz edge``, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.options.shared import COMPUTE, OUTPUT

WHAT, SOLVER, DATA = "What", "Solver", "Data"

Folder = Annotated[
    str,
    typer.Argument(metavar="FOLDER", help="Folder of a training: of surfaceviz train, or of a surfaceviz.Recorder."),
]
Problem = Annotated[
    str | None,
    typer.Option(
        metavar="PROBLEM", rich_help_panel=DATA,
        help="Catalogue name, FILE.py:FACTORY or PACKAGE.MODULE:FACTORY [default: the folder, if it is a problem].",
    ),
]  # fmt: skip
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--lr", rich_help_panel=WHAT,
        help="Learning rate of plain gradient descent, for checkpoints that record none, also of other programs "
        "[default: the recorded optimiser].",
    ),
]  # fmt: skip
Critical = Annotated[
    bool,
    typer.Option(
        "--critical", rich_help_panel=WHAT,
        help="Critical sharpness along the optimiser's next step, by forward passes, instead of what needs second "
        "derivatives.",
    ),
]  # fmt: skip
Checkpoints = Annotated[
    int, typer.Option(metavar="N", help="Most checkpoints, evenly spread.", rich_help_panel=WHAT)
]  # fmt: skip
Batches = Annotated[
    int,
    typer.Option(metavar="K", help="Number of mini-batches for batch sharpness; 0: none.", rich_help_panel=WHAT),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch", metavar="N", rich_help_panel=WHAT,
        help="Samples in a mini-batch of the training [default: that of surfaceviz train].",
    ),
]  # fmt: skip
Rtol = Annotated[float, typer.Option(help="Residual of an eigenvalue, relative to it.", rich_help_panel=SOLVER)]
Seed = Annotated[int, typer.Option(help="Seed of start vectors and mini-batches.", rich_help_panel=SOLVER)]
Device = Annotated[
    str, typer.Option(help="Device as torch names it; auto: a GPU where there is one.", rich_help_panel=COMPUTE)
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="HDF5 file [default: FOLDER-edge.h5].", rich_help_panel=OUTPUT),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Recompute what the file holds; replace the file of another training.",
        rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
