"""Local processes for a plan, and the size of their chunks."""

from __future__ import annotations

import pickle

from surfaceviz.execute import WorkerSpec, can_fork, cores
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import Reporter

# Ours.
CHUNK_SECONDS = 0.25  # of work between two messages; an interrupt loses at most this
_CHUNKS_EACH = 8  # smallest number of chunks for each worker in a round, so that all workers end at the same time
_WORTH_WORKERS = 4.0  # seconds of work from which starting processes pays off


def check_devices(plan: Plan, requested: int | None) -> None:
    """Check that the number of workers is the number of devices."""
    if requested is not None and len(plan.request.devices) not in (1, requested):
        raise ValueError(f"workers: {len(plan.request.devices)} devices take one process each, got {requested}")


def local_workers(plan: Plan, requested: int | None, seconds: float, reporter: Reporter) -> WorkerSpec:
    """Return the local processes for a plan that takes one process ``seconds``."""
    devices, on_cpu = len(plan.request.devices), plan.device.type == "cpu"
    if devices == 1 and not on_cpu:
        if requested is not None and requested > 1:
            reporter.say(f"one process, on {plan.device}; name several devices for one process each")
        return WorkerSpec()
    count = worker_count(requested if devices == 1 else devices, plan.points, seconds)
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
    except Exception:  # noqa: BLE001  an object may raise anything when it is pickled
        return False
    return True


def worker_count(requested: int | None, points: int, seconds: float) -> int:
    """Return the number of processes for ``points`` that take one process ``seconds`` in total."""
    return min(requested or (cores() if seconds > _WORTH_WORKERS else 1), points)


def chunk_size(seconds: float, points: int, workers: int) -> int:
    """Return the number of points in a chunk, if each of ``points`` takes ``seconds``."""
    return max(1, min(int(CHUNK_SECONDS / max(seconds, 1e-6)), points // (_CHUNKS_EACH * workers)))
