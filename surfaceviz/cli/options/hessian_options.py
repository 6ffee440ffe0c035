"""Options of ``surfaceviz hessian``, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from surfaceviz.cli.options.shared import COMPUTE, OUTPUT

WHERE, WHAT, SOLVER = "Where", "What", "Solver"

Target = Annotated[
    str, typer.Argument(metavar="FILE.h5|PROBLEM", help="File of a slice; or a problem, for its checkpoints.")
]
At = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A,B",
        help="Point of the slice; may be repeated [default: theta; none with --map alone].",
        rich_help_panel=WHERE,
    ),
]
Grid = Annotated[
    str | None,
    typer.Option(
        "--map", metavar="P:Q", help="Map of extreme eigenvalues and gradient norm, on P x Q points of the slice.",
        rich_help_panel=WHERE,
    ),
]  # fmt: skip
Top = Annotated[
    int | None, typer.Option(metavar="K", help="Number of largest eigenvalues [default: 5].", rich_help_panel=WHAT)
]
Bottom = Annotated[
    int | None, typer.Option(metavar="K", help="Number of smallest eigenvalues [default: 1].", rich_help_panel=WHAT)
]
Density = Annotated[bool, typer.Option("--density", help="Density of all eigenvalues.", rich_help_panel=WHAT)]
Trace = Annotated[bool, typer.Option("--trace", help="Trace, with its standard error.", rich_help_panel=WHAT)]
ByLayer = Annotated[
    bool, typer.Option("--by-layer", help="Trace and top eigenvalue of each tensor.", rich_help_panel=WHAT)
]
Operator = Annotated[
    Literal["hessian", "ggn"],
    typer.Option(help="Matrix; ggn: the generalised Gauss-Newton matrix.", rich_help_panel=WHAT),
]
Parameters = Annotated[
    str,
    typer.Option(
        metavar="all|weights|PATTERN", help="Parameters that the matrix is over; weights: no biases, no gains.",
        rich_help_panel=WHAT,
    ),
]  # fmt: skip
Normalised = Annotated[
    bool,
    typer.Option(
        "--normalised", help="D H D instead of H, with D = ||w_i|| / sqrt(n_i) on filters, as pictures show it.",
        rich_help_panel=WHAT,
    ),
]  # fmt: skip
WeightDecay = Annotated[
    float | None,
    typer.Option(help="Weight decay of the training, for the gradient norm with it.", rich_help_panel=WHAT),
]
Rtol = Annotated[
    float | None,
    typer.Option(
        help="Residual of an eigenvalue, relative to it [default: 1e-3; 1e-2 for a map].", rich_help_panel=SOLVER
    ),
]
Probes = Annotated[int, typer.Option(help="Number of random vectors for trace and density.", rich_help_panel=SOLVER)]
Steps = Annotated[int, typer.Option(help="Products for each probe, for the density.", rich_help_panel=SOLVER)]
Block = Annotated[
    int,
    typer.Option(
        help="Number of start vectors; as many copies of an equal eigenvalue are found.", rich_help_panel=SOLVER
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of start vectors and probes.", rich_help_panel=SOLVER)]
Cold = Annotated[
    bool,
    typer.Option(
        "--cold", help="Start each point of a map from random vectors, not from its neighbour's eigenvectors.",
        rich_help_panel=SOLVER,
    ),
]  # fmt: skip
Dtype = Annotated[
    Literal["float64", "float32"] | None,
    typer.Option(help="Number format [default: float32; float64 for a float64 model].", rich_help_panel=COMPUTE),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch", help="Samples in a batch [default: measured].", rich_help_panel=COMPUTE)
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="HDF5 file for checkpoints [default: PROBLEM-curvature.h5].", rich_help_panel=OUTPUT
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Recompute what the file holds; replace the curvature of another run.",
        rich_help_panel=OUTPUT,
    ),
]
