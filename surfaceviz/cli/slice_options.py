"""The options of ``surfaceviz slice``, each with its words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Problem = Annotated[
    str,
    typer.Argument(help="A catalogue name, FILE.py:FACTORY or PACKAGE.MODULE:FACTORY; the factory returns a Problem."),
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="The HDF5 file [PROBLEM.h5].")]
Weights = Annotated[
    str | None,
    typer.Option(metavar="FILE[:KEY]", help="Weights: safetensors or .pt; the problem's own without."),
]
Axis = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MIN:MAX:NUM",
        help="Once: a curve; twice: a surface [-1:1:25 twice]. auto:NUM: where the loss rises to that of a guess.",
    ),
]
Seed = Annotated[int, typer.Option(help="Of the random directions.")]
Normalise = Annotated[
    Literal["filter", "layer", "weight", "dfilter", "dlayer", "none"],
    typer.Option(help="What random directions are scaled by."),
]
Ignore = Annotated[Literal["biasbn", "none"], typer.Option(help="biasbn: biases and norms' gains stay still.")]
Orthogonal = Annotated[
    bool,
    typer.Option("--orthogonal", help="Make the second direction orthogonal to the first, filter by filter."),
]
Only = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Move these parameters or modules alone.")]
Freeze = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Keep these parameters or modules still.")]
Toward = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE[:KEY]",
        help="Once: the line to these weights; twice: the plane through three models, alpha toward the second.",
    ),
]
Along = Annotated[
    Literal["hessian", "extremes", "gradient", "ascent"] | None,
    typer.Option(
        help="Unit directions that the loss names: the Hessian's top eigenvectors, top and bottom, the gradient, the "
        "highest loss within --radius; the last two with a random second axis."
    ),
]
Radius = Annotated[float, typer.Option(help="Of --along ascent.")]
Directions = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Take the directions of this file: of the reference code, or of a slice."),
]
Split = Annotated[list[str] | None, typer.Option(help="A split to measure [all].")]
Samples = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto", help="Use a seeded subset of so many samples of each split; auto: as few as --tol bears."
    ),
]
Bn = Annotated[Literal["fixed", "recalibrate"], typer.Option(help="Batch norms' running statistics.")]
Dtype = Annotated[
    Literal["float64", "float32", "tf32", "bf16", "float16", "auto"] | None,
    typer.Option(
        help="Compute in this [float32; float64 for a float64 model]. auto: the fastest that is exact enough."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="As torch names it; several, as cuda:0,cuda:1, take a process each; auto: a GPU where there is one."
    ),
]
Engine = Annotated[
    Literal["auto", "eager", "folded", "compiled", "vmapped"] | None,
    typer.Option(help="How points are evaluated [auto: measured]."),
]
Batch = Annotated[int | None, typer.Option(help="Samples in a batch, at most [measured].")]
Tol = Annotated[
    float | None,
    typer.Option(help="Evaluate coarse to fine, and interpolate the rest within this relative error, audited [all]."),
]
Regenerate = Annotated[
    bool, typer.Option("--regenerate", help="Make directions anew at each point instead of holding them: less memory.")
]
Data = Annotated[str | None, typer.Option(metavar="FOLDER", help="Where a problem's data lie.")]
WorkerSpec = Annotated[str, typer.Option(metavar="N|auto", help="Local processes, of one thread each.")]
Part = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Evaluate the I-th of N parts of the grid, for merge.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever the file holds.")]
LivePlot = Annotated[bool, typer.Option("--watch", help="Draw the picture beside the file again as levels complete.")]
NoPlot = Annotated[bool, typer.Option("--no-plot", help="Draw no picture.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and how long it would take.")]
QuietReporter = Annotated[bool, typer.Option("--quiet", help="Print nothing but warnings and errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
