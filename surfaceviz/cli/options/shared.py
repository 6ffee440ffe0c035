"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

DATA, COMPUTE, OUTPUT, LAYOUT = "Data", "Compute", "Output", "How it looks"

Data = Annotated[str | None, typer.Option(metavar="FOLDER", help="Folder of a problem's data.", rich_help_panel=DATA)]
Split = Annotated[
    str | None, typer.Option(help="Split whose loss is meant [default: the first].", rich_help_panel=DATA)
]
Samples = Annotated[
    int | None, typer.Option(help="Size of a seeded subset [default: all samples].", rich_help_panel=DATA)
]
Draws = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Number of draws of a problem's random numbers, over which the loss is averaged [default: 1; of a slice, "
        "its own].",
        rich_help_panel=DATA,
    ),
]
NoiseSeed = Annotated[
    int | None,
    typer.Option(help="Seed of a problem's random numbers [default: 0; of a slice, its own].", rich_help_panel=DATA),
]
SliceProblem = Annotated[
    str | None,
    typer.Option(help="Problem of a slice whose file does not name it.", rich_help_panel=DATA),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run and read what a slice's file names, although you did not make it; remembered.",
        rich_help_panel=DATA,
    ),
]
Checkpoints = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE[:KEY]", help="Checkpoint of the problem; may be repeated.", rich_help_panel=DATA),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT", help="Name of a slice, once for each file [the problems' names].", rich_help_panel=LAYOUT
    ),
]
Title = Annotated[str, typer.Option(metavar="TEXT", help="Title [the problems' names].", rich_help_panel=LAYOUT)]
AxisName = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT", help="Name of alpha; a second one of beta [their directions].", rich_help_panel=LAYOUT
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="Device as torch names it; several, such as cuda:0,cuda:1, take one process each; auto: a GPU where there "
        "is one.",
        rich_help_panel=COMPUTE,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Memory for graphs and vectors, such as 4G [default: half of the free memory].",
        rich_help_panel=COMPUTE,
    ),
]  # fmt: skip
Workers = Annotated[
    str,
    typer.Option(metavar="N|auto", help="Number of local processes, of one thread each.", rich_help_panel=COMPUTE),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace an output of another kind; never what is read.", rich_help_panel=OUTPUT),
]
NoPlot = Annotated[bool, typer.Option("--no-plot", help="Draw no picture.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only warnings and errors.", rich_help_panel=OUTPUT)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)]
