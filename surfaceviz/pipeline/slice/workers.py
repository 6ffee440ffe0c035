"""Who works on a plan in this machine, and in what pieces."""

from __future__ import annotations

import pickle

from surfaceviz.execute import WorkerSpec, can_fork, cores
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import Reporter

# Ours.
CHUNK_SECONDS = 0.25  # of work between two messages; what an interrupt loses at the most
_CHUNKS_EACH = 8  # so many chunks a worker at least in a round, that all end together
_WORTH_WORKERS = 4.0  # seconds of work that starting processes pays for


def check_devices(plan: Plan, asked: int | None) -> None:
    """Refuse a number of workers that is not the number of devices."""
    if asked is not None and len(plan.request.devices) not in (1, asked):
        raise ValueError(f"workers: {len(plan.request.devices)} devices take one process each, got {asked}")


def local_workers(plan: Plan, asked: int | None, seconds: float, reporter: Reporter) -> WorkerSpec:
    """Return the local processes for a plan that takes one of them ``seconds``."""
    devices, on_cpu = len(plan.request.devices), plan.device.type == "cpu"
    if devices == 1 and not on_cpu:
        if asked is not None and asked > 1:
            reporter.say(f"one process, on {plan.device}: name several devices for one process each")
        return WorkerSpec()
    count = worker_count(asked if devices == 1 else devices, plan.points, seconds)
    if count == 1:
        return WorkerSpec()
    if on_cpu and can_fork():
        return WorkerSpec(count, "fork")
    if isinstance(plan.request.problem, str) or _can_be_sent(plan.request.problem):
        return WorkerSpec(count, "spawn")
    reporter.warn(
        "one process only: the problem's live objects can't be sent to others (pickled); give its name, FILE.py:FACTORY"
    )
    return WorkerSpec()


def _can_be_sent(problem: Problem) -> bool:
    try:
        pickle.dumps(problem)
    except Exception:  # noqa: BLE001  whatever keeps it here
        return False
    return True


def worker_count(asked: int | None, points: int, seconds: float) -> int:
    """Return the number of processes for ``points`` that take one of them ``seconds`` in all."""
    return min(asked or (cores() if seconds > _WORTH_WORKERS else 1), points)


def chunk_size(seconds: float, points: int, workers: int) -> int:
    """Return the points to a chunk, of ``points`` that take ``seconds`` each."""
    return max(1, min(int(CHUNK_SECONDS / max(seconds, 1e-6)), points // (_CHUNKS_EACH * workers)))
