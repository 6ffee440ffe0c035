"""Options of ``surfaceviz slice``, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from surfaceviz.cli.options.shared import COMPUTE, DATA, OUTPUT
from surfaceviz.directions.specs import LOSS_DIRECTIONS

DIRECTIONS, GRID = "Directions", "Grid"
_ALONG = ", ".join(
    f"{name}{f':{kind.argument}' if kind.argument else ''} ({kind.help})" for name, kind in LOSS_DIRECTIONS.items()
)

Problem = Annotated[
    str,
    typer.Argument(help="Catalogue name, FILE.py:FACTORY or PACKAGE.MODULE:FACTORY; the factory returns a Problem."),
]
Seed = Annotated[int, typer.Option(help="Seed of the random directions.", rich_help_panel=DIRECTIONS)]
Normalise = Annotated[
    Literal["filter", "layer", "weight", "dfilter", "dlayer", "none"],
    typer.Option(help="Normalisation of the random directions.", rich_help_panel=DIRECTIONS),
]
Ignore = Annotated[
    Literal["biasbn", "none"],
    typer.Option(
        help="Parameters that random directions leave fixed; biasbn: biases and the gains of normalisation layers; "
        "none: no parameter, but these move along themselves (d := w, as in the reference code), or as noise with "
        "--normalise none.",
        rich_help_panel=DIRECTIONS,
    ),
]
Orthogonal = Annotated[
    bool,
    typer.Option(
        "--orthogonal", help="Make the second direction orthogonal to the first, filter by filter.",
        rich_help_panel=DIRECTIONS,
    ),
]  # fmt: skip
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="Parameters or modules that move; the others stay fixed. May be repeated.",
        rich_help_panel=DIRECTIONS,
    ),
]  # fmt: skip
Freeze = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="Parameters or modules that stay fixed. May be repeated.", rich_help_panel=DIRECTIONS
    ),
]
Repeat = Annotated[
    int,
    typer.Option(
        metavar="K",
        help="Number of rays: curves along K random directions, in one file; a larger K adds to it. The picture shows "
        "their median, quartiles and range.",
        rich_help_panel=DIRECTIONS,
    ),
]
Toward = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE[:KEY]",
        help="Other model: once for the line to it, twice for the plane through three models, alpha toward the first.",
        rich_help_panel=DIRECTIONS,
    ),
]
Along = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND|NAME[I]",
        help=f"Unit directions that the loss determines: {_ALONG}; where there is one, the second is random. Or an "
        "entry of a parameter, such as 'fc.weight[0,1]', once or twice.",
        rich_help_panel=DIRECTIONS,
    ),
]
Radius = Annotated[
    float, typer.Option(help="Distance within which --along ascent searches.", rich_help_panel=DIRECTIONS)
]
Directions = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="File whose directions are taken: of the reference code, or of a slice.",
        rich_help_panel=DIRECTIONS,
    ),
]  # fmt: skip
Regenerate = Annotated[
    bool,
    typer.Option(
        "--regenerate", help="Generate directions at each point instead of holding them; needs less memory.",
        rich_help_panel=DIRECTIONS,
    ),
]  # fmt: skip
Axes = Annotated[
    list[str] | None,
    typer.Option(
        "--axis",
        metavar="MIN:MAX:NUM",
        help="Range and number of points: once for a curve, twice for a surface [default: -1:1:25 twice]. auto:NUM: "
        "the range over which the loss rises to that of a guess.",
        rich_help_panel=GRID,
    ),
]
Tol = Annotated[
    float | None,
    typer.Option(
        help="Relative error up to which points may be interpolated, audited [default: all points are evaluated].",
        rich_help_panel=GRID,
    ),
]
Level = Annotated[
    float | None,
    typer.Option(
        help="Loss above which nothing is resolved, by --tol and in pictures [default: that of a guess, or ten times "
        "the centre's if it is more].",
        rich_help_panel=GRID,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Part of the grid to evaluate: the I-th of N, for merge.", rich_help_panel=GRID),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE[:KEY]", help="Weights, safetensors or .pt [default: the problem's own].", rich_help_panel=DATA
    ),
]
Splits = Annotated[
    list[str] | None,
    typer.Option("--split", help="Split to evaluate; may be repeated [default: all].", rich_help_panel=DATA),
]
Samples = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto",
        help="Size of a seeded subset of each split; auto: as few as --tol permits [default: all samples].",
        rich_help_panel=DATA,
    ),
]
Draws = Annotated[
    int,
    typer.Option(
        metavar="K", help="Number of draws of random numbers that the model takes, over which values are averaged.",
        rich_help_panel=DATA,
    ),
]  # fmt: skip
NoiseSeed = Annotated[int, typer.Option(help="Seed of the random numbers that the model draws.", rich_help_panel=DATA)]
Bn = Annotated[
    Literal["fixed", "recalibrate"],
    typer.Option(help="Running statistics of batch norms: kept, or recomputed at each point.", rich_help_panel=DATA),
]
Dtype = Annotated[
    Literal["float64", "float32", "tf32", "bf16", "float16", "auto"] | None,
    typer.Option(
        help="Number format; auto: the fastest that is exact enough [default: float32; float64 for a float64 model].",
        rich_help_panel=COMPUTE,
    ),
]
Engine = Annotated[
    Literal["auto", "eager", "folded", "compiled", "vmapped"] | None,
    typer.Option(help="Method by which points are evaluated [default: auto, measured].", rich_help_panel=COMPUTE),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch", help="Samples in a batch, at most [default: measured].", rich_help_panel=COMPUTE),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="HDF5 file [default: PROBLEM.h5].", rich_help_panel=OUTPUT)
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Start again, whatever the file holds.", rich_help_panel=OUTPUT),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch", help="Draw the picture next to the file again as levels are completed.", rich_help_panel=OUTPUT
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what would be done and how long it would take.", rich_help_panel=OUTPUT),
]
