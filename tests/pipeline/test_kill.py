"""Baseline: an undisturbed run; every disturbed one must leave a whole file and end with the same bits."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from edited import edited
from torch import nn
from torch.nn import functional

from surfaceviz import store
from surfaceviz.errors import ProblemError, StoreError
from surfaceviz.pipeline.slice import slice_buffer, workers
from surfaceviz.problem.losses import PerSample
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice
from surfaceviz.reporting import Reporter

AXES = [(-1, 1, 7), (0, 1, 5)]
EAGER: Any = {"engine": "eager", "batch_size": 128}  # nothing is measured to choose an engine


def _problem(pause: float = 0.0, at: Callable[[], None] = lambda: None) -> Problem:
    def measure(model: nn.Module, batch: Any) -> dict[str, PerSample]:
        at()
        time.sleep(pause)
        each = functional.cross_entropy(model(batch[0]), batch[1], reduction="none")
        return {"loss": PerSample(each, each.new_ones(len(each)))}

    # In float64, so that nothing but the points is measured once the file is there.
    return Problem(oracles.net().double(), oracles.images(10), measure=measure, name="net")


def _assert_equal_bits(a: Slice, b: Slice) -> None:
    assert a.complete
    assert b.complete
    for name, array in a.values.items():
        np.testing.assert_array_equal(array, b.values[name])
        np.testing.assert_array_equal(a.stderr[name], b.stderr[name])
        np.testing.assert_array_equal(a.rise_stderr[name], b.rise_stderr[name])


def _killed(target: Callable[[], object], until: Callable[[], bool] | None = None) -> int:
    """Run ``target`` in a process, kill it as soon as ``until`` holds, and return its exit code."""

    def alone() -> None:
        torch.set_num_threads(1)  # a forked process can't use its parent's OpenMP threads, and hangs if it tries
        target()

    process = multiprocessing.get_context("fork").Process(target=alone)
    process.start()
    while until is not None and process.is_alive() and not until():
        time.sleep(0.001)
    if until is not None:
        process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _evaluations() -> int:
    return Path("ticks").stat().st_size if Path("ticks").exists() else 0


def _tick() -> None:
    with Path("ticks").open("a") as stream:
        stream.write(".")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_ten_moments_a_run_goes_on_to_the_same_bits(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SECONDS", 0.02)
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SHARE", 1.0)
    expected = oracles.run_slice(_problem(), AXES)
    moments = random.Random(workers)  # noqa: S311
    problem = _problem(0.01, _tick)
    done = []
    for k in range(10):
        evaluations = _evaluations() + moments.randint(1, 20)
        _killed(
            lambda: oracles.run_slice(problem, AXES, output="a.h5", workers=workers, **EAGER),
            # The last one has saved a point, the others may have saved any number.
            (lambda: Path("a.h5").exists() and store.read("a.h5").done > 0)
            if k == 9
            else lambda evaluations=evaluations: _evaluations() >= evaluations,  # type: ignore[misc]
        )
        if Path("a.h5").exists():
            done.append(store.read("a.h5").done)
    Path("ticks").unlink()
    assert done == sorted(done)  # nothing that was safe is lost
    assert done[-1] > 0
    _assert_equal_bits(expected, oracles.run_slice(_problem(), AXES, output="a.h5", workers=workers))
    assert {path.name for path in Path().iterdir()} == {"a.h5"}


def test_what_a_snapshot_holds_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at the 21st evaluation with a snapshot after each chunk of one point."""
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SHARE", 1.0)
    monkeypatch.setattr(workers, "CHUNK_SECONDS", 0.0)
    count = iter(range(1, 100))

    def die() -> None:
        if Path("a.h5").exists() and next(count) == 21:
            os.kill(os.getpid(), signal.SIGKILL)

    assert _killed(lambda: oracles.run_slice(_problem(0, die), AXES, output="a.h5", **EAGER)) == -signal.SIGKILL
    assert store.read("a.h5").done == 20
    recorder = oracles.Recorder()
    resumed = oracles.run_slice(_problem(), AXES, output="a.h5", reporter=recorder)
    assert recorder.progress[0] == (20, 35, 0)
    assert recorder.progress[-1] == (35, 35, 15)
    _assert_equal_bits(oracles.run_slice(_problem(), AXES), resumed)


