"""The measures of all networks, shared out over processes or ranks; each is kept in a file as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from surfaceviz import atomic_write, store
from surfaceviz.execute import MpiJob, MpiWorker, WorkerSpec, can_fork, cores, map_unordered
from surfaceviz.pipeline.compare.measure import Bench, Draws, bench_of, gauge_of, measures_at
from surfaceviz.pipeline.compare.networks import FINGERPRINTS, Network
from surfaceviz.pipeline.compare.request import CompareRequest
from surfaceviz.pipeline.mpi import Ranks, follow_orders, run_collective
from surfaceviz.pipeline.resolve import device_of
from surfaceviz.recording.folder import Record, encoded
from surfaceviz.records import ComparedNetwork, Comparison, NetworkGauge
from surfaceviz.reporting import Reporter
from surfaceviz.signals import raise_if_interrupted
from surfaceviz.store.comparison import holds_comparison, read_comparison, write_comparison
from surfaceviz.symmetry.gauge import Gauge, gauged_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A network's measures that need no slices.

    Attributes:
        record: with these measures, and without slices.
        weights: the weights in the gauge, as a safetensors file; None if there are none.
    """

    record: ComparedNetwork
    weights: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AllMeasured:
    """The measures of all networks, by their numbers."""

    found: Mapping[int, Measured]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Measurer:
    """Measures the network with a number.

    Attributes:
        networks: of the comparison.
        prints: fingerprints of their weights and data.
        request: the comparison's.
    """

    networks: Sequence[Network]
    prints: Sequence[Mapping[str, str]]
    request: CompareRequest

    def __call__(self, number: int) -> Measured:
        """Return the measures of a network, as it is and in the gauge."""
        network, prints = self.networks[number], self.prints[number]
        bench = bench_of(network, self.request)
        draws, notes = measures_at(bench, bench.theta, self.request)
        record = ComparedNetwork(
            name=network.spec.name, group=network.spec.group, problem="", split=bench.main.split.name,
            weights_sha256=prints["weights_sha256"], data_sha256=prints["data_sha256"],
            samples=bench.main.split.count, loss=bench.targets.problem.loss_name,
            measures=draws, notes=notes,
        )  # fmt: skip
        return self._in_gauge(bench, record) if self.request.gauge else Measured(record=record)

    def _in_gauge(self, bench: Bench, record: ComparedNetwork) -> Measured:
        gauge = gauge_of(bench)
        record = replace(record, gauge=_gauge_record(gauge))
        if gauge.theta is None:
            return Measured(record=record)
        in_gauge: Draws = measures_at(bench, gauge.theta, self.request)[0]
        state = gauged_model(bench.targets.problem.model, gauge.theta).state_dict()
        return Measured(record=replace(record, in_gauge=in_gauge), weights=encoded(Record(step=0, weights=state))[0])


def _gauge_record(gauge: Gauge) -> NetworkGauge:
    return NetworkGauge(
        balanced=gauge.balanced, normed=gauge.normed, left=gauge.left, temperature=gauge.temperature,
        reason=gauge.reason,
    )  # fmt: skip


class MeasuredFiles:
    """The files of measured networks in a folder, from which a stopped run resumes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, number: int, fingerprints: Mapping[str, str]) -> Measured | None:
        """Return a network's measures, if they are there, for these weights and data."""
        path, weights = self._paths(number)
        if not holds_comparison(path):
            return None
        (record,) = read_comparison(path).networks
        if any(getattr(record, key) != fingerprints[key] for key in FINGERPRINTS):
            return None
        if not record.in_gauge:
            return Measured(record=record)
        return Measured(record=record, weights=weights.read_bytes()) if weights.exists() else None

    def write(self, number: int, measured: Measured) -> None:
        """Keep a network's measures."""
        path, weights = self._paths(number)
        if measured.weights is not None:
            atomic_write.write_bytes(weights, measured.weights)
        write_comparison(store.OutputFile(path), Comparison(networks=(measured.record,)))

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self._folder / f"{number}-measured.h5", self._folder / f"{number}-measured.safetensors"


@dataclass(frozen=True, slots=True)
class StartMeasuring:
    """Message to ranks: measure the networks whose numbers follow."""


def measure_all(
    measurer: Measurer, missing: Callable[[], Mapping[int, Measured | None]], keep: Callable[[int, Measured], None], *,
    workers: int | None, reporter: Reporter,
) -> Mapping[int, Measured]:  # fmt: skip
    """Return the measures of networks by their numbers; a collective call under an MPI launcher.

    Args:
        measurer: measures one network.
        missing: number of each network that is wanted -> its measures if they are known; called on rank 0.
        keep: called on rank 0 with each network that was measured.
        workers: local processes; None to choose.
        reporter: receives lines and progress.

    Raises:
        SurfacevizError: a problem, weights or data can't be used.
        Interrupted: a signal arrived.
    """

    def lead(ranks: Ranks) -> AllMeasured:
        found = missing()
        known = {number: each for number, each in found.items() if each is not None}
        wanted = [number for number in found if number not in known]
        spec = ranks.spec or _local(measurer.request, len(wanted), workers)
        ranks.tell(StartMeasuring())
        if wanted:
            where = f" in {spec.count} processes" if spec.count > 1 else ""
            reporter.say(f"measuring {len(wanted)} networks{where}: {measurer.request.measures_in_words}")
        with map_unordered(lambda _worker: measurer, spec) as run:
            for done, each in enumerate(run(wanted), start=1):
                raise_if_interrupted()
                keep(each.chunk, each.result)
                known[each.chunk] = each.result
                reporter.advance(done, len(wanted), done)
        return AllMeasured(found=known)

    def follow(worker: MpiWorker, _job: MpiJob) -> None:
        follow_orders(worker, {StartMeasuring: lambda _order: worker.process_chunks(measurer)})

    return run_collective(lead, follow, workers=workers, reporter=reporter).found


def _local(request: CompareRequest, count: int, workers: int | None) -> WorkerSpec:
    """Return the local processes for networks to measure; forks share live problems, and only CPUs can be forked."""
    processes = min(workers or cores(), count)
    on_cpu = device_of(request.device, 0).type == "cpu"
    return WorkerSpec(processes, "fork") if processes > 1 and on_cpu and can_fork() else WorkerSpec()
