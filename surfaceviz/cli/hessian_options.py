"""The options of ``surfaceviz hessian``, each with its words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Target = Annotated[
    str, typer.Argument(metavar="FILE.h5|PROBLEM", help="The file of a slice; or a problem, for its checkpoints.")
]
At = Annotated[list[str] | None, typer.Option(metavar="A,B", help="A point of the slice; several times [theta].")]
Top = Annotated[int | None, typer.Option(metavar="K", help="Largest eigenvalues [5].")]
Bottom = Annotated[int | None, typer.Option(metavar="K", help="Smallest eigenvalues [1].")]
Density = Annotated[bool, typer.Option("--density", help="The density of all eigenvalues.")]
Trace = Annotated[bool, typer.Option("--trace", help="The trace, with its standard error.")]
ByLayer = Annotated[bool, typer.Option("--by-layer", help="Trace and top eigenvalue of each tensor.")]
Operator = Annotated[Literal["hessian", "ggn"], typer.Option(help="ggn: generalised Gauss-Newton.")]
Parameters = Annotated[
    str, typer.Option(metavar="all|weights|PATTERN", help="What the matrix is over; weights: no biases, no gains.")
]
Normalised = Annotated[
    bool, typer.Option("--normalised", help="D H D, D = ||w_i|| / sqrt(n_i) on filters: what pictures show.")
]
Map = Annotated[
    str | None,
    typer.Option("--map", metavar="P:Q", help="Extreme eigenvalues and gradient norm on a grid over the slice."),
]
Cold = Annotated[
    bool, typer.Option("--cold", help="Start each point of a map from random vectors, not from its neighbour's.")
]
Samples = Annotated[int | None, typer.Option(help="Use a seeded subset of so many samples [all].")]
Split = Annotated[str | None, typer.Option(help="Whose loss [the first split].")]
Rtol = Annotated[float | None, typer.Option(help="Residual of an eigenvalue, relative to it [1e-3; of a map 1e-2].")]
Probes = Annotated[int, typer.Option(help="Random vectors for trace and density.")]
Steps = Annotated[int, typer.Option(help="Products a probe, for the density.")]
Block = Annotated[int, typer.Option(help="Start vectors: so many copies of an eigenvalue are found.")]
Seed = Annotated[int, typer.Option(help="Of start vectors and probes.")]
Weights = Annotated[
    list[str] | None, typer.Option(metavar="FILE[:KEY]", help="A checkpoint of the problem; several times.")
]
LearningRate = Annotated[float | None, typer.Option("--lr", help="Of training: for the line at 2 / learning rate.")]
WeightDecay = Annotated[float | None, typer.Option(help="Of training: for the gradient norm with it as well.")]
Problem = Annotated[str | None, typer.Option(help="The slice's problem, where its file does not name it.")]
Dtype = Annotated[Literal["float64", "float32"] | None, typer.Option(help="Compute in this.")]
Batch = Annotated[int | None, typer.Option(help="Samples in a batch [measured].")]
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="For graphs and vectors, such as 4G [half of what is free].")
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="For checkpoints: the HDF5 file [PROBLEM-curvature.h5].")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Compute anew what the file holds.")]
