"""Baseline: an undisturbed run of the same command; files and lines that interrupted and launched commands leave."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import launchers
import numpy as np
import pytest

from surfaceviz import store
from surfaceviz.errors import SurfacevizError

EDGE = ["-m", "surfaceviz", "edge", "run", "--problem", "mine.py:problem", "--rtol", "1e-6", "--workers", "1"]
MINE = """
import sys
import time

import torch
from torch import nn

import surfaceviz


def problem(seconds=0.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = torch.randn(40, 4, dtype=torch.float64), torch.arange(40) % 3

    def loss(outputs, targets):
        time.sleep(seconds)
        return nn.functional.cross_entropy(outputs, targets)

    return surfaceviz.Problem(model, (x, y), loss, name="mine")


def slowly():
    return problem(0.01)


def train():
    own = problem()
    optimiser = torch.optim.SGD(own.model.parameters(), 0.5)
    recorder = surfaceviz.Recorder(own.model, "run", optimiser=optimiser)
    x, y = own.sources["train"]
    for step in range(6):
        recorder.record(step)
        optimiser.zero_grad()
        nn.functional.cross_entropy(own.model(x), y).backward()
        optimiser.step()


if __name__ == "__main__":
    train()
"""


@pytest.fixture(autouse=True)
def _trained() -> None:
    Path("mine.py").write_text(MINE)
    subprocess.run([sys.executable, "mine.py"], check=True)


def _steps(path: str) -> list[float]:
    """Return the steps that a file holds; none where there is no file yet."""
    try:
        return list(map(float, store.read_edge(path).step))
    except (FileNotFoundError, SurfacevizError):
        return []


def _edge(output: str, problem: str = "mine.py:problem") -> subprocess.Popen[str]:
    command = [sys.executable, *EDGE, "-o", output, "--no-plot", "--problem", problem]
    return launchers.ended_with_the_test(
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_the_finished_checkpoints_and_the_same_command_resumes(signum: signal.Signals) -> None:
    process = _edge("a.h5", "mine.py:slowly")
    while len(_steps("a.h5")) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=120)
    kept = _steps("a.h5")
    assert process.returncode == 128 + signum
    assert 2 <= len(kept) < 6
    (line,) = [line for line in errors.splitlines() if line.startswith("surfaceviz:")]
    assert line.startswith(f"surfaceviz: interrupted by {signum.name}; the checkpoints that were finished are in the")
    assert not Path("a.h5.lock").exists()
    before = store.read_edge("a.h5")
    resumed, whole = _edge("a.h5", "mine.py:slowly"), _edge("b.h5", "mine.py:slowly")
    for each in (resumed, whole):
        _, errors = each.communicate(timeout=300)
        assert each.returncode == 0, errors
    one, other = store.read_edge("a.h5"), store.read_edge("b.h5")
    assert one.step.tolist() == [0, 1, 2, 3, 4, 5]
    for name in ("step", "loss", "lambda_max", "threshold"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        np.testing.assert_array_equal(getattr(one, name)[: len(kept)], getattr(before, name))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", launchers.LAUNCHERS)
def test_under_a_launcher_one_rank_works_and_says_so(launcher: str) -> None:
    process = launchers.start(launcher, 2, [*EDGE, "-o", "a.h5", "--no-plot"])
    code, out, errors = launchers.finish(process)
    assert code == 0, errors
    assert out.count("a.h5") == 1
    assert errors.count("surfaceviz edge: of 2 ranks, rank 0 works alone; without ") == 1
    assert len(_steps("a.h5")) == 6
