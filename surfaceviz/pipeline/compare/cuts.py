"""The slices of a comparison: rays of every network, the range that they show, and planes over it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from surfaceviz import atomic_write, store
from surfaceviz.comparison import effort
from surfaceviz.comparison.ray_width import common_reach, widest
from surfaceviz.directions.axes import Axes, Axis
from surfaceviz.directions.specs import Random
from surfaceviz.pipeline.compare.measure import CURVATURE_SAMPLES
from surfaceviz.pipeline.compare.networks import Network
from surfaceviz.pipeline.compare.request import CompareRequest
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.run import run_hessian
from surfaceviz.pipeline.slice.planning.coverage import Coverage
from surfaceviz.pipeline.slice.ranks import run_slice
from surfaceviz.pipeline.slice.request import Destination, Request
from surfaceviz.records import Slice
from surfaceviz.reporting import Reporter

RAY_AXIS = Axis(-1.0, 1.0, 41)  # the range of the paper's pictures
_FURTHER = 1.5  # of the widest ray: how far the rays in the gauge reach at first; ours
_PROBES, _NODES = 3, 40  # of the density, for a picture; ours
_STEPS = RAY_AXIS.count // 2  # of a ray, on either side


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutter:
    """Cuts slices, each into a file of its own, from which the same call resumes.

    Attributes:
        request: the comparison's.
        folder: of the files.
        workers: local processes; None to choose.
        reporter: receives progress and warnings.
        command: for the files' provenance.
    """

    request: CompareRequest
    folder: Path
    workers: int | None
    reporter: Reporter
    command: str

    def rays(self, network: Network, number: int) -> Slice:
        """Return the rays of a network, of the compared split alone."""
        return self._cut(self._ray_request(network, RAY_AXIS), f"{number}-rays.h5")

    def gauge_rays(self, network: Network, number: int, weights: Path, rays: Slice) -> Slice:
        """Return the rays of a network with its weights in the gauge, at points of the grid of its own rays.

        They reach half as far again as the widest of these, which is all that a width takes; as far as these if that
        is too short.
        """
        name = f"{rays.splits[0]}_loss"
        reach = widest(rays.axes[0], rays.values[name], rays.centre[name])
        steps = _STEPS if math.isinf(reach) else min(_STEPS, math.ceil(_FURTHER * reach * _STEPS))
        end = steps / _STEPS
        short = Axis(-end, end, 2 * steps + 1)
        found = self._gauged(network, weights, short, f"{number}-rays-gauge.h5")
        if steps == _STEPS or not math.isinf(widest(found.axes[0], found.values[name], found.centre[name])):
            return found
        return self._gauged(network, weights, RAY_AXIS, f"{number}-rays-gauge-far.h5")

    def _gauged(self, network: Network, weights: Path, axis: Axis, name: str) -> Slice:
        return self._cut(replace(self._ray_request(network, axis), weights=str(weights)), name)

    def _ray_request(self, network: Network, axis: Axis) -> Request:
        random = Random(seed=self.request.seed, repeat=self.request.rays)
        return replace(
            network.slice, axes=(axis,), directions=random, coverage=Coverage(), splits=(network.split,)
        )  # fmt: skip

    def plane(self, network: Network, number: int, axes: Axes) -> Slice:
        """Return the plane of a network over common axes; that of the user's file, if it has these axes."""
        if network.given is not None and _has_axes(network.given, axes):
            return network.given
        coverage = Coverage(tolerance=self.request.tol)
        own = replace(network.slice, axes=axes, directions=Random(seed=self.request.seed), coverage=coverage)
        return self._cut(own, f"{number}-plane.h5")

    def with_curvature(self, network: Network, number: int, plane: Slice) -> Slice:
        """Return a plane with the spectrum at its centre and its Hessian map, as far as they are asked for.

        They are computed in the plane's file of the folder, or in a copy of the user's, so that a stopped run resumes.
        """
        if not self.request.spectra:
            return plane
        path = self.folder / f"{number}-plane.h5"
        own: dict[str, Any] = {
            "problem": network.slice.problem, "data": network.slice.data, "split": network.split,
            "device": self.request.device, "seed": self.request.seed, "trust": True,  # confirmed for the slice already
        }  # fmt: skip
        for options in self._curvature_options(network, plane):
            run_hessian(
                HessianRequest.of(path, **own, **options),
                workers=self.workers, reporter=self.reporter, command=self.command,
            )  # fmt: skip
        return store.read(path)

    def _curvature_options(self, network: Network, plane: Slice) -> Iterator[dict[str, Any]]:
        """Yield the options of the spectrum, and of the map; what the user's file holds is not computed again."""
        limit = network.slice.limit
        few, fewer = (most if limit is None else min(most, limit) for most in (CURVATURE_SAMPLES, effort.MAP_SAMPLES))
        if not any(not any(s.place) and s.density is not None for s in plane.spectra):
            yield {"top": 2, "bottom": 2, "density": True, "probes": _PROBES, "steps": _NODES, "samples": few}
        if self.request.grid and plane.hessian_map is None:
            yield {"grid": [self.request.grid] * 2, "samples": fewer}

    def copy_given(self, networks: Sequence[Network], axes: Axes) -> None:
        """Copy the files of users whose planes have the common axes, which stay as they are."""
        for number, network in enumerate(networks):
            path = self.folder / f"{number}-plane.h5"
            if network.given is not None and _has_axes(network.given, axes) and not path.exists():
                assert network.spec.file is not None
                atomic_write.write_bytes(path, network.spec.file.read_bytes())

    def _cut(self, request: Request, name: str) -> Slice:
        to = Destination(path=self.folder / name)
        made = replace(request, destination=to)
        return run_slice(made, workers=self.workers, reporter=self.reporter, command=self.command).surface


def common_axes(networks: Sequence[Network], rays: Sequence[Slice], request: CompareRequest) -> tuple[Axes, str]:
    """Return the axes of all planes, and where they come from, in words.

    They are those that the user gave, else those of the files if all are files with equal axes, else the longest
    distance at which the median loss along the rays of a network reaches its level.
    """
    if request.axes is not None:
        return request.axes, "as given"
    files = [network.given for network in networks if network.given is not None]
    if files and files[0].ndim == 2 and all(_has_axes(each, _axes_of(files[0])) for each in files):  # noqa: PLR2004
        return _axes_of(files[0]), "as in the files"
    reached = [_reach(each) for each in rays]
    reach = max(reached)
    widest = networks[reached.index(reach)].spec.name
    axis = Axis(-reach, reach, request.points)
    return (axis, axis), f"within which the median loss along the rays of {widest} reaches that of a guess"


def _reach(rays: Slice) -> float:
    name = f"{rays.splits[0]}_loss"
    return common_reach(rays.axes[0], rays.values[name], rays.levels.get(name, float("inf")))


def _axes_of(surface: Slice) -> Axes:
    return tuple(Axis(float(axis[0]), float(axis[-1]), len(axis)) for axis in surface.axes)


def _has_axes(surface: Slice, axes: Axes) -> bool:
    return surface.complete and not surface.seeds and _axes_of(surface) == tuple(axes)
