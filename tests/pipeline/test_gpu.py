"""Baseline: the same slice on the CPU, in float64 where a tolerance is tight. Each needs a CUDA device."""

from __future__ import annotations

import json
from typing import Any

import launchers
import numpy as np
import oracles
import pytest
import torch

import surfaceviz
from surfaceviz import store
from surfaceviz.evaluate import EngineConfig, Evaluator
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
AXES = [(-1, 1, 7), (0, 1, 5)]


@pytest.mark.parametrize("options", [{}, {"engine": "vmapped"}, {"regenerate": True}, {"bn": "recalibrate"}], ids=str)
def test_a_slice_is_that_of_the_cpu(options: dict[str, Any]) -> None:
    given = {"dtype": "float64", **options}
    gpu = oracles.run_slice(oracles.net_problem(), AXES, device="cuda", **given)
    cpu = oracles.run_slice(oracles.net_problem(), AXES, device="cpu", **given)
    assert gpu.directions == cpu.directions
    for name, array in cpu.values.items():
        np.testing.assert_allclose(gpu.values[name], array, rtol=1e-9)
        np.testing.assert_allclose(gpu.rise_stderr[name], cpu.rise_stderr[name], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-4), ("tf32", 2e-2), ("bf16", 1e-1)])
def test_dtypes_agree_within_their_rounding(dtype: str, rtol: float) -> None:
    gpu = oracles.run_slice(oracles.net_problem(), AXES, device="cuda", dtype=dtype)
    cpu = oracles.run_slice(oracles.net_problem(), AXES, device="cpu", dtype="float64")
    np.testing.assert_allclose(gpu.values["train_loss"], cpu.values["train_loss"], rtol=rtol)


def test_data_are_on_the_device_once_and_no_batch_waits_for_the_host() -> None:
    plan = make_plan(Request.of(oracles.net_problem(samples=64), device="cuda"), lambda _line: None)
    with borrowed(plan.problem.model, plan.device):
        evaluator = Evaluator(plan.context(), EngineConfig("eager", 8))
        evaluator.centre()
        held = torch.cuda.memory_allocated()
        state = evaluator._perturb((0.1, 0.2))
        torch.cuda.set_sync_debug_mode("error")
        try:
            evaluator._pass(state)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        evaluator([(0.1, 0.2)] * 20)
        assert torch.cuda.memory_allocated() <= held + 2**20


def test_running_out_of_memory_halves_the_batch() -> None:
    class Greedy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = oracles.net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            free, _ = torch.cuda.mem_get_info()
            torch.empty(free // 20 * len(x), dtype=torch.uint8, device=x.device)  # for 20 samples all there is
            out: torch.Tensor = self.net(x)
            return out

    problem = Problem(Greedy().eval(), oracles.images(50), "cross_entropy", name="net")
    surface = oracles.run_slice(problem, AXES, device="cuda", engine="eager", batch_size=50)
    assert int(surface.provenance["batch_size"]) < 20
    assert surface.complete


@pytest.mark.parametrize("devices", ["cuda:0,cuda:0", "cuda:0,cuda:1"])
def test_local_processes_share_out_devices(devices: str) -> None:
    if torch.cuda.device_count() < len(set(devices.split(","))):
        pytest.skip("there is one CUDA device")
    two = oracles.run_slice(oracles.net_problem(), AXES, device=devices, engine="eager", batch_size=128)
    one = oracles.run_slice(oracles.net_problem(), AXES, device="cuda:0", engine="eager", batch_size=128)
    np.testing.assert_array_equal(two.values["train_loss"], one.values["train_loss"])
    assert set(json.loads(str(two.provenance["worker_points"]))) == {"0", "1"}


def test_ranks_share_out_devices() -> None:
    command = [
        "-m",
        "surfaceviz",
        "slice",
        "mlp-digits",
        "--axis=-1:1:9",
        "--engine=eager",
        "--batch=128",
        "-o",
        "a.h5",
    ]
    code, _, errors = launchers.finish(launchers.start("openmpi", 2, command))
    assert code == 0, errors
    one = oracles.run_slice("mlp-digits", [(-1, 1, 9)], device="cuda:0", engine="eager", batch_size=128)
    np.testing.assert_array_equal(store.read("a.h5").values["train_loss"], one.values["train_loss"])


def test_curvature_is_that_of_the_cpu() -> None:
    more: dict[str, Any] = {
        "density": True,
        "steps": 8,
        "dtype": "float64",
        "rtol": 1e-8,
        "reporter": oracles.Recorder(),
    }
    gpu, cpu = (surfaceviz.hessian(oracles.net_problem(), device=device, **more) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(gpu.eigenvalues, cpu.eigenvalues, rtol=0, atol=1e-9 * cpu.norm)
    assert gpu.trace == pytest.approx(cpu.trace, rel=1e-8)
