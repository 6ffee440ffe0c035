"""The command about curvature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from surfaceviz.cli import options
from surfaceviz.cli.app import app, command_line, number_or_auto

if TYPE_CHECKING:
    from surfaceviz.pipeline.hessian import Answer

_MAP_RTOL, _RTOL = 1e-2, 1e-3


@app.command(epilog="Example: surfaceviz hessian resnet20-digits.h5 --at 0,0 --at 0.5,0.5 --trace --density")
def hessian(
    target: Annotated[
        str, typer.Argument(metavar="FILE.h5|PROBLEM", help="The file of a slice; or a problem, for its checkpoints.")
    ],
    at: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="A point of the slice; several times [theta].")
    ] = None,
    top: Annotated[int | None, typer.Option(metavar="K", help="Largest eigenvalues [5].")] = None,
    bottom: Annotated[int | None, typer.Option(metavar="K", help="Smallest eigenvalues [1].")] = None,
    density: Annotated[bool, typer.Option("--density", help="The density of all eigenvalues.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="The trace, with its standard error.")] = False,
    by_layer: Annotated[bool, typer.Option("--by-layer", help="Trace and top eigenvalue of each tensor.")] = False,
    operator: Annotated[Literal["hessian", "ggn"], typer.Option(help="ggn: generalised Gauss-Newton.")] = "hessian",
    parameters: Annotated[
        str, typer.Option(metavar="all|weights|PATTERN", help="What the matrix is over; weights: no biases, no gains.")
    ] = "all",
    normalised: Annotated[
        bool, typer.Option("--normalised", help="D H D, D = ||w_i|| / sqrt(n_i) on filters: what pictures show.")
    ] = False,
    map_: Annotated[
        str | None,
        typer.Option("--map", metavar="P:Q", help="Extreme eigenvalues and gradient norm on a grid over the slice."),
    ] = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Start each point of a map from random vectors, not from its neighbour's.")
    ] = False,
    samples: Annotated[int | None, typer.Option(help="Use a seeded subset of so many samples [all].")] = None,
    split: Annotated[str | None, typer.Option(help="Whose loss [the first split].")] = None,
    rtol: Annotated[
        float | None, typer.Option(help="Residual of an eigenvalue, relative to it [1e-3; of a map 1e-2].")
    ] = None,
    probes: Annotated[int, typer.Option(help="Random vectors for trace and density.")] = 10,
    steps: Annotated[int, typer.Option(help="Products a probe, for the density.")] = 60,
    block: Annotated[int, typer.Option(help="Start vectors: so many copies of an eigenvalue are found.")] = 1,
    seed: Annotated[int, typer.Option(help="Of start vectors and probes.")] = 0,
    weights: Annotated[
        list[str] | None, typer.Option(metavar="FILE[:KEY]", help="A checkpoint of the problem; several times.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--lr", help="Of training: for the line at 2 / learning rate.")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Of training: for the gradient norm with it as well.")
    ] = None,
    problem: Annotated[str | None, typer.Option(help="The slice's problem, where its file does not name it.")] = None,
    data: options.Data = None,
    dtype: Annotated[Literal["float64", "float32"] | None, typer.Option(help="Compute in this.")] = None,
    device: options.Device = "auto",
    batch: Annotated[int | None, typer.Option(help="Samples in a batch [measured].")] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="For graphs and vectors, such as 4G [half of what is free].")
    ] = None,
    workers: options.Workers = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="For checkpoints: the HDF5 file [PROBLEM-curvature.h5].")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Compute anew what the file holds.")] = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure the curvature at points of a slice, on a map over it, or along checkpoints of a training.

    What is found goes into the slice's file; the same command goes on from where it was stopped.
    """
    count = number_or_auto("workers", workers)
    from surfaceviz.cli.progress import Terminal
    from surfaceviz.curvature import Wanted
    from surfaceviz.pipeline.hessian import inquire
    from surfaceviz.pipeline.inquiry import Inquiry, parse_grid, parse_memory, parse_point

    wanted = Wanted(
        top, bottom, density, trace, by_layer, operator, parameters, normalised,
        rtol or (_RTOL if map_ is None else _MAP_RTOL), probes, steps, block, seed, weight_decay,
    )  # fmt: skip
    inquiry = Inquiry(
        target=target, wanted=wanted, at=tuple(map(parse_point, at or ())), grid=parse_grid(map_) if map_ else (),
        cold=cold, weights=tuple(weights or ()), problem=problem, data=data, split=split, samples=samples,
        device=device, dtype=dtype, batch=batch, memory=None if memory is None else parse_memory(memory),
        learning_rate=learning_rate, output=output, overwrite=overwrite,
        default_output=output is None and not Inquiry(target).file,
    )  # fmt: skip
    with Terminal(quiet=quiet) as terminal:
        answer = inquire(inquiry, workers=count, listener=terminal, command=command_line())
    if answer.path is not None:
        _print(answer)


def _print(answer: Answer) -> None:
    import numpy as np

    from surfaceviz.records import describe_spectrum

    for spectrum in answer.spectra:
        typer.echo()
        for label, text in describe_spectrum(spectrum):
            typer.echo(f"{label:<11} {text}".rstrip())
    found = answer.hessian_map
    if found is not None:
        ratio = found.ratio[np.isfinite(found.ratio)]
        typer.echo(
            f"map         {' x '.join(map(str, found.origin.shape))} points, {int(found.products.sum())} products"
            + (f"; |lambda_min / lambda_max| {ratio.min():.3g} .. {ratio.max():.3g}" if ratio.size else "")
        )
    typer.echo(f"{'file':<11} {answer.path}" + ("" if answer.fresh else ", which had it already"))
