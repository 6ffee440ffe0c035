"""The command about curvature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from surfaceviz.cli import hessian_options as asked
from surfaceviz.cli import slice_options
from surfaceviz.cli.app import app, command_line, number_or_auto

if TYPE_CHECKING:
    from surfaceviz.pipeline.hessian.run import HessianResult

_MAP_RTOL, _RTOL = 1e-2, 1e-3


@app.command(epilog="Example: surfaceviz hessian resnet20-digits.h5 --at 0,0 --at 0.5,0.5 --trace --density")
def hessian(
    target: asked.Target,
    at: asked.At = None,
    top: asked.Top = None,
    bottom: asked.Bottom = None,
    density: asked.Density = False,
    trace: asked.Trace = False,
    by_layer: asked.ByLayer = False,
    operator: asked.Operator = "hessian",
    parameters: asked.Parameters = "all",
    normalised: asked.Normalised = False,
    map_: asked.Map = None,
    cold: asked.Cold = False,
    samples: asked.Samples = None,
    split: asked.Split = None,
    rtol: asked.Rtol = None,
    probes: asked.Probes = 10,
    steps: asked.Steps = 60,
    block: asked.Block = 1,
    seed: asked.Seed = 0,
    weights: asked.Weights = None,
    learning_rate: asked.LearningRate = None,
    weight_decay: asked.WeightDecay = None,
    problem: asked.Problem = None,
    data: slice_options.Data = None,
    dtype: asked.Dtype = None,
    device: slice_options.Device = "auto",
    batch: asked.Batch = None,
    memory: asked.Memory = None,
    workers: slice_options.WorkerSpec = "auto",
    output: asked.Output = None,
    overwrite: asked.Overwrite = False,
    quiet: slice_options.QuietReporter = False,
    debug: slice_options.Debug = False,
) -> None:
    """Measure the curvature at points of a slice, on a map over it, or along checkpoints of a training.

    What is found goes into the slice's file; the same command goes on from where it was stopped.
    """
    count = number_or_auto("workers", workers)
    from surfaceviz.cli.progress import Terminal
    from surfaceviz.curvature import SpectrumSpec
    from surfaceviz.pipeline.hessian.request import HessianRequest, parse_grid, parse_memory, parse_point
    from surfaceviz.pipeline.hessian.run import run_hessian

    wanted = SpectrumSpec(
        top=top, bottom=bottom, density=density, trace=trace, by_layer=by_layer, operator=operator,
        parameters=parameters, normalised=normalised, rtol=_RTOL if rtol is None else rtol, probes=probes,
        steps=steps, block=block, seed=seed, weight_decay=weight_decay,
    )  # fmt: skip
    request = HessianRequest(
        target=target, wanted=wanted, map_rtol=_MAP_RTOL if rtol is None else rtol,
        at=tuple(map(parse_point, at or ())), grid=parse_grid(map_) if map_ else (),
        cold=cold, weights=tuple(weights or ()), problem=problem, data=data, split=split, samples=samples,
        device=device, dtype=dtype, batch=batch, memory=None if memory is None else parse_memory(memory),
        learning_rate=learning_rate, output=output, overwrite=overwrite,
        default_output=output is None and not HessianRequest(target).file,
    )  # fmt: skip
    with Terminal(quiet=quiet) as terminal:
        answer = run_hessian(request, workers=count, reporter=terminal, command=command_line())
    if answer.path is not None:
        _print(answer)


def _print(answer: HessianResult) -> None:
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
            + (f"; {found.unconverged} NOT CONVERGED" if found.unconverged else "")
            + (f"; |lambda_min / lambda_max| {ratio.min():.3g} .. {ratio.max():.3g}" if ratio.size else "")
        )
    typer.echo(f"{'file':<11} {answer.path}" + ("" if answer.fresh else ", which had it already"))
