"""The measures of one network, as it is and in the gauge."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from surfaceviz.comparison.convexity import share_not_convex
from surfaceviz.comparison.measures import HELD_OUT, RADII
from surfaceviz.comparison.ray_width import widths
from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.errors import StoreError
from surfaceviz.pipeline.compare.networks import Network, targets_of_network
from surfaceviz.pipeline.compare.request import CompareRequest
from surfaceviz.pipeline.hessian.float64_objective import float64_objective, float64_theta
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.pipeline.minima.request import MinimaRequest
from surfaceviz.pipeline.minima.run import run_minima
from surfaceviz.problem.functional import borrowed
from surfaceviz.records import FloatArray, Slice
from surfaceviz.reporting import QuietReporter
from surfaceviz.sharpness_measures.hessian_measures import measure_hessian
from surfaceviz.sharpness_measures.measurements import Measurement
from surfaceviz.sharpness_measures.random_perturbations import expected_rise
from surfaceviz.sharpness_measures.search import SearchSpec
from surfaceviz.sharpness_measures.worst_case import m_sharpness, phi_in_boxes
from surfaceviz.symmetry.gauge import Gauge, to_gauge

CURVATURE_SAMPLES = 256  # of the split, for curvature and worst cases: a compromise of time and spread; ours
GROUPS = 64  # of these samples, over which eigenvalues spread; ours
_STARTS, _ITERATIONS = 1, 10  # of the searches for the worst case; ours
_BOX = 1e-3  # of Keskar's phi

Draws = dict[str, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A network's loss functions in float64.

    Attributes:
        main: on the compared split.
        curvature: on the samples for curvature.
        held_out: on the next split; None if there is none.
        theta: the weights.
        targets: what they were made from.
        vectors: bytes for the Lanczos basis.
    """

    main: Objective
    curvature: Objective
    held_out: Objective | None
    theta: Theta
    targets: HessianTargets
    vectors: int


def bench_of(network: Network, request: CompareRequest) -> Bench:
    """Return the loss functions of a network."""
    targets = targets_of_network(network, request, network.split)
    main, memory = float64_objective(targets)
    few = min(CURVATURE_SAMPLES, main.split.count)
    curvature = main if main.split.given else replace(main, split=main.split.subset(few))
    return Bench(
        main=main, curvature=curvature, held_out=_held_out(network, request, targets),
        theta=float64_theta(targets, 0), targets=targets, vectors=memory.vectors,
    )  # fmt: skip


def _held_out(network: Network, request: CompareRequest, targets: HessianTargets) -> Objective | None:
    """Return the loss on the split after the compared one; None if there is no other."""
    others = [name for name in targets.problem.splits if name != targets.split.name]
    if not others:
        return None
    return float64_objective(targets_of_network(network, request, others[0]))[0]


def measures_at(bench: Bench, theta: Theta, request: CompareRequest) -> tuple[Draws, dict[str, str]]:
    """Return measure -> draws at given weights, and notes by measure; those of slices apart.

    Values without draws are arrays of shape ().
    """
    with borrowed(bench.targets.problem.model, bench.targets.device):
        found = _of_function(bench, theta)
        found |= _rises(bench.main.in_float32(theta), theta, request)
        measured = dict(_curvature(bench, theta, request.seed))
        if request.worst_case:
            measured |= _worst_cases(bench.curvature, theta, request.seed)
    found |= {key: _draws(each) for key, each in measured.items()}
    notes = {key: each.note for key, each in measured.items() if each.note}
    if bench.curvature.split.count < bench.main.split.count:
        words = f"on {bench.curvature.split.count} of {bench.main.split.count} samples"
        notes |= {key: f"{words}{f'; {notes[key]}' if key in notes else ''}" for key in measured}
    return found, notes


def _of_function(bench: Bench, theta: Theta) -> Draws:
    """Return the losses and accuracies of samples; a loss without values for samples is one number."""
    values = bench.main.sample_values(theta)
    found: Draws = {key: values[key] for key in ("loss", "accuracy") if key in values}
    if "loss" not in found:
        found["loss"] = np.array(bench.main.loss(theta))
    if bench.held_out is not None:
        held_out = bench.held_out.sample_values(theta)
        found[HELD_OUT] = held_out["loss"] if "loss" in held_out else np.array(bench.held_out.loss(theta))
    return found


def _rises(objective: Objective, theta: Theta, request: CompareRequest) -> Draws:
    """Return the expected rise at each radius, a draw for each pair of opposite directions."""
    found = {}
    for radius in RADII:
        rise = expected_rise(objective, theta, sigma=radius, pairs=request.directions, seed=request.seed)
        assert rise.draws is not None
        found[f"rise_{radius:g}"] = rise.draws
    return found


def _curvature(bench: Bench, theta: Theta, seed: int) -> dict[str, Measurement]:
    return measure_hessian(bench.curvature, theta, seed=seed, vectors=bench.vectors, groups=GROUPS, copies=False)


def _worst_cases(objective: Objective, theta: Theta, seed: int) -> dict[str, Measurement]:
    spec = SearchSpec(starts=_STARTS, iterations=_ITERATIONS, seed=seed)
    ((phi, _),) = phi_in_boxes(objective, theta, [_BOX], spec)
    return {"m_sharpness": m_sharpness(objective, theta, spec)[0], "phi": phi}


def _draws(measurement: Measurement) -> FloatArray:
    """Return random draws; parts of a whole are not random, and count as one value."""
    random = measurement.draws is not None and not measurement.exhaustive
    return measurement.draws if random and measurement.draws is not None else np.array(measurement.value)


def slice_measures(rays: Slice, plane: Slice | None, split: str) -> Draws:
    """Return the measures that slices give: the width, and the share of the plane that is not convex."""
    name = f"{split}_loss"
    found: Draws = {"width": widths(rays.axes[0], rays.values[name], rays.centre[name])}
    if plane is not None:
        found["not_convex"] = np.array(share_not_convex(plane.axes[0], plane.axes[1], plane.values[name]))
    return found


def minima_of(network: Network, plane: Slice, split: str) -> tuple[Slice, Draws, dict[str, str]]:
    """Return a plane with its minima, the number of those that count, and a note if that is not known."""
    own = network.slice
    request = MinimaRequest.of(plane, split=split, problem=own.problem, data=own.data, device=own.device)
    try:
        found = run_minima(request, QuietReporter())
    except StoreError as error:  # such as no losses of single samples
        return plane, {}, {"minima": str(error)}
    assert found.minima is not None
    return found, {"minima": np.array(1.0 + found.minima.counted.sum())}, {}


def gauge_of(bench: Bench) -> Gauge:
    """Return the weights of a network in the gauge; the temperature is fitted on the held-out split."""
    with borrowed(bench.targets.problem.model, bench.targets.device):
        return to_gauge(bench.main, bench.theta, held_out=bench.held_out)
