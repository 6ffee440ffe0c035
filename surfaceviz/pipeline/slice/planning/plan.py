"""The plan of a slice: problem, weights, directions, axes and data of a request."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from surfaceviz import evaluate
from surfaceviz.directions.axes import Axis
from surfaceviz.directions.minimum import DirectionSet, Minimum
from surfaceviz.directions.random import Direction, Tensors, random_directions
from surfaceviz.directions.ray_seeds import ray_seeds
from surfaceviz.directions.specs import FromFile, Random
from surfaceviz.evaluate import EngineConfig, EvaluationContext, Perturber
from surfaceviz.pipeline.provenance import Attributes, attributes_of
from surfaceviz.pipeline.slice.request import Destination, Request
from surfaceviz.problem.data import DataSplit, combined_sha256
from surfaceviz.problem.parameters import fingerprint, named_tensors
from surfaceviz.problem.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a run needs, and its identity.

    Attributes:
        request: the user's options.
        minimum: problem, theta in the master dtype on the CPU, filters, first split.
        name: the problem's name.
        made: the directions with their axes, marks and models.
        axes: axes with a range; a preliminary range until it is chosen.
        splits: the samples on which points are evaluated.
        calibration: the training samples for recalibrating batch norms; None with fixed statistics.
        dtype: ``auto`` until it is chosen.
        engine: None until it is chosen.
        subset: samples of each split on which points are evaluated; None for all that were loaded.
        output: the file; None to keep the slice in memory.
    """

    request: Request
    minimum: Minimum
    name: str
    made: DirectionSet
    axes: tuple[Axis, ...]
    splits: list[DataSplit]
    calibration: DataSplit | None
    dtype: str
    engine: EngineConfig | None
    subset: int | None
    output: Path | None
    _kept: dict[str, EvaluationContext] = field(default_factory=dict, compare=False, repr=False)
    _perturbers: dict[str, Perturber] = field(default_factory=dict, compare=False, repr=False)  # that used last

    @property
    def problem(self) -> Problem:
        """The problem."""
        return self.minimum.problem

    @property
    def theta(self) -> dict[str, Tensor]:
        """Canonical name -> weights and buffers."""
        return self.minimum.theta

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self.minimum.device

    @property
    def directions(self) -> list[Direction]:
        """One direction for each axis."""
        return self.made.directions

    @property
    def usual_dtype(self) -> str:
        """The dtype of the model, in which the centre is evaluated."""
        return evaluate.default_dtype(self.problem.model)

    @property
    def points(self) -> int:
        """The number of points of the grid, of all rays."""
        return self.request.directions.repeat * math.prod(axis.count for axis in self.axes)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the rays; empty for one curve or surface."""
        spec = self.request.directions
        return ray_seeds(spec.seed, spec.repeat) if isinstance(spec, Random) and spec.repeat > 1 else ()

    @property
    def final_request(self) -> Request:
        """The request with all choices made, which identifies the file."""
        request = replace(
            self.request,
            axes=self.axes,
            splits=tuple(split.name for split in self.splits),
            dtype=self.dtype,
            device=self.device.type,
            subset=self.subset,
            destination=Destination(),
        )
        if self.engine is None:
            return request
        engine = self.engine
        return replace(request, engine=engine.name, batch_size=engine.batch_size, group=engine.group)

    @property
    def for_workers(self) -> Request:
        """The final request on the requested devices, from which a worker process builds its own plan."""
        return replace(self.final_request, device=self.request.device)

    @property
    def identity(self) -> Attributes:
        """The attributes that a file and a run must share for resuming; stored in the file."""
        attributes = attributes_of(self.final_request)
        del attributes["made_from"]
        if self.engine is None:
            for name in ("engine", "batch_size", "group"):
                del attributes[name]
        data = [*self.splits, *([self.calibration] if self.calibration else [])]
        contents: Attributes = {
            "problem": self.name,
            "weights_sha256": fingerprint(self.theta),
            "data_sha256": combined_sha256(data),
        }
        return {**contents, **attributes, **self._identity_of_directions()}

    def _identity_of_directions(self) -> Attributes:
        """Return the fingerprints of models and of directions that were read from files."""
        if self.made.models:
            return {"toward": json.dumps(list(self.made.models))}
        if isinstance(self.request.directions, FromFile):
            return {"directions": ",".join(direction.record.sha256 for direction in self.directions)}
        return {}

    @property
    def rules(self) -> dict[str, str]:
        """The rule for each parameter, in words."""
        return dict(self.directions[0].record.rule)

    def context(self, dtype: str | None = None, *, whole: bool = False) -> EvaluationContext:
        """Return the evaluation context, in the plan's dtype or another.

        Args:
            dtype: a key of `evaluate.DTYPES`.
            whole: whether to take all samples although the plan has a subset.
        """
        dtype = dtype or self.dtype
        if dtype == self.usual_dtype and (whole or self.subset is None):
            return self.reference
        return self._context(dtype, None if whole else self.subset)

    @property
    def reference(self) -> EvaluationContext:
        """The context in the model's usual dtype on all samples; built once and cached."""
        if not self._kept:
            self._kept["reference"] = self._context(self.usual_dtype, None)
        return self._kept["reference"]

    def ray(self, number: int) -> Tensors:
        """Return the direction of a ray, counted from 0; it is generated, as memory may not hold all of them."""
        spec = self.request.directions
        assert isinstance(spec, Random)
        own = replace(spec, seed=self.seeds[number], repeat=1)
        (made,) = random_directions(self.theta, self.minimum.filters, self.made.moving, own, count=1)
        return made.tensors

    def drop_reference(self) -> None:
        """Free the memory of the reference context; it is rebuilt on the next access."""
        self._kept.clear()
        self._perturbers.clear()

    def _context(self, dtype: str, subset: int | None) -> EvaluationContext:
        def on_device(split: DataSplit) -> DataSplit:
            return split.mapped(lambda tree: self.problem.cast(tree, evaluate.DTYPES[dtype], self.device))

        return EvaluationContext(
            problem=self.problem,
            perturb=self.perturber(dtype),
            splits=[on_device(split if subset is None else split.subset(subset)) for split in self.splits],
            calibration=None if self.calibration is None else on_device(self.calibration),
        )

    def perturber(self, dtype: str) -> Perturber:
        """Return the perturber for this plan's weights and directions in a dtype, a key of `evaluate.DTYPES`.

        The one used last is kept, so that a run and its check share one set of weights; that of rays is not, because
        each user turns it from ray to ray, and the plan keeps the first direction.
        """
        if dtype in self._perturbers:
            return self._perturbers[dtype]
        self._perturbers.clear()
        names = {name: named.own_name for name, named in named_tensors(self.problem.model).items()}
        directions = [direction.tensors for direction in self.directions]
        if self.seeds:
            directions = [{name: tensor.clone() for name, tensor in each.items()} for each in directions]
            return Perturber(names, self.theta, directions, dtype, device=self.device)
        self._perturbers[dtype] = Perturber(names, self.theta, directions, dtype, device=self.device)
        return self._perturbers[dtype]
