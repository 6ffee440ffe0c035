"""Options of ``surfaceviz trajectory``, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from surfaceviz.cli.options.shared import DATA, OUTPUT
from surfaceviz.cli.options.slice_options import GRID

PLANE = "Plane"

Checkpoints = Annotated[
    list[str],
    typer.Argument(
        metavar="CHECKPOINTS...|FOLDER...",
        help="Checkpoints of a training, FILE[:KEY], or folders of checkpoints, each of one training.",
    ),
]
Problem = Annotated[
    str | None,
    typer.Option(
        metavar="PROBLEM", rich_help_panel=DATA,
        help="Catalogue name, FILE.py:FACTORY or PACKAGE.MODULE:FACTORY [default: the folder, if it is a problem].",
    ),
]  # fmt: skip
Plane = Annotated[
    str,
    typer.Option(
        metavar="pca|last|START,MIDDLE,END", rich_help_panel=PLANE,
        help="Plane through the last checkpoint along the principal directions of all iterates, or of the last half "
        "of them; or through three checkpoints, by step or file name.",
    ),
]  # fmt: skip
Centred = Annotated[
    bool,
    typer.Option(
        "--centred", rich_help_panel=PLANE,
        help="Take the principal directions of the iterates minus their mean, as scikit-learn does.",
    ),
]  # fmt: skip
Ignore = Annotated[
    Literal["biasbn", "none"],
    typer.Option(
        rich_help_panel=PLANE,
        help="Parameters that are left out of the path; biasbn: biases and the gains of normalisation layers.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="Parameters or modules of the path. May be repeated.", rich_help_panel=PLANE
    ),
]  # fmt: skip
Freeze = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", rich_help_panel=PLANE,
        help="Parameters or modules that are left out of the path. May be repeated.",
    ),
]  # fmt: skip
Axes = Annotated[
    list[str] | None,
    typer.Option(
        "--axis",
        metavar="MIN:MAX:NUM",
        help="Range, in units of weight space, and number of points: once for a line, twice for a plane. auto:NUM fits "
        "the range to the path [default: auto:25 twice].",
        rich_help_panel=GRID,
    ),
]
Reach = Annotated[
    float | None,
    typer.Option(
        help="Half of the range of both axes, instead of --axis: 25 x 25 points over -REACH .. REACH.",
        rich_help_panel=GRID,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="HDF5 file [default: PROBLEM-trajectory.h5].", rich_help_panel=OUTPUT),
]
