"""Baseline: the built-in map."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from surfaceviz.errors import ProblemError, WorkerError
from surfaceviz.execute import TaskResult, WorkerSpec, map_unordered

Function = Callable[[int], int]
EVERYWHERE = [WorkerSpec(1), WorkerSpec(2, "fork"), WorkerSpec(3, "fork"), WorkerSpec(2, "spawn")]


def _all(make: Callable[[int], Function], chunks: Sequence[int], workers: WorkerSpec) -> list[TaskResult[int, int]]:
    with map_unordered(make, workers) as run:
        return list(run(chunks))


def _square(x: int) -> int:
    return x * x


def _make(_number: int) -> Function:
    return _square


@pytest.mark.parametrize("workers", EVERYWHERE, ids=str)
def test_the_results_are_those_of_map(workers: WorkerSpec) -> None:
    chunks = list(range(23))
    done = _all(_make, chunks, workers)
    assert sorted((d.chunk, d.result) for d in done) == [(x, x * x) for x in chunks]
    assert {d.worker for d in done} <= set(range(workers.count))


@pytest.mark.parametrize("workers", EVERYWHERE, ids=str)
def test_no_chunks_give_no_results(workers: WorkerSpec) -> None:
    assert _all(_make, [], workers) == []


def _failing(error: Exception, x: int) -> int:
    if x == 3:
        raise error
    return x


def _make_failing(error: Exception, _number: int) -> Function:
    return partial(_failing, error)


def test_errors_arrive_as_surfaceviz_errors_with_the_workers_traceback() -> None:
    with pytest.raises(ProblemError, match="bad point") as caught:
        _all(partial(_make_failing, ProblemError("bad point")), range(5), WorkerSpec(2, "fork"))
    assert "in _failing" in "".join(caught.value.__notes__)
    with pytest.raises(WorkerError, match="ZeroDivisionError: by three"):
        _all(partial(_make_failing, ZeroDivisionError("by three")), range(5), WorkerSpec(2, "fork"))


def _make_broken(_number: int) -> Function:
    raise ProblemError("can't be built")


def test_a_function_that_can_not_be_built_is_an_error() -> None:
    with pytest.raises(ProblemError, match="can't be built"):
        _all(_make_broken, range(5), WorkerSpec(2, "fork"))


def _dying(folder: Path, times: int, x: int) -> int:
    if x == 3 and len(list(folder.glob("died*"))) < times:
        (folder / f"died-{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def _make_dying(folder: Path, times: int, _number: int) -> Function:
    return partial(_dying, folder, times)


def test_a_worker_that_dies_once_is_replaced(tmp_path: Path) -> None:
    done = _all(partial(_make_dying, tmp_path, 1), range(9), WorkerSpec(2, "fork"))
    assert sorted(d.result for d in done) == list(range(9))
    assert len(list(tmp_path.glob("died*"))) == 1


def test_a_worker_that_dies_twice_on_a_chunk_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"worker \d was killed by SIGKILL \(out of memory\?\), twice on the same"):
        _all(partial(_make_dying, tmp_path, 9), range(9), WorkerSpec(2, "fork"))


def _sleeping(folder: Path, _x: int) -> int:
    (folder / str(os.getpid())).touch()
    time.sleep(60)
    return 0


def _make_sleeping(folder: Path, _number: int) -> Function:
    return partial(_sleeping, folder)


def _gone(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = os.fork()
    if parent == 0:
        _all(partial(_make_sleeping, tmp_path), range(4), WorkerSpec(2, "fork"))
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.01)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    deadline = time.monotonic() + 30
    while not all(map(_gone, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert all(map(_gone, pids))
