"""Baseline: an uninterrupted training of the same seed, files read by safetensors, losses computed with torch here."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

import surfaceviz
from surfaceviz.errors import CheckpointError, ProblemError, StoreError
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.recording import read_record, recorded_steps, weights_path
from surfaceviz.zoo import datasets, network_table

SMALL = {"epochs": 4, "batch_size": 16, "lr": 0.05}


def _write_images(classes: int = 3) -> None:
    """Write a folder of 40 small images, whose brightness is their class."""
    noise = np.random.default_rng(0).normal(size=(40, 1, 8, 8)) / 4
    y = np.arange(40) % classes
    Path("images").mkdir(exist_ok=True)
    np.savez("images/train.npz", x=noise + y[:, None, None, None], y=y)
    np.savez("images/test.npz", x=noise[:10] + y[:10, None, None, None], y=y[:10])


def _rows(folder: str) -> list[dict[str, str]]:
    with Path(folder, "log.csv").open() as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


def _weights(folder: str, step: int = -1) -> dict[str, torch.Tensor]:
    steps = recorded_steps(Path(folder))
    return load_file(weights_path(Path(folder), steps[step]))


class Lines:
    """A reporter that keeps lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    warn = say

    def advance(self, done: int, total: int | None, fresh: int) -> None: ...


def test_what_is_trained_is_at_once_a_problem() -> None:
    _write_images()
    lines = Lines()
    folder = surfaceviz.train("cnn", "images", output="run", reporter=lines, **SMALL)  # type: ignore[arg-type]
    assert recorded_steps(folder) == [0, 1, 2, 3, 6, 9, 12]
    assert len(_rows("run")) == 4
    assert len(lines.lines) == 2 + 4
    assert "batches of 16, shifts of 1, sgd, learning rate 0.05 (one-cycle)" in lines.lines[0]

    model = network_table.build("cnn", datasets.load("images"), 0)
    model.load_state_dict(_weights("run"))
    x, y = datasets.load("images").splits["test"]
    loss = functional.cross_entropy(model.eval()(x), y).item()
    assert float(_rows("run")[-1]["test_loss"]) == pytest.approx(loss, rel=1e-5)
    surface = surfaceviz.slice("run", ["-1:1:3"])
    assert surface.centre["test_loss"] == pytest.approx(loss, rel=1e-5)
    assert surface.values["train_loss"][1] == surface.centre["train_loss"]
    with pytest.warns(UserWarning, match="the centre is not a minimum of this slice"):
        start = surfaceviz.slice("run", ["-1:1:3"], weights=str(weights_path(folder, 0)))
    assert start.centre["test_loss"] > loss
    assert resolve("run").name == "run"


@pytest.mark.parametrize(("optimiser", "state"), [("sgd", "momentum_buffer"), ("adam", "exp_avg_sq")])
def test_each_checkpoint_has_the_optimisers_state_and_the_rate_of_the_next_step(optimiser: str, state: str) -> None:
    _write_images()
    folder = surfaceviz.train("mlp", "images", output="run", epochs=2, batch_size=20, lr=0.01, optimiser=optimiser)
    found = load_file(folder / "optimiser" / "step-00000002.safetensors")
    assert f"1.weight:{state}" in found
    group = read_record(folder, 0).facts["groups"][0]
    assert group["lr"] == pytest.approx(0.01 / 25)  # where one cycle begins
    assert group["kind"].lower() == optimiser


