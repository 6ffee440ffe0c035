"""The command ``surfaceviz hessian``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from surfaceviz.cli.app import app, command_line, number_or_auto
from surfaceviz.cli.options import hessian_options as options
from surfaceviz.cli.options import shared as common
from surfaceviz.cli.terminal.lines import show
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.hessian.request import HessianRequest

if TYPE_CHECKING:
    from surfaceviz.pipeline.hessian.run import HessianResult
    from surfaceviz.records import HessianMap

_DEFAULT = defaults_of(HessianRequest.of)


@app.command(
    epilog="Example: surfaceviz hessian resnet20-digits.h5 --at 0,0 --at 0.5,0.5 --trace --density",
)
def hessian(
    context: typer.Context,
    target: options.Target,
    at: options.At = _DEFAULT.at,
    grid: options.Grid = _DEFAULT.grid,
    *,
    top: options.Top = _DEFAULT.top,
    bottom: options.Bottom = _DEFAULT.bottom,
    density: options.Density = _DEFAULT.density,
    trace: options.Trace = _DEFAULT.trace,
    by_layer: options.ByLayer = _DEFAULT.by_layer,
    operator: options.Operator = _DEFAULT.operator,
    parameters: options.Parameters = _DEFAULT.parameters,
    normalised: options.Normalised = _DEFAULT.normalised,
    weight_decay: options.WeightDecay = _DEFAULT.weight_decay,
    rtol: options.Rtol = _DEFAULT.rtol,
    probes: options.Probes = _DEFAULT.probes,
    steps: options.Steps = _DEFAULT.steps,
    block: options.Block = _DEFAULT.block,
    seed: options.Seed = _DEFAULT.seed,
    cold: options.Cold = _DEFAULT.cold,
    weights: common.Checkpoints = _DEFAULT.weights,
    problem: common.SliceProblem = _DEFAULT.problem,
    data: common.Data = _DEFAULT.data,
    split: common.Split = _DEFAULT.split,
    samples: common.Samples = _DEFAULT.samples,
    draws: common.Draws = _DEFAULT.draws,
    noise_seed: common.NoiseSeed = _DEFAULT.noise_seed,
    dtype: options.Dtype = _DEFAULT.dtype,
    device: common.Device = _DEFAULT.device,
    batch_size: options.BatchSize = _DEFAULT.batch_size,
    memory: common.Memory = _DEFAULT.memory,
    workers: common.Workers = "auto",
    output: options.Output = _DEFAULT.output,
    overwrite: options.Overwrite = _DEFAULT.overwrite,
    trust: common.Trust = _DEFAULT.trust,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Compute the curvature at points of a slice, on a map over it, or along checkpoints of a training.

    Results go into the slice's file; the same command resumes a run that was stopped.
    """
    count = number_or_auto("workers", workers)
    request = HessianRequest.of(**options_for(HessianRequest.of, context.params), default_output=output is None)
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.hessian.run import run_hessian

    with Terminal(quiet=quiet) as terminal:
        result = run_hessian(request, workers=count, reporter=terminal, command=command_line())
    if result.path is not None:
        _print(result)


def _print(result: HessianResult) -> None:
    from surfaceviz.records import describe_spectrum

    for spectrum in result.spectra:
        show()
        for label, text in describe_spectrum(spectrum):
            show(f"{label:<11} {text}".rstrip())
    if result.hessian_map is not None:
        show(_map_line(result.hessian_map))
        show(f"{'':<11} {result.hessian_map.beyond_words}")
    show(f"{'file':<11} {result.path}" + ("" if result.fresh else ", nothing to recompute"))


def _map_line(found: HessianMap) -> str:
    """Return a line on a Hessian map."""
    import numpy as np

    ratio = found.ratio[np.isfinite(found.ratio)]
    return (
        f"map         {' x '.join(map(str, found.origin.shape))} points, {int(found.products.sum())} products"
        + (f"; {found.unconverged} NOT CONVERGED" if found.unconverged else "")
        + (f"; |lambda_min / lambda_max| {ratio.min():.3g} .. {ratio.max():.3g}" if ratio.size else "")
    )
