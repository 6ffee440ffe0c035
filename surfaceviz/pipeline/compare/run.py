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
from surfaceviz.errors import StoreError
from surfaceviz.execute import mpi_placement, retain_freed_memory
from surfaceviz.notebook import default_reporter
from surfaceviz.pipeline.compare.cuts import Cutter, common_axes
from surfaceviz.pipeline.compare.judge import judge
from surfaceviz.pipeline.compare.measure import Bench, bench_of, gauge_of, measures_at, minima_of, slice_measures
from surfaceviz.pipeline.compare.networks import FINGERPRINTS, Network, fingerprints_of, network_of
from surfaceviz.pipeline.compare.request import CompareRequest
from surfaceviz.pipeline.compare.stored import OPTIONS, read_verdicts
from surfaceviz.pipeline.outputs import Inputs, claimed
from surfaceviz.pipeline.request_inputs import inputs_of_slice, joined_inputs
from surfaceviz.recording.folder import Record, encoded
from surfaceviz.records import ComparedNetwork, Comparison, NetworkGauge, Slice
from surfaceviz.reporting import QuietReporter, Reporter
from surfaceviz.signals import interruptible, raise_if_interrupted
from surfaceviz.store.comparison import holds_comparison, read_comparison, write_comparison
from surfaceviz.symmetry.gauge import Gauge, gauged_model
from surfaceviz.version import VERSION

_PART = r"\d+-(rays|plane|rays-gauge)\.(h5|png)(\.lock)?|\d+-gauge-\d+\.safetensors"
_DECIDING = ("split", "samples", "directions", "rays", "points", "seed", "tol", "gauge", "worst_case")


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
        if before is not None and self._is_whole(before):
            self.reporter.say(f"{self.request.output} is complete already")
            return read_verdicts(self.request.output)
        with _parts_folder(self.request.output, leads=self.leads) as folder:
            rays = [self._cut_rays(folder, number) for number in range(len(self.networks))]
            axes, why = common_axes(self.networks, rays, self.request)
            self.reporter.say(f"range of the planes: {', '.join(map(str, axes))}, {why}")
            provenance = self._provenance(str(axes[0]), why)
            found: list[ComparedNetwork] = []
            for number, network in enumerate(self.networks):
                raise_if_interrupted()
                self.reporter.say(f"{network.spec.name}: {number + 1} of {len(self.networks)}")
                plane = self._cutter(folder, network).plane(network, number, axes)
                done = _same(before, number, rays[number].provenance)
                found.append(done or self._measured(folder, number, rays[number], plane))
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
        if str(found.provenance.get(OPTIONS)) != _asked(self.request):
            raise StoreError(f"{path} holds a comparison with other options, which is kept; give another name by -o")
        return found

    def _is_whole(self, before: Comparison) -> bool:
        """Return whether the file holds every network, with the weights and data that it has now."""
        return len(before.networks) == len(self.networks) and all(
            _same(before, number, fingerprints_of(network)) for number, network in enumerate(self.networks)
        )

    def _cutter(self, folder: Path, network: Network) -> Cutter:
        quiet = _Warnings(self.reporter, network.spec.name)
        return Cutter(request=self.request, folder=folder, workers=self.workers, reporter=quiet, command=self.command)

    def _cut_rays(self, folder: Path, number: int) -> Slice:
        network = self.networks[number]
        self.reporter.say(f"{network.spec.name}: {self.request.rays} rays")
        return self._cutter(folder, network).rays(network, number)

    def _measured(self, folder: Path, number: int, rays: Slice, plane: Slice) -> ComparedNetwork:
        """Return a network with its measures; other ranks than 0 take part in its slices only."""
        network = self.networks[number]
        split = rays.splits[0]
        say = self.reporter.say if self.leads else (lambda _line: None)
        bench = bench_of(network, self.request, say)
        record = ComparedNetwork(
            name=network.spec.name, group=network.spec.group, problem=rays.title, split=split,
            weights_sha256=str(rays.provenance["weights_sha256"]), data_sha256=str(rays.provenance["data_sha256"]),
            samples=bench.main.split.count, loss=bench.targets.problem.loss_name, plane=plane, rays=rays,
        )  # fmt: skip
        if self.leads:
            draws, notes = measures_at(bench, bench.theta, self.request, say)
            plane, minima, note = minima_of(network, plane, split)
            measures = {**draws, **slice_measures(rays, plane, split), **minima}
            record = replace(record, measures=measures, notes={**notes, **note}, plane=plane)
        return self._with_gauge(folder, number, bench, record) if self.request.gauge else record

    def _with_gauge(self, folder: Path, number: int, bench: Bench, record: ComparedNetwork) -> ComparedNetwork:
        """Return the network with its measures in the gauge, where it can be brought to it."""
        gauge = gauge_of(bench)
        record = replace(record, gauge=_gauge_record(gauge))
        if gauge.theta is None:
            self.reporter.warn(f"{record.name}: {gauge.reason}")
            return record
        weights = self._write_weights(folder, number, bench, gauge)
        rays = self._cutter(folder, self.networks[number]).rays(self.networks[number], number, weights)
        if not self.leads:
            return replace(record, gauge_rays=rays)
        self.reporter.say(f"{record.name}: the same in the gauge")
        draws, _ = measures_at(bench, gauge.theta, self.request, self.reporter.say)
        return replace(record, gauge_rays=rays, in_gauge={**draws, **slice_measures(rays, None, record.split)})

    def _write_weights(self, folder: Path, number: int, bench: Bench, gauge: Gauge) -> Path:
        """Write the weights in the gauge; each rank has a file of its own."""
        assert gauge.theta is not None
        model = gauged_model(bench.targets.problem.model, gauge.theta)
        weights, _ = encoded(Record(step=0, weights=model.state_dict()))
        place = mpi_placement()
        path = folder / f"{number}-gauge-{place.rank if place else 0}.safetensors"
        atomic_write.write_bytes(path, weights)
        return path

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


def _same(before: Comparison | None, number: int, now: Mapping[str, Any]) -> ComparedNetwork | None:
    """Return the stored network of this number, if it is there with these weights and data."""
    if before is None or number >= len(before.networks):
        return None
    found = before.networks[number]
    return found if all(getattr(found, key) == now.get(key) for key in FINGERPRINTS) else None


def _gauge_record(gauge: Gauge) -> NetworkGauge:
    return NetworkGauge(
        balanced=gauge.balanced, normed=gauge.normed, left=gauge.left, temperature=gauge.temperature,
        reason=gauge.reason,
    )  # fmt: skip


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
