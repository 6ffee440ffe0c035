"""Targets of curvature: points of a stored slice, or checkpoints of a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surfaceviz import evaluate
from surfaceviz.curvature import ParameterLayout, SpectrumPoint, filter_numbers, filter_scales, parameter_layout
from surfaceviz.errors import ProblemError, StoreError
from surfaceviz.evaluate import EvaluationContext, Perturber
from surfaceviz.pipeline.hessian.checks.stored_values import StoredValue, stored_value
from surfaceviz.pipeline.hessian.places import check_place
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.slice_requests import slice_request
from surfaceviz.pipeline.hessian.training_steps import steps_of
from surfaceviz.pipeline.resolve import device_of, load_splits, read_theta, resolve
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.planning.resume import same_directions
from surfaceviz.problem.batching import coupling_norms
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import State, recalibrate
from surfaceviz.problem.parameters import Filters, filters_of, fingerprint, named_tensors
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice, one_ray
from surfaceviz.records.local_models.second_differences import axis_second_differences

Say = Callable[[str], None]

_CALIBRATION = 128  # samples in a batch for recalibrating batch norms, the same as for slices


@dataclass(frozen=True, slots=True)
class TargetPoint:
    """A point: a function that returns its weights, the fields of its record, and the loss that the slice has there."""

    make: Callable[[], State]  # canonical name -> weights and buffers there
    fields: Mapping[str, Any]
    stored: StoredValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HessianTargets:
    """Everything that this process needs to compute curvature.

    Attributes:
        split: the samples, on the device and in the dtype.
        points: the points, by number.
        directions: of the slice, rows (ndim, P) float64; None for checkpoints, or if one moves tensors that the matrix
            does not cover.
        all_parameters: whether the matrix covers all parameters that are not frozen.
        identity: fingerprints that all processes must share.
    """

    problem: Problem
    name: str
    filters: Mapping[str, Filters]
    layout: ParameterLayout
    own_names: Mapping[str, str]
    dtype: torch.dtype
    device: torch.device
    split: DataSplit
    points: Sequence[TargetPoint]
    directions: Tensor | None
    all_parameters: bool
    identity: Mapping[str, str]

    @property
    def drawn_in(self) -> str | None:
        """The dtype in which the model draws random numbers; None if it draws none."""
        return str(self.dtype).removeprefix("torch.") if self.problem.draws.are_taken else None

    def state(self, number: int) -> State:
        """Return the weights and buffers of a point by the model's own names."""
        return {self.own_names[name]: tensor for name, tensor in self.points[number].make().items()}

    def site(self, number: int) -> SpectrumPoint:
        """Return the input of the spectrum at a point."""
        theta = self.points[number].make()
        own = {name: theta[name].cpu() for name in self.layout.names}
        common = {"split": self.split.name, "samples": self.split.count}
        return SpectrumPoint(
            number=number, all_parameters=self.all_parameters,
            theta=self.layout.of(theta).double().cpu(),
            filter_scales=filter_scales(own, self.filters, self.layout),
            filter_numbers=filter_numbers(own, self.filters, self.layout),
            directions=self.directions, fields={**common, **self.points[number].fields},
        )  # fmt: skip


def slice_targets(
    request: HessianRequest, surface: Slice, places: Sequence[tuple[float, ...]], say: Say, *, local: int
) -> HessianTargets:
    """Return the targets on a slice. Its plan is built again and compared with the file.

    Raises:
        StoreError: weights, data or directions are not those of the file.
        ProblemError: the problem can't be found, or a point lies off the range.
    """
    assert request.file is not None
    for place in places:
        check_place(surface, place)
    plan = slice_plan(request, surface, say, place=local, kept=request.file)
    split = next((s for s in plan.splits if s.name == (request.split or plan.splits[0].name)), None)
    if split is None:
        raise ProblemError(f"no split {request.split!r} in {request.file}; it has {', '.join(surface.splits)}")
    context = plan.context(request.dtype or plan.dtype)
    state_at = _weights_at(context)
    curve = one_ray(surface, 0) if surface.seeds else surface
    fields = [{"place": place, **_differences(surface, f"{split.name}_loss", place)} for place in places]
    same_samples = request.samples is None and not coupling_norms(plan.problem.model)
    points = [
        TargetPoint(partial(state_at, p), given, stored_value(curve, split.name, p) if same_samples else None)
        for p, given in zip(places, fields, strict=True)
    ]
    layout = parameter_layout(
        plan.theta, plan.minimum.filters, _trainable(plan.problem, plan.minimum.filters), request.spectrum.parameters
    )
    # A direction is a vector of the matrix only if it moves nothing outside of it (a buffer, a padding row), and if
    # batch norms are not recalibrated, through which the loss would also depend on the weights.
    inside = (
        context.calibration is None
        and not surface.seeds
        and all(
            name in layout.names and not bool((tensor != plan.minimum.filters[name].moving(tensor)).any())
            for direction in plan.directions
            for name, tensor in direction.tensors.items()
        )
    )
    directions = torch.stack([_flat(direction.tensors, layout) for direction in plan.directions]) if inside else None
    return _targets(
        request, context, split, points, name=plan.name, filters=plan.minimum.filters, layout=layout,
        directions=directions,
    )  # fmt: skip


def _differences(surface: Slice, name: str, place: tuple[float, ...]) -> dict[str, Any]:
    """Return the field of the record with second differences along the axes; of rays, which share none, no field."""
    return {} if surface.seeds else {"differences": axis_second_differences(surface, name, place)}