def test_a_failing_point_leaves_a_snapshot() -> None:
    count = iter(range(1, 100))

    def fail() -> None:
        if Path("a.h5").exists() and next(count) == 15:
            raise RuntimeError("no luck")

    with pytest.raises(ProblemError, match=r"at \(-?\d.*\): measuring split train raised RuntimeError: no luck"):
        oracles.run_slice(_problem(0, fail), AXES, output="a.h5", **EAGER)
    kept = store.read("a.h5")
    assert 0 < kept.done < 35
    _assert_equal_bits(oracles.run_slice(_problem(), AXES), oracles.run_slice(_problem(), AXES, output="a.h5"))


def test_a_disk_that_fills_up_ends_the_run_and_keeps_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SHARE", 1.0)
    replace, count = os.replace, iter(range(1, 100))

    def fills_up(*args: Any) -> None:
        if next(count) > 3:
            raise OSError(28, "No space left on device")
        replace(*args)

    monkeypatch.setattr(os, "replace", fills_up)
    with pytest.raises(StoreError, match="No space left on device; the last good snapshot is kept"):
        oracles.run_slice(_problem(), AXES, output="a.h5")
    monkeypatch.setattr(os, "replace", replace)
    assert store.read("a.h5").done > 0
    _assert_equal_bits(oracles.run_slice(_problem(), AXES), oracles.run_slice(_problem(), AXES, output="a.h5"))


def test_a_finished_file_is_left_alone_and_another_runs_is_refused() -> None:
    reporter: Reporter = (recorder := oracles.Recorder())
    oracles.run_slice(_problem(), AXES, output="a.h5")
    stamp = Path("a.h5").stat().st_mtime_ns
    oracles.run_slice(_problem(), AXES, output="a.h5", reporter=reporter)
    assert recorder.said[-1] == "a.h5 is complete already: all 35 points; nothing to do"
    assert Path("a.h5").stat().st_mtime_ns == stamp
    for options, what in (
        ({"seed": 1}, "seed is 0 there, 1 here"),
        ({"normalise": "layer"}, "normalise is filter there, layer here"),
        ({"dtype": "float32"}, "dtype is float64 there, float32 here"),
        ({"samples": 4}, "data_sha256 is .* there, .* here; samples is all there, 4 here"),
        ({"axes": AXES[:1]}, "axes is -1:1:7 0:1:5 there, -1:1:7 here"),
        ({"orthogonal": True}, "orthogonal is 0 there, 1 here"),
    ):
        with pytest.raises(StoreError, match=f"a.h5 holds another run .*{what}.*give -o a-2.h5"):
            oracles.run_slice(_problem(), **{"axes": AXES, "output": "a.h5", **options})
    assert Path("a.h5").stat().st_mtime_ns == stamp
    again = oracles.run_slice(_problem(), AXES, output="a.h5", seed=1, overwrite=True)
    assert again.provenance["seed"] == 1


def test_engine_dtype_and_batch_are_read_back() -> None:
    count = iter(range(1, 100))

    def fail() -> None:
        if Path("a.h5").exists() and next(count) == 15:
            raise RuntimeError("no luck")

    with pytest.raises(ProblemError):
        oracles.run_slice(_problem(0, fail), AXES[:1], output="a.h5", dtype="float64", batch_size=3, engine="eager")
    resumed = oracles.run_slice(_problem(), AXES[:1], output="a.h5")
    assert resumed.provenance["dtype"] == "float64"
    assert resumed.provenance["batch_size"] == 3
    _assert_equal_bits(oracles.run_slice(_problem(), AXES[:1], dtype="float64", batch_size=3), resumed)


