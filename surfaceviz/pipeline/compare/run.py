"""The comparison job: every network is sliced and measured; each result is stored as soon as it is finished."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from surfaceviz import atomic_write, start_folder, store
from surfaceviz.directions.axes import Axes
from surfaceviz.errors import StoreError
from surfaceviz.execute import mpi_placement, retain_freed_memory
from surfaceviz.notebook import default_reporter
from surfaceviz.pipeline.compare.cuts import Cutter, common_axes
from surfaceviz.pipeline.compare.judge import judge
from surfaceviz.pipeline.compare.measure import minima_of, slice_measures
from surfaceviz.pipeline.compare.measuring import Measured, MeasuredFiles, Measurer, measure_all
from surfaceviz.pipeline.compare.networks import (
    FINGERPRINTS,
    Network,
    check_splits,
    data_line,
    fingerprints_of,
    network_of,
)
from surfaceviz.pipeline.compare.request import CompareRequest
from surfaceviz.pipeline.compare.stored import OPTIONS, read_verdicts
from surfaceviz.pipeline.outputs import Inputs, claimed
from surfaceviz.pipeline.request_inputs import inputs_of_slice, joined_inputs
from surfaceviz.records import ComparedNetwork, Comparison, Slice
from surfaceviz.reporting import QuietReporter, Reporter
from surfaceviz.signals import interruptible, raise_if_interrupted
from surfaceviz.store.comparison import holds_comparison, read_comparison, write_comparison
from surfaceviz.version import VERSION

_PART = r"\d+-(rays|plane|rays-gauge|rays-gauge-far|measured)\.(h5|png)(\.lock)?|\d+-(gauge-\d+|measured)\.safetensors"
_DECIDING = (
    "split", "samples", "directions", "rays", "points", "seed", "tol", "gauge", "worst_case", "spectra", "grid"
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareResult:
    """A comparison, and its file; None on other ranks than 0."""

    comparison: Comparison
    path: Path | None


def run_compare(
    request: CompareRequest, *, workers: int | None = None, reporter: Reporter | None = None, command: str = ""
) -> CompareResult:
    """Slice and measure every network, and return the verdicts on their differences.

    Under an MPI launcher every rank makes this call; the slices are shared out, and rank 0 measures the rest. What is
    finished is in the file, and slices that are not in the files of a folder next to it; the same call resumes.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: a problem, weights, data or a file can't be used.
        Interrupted: a signal arrived.
    """
    reporter = reporter or default_reporter()
    place = mpi_placement()
    leads = place is None or place.rank == 0
    retain_freed_memory()
    with interruptible(), start_folder.fixed():
        store.check_name(request.output)
        networks = [network_of(spec, request, reporter.say) for spec in request.networks]
        check_splits(networks)
        with claimed(request.output, inputs=_inputs(networks)) if leads else nullcontext():
            job = _Job(
                request=request, networks=networks, leads=leads, workers=workers,
                reporter=reporter if leads else QuietReporter(), command=command,
            )  # fmt: skip
            comparison = job.run()
    return CompareResult(comparison=comparison, path=request.output if leads else None)


class _Warnings(QuietReporter):
    """Passes warnings and progress of a part on, with its name, and drops its other lines."""

    def __init__(self, reporter: Reporter, name: str) -> None:
        self._reporter, self._name = reporter, name

    def warn(self, line: str) -> None:
        """Pass the warning on, after the name."""
        self._reporter.warn(f"{self._name}: {line}")

    def advance(self, done: int, total: int | None, fresh: int) -> None:
        """Pass the progress on."""
        self._reporter.advance(done, total, fresh)


@dataclass(slots=True, kw_only=True)
class _Job:
    """A comparison in its file.

    Attributes:
        request: the user's options.
        networks: what is compared.
        leads: whether this process measures and writes.
        workers: local processes; None to choose.
        reporter: receives progress and warnings.
        command: for the provenance.
    """

    request: CompareRequest
    networks: Sequence[Network]
    leads: bool
    workers: int | None
    reporter: Reporter
    command: str

    def run(self) -> Comparison:
        """Return the comparison; every finished network is written at once."""
        output = store.OutputFile(self.request.output, keep=not self.request.overwrite) if self.leads else None
        before = self._before()
        prints = [fingerprints_of(network) for network in self.networks]
        if before is not None and self._is_whole(before, prints):
            self.reporter.say(f"{self.request.output} is complete already")
            return read_verdicts(self.request.output)
        if line := data_line(self.networks, prints):
            self.reporter.warn(line)
        with _parts_folder(self.request.output, leads=self.leads) as folder:
            rays = [self._cut_rays(folder, number) for number in range(len(self.networks))]
            axes, why = common_axes(self.networks, rays, self.request)
            self.reporter.say(f"range of the planes: {', '.join(map(str, axes))}, {why}")
            planes = self._planes(folder, axes)
            known = [_same(before, network, now) for network, now in zip(self.networks, prints, strict=True)]
            measured = self._measured(folder, prints, known)
            provenance = self._provenance(str(axes[0]), why)
            found: list[ComparedNetwork] = []
            for number, done in enumerate(known):
                raise_if_interrupted()
                found.append(
                    done or self._whole(folder, number, measured[number], rays=rays[number], plane=planes[number])
                )
                if output is not None:
                    write_comparison(output, Comparison(networks=tuple(found), provenance=provenance))
        pairs = judge(found, gauge=self.request.gauge) if self.leads else ()
        return Comparison(networks=tuple(found), pairs=pairs, provenance=provenance)

    def _before(self) -> Comparison | None:
        """Return the comparison in the file, if it has the same options.

        Raises:
            StoreError: the file holds something else.
        """
        path = self.request.output
        if self.request.overwrite or not path.exists():
            return None
        if not holds_comparison(path):
            raise StoreError(f"{path} holds no comparison, and is kept; give another name by -o, or --overwrite")
        found = read_comparison(path)
        if not _agree(json.loads(str(found.provenance.get(OPTIONS, "{}"))), json.loads(_asked(self.request))):
            raise StoreError(f"{path} holds a comparison with other options, which is kept; give another name by -o")
        return found

    def _is_whole(self, before: Comparison, prints: Sequence[Mapping[str, str]]) -> bool:
        """Return whether the file holds every network, with the weights and data that it has now."""
        return len(before.networks) == len(self.networks) and all(
            _same(before, network, now) for network, now in zip(self.networks, prints, strict=True)
        )

    def _cutter(self, folder: Path, network: Network) -> Cutter:
        quiet = _Warnings(self.reporter, network.spec.name)
        return Cutter(request=self.request, folder=folder, workers=self.workers, reporter=quiet, command=self.command)

    def _cut_rays(self, folder: Path, number: int) -> Slice:
        network = self.networks[number]
        self.reporter.say(f"{network.spec.name}: {self.request.rays} rays")
        return self._cutter(folder, network).rays(network, number)

    def _planes(self, folder: Path, axes: Axes) -> list[Slice]:
        """Return the planes of all networks over common axes, with the curvature that is asked for."""
        found = []
        if self.leads and self.request.spectra:
            self._cutter(folder, self.networks[0]).copy_given(self.networks, axes)
        for number, network in enumerate(self.networks):
            raise_if_interrupted()
            words = ", its spectrum" * self.request.spectra + " and a map of its Hessian" * bool(self.request.grid)
            self.reporter.say(f"{network.spec.name}: plane{words}")
            cutter = self._cutter(folder, network)
            found.append(cutter.with_curvature(network, number, cutter.plane(network, number, axes)))
        return found

    def _measured(
        self, folder: Path, prints: Sequence[Mapping[str, str]], known: Sequence[ComparedNetwork | None]
    ) -> Mapping[int, Measured]:
        """Return the measures of the networks that are not known; what is in files of the folder is not repeated."""
        files = MeasuredFiles(folder)
        return measure_all(
            Measurer(self.networks, prints, self.request),
            lambda: {n: files.read(n, prints[n]) for n, done in enumerate(known) if done is None},
            files.write,
            workers=self.workers, reporter=self.reporter,
        )  # fmt: skip

    def _whole(self, folder: Path, number: int, measured: Measured, *, rays: Slice, plane: Slice) -> ComparedNetwork:
        """Return a network with its measures, those of slices too; other ranks than 0 take part in its slices only."""
        network, split = self.networks[number], rays.splits[0]
        record = replace(measured.record, problem=rays.title, plane=plane, rays=rays)
        record = self._with_gauge_rays(folder, number, replace(measured, record=record))
        if not self.leads:
            return record
        plane, minima, note = minima_of(network, plane, split)
        measures = {**record.measures, **slice_measures(rays, plane, split), **minima}
        return replace(record, measures=measures, notes={**record.notes, **note}, plane=plane)

    def _with_gauge_rays(self, folder: Path, number: int, measured: Measured) -> ComparedNetwork:
        """Return the network with its rays in the gauge, where it was brought to it."""
        record = measured.record
        if record.gauge is not None and record.gauge.reason and measured.weights is None:
            self.reporter.warn(f"{record.name}: {record.gauge.reason}")
        if measured.weights is None or record.rays is None:
            return record
        self.reporter.say(f"{record.name}: {self.request.rays} rays in the gauge")
        place = mpi_placement()  # each rank has a file of its own, as they may have no common folder
        weights = folder / f"{number}-gauge-{place.rank if place else 0}.safetensors"
        atomic_write.write_bytes(weights, measured.weights)
        cutter = self._cutter(folder, self.networks[number])
        rays = cutter.gauge_rays(self.networks[number], number, weights, record.rays)
        in_gauge = {**record.in_gauge, **slice_measures(rays, None, record.split)}
        return replace(record, gauge_rays=rays, in_gauge=in_gauge)

    def _provenance(self, axis: str, why: str) -> dict[str, str | int | float]:
        return {
            "surfaceviz": VERSION, "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "command": self.command, OPTIONS: _asked(self.request), "axis": axis, "axis_reason": why,
        }  # fmt: skip


def _asked(request: CompareRequest) -> str:
    """Return the options that determine the results, as JSON."""
    options = {name: getattr(request, name) for name in _DECIDING}
    axes = None if request.axes is None else [str(axis) for axis in request.axes]
    return json.dumps({**options, "axes": axes, "networks": [[spec.name, spec.group] for spec in request.networks]})


def _agree(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Return whether a file was made with these options; older files lack some, and are taken as they are."""
    return bool(stored) and all(asked.get(key) == value for key, value in stored.items())


def _same(before: Comparison | None, network: Network, now: Mapping[str, Any]) -> ComparedNetwork | None:
    """Return the stored network of this name, if it is there with these weights and data."""
    stored = () if before is None else before.networks
    named = [each for each in stored if (each.name, each.group) == (network.spec.name, network.spec.group)]
    return next((each for each in named if all(getattr(each, key) == now.get(key) for key in FINGERPRINTS)), None)


def _inputs(networks: Sequence[Network]) -> Inputs:
    files = tuple(network.spec.file for network in networks if network.spec.file is not None)
    return joined_inputs([Inputs(files=files), *(inputs_of_slice(network.slice) for network in networks)])


@contextmanager
def _parts_folder(output: Path, *, leads: bool) -> Iterator[Path]:
    """Make the folder of unfinished slices next to the output, and remove it if the block ends well."""
    folder = output.with_name(f"{output.stem}-parts")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} can't be made: {error.strerror}") from error
    yield folder
    if leads:
        for path in folder.iterdir():
            if re.fullmatch(_PART, path.name):
                path.unlink()
        with suppress(OSError):  # it holds files of others
            folder.rmdir()