def _flat(tensors: Mapping[str, Tensor], layout: ParameterLayout) -> Tensor:
    """Return a direction as a vector, (P,) float64."""
    pairs = zip(layout.names, layout.shapes, strict=True)
    return layout.flat([tensors[n].double() if n in tensors else torch.zeros(s, dtype=torch.float64) for n, s in pairs])


def _weights_at(context: EvaluationContext) -> Callable[[tuple[float, ...]], State]:
    """Return a function that maps a point to its weights by canonical names, with batch norms as in the slice."""
    canonical = {own: name for name, own in context.perturb.names.items()}

    def state_at(place: tuple[float, ...]) -> State:
        state = {name: tensor.clone() for name, tensor in context.perturb(place).items()}
        if context.calibration is not None:
            recalibrate(context.problem, state, context.calibration.batches(_CALIBRATION))
        return {canonical[name]: tensor for name, tensor in state.items()}

    return state_at


def checkpoint_targets(request: HessianRequest, say: Say, local: int) -> HessianTargets:
    """Return the targets of one or several checkpoints of a problem.

    Raises:
        SurfacevizError: problem, weights or data can't be read.
    """
    given = request.target
    problem = given if isinstance(given, Problem) else resolve(str(given), request.data)
    dtype = request.dtype or evaluate.default_dtype(problem.model)
    device = device_of(request.device, local)
    own_names = {name: named.own_name for name, named in named_tensors(problem.model).items()}

    def theta(weights: str | None) -> dict[str, Tensor]:
        return read_theta(problem, weights, dtype, say)

    first = theta(request.weights[0] if request.weights else None)
    (split,) = load_splits(
        problem, [request.split or problem.splits[0]], first, say, draws=request.draws or 1,
        noise_seed=request.noise_seed or 0, batch_size=request.batch_size,
    )  # fmt: skip
    filters = filters_of(problem.model, problem.rules, first, problem.forward_pass.padding_rows)
    layout = parameter_layout(first, filters, _trainable(problem, filters), request.spectrum.parameters)
    points, steps = [], steps_of(request.weights)
    for number, weights in enumerate(request.weights or (None,)):
        tensors = first if number == 0 else theta(weights)
        source = {} if weights is None else {"source": Path(weights).name, "step": steps[number]}
        fields = {"place": (), **source, "weights_sha256": fingerprint(tensors)}
        del tensors  # hold one set of weights at a time
        points.append(TargetPoint(lambda weights=weights: {k: t.to(device) for k, t in theta(weights).items()}, fields))  # type: ignore[misc]
    context = EvaluationContext(
        problem=problem, perturb=Perturber(own_names, first, [], dtype, device=device), splits=[]
    )
    on_device = split.mapped(lambda tree: problem.cast(tree, evaluate.DTYPES[dtype], device))
    return _targets(
        request, context, on_device, points, name=problem.name or type(problem.model).__name__, filters=filters,
        layout=layout, directions=None,
    )  # fmt: skip


def _targets(
    request: HessianRequest,
    context: EvaluationContext,
    split: DataSplit,
    points: Sequence[TargetPoint],
    *,
    name: str,
    filters: Mapping[str, Filters],
    layout: ParameterLayout,
    directions: Tensor | None,
) -> HessianTargets:
    """Return the targets with the samples on the device and the fingerprints."""
    problem, perturb = context.problem, context.perturb
    samples = (split if request.samples is None else split.subset(request.samples)).as_given()
    on_device = samples.mapped(lambda tree: problem.cast(tree, evaluate.DTYPES[perturb.dtype], perturb.device))
    weights = [fingerprint(perturb.cast_theta), *(str(point.fields.get("weights_sha256", "")) for point in points)]
    return HessianTargets(
        problem=problem, name=name, filters=filters, layout=layout, own_names=perturb.names,
        dtype=evaluate.DTYPES[perturb.dtype], device=perturb.device, split=on_device, points=points,
        directions=directions,
        all_parameters=set(layout.names) >= set(_trainable(problem, filters)),
        identity={"weights": ", ".join(weights), "data": split.sha256, "request": request.words},
    )  # fmt: skip


def slice_plan(request: HessianRequest, surface: Slice, say: Say, *, kept: Path | None, place: int = 0) -> Plan:
    """Return the plan of a slice, built again and compared with what it holds; ``kept`` is its file, if there is one.

    Raises:
        StoreError: weights, data or directions are not those of the slice.
        ProblemError: the problem can't be found.
    """
    assert request.file is not None
    plan = make_plan(slice_request(request, surface, say), say, place=place, kept=kept)
    _refuse_changed(plan, surface, request.file, kept)
    return plan


def _refuse_changed(plan: Plan, surface: Slice, path: Path, kept: Path | None) -> None:
    identity = plan.identity
    for key, word in {"weights_sha256": "weights", "data_sha256": "data"}.items():
        if surface.provenance.get(key) != identity[key]:
            raise StoreError(
                f"{path} was computed with other {word} ({str(surface.provenance.get(key))[:12]}) than now "
                f"({str(identity[key])[:12]}); compute the slice again"
            )
    same = [d.sha256 for d in surface.directions] == [d.record.sha256 for d in plan.directions]
    if not same and (kept is None or not same_directions(plan, surface, kept)):
        raise StoreError(f"{path} holds other directions than its request gives now; compute the slice again")


def _trainable(problem: Problem, filters: Mapping[str, Filters]) -> list[str]:
    """Return the names of the parameters that are not frozen; all names if all are frozen."""
    named = named_tensors(problem.model)
    return [name for name in filters if named[name].tensor.requires_grad] or list(filters)