def test_a_finished_file_of_changed_code_is_found_out() -> None:
    oracles.run_slice(_problem(), AXES, output="a.h5")
    x, y = oracles.images(10)
    changed = Problem(oracles.net(), (x, y), nn.CrossEntropyLoss(label_smoothing=0.5), name="net")
    with pytest.raises(StoreError, match="train_loss at the centre is .* the code has changed"):
        oracles.run_slice(changed, AXES, output="a.h5")


def test_axes_that_differ_in_the_last_digit_are_different_runs() -> None:
    oracles.run_slice(_problem(), [(-1, 1.0000001, 3)], output="a.h5")
    with pytest.raises(StoreError, match="axes is -1:1.0000001:3 there, -1:1.0000002:3 here"):
        oracles.run_slice(_problem(), [(-1, 1.0000002, 3)], output="a.h5")


def test_an_overwriting_run_tells_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CHUNK_SECONDS", 0.0)
    count = iter(range(1, 100))

    def interrupt() -> None:
        if Path("a.h5").exists() and next(count) == 11:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="the same command without overwrite resumes from there"):
        oracles.run_slice(_problem(0, interrupt), AXES, output="a.h5", overwrite=True, **EAGER)
    assert store.read("a.h5").done == 10


def test_a_signal_during_the_last_snapshot_waits_and_says_where_the_points_are(monkeypatch: pytest.MonkeyPatch) -> None:
    write = store.write
    sent: list[bool] = []

    def write_and_interrupt(path: Path, surface: Slice, tensors: Any = ()) -> None:
        if surface.complete and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        write(path, surface, tensors)

    monkeypatch.setattr(store, "write", write_and_interrupt)
    with pytest.raises(KeyboardInterrupt, match="35 of 35 points are in a.h5"):
        oracles.run_slice(_problem(), AXES, output="a.h5")
    assert store.read("a.h5").complete


def test_a_metric_that_is_nan_at_the_centre_does_not_stop_a_run_from_going_on() -> None:
    x, y = oracles.images(10)

    def problem(at: Callable[[], None] = lambda: None) -> Problem:
        def undefined(outputs: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
            at()
            return outputs.mean() * torch.nan

        return Problem(oracles.net(), (x, y), "cross_entropy", metrics={"auc": undefined}, name="net")

    count = iter(range(1, 100))

    def fail() -> None:
        if Path("a.h5").exists() and next(count) == 15:
            raise RuntimeError("no luck")

    with pytest.raises(ProblemError, match="no luck"):
        oracles.run_slice(problem(fail), AXES, output="a.h5")
    assert oracles.run_slice(problem(), AXES, output="a.h5").complete


def _stop_and_store(path: Path, **changes: Any) -> None:
    """Leave an unfinished file at ``path``, with changed attributes."""
    whole = oracles.run_slice(_problem(), AXES, output=path)
    whole.origin[3:] = 0
    store.write(path, whole, [])
    with edited(path) as file:
        for name, value in changes.items():
            file["slice"].attrs[name] = value


def test_a_centre_that_moved_shows_changed_code() -> None:
    _stop_and_store(Path("a.h5"), centre_train_loss=7.0)
    with pytest.raises(StoreError, match="train_loss at the centre is .* now, 7 in the file: the code has changed"):
        oracles.run_slice(_problem(), AXES, output="a.h5")
    _stop_and_store(Path("b.h5"))
    centre = store.read("b.h5").centre["train_loss"]
    _stop_and_store(Path("b.h5"), centre_train_loss=centre * (1 + 1e-6))
    recorder = oracles.Recorder()
    resumed = oracles.run_slice(_problem(), AXES, output="b.h5", reporter=recorder)
    assert any("within rounding" in line for line in recorder.warned)
    assert resumed.provenance["rounding"] == "continued where the centre or a direction differs within rounding"
