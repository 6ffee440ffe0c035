"""The slices of a comparison: rays of every network, the range that they show, and planes over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from surfaceviz.comparison.ray_width import common_reach
from surfaceviz.directions.axes import Axes, Axis
from surfaceviz.directions.specs import Random
from surfaceviz.pipeline.compare.networks import Network
from surfaceviz.pipeline.compare.request import CompareRequest
from surfaceviz.pipeline.slice.planning.coverage import Coverage
from surfaceviz.pipeline.slice.ranks import run_slice
from surfaceviz.pipeline.slice.request import Destination, Request
from surfaceviz.records import Slice
from surfaceviz.reporting import Reporter

RAY_AXIS = Axis(-1.0, 1.0, 41)  # the range of the paper's pictures


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

    def rays(self, network: Network, number: int, gauged: Path | None = None) -> Slice:
        """Return the rays of a network; with ``gauged``, a file, those of its weights in the gauge."""
        random = Random(seed=self.request.seed, repeat=self.request.rays)
        name = f"{number}-rays{'' if gauged is None else '-gauge'}.h5"
        own = network.slice if gauged is None else replace(network.slice, weights=str(gauged))
        return self._cut(replace(own, axes=(RAY_AXIS,), directions=random, coverage=Coverage()), name)

    def plane(self, network: Network, number: int, axes: Axes) -> Slice:
        """Return the plane of a network over common axes; that of the user's file, if it has these axes."""
        if network.given is not None and _has_axes(network.given, axes):
            return network.given
        coverage = Coverage(tolerance=self.request.tol)
        own = replace(network.slice, axes=axes, directions=Random(seed=self.request.seed), coverage=coverage)
        return self._cut(own, f"{number}-plane.h5")

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
