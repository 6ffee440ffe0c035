"""Baseline: a regression on random features, with its minimum from numpy's least squares."""

from __future__ import annotations

from pathlib import Path

import launchers
import oracles
import pytest

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.records import Spectrum

SOURCE = """
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from surfaceviz import Problem

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(60, 4)), RANDOM.normal(size=(60, 1))
BEST = np.linalg.lstsq(X, Y, rcond=None)[0]


class Linear(nn.Module):
    def __init__(self, kinked, off):
        super().__init__()
        self.w = nn.Parameter(torch.from_numpy(BEST + off))
        self.best, self.kinked = torch.from_numpy(BEST), kinked

    def forward(self, x):
        moved = self.w[0, 0] - self.best[0, 0].to(self.w)
        kink = moved.abs() if self.kinked == "operator" else moved * float(moved > 0) if self.kinked else 0
        return x @ self.w + 0.1 * kink


def problem(kinked="", off=0.0):
    return Problem(Linear(kinked, off), (torch.from_numpy(X), torch.from_numpy(Y)), functional.mse_loss)


def shown():
    return problem("operator")


def hidden():
    return problem("branch")


def near():
    return problem(off=1e-3)
"""
KINDS = {"problem": "local minimum", "shown": "not smooth here", "hidden": "not smooth here",
         "near": "not a critical point"}  # fmt: skip


@pytest.fixture(autouse=True)
def _problems() -> None:
    Path("kinds.py").write_text(SOURCE)


def _kind(name: str, **options: object) -> Spectrum:
    return surfaceviz.hessian(f"kinds.py:{name}", reporter=oracles.Recorder(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", KINDS)
def test_processes_that_share_the_samples_agree_on_the_kind(name: str) -> None:
    alone, shared = _kind(name, workers=1), _kind(name, workers=2)
    assert alone.kind == shared.kind == KINDS[name]
    assert alone.gradient_stderr == pytest.approx(shared.gradient_stderr, rel=1e-12)
    assert bool(alone.notes) == (name in ("shown", "hidden"))  # `float(moved > 0)` is a mask at its step


@pytest.mark.slow
@pytest.mark.parametrize("name", ["problem", "hidden"])
def test_ranks_that_share_the_samples_agree_on_the_kind(name: str) -> None:
    arguments = ["-m", "surfaceviz", "hessian", f"kinds.py:{name}", "-o", "kinds.h5"]
    code, out, errors = launchers.finish(launchers.start("openmpi", 2, arguments))
    assert code == 0, errors
    assert KINDS[name] in out
    (found,) = store.read_curvature("kinds.h5").spectra
    assert found.kind == KINDS[name]


def test_hessian_and_info_print_the_gradient_beside_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["hessian", "kinds.py:near", "-o", "kinds.h5"]) == 0
    printed = capsys.readouterr().out
    assert cli.run(["info", "kinds.h5"]) == 0
    again = capsys.readouterr().out
    for words in ("standard error over samples", "curvature along the gradient", "decrement g'H^-1 g"):
        assert words in printed
        assert words in again
    (found,) = store.read_curvature("kinds.h5").spectra
    # The mean squared error rises by delta' X'X delta / N from its minimum; the decrement is twice that.
    assert found.newton_decrement is not None
    assert found.newton_decrement / 2 == pytest.approx(found.loss - _kind("problem").loss, rel=1e-6)


def test_a_slice_tells_the_kind_of_its_points() -> None:
    assert (
        cli.run(["slice", "kinds.py:problem", "--axis=-1:1:3", "--ignore=none", "--no-plot", "--quiet", "-o", "a.h5"])
        == 0
    )
    assert surfaceviz.hessian("a.h5", at=(0.0,)).kind == "local minimum"
    assert surfaceviz.hessian("a.h5", at=(0.5,)).kind == "not a critical point"
