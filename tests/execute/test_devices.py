"""Baseline: one process on one device; several local devices, here all of them the CPU, must give the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest

from surfaceviz.errors import ProblemError
from surfaceviz.pipeline.slice import workers
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.problem import Problem

AXES = [(-1, 1, 7), (0, 1, 5)]
EAGER: Any = {"engine": "eager", "batch_size": 128}


@pytest.mark.parametrize("spawned", [False, True])
def test_each_device_that_is_named_takes_a_process(spawned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(workers, "can_fork", lambda: not spawned)
    surface = oracles.run_slice(oracles.net_problem(), AXES, device="cpu,cpu", **EAGER)
    whole = oracles.run_slice(oracles.net_problem(), AXES, **EAGER)
    for name, array in whole.values.items():
        np.testing.assert_array_equal(array, surface.values[name])
    counts = json.loads(str(surface.provenance["worker_points"]))
    assert set(counts) == {"0", "1"}


def test_a_problem_that_can_not_be_sent_stays_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "can_fork", lambda: False)
    problem = Problem(oracles.net(), oracles.images(), lambda outputs, targets: (outputs**2).mean(), name="net")
    recorder = oracles.Recorder()
    surface = oracles.run_slice(problem, AXES, workers=2, reporter=recorder)
    assert json.loads(str(surface.provenance["worker_points"])) == {"0": 35}
    assert any("live objects can't be sent to others (pickled); give its name" in line for line in recorder.warned)


def test_devices_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers: 2 devices take one process each, got 3"):
        oracles.run_slice(oracles.net_problem(), AXES, device="cpu,cpu", workers=3)
    with pytest.raises(ProblemError, match="devices cpu,meta: values have the same bits only on devices of one kind"):
        oracles.run_slice(oracles.net_problem(), AXES, device="cpu,meta")
    with pytest.raises(ProblemError, match="device 'cuda:7' is not available"):
        oracles.run_slice(oracles.net_problem(), AXES, device="cpu,cuda:7")


def test_processes_of_a_node_take_turns_at_its_devices() -> None:
    """The place of a process decides; `meta` and `cpu` stand for two GPUs, which they are not for a slice."""
    request = Request.of(oracles.net_problem(), device="cpu,cpu")
    assert [str(make_plan(request, lambda _line: None, place=k).device) for k in range(3)] == ["cpu"] * 3
