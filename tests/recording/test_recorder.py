"""Baseline: the state dicts of model and optimiser, read by safetensors alone; sizes as the file system gives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import surfaceviz
from surfaceviz.errors import CheckpointError, StoreError
from surfaceviz.recording import read_record, recorded_steps, weights_path
from surfaceviz.recording.optimiser_state import packed, restore
from surfaceviz.recording.thinning import to_remove


def _model(width: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, 1))


def _step(model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    model(torch.tensor([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]])).square().mean().backward()
    optimiser.step()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


OPTIMISERS: list[Any] = [
    lambda p: torch.optim.SGD(p, 0.1),
    lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    lambda p: torch.optim.AdamW(p, 0.01),
    lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    lambda p: torch.optim.ASGD(p, 0.01),
]


@pytest.mark.parametrize("make", OPTIMISERS)
def test_records_hold_weights_buffers_and_the_optimisers_state(make: Any) -> None:
    model = _model()
    optimiser = make(model.parameters())
    recorder = surfaceviz.Recorder(model, "run", optimiser=optimiser, every=2)
    for step in range(4):
        recorder.record(step)
        _step(model, optimiser)
    recorder.record(4)
    assert recorder.steps == recorded_steps(Path("run")) == [0, 2, 4]
    stored = load_file("run/step-00000004.safetensors")
    assert stored.keys() == model.state_dict().keys()
    assert all(torch.equal(stored[name], value) for name, value in model.state_dict().items())
    record = read_record(Path("run"), 4)
    assert record.facts["groups"][0]["names"] == [name for name, _ in model.named_parameters()]
    assert record.facts["groups"][0]["lr"] == optimiser.param_groups[0]["lr"]

    other = _model()
    other.load_state_dict(dict(record.weights))
    resumed = make(other.parameters())
    restore(resumed, other, record.optimiser)
    for _ in range(3):
        _step(model, optimiser)
        _step(other, resumed)
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))


def test_the_state_of_adam_is_stored_under_the_parameters_names() -> None:
    model = _model()
    groups_given: list[dict[str, Any]] = [
        {"params": model[2].parameters(), "lr": 0.5},
        {"params": model[0].parameters()},
    ]
    optimiser = torch.optim.Adam(groups_given)
    _step(model, optimiser)
    tensors, groups = packed(optimiser, model)
    assert torch.equal(tensors["0.weight:exp_avg_sq"], optimiser.state[model.get_parameter("0.weight")]["exp_avg_sq"])
    assert [(group["kind"], group["names"], group["lr"]) for group in groups] == [
        ("Adam", ["2.weight", "2.bias"], 0.5),
        ("Adam", ["0.weight", "0.bias"], 0.001),
    ]
    assert groups[0]["betas"] == [0.9, 0.999]


def test_tied_weights_and_views_are_recorded() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model[0].bias = nn.Parameter(torch.arange(4.0)[::2])
    surfaceviz.Recorder(model, "run").record(0)
    stored = load_file(weights_path(Path("run"), 0))
    assert torch.equal(stored["1.weight"], model.get_parameter("0.weight"))
    assert stored["0.bias"].tolist() == [0, 2]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.complex64, torch.int8, torch.bool])
def test_tensors_of_every_dtype_come_back_with_their_bits(dtype: torch.dtype) -> None:
    model = _model()
    for name, value in (("some", torch.tensor([0, 1, 3])), ("one", torch.tensor(1)), ("none", torch.zeros(0))):
        model.register_buffer(name, value.to(dtype))
    model.register_buffer("wide", torch.ones(1, 2).to(dtype).expand(3, 2))
    surfaceviz.Recorder(model, "run").record(0)
    found = read_record(Path("run"), 0).weights
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())
    assert found["some"].dtype == dtype


@pytest.mark.parametrize("model", [nn.LazyLinear(2), nn.Linear(1, 1, device="meta")])
def test_weights_without_values_are_refused(model: nn.Module) -> None:
    with pytest.raises(CheckpointError, match="weight has no values yet; call the model on a batch"):
        surfaceviz.Recorder(model, "run").record(0)


@pytest.mark.parametrize("every", [1, 3])
def test_the_folder_never_takes_more_bytes_than_asked_and_stays_evenly_spread(
    every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _model()
    optimiser = torch.optim.Adam(model.parameters())
    _step(model, optimiser)
    surfaceviz.Recorder(model, "one", optimiser=optimiser).record(0)
    limit = int(8.5 * _size(Path("one")))
    recorder = surfaceviz.Recorder(model, "run", optimiser=optimiser, every=every, limit=limit)
    most = 0
    replace = surfaceviz.atomic_write.os.replace  # type: ignore[attr-defined]

    def replaced(*paths: Any) -> None:
        nonlocal most
        most = max(most, _size(Path("run")))  # with the temporary file
        replace(*paths)

    monkeypatch.setattr("surfaceviz.atomic_write.os.replace", replaced)
    for step in range(200):
        recorder.record(step)
    assert limit / 2 < most <= limit
    steps = recorder.steps
    assert (steps[0], steps[-1], len(steps)) == (0, 199 // every * every, 8)
    gaps = np.diff(steps)[:-1]
    assert gaps.max() <= 2 * gaps.min()


def test_thinning_keeps_first_and_last_and_at_least_the_last() -> None:
    assert to_remove([0, 1, 2], [5, 5, 5], 10) == [1]
    assert to_remove([0, 1, 2], [5, 5, 5], 9) == [1, 0]
    assert to_remove([0, 1, 2], [5, 5, 5], 15) == []
    assert to_remove([0, 8, 9, 10], [1] * 4, 3) == [9]


def test_a_resumed_training_replaces_what_it_repeats() -> None:
    model = _model()
    first = surfaceviz.Recorder(model, "run")
    for step in range(5):
        first.record(step)
    Path("run/optimiser").mkdir()
    for orphan in ("optimiser/step-00000009.safetensors", f".step-00000004.safetensors.surfaceviz-{'0' * 32}.part"):
        Path("run", orphan).write_bytes(b"half")
    second = surfaceviz.Recorder(model, "run")
    second.record(3)
    assert second.steps == [0, 1, 2, 3]
    assert [p.name for p in Path("run/optimiser").iterdir()] == []
    assert not list(Path("run").glob(".*"))
    second.record(4)
    assert second.steps == [0, 1, 2, 3, 4]


def test_checkpoints_of_another_training_are_kept() -> None:
    model = _model()
    for step in (0, 7):
        surfaceviz.Recorder(model, "run").record(step)
    with pytest.raises(StoreError, match="run holds checkpoints of another training, up to step 7; .* overwrite=True"):
        surfaceviz.Recorder(model, "run").record(0)
    with pytest.raises(StoreError, match="run holds checkpoints of another architecture; give another folder"):
        surfaceviz.Recorder(_model(4), "run").record(8)
    weights_path(Path("run"), 7).write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="step-00000007.safetensors: not a whole safetensors file"):
        surfaceviz.Recorder(model, "run").record(8)
    other = surfaceviz.Recorder(_model(4), "run", overwrite=True)
    other.record(0)
    assert other.steps == [0]


def test_wrong_arguments_are_refused() -> None:
    model = _model()
    with pytest.raises(ValueError, match="every must be at least 1 step, got 0"):
        surfaceviz.Recorder(model, "run", every=0)
    for limit in (0, "many", "-3M", "0.1"):
        with pytest.raises(ValueError, match="limit must be a number of bytes such as 1000000 or '500M', got"):
            surfaceviz.Recorder(model, "run", limit=limit)
    with pytest.raises(ValueError, match=r"a checkpoint takes \d+ bytes, but the limit is 100; give a larger one"):
        surfaceviz.Recorder(model, "run", limit=100).record(0)
    recorder = surfaceviz.Recorder(model, "run")
    with pytest.raises(ValueError, match="step must be at least 0, got -1"):
        recorder.record(-1)
    recorder.record(5)
    with pytest.raises(ValueError, match="step 5 is not after the last recorded step, 5"):
        recorder.record(5)
    Path("file").write_text("")
    with pytest.raises(StoreError, match="can't be written"):
        surfaceviz.Recorder(model, "file").record(0)


KILLED = """
import os, signal, sys
import torch
from torch import nn
import surfaceviz, surfaceviz.atomic_write as atomic

count, write = 0, atomic._write

def torn(descriptor, content, *, synced):
    global count
    count += 1
    if count == int(sys.argv[1]):
        os.write(descriptor, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(descriptor, content, synced=synced)

atomic._write = torn
model = nn.Linear(3, 3)
optimiser = torch.optim.Adam(model.parameters())
recorder = surfaceviz.Recorder(model, "run", optimiser=optimiser, limit="7K")
for step in range(100):
    recorder.record(step)
    optimiser.zero_grad()
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
"""


@pytest.mark.slow
@pytest.mark.parametrize("write", [8, 9, 40])
def test_a_recorder_killed_in_the_middle_of_a_write_leaves_whole_files_only(write: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(write)], check=False)
    assert done.returncode == -9
    assert len(list(Path("run").rglob(".*.part"))) == 1
    steps = recorded_steps(Path("run"))
    assert len(steps) >= 2
    for step in steps:
        record = read_record(Path("run"), step)
        assert record.weights.keys() == {"weight", "bias"}
        assert bool(record.optimiser) == (step > 0)
    surfaceviz.Recorder(nn.Linear(3, 3), "run").record(steps[-1] + 1)
    assert not list(Path("run").rglob(".*.part"))
