"""How well the ranks of an MPI job share out points, and what a dispatch costs.

    python scripts/bench_scaling.py [--rounds 3] [--json FILE]

1. ``surfaceviz slice resnet20-digits``, 625 points, alone and on 2 ranks, of one thread each, in turns: the
   efficiency T1 / (2 T2) of the points, and of the whole command. All values must be equal bits.
2. Chunks that only sleep, 50 ms each or between 10 and 200 ms, on 4, 16 and 32 ranks (more than there are
   cores), rank 0 working as well; beside it `mpi4py.futures` with rank 0 working too. The efficiency is
   the sleep slept over (ranks x seconds).
3. Chunks that do nothing, none of them done by rank 0: the cost of a dispatch is the slope of the processor time
   of rank 0 over their number, and the efficiency that it implies at 1,000 ranks and 1 s a point is a projection, not
   a measurement. (How long the way there and back takes does not count where ranks hold a chunk in advance.)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surfaceviz import store
from surfaceviz.execute import WorkerSpec, act_as_mpi_root, act_as_mpi_worker, join_mpi_job, map_unordered
from surfaceviz.execute.chunk_scheduler import ChunkScheduler

MPIRUN = [str(Path(sys.executable).with_name("mpirun")), "--oversubscribe", "--bind-to", "none"]
ROOT_TOO = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
TARGETS = {"points": 0.9, "sleeps of 50 ms": 0.93, "sleeps of 10 to 200 ms": 0.9}
DISPATCHES = (500, 1000, 2000, 4000)
EACH = 60  # sleeps a rank


def sleeps(kind: str, count: int) -> list[float]:
    """Return the seconds of each chunk."""
    if kind == "none":
        return [0.0] * count
    if kind == "even":
        return [0.05] * count
    return list(np.random.Generator(np.random.Philox(key=7)).uniform(0.01, 0.2, count))


def child(way: str, kind: str, count: int) -> None:
    """Sleep through chunks on all ranks; rank 0 prints the seconds from the first to the last, once all are there."""
    if way == "futures":
        by_futures(sleeps(kind, count))
    else:
        by_mpi_job(sleeps(kind, count), works=kind != "none")


class HandsOut(ChunkScheduler):
    """A rank 0 that takes no chunk for itself."""

    def may_take(self, rank: int) -> bool:
        """Return whether there is a chunk for another rank."""
        return rank > 0 and bool(self._unassigned)


def by_mpi_job(chunks: list[float], *, works: bool) -> None:
    """Share chunks out by `map_unordered`; unless it ``works`` too, rank 0 only hands out."""
    job = join_mpi_job(print)
    assert job is not None
    if job.rank:
        with act_as_mpi_worker(job) as worker:
            worker.report(None)
            worker.receive()
            worker.process_chunks(time.sleep)
            worker.receive()
        return
    with act_as_mpi_root(job, lambda _action: None, print) as root:
        root.gather_reports()
        if not works:
            root._scheduler = HandsOut(job.size)  # noqa: SLF001
        begun, busy = time.perf_counter(), time.process_time()
        root.broadcast(None)
        counts = [0] * job.size
        with map_unordered(lambda _number: time.sleep, WorkerSpec(job.size, "mpi", root)) as run:
            for done in run(chunks):
                counts[done.worker] += 1
        seconds, busy = time.perf_counter() - begun, time.process_time() - busy
        root.broadcast(None)
    print(
        json.dumps({"seconds": seconds, "busy_seconds": busy, "least": min(counts), "of_rank_0": counts[0]}), flush=True
    )


def by_futures(chunks: list[float]) -> None:
    """Share chunks out by `mpi4py.futures`, rank 0 taking from the same list."""
    from mpi4py import MPI  # noqa: PLC0415  the launcher is there now
    from mpi4py.futures import MPICommExecutor  # noqa: PLC0415

    pool: Any = MPICommExecutor(MPI.COMM_WORLD, root=0)
    with pool as executor:
        if executor is None:
            return
        list(executor.map(time.sleep, [0.0] * MPI.COMM_WORLD.size))  # all are there
        begun = time.perf_counter()
        futures = [executor.submit(time.sleep, seconds) for seconds in chunks]
        for future, seconds in reversed(list(zip(futures, chunks, strict=True))):
            if future.cancel():
                time.sleep(seconds)
        for future in futures:
            if not future.cancelled():
                future.result()
        print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)


def job(ranks: int, way: str, kind: str, count: int) -> dict[str, Any]:
    """Return what rank 0 of a job measured."""
    arguments = [sys.executable, __file__, "--child", way, kind, str(count)]
    done = subprocess.run(
        [*MPIRUN, "-n", str(ranks), *arguments], env=os.environ | ROOT_TOO, check=True, capture_output=True, text=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def efficiency(ranks: int, way: str, kind: str) -> dict[str, Any]:
    """Return the efficiency of sleeping on some ranks."""
    slept = sleeps(kind, EACH * ranks)
    answer = job(ranks, way, kind, len(slept))
    return {"ranks": ranks, "efficiency": sum(slept) / (ranks * answer["seconds"]), **answer}


def dispatch() -> dict[str, float]:
    """Return the cost of a dispatch in seconds, and the efficiency that it implies for many ranks."""
    answers = [[job(16, "mpi_job", "none", count) for _ in range(3)] for count in DISPATCHES]
    assert all(answer["of_rank_0"] == 0 for several in answers for answer in several)
    busy = [min(answer["busy_seconds"] for answer in several) for several in answers]
    cost = float(np.polyfit(DISPATCHES, busy, 1)[0])
    ranks, point = 1000, 1.0
    share = cost * (ranks - 1) / point  # of rank 0's time
    projected = (ranks - share) / ranks if share <= 1 else 1 / share
    return {"busy_seconds": cost, "projected_efficiency_of_1000_ranks_at_1_s": projected}


def timed(folder: Path, launcher: Sequence[str], points: int, name: str) -> tuple[float, float, Path]:
    """Return the seconds of a command and of its points, and its file."""
    output = folder / f"{name}.h5"
    axis = f"--axis=-1:1:{points}"
    command = [*launcher, sys.executable, "-m", "surfaceviz", "slice", axis, axis, "--engine=folded", "--batch=480"]
    begun = time.perf_counter()
    subprocess.run(
        [*command, "--workers=1", "--quiet", "--no-plot", "--overwrite", "-o", str(output)],
        env=os.environ | ROOT_TOO, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - begun, float(store.read(output).provenance["seconds"]), output


def shared_points(rounds: int, points: int) -> dict[str, Any]:
    """Return the efficiency of two ranks on a network."""
    measured = []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(rounds):
            one = timed(Path(name), [], points, "one")
            two = timed(Path(name), [*MPIRUN, "-n", "2"], points, "two")
            a, b = store.read(one[2]), store.read(two[2])
            equal = all(np.array_equal(array, b.values[metric]) for metric, array in a.values.items())
            measured.append((one[1] / two[1] / 2, one[0] / two[0] / 2, one[1], two[1], equal))
            print(f"  {measured[-1]}", flush=True)
    middle: Callable[[int], float] = lambda k: statistics.median(m[k] for m in measured)  # noqa: E731
    return {
        "points": points**2, "efficiency": middle(0), "efficiency_of_the_command": middle(1), "seconds_alone":
        middle(2), "seconds_on_2_ranks": middle(3), "equal_bits": all(m[4] for m in measured),
    }  # fmt: skip


def main() -> int:
    """Print the figures, write them as JSON if asked, and return 0 where all targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, default=25, help="along each axis")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child[0], asked.child[1], int(asked.child[2]))
        return 0
    figures: dict[str, Any] = {}
    for title, kind, sizes in (
        ("sleeps of 50 ms", "even", (4, 16, 32)),
        ("sleeps of 10 to 200 ms", "spread", (16,)),
    ):
        for way, name in (("mpi_job", title), ("futures", f"{title}, mpi4py.futures")):
            figures[name] = [efficiency(ranks, way, kind) for ranks in sizes]
            print(name, json.dumps(figures[name]), flush=True)
    figures["dispatch"] = dispatch()
    print("dispatch", json.dumps(figures["dispatch"]), flush=True)
    figures["points"] = shared_points(asked.rounds, asked.points)
    print("points", json.dumps(figures["points"]), flush=True)
    from contenders import machine  # noqa: PLC0415  it loads torch

    figures["machine"] = machine()
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    least = {name: min(f["efficiency"] for f in figures[name]) for name in list(TARGETS)[1:]}
    least["points"] = figures["points"]["efficiency"]
    return 0 if all(least[name] >= target for name, target in TARGETS.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