KILLED = """
import os, signal, sys
import surfaceviz, surfaceviz.atomic_write as atomic
from surfaceviz.pipeline.train import run

count, write = 0, atomic._write
how, at, snapshot, arguments = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), eval(sys.argv[4])
run.SNAPSHOT_SECONDS = snapshot

def torn(descriptor, content, *, synced):
    global count
    count += 1
    if count == at:
        if how == "SIGKILL":
            os.write(descriptor, content[: len(content) // 2])
        os.kill(os.getpid(), getattr(signal, how))
    write(descriptor, content, synced=synced)

atomic._write = torn
surfaceviz.train("cnn", "images", output="run", **arguments)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "at", "snapshot", "optimiser"),
    [
        ("SIGKILL", 2, 60, "sgd"),  # in the description or the log, before the first checkpoint
        ("SIGKILL", 9, 60, "adam"),
        ("SIGKILL", 12, 0, "sgd"),  # a checkpoint after each step, in the middle of an epoch
        ("SIGKILL", 13, 0, "adamw"),
        ("SIGTERM", 12, 60, "adam"),
        ("SIGINT", 9, 0, "sgd"),
    ],
)
def test_a_killed_training_goes_on_to_the_same_bits(how: str, at: int, snapshot: float, optimiser: str) -> None:
    _write_images()
    options: dict[str, Any] = {**SMALL, "optimiser": optimiser, "lr": 0.01}
    surfaceviz.train("cnn", "images", output="whole", **options)
    given = [how, str(at), str(snapshot), repr(options)]
    done = subprocess.run([sys.executable, "-c", KILLED, *given], check=False, capture_output=True, text=True)
    assert done.returncode != 0, done.stderr
    assert not Path("run/step-00000012.safetensors").exists()
    assert list(Path("run").rglob("*.part")) != [] or how != "SIGKILL"
    surfaceviz.train("cnn", "images", output="run", **options)
    assert recorded_steps(Path("run")) == recorded_steps(Path("whole"))
    for step in range(len(recorded_steps(Path("run")))):
        ours, theirs = _weights("run", step), _weights("whole", step)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert _rows("run") == _rows("whole")
    assert list(Path("run").rglob("*.part")) == []
    last = [load_file(Path(folder, "optimiser/step-00000012.safetensors")) for folder in ("run", "whole")]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[1])


def test_a_finished_training_is_left_as_it_is_and_overwrite_starts_again() -> None:
    _write_images()
    surfaceviz.train("mlp", "images", output="run", **SMALL)  # type: ignore[arg-type]
    before = {path: path.stat().st_mtime_ns for path in Path("run").glob("step-*")}
    Path("run/log.csv").write_text(Path("run/log.csv").read_text() + "5,1")  # half a row
    surfaceviz.train("mlp", "images", output="run", **SMALL)  # type: ignore[arg-type]
    assert {path: path.stat().st_mtime_ns for path in Path("run").glob("step-*")} == before
    assert len(_rows("run")) == 4
    surfaceviz.train("mlp", "images", output="run", epochs=1, batch_size="all", overwrite=True)
    assert recorded_steps(Path("run")) == [0, 1]
    assert len(_rows("run")) == 1


def test_gradient_descent_has_no_augmentation_and_one_step_an_epoch() -> None:
    _write_images()
    folder = surfaceviz.train("mlp", "images", output="run", epochs=250, batch_size="all", every=100)
    assert recorded_steps(folder) == [0, 1, 2, 4, 8, 16, 32, 64, 100, 200, 250]
    recipe = json.loads((folder / "training.json").read_text())["recipe"]
    assert (recipe["shift"], recipe["flip"], recipe["batch_size"]) == (0, False, None)


def test_the_folder_of_another_training_is_refused_and_kept() -> None:
    _write_images()
    surfaceviz.train("mlp", "images", output="run", **SMALL)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"run holds another training \(seed 1 instead of 0; epochs 5 instead of 4\)"):
        surfaceviz.train("mlp", "images", output="run", epochs=5, batch_size=16, lr=0.05, seed=1)
    recorder = surfaceviz.Recorder(torch.nn.Linear(1, 1), "run")
    with pytest.raises(StoreError, match="run is a folder of surfaceviz train; give another folder"):
        recorder.record(20)
    assert len(recorded_steps(Path("run"))) == 7
    surfaceviz.Recorder(torch.nn.Linear(1, 1), "other").record(0)
    with pytest.raises(StoreError, match="other holds checkpoints of another program"):
        surfaceviz.train("mlp", "images", output="other")
    with pytest.raises(CheckpointError, match=r"other holds no training.json, so it is not a folder of surfaceviz tr"):
        resolve("other")
    _write_images(2)
    with pytest.raises(StoreError, match="another training .*data's classes 2 instead of 3"):
        surfaceviz.train("mlp", "images", output="run", **SMALL)  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match="run was trained on other data than those in .*images"):
        resolve("run")


def test_moved_data_are_named_by_data() -> None:
    _write_images()
    surfaceviz.train("mlp", "images", output="run", epochs=1)
    Path("images").rename("moved")
    with pytest.raises(ProblemError, match="unknown data '.*images'"):
        resolve("run")
    assert resolve("run", "moved").splits == ["train", "test"]
    surfaceviz.train("mlp", "images", data="moved", output="run", epochs=1)


def test_torn_folders_are_refused_in_one_line() -> None:
    _write_images()
    surfaceviz.train("mlp", "images", output="run", **SMALL)  # type: ignore[arg-type]
    whole = weights_path(Path("run"), 12).read_bytes()
    weights_path(Path("run"), 12).write_bytes(whole[:200])
    for call in (lambda: resolve("run"), lambda: surfaceviz.train("mlp", "images", output="run", **SMALL)):  # type: ignore[arg-type]
        with pytest.raises(CheckpointError, match=r"step-00000012.safetensors: no.* whole safetensors file") as raised:
            call()
        assert "\n" not in str(raised.value)
    weights_path(Path("run"), 12).unlink()
    surfaceviz.train("mlp", "images", output="run", **SMALL)  # type: ignore[arg-type]
    assert weights_path(Path("run"), 12).read_bytes()[-100:] == whole[-100:]
    weights_path(Path("run"), 12).write_bytes(whole.replace(b"sums", b"some"))
    with pytest.raises(CheckpointError, match="step-00000012.safetensors: no whole state of the training"):
        surfaceviz.train("mlp", "images", output="run", **SMALL)  # type: ignore[arg-type]
    other = network_table.build("mlp-tanh", datasets.load("images"), 0)
    torch.save(other.state_dict(), "other.pt")
    with pytest.raises(CheckpointError, match="other.pt doesn't fit the model: .* has shape"):
        surfaceviz.slice("run", ["-1:1:3"], weights="other.pt")
    for broken in ("", "[]", "{}", '{"schema": 1}', '{"schema": 1, "network": 3}'):
        Path("run/training.json").write_text(broken)
        with pytest.raises(CheckpointError, match="training.json: not a description of a training"):
            resolve("run")


def test_a_text_is_trained_on_and_is_a_problem() -> None:
    Path("t.txt").write_text("the cat sat on the mat. " * 40)
    folder = surfaceviz.train("char-transformer", "t.txt", output="run", epochs=2, batch_size=4)
    windows = datasets.load("t.txt").splits["test"][0]
    model = network_table.build("char-transformer", datasets.load("t.txt"), 0)
    model.load_state_dict(_weights("run"))
    loss = functional.cross_entropy(model(windows)[:, :-1].transpose(1, 2), windows[:, 1:]).item()
    assert float(_rows("run")[-1]["test_loss"]) == pytest.approx(loss, rel=1e-5)
    assert surfaceviz.slice(str(folder), ["-1:1:3"]).centre["test_loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": "most"}, "batch_size must be a number of samples, or all, got 'most'"),
        ({"lr": 0.0}, "lr must be a number above 0, got 0.0"),
        ({"lr": float("nan")}, "lr must be a number above 0, got nan"),
        ({"momentum": 1.0}, "momentum must be from 0 to below 1, got 1.0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"optimiser": "lion"}, "optimiser: expected one of sgd, adam, adamw, got 'lion'"),
        ({"schedule": "cosine"}, "schedule: expected one of one-cycle, steps, constant, got 'cosine'"),
        ({"optimiser": "adam", "momentum": 0.5}, "momentum and nesterov belong to sgd, but the optimiser is adam"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        surfaceviz.train("mlp", "digits", **options)


def test_a_network_that_does_not_fit_leaves_no_folder() -> None:
    with pytest.raises(ProblemError, match="unknown network 'resnet57'"):
        surfaceviz.train("resnet57", "digits", output="run")
    with pytest.raises(ProblemError, match="char-transformer takes text, but the data are images"):
        surfaceviz.train("char-transformer", "digits", output="run")
    assert not Path("run").exists()
    with pytest.raises(StoreError, match="mlp-digits is the name of a problem of the catalogue; give another folder"):
        surfaceviz.train("mlp", "digits", output="mlp-digits")
    assert surfaceviz.train("mlp", "digits", epochs=1) == Path("mlp-digits-run")
    Path("file").write_text("")
    with pytest.raises(StoreError, match="file: can't be a folder"):
        surfaceviz.train("mlp", "digits", output="file", epochs=1)
