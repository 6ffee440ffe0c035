"""Baseline: the file that a run without the other run's file writes, and the spectrum of the same point by --at."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import nn

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.errors import StoreError
from surfaceviz.problem.problem import Problem

pytestmark = pytest.mark.usefixtures("one_thread")

FACTORY = """
import torch
import surfaceviz
from torch import nn

def made(seed):
    torch.manual_seed(seed)
    x = torch.randn(30, 3)
    return surfaceviz.Problem(nn.Linear(3, 2), (x, (x[:, 0] > 0).long()), "cross_entropy")

def one():
    return made(0)

def other():
    return made(1)
"""


@pytest.fixture(autouse=True)
def _factory() -> None:
    Path("flags.py").write_text(FACTORY)


def _same(one: Any, other: Any) -> bool:
    return all(
        np.array_equal(getattr(one, f.name), getattr(other, f.name))
        for f in fields(one)
        if f.name in ("eigenvalues", "residuals", "trace", "weights_sha256")
    )


def test_overwrite_replaces_the_curvature_of_another_run() -> None:
    assert cli.run(["hessian", "flags.py:one", "--top=1", "-o", "a.h5", "--quiet"]) == 0
    assert cli.run(["hessian", "flags.py:other", "--top=1", "-o", "fresh.h5", "--quiet"]) == 0
    with pytest.raises(
        StoreError, match="a.h5 holds the curvature of another run .problem is flags-one there, .* or --overwrite"
    ):
        surfaceviz.hessian("flags.py:other", output=Path("a.h5"))
    assert cli.run(["hessian", "flags.py:other", "--top=1", "-o", "a.h5", "--overwrite", "--quiet"]) == 0
    found, fresh = store.read_curvature("a.h5"), store.read_curvature("fresh.h5")
    assert found.provenance["problem"] == "flags-other"
    assert len(found.spectra) == len(fresh.spectra) == 1
    assert _same(found.spectra[0], fresh.spectra[0])


def _slice() -> None:
    assert (
        cli.run(["slice", "flags.py:one", "--axis=-1:1:5", "--engine=eager", "--no-plot", "-o", "s.h5", "--quiet"]) == 0
    )


@pytest.mark.parametrize(
    "given", [["--density"], ["--trace"], ["--by-layer"], ["--top=2"], ["--bottom=2"], ["--weight-decay=0.1"]]
)
def test_a_map_does_not_drop_options_of_spectra(given: list[str]) -> None:
    _slice()
    assert cli.run(["hessian", "s.h5", "--map=3", *given, "--quiet"]) == 0
    surface = surfaceviz.read("s.h5")
    assert surface.hessian_map is not None
    assert [spectrum.place for spectrum in surface.spectra] == [(0.0,)]
    if given == ["--density"]:
        assert surface.spectra[0].density is not None


def test_a_map_alone_computes_no_spectrum() -> None:
    _slice()
    assert cli.run(["hessian", "s.h5", "--map=3", "--quiet"]) == 0
    assert surfaceviz.read("s.h5").spectra == ()


def test_cold_without_a_map_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    _slice()
    assert cli.run(["hessian", "s.h5", "--cold"]) == 2
    assert "cold is about the points of a map; give a map as well" in capsys.readouterr().err


def test_a_slice_is_continued_from_another_folder(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), "w.pt")
    assert (
        cli.run(["slice", "flags.py:one", "--weights=w.pt", "--axis=-1:1:5", "--no-plot", "-o", "s.h5", "--quiet"]) == 0
    )
    home = Path.cwd()
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    try:
        assert cli.run(["hessian", "../s.h5", "--top=1", "--quiet"]) == 0
        (home / "flags.py").rename(home / "renamed.py")
        assert cli.run(["hessian", "../s.h5", "--top=2"]) == 1
        line = capsys.readouterr().err
        assert "../s.h5 was computed from flags.py, which is in none of" in line
        assert "name its problem by --problem FILE.py:one" in line
        assert cli.run(["hessian", "../s.h5", "--top=2", "--problem=../renamed.py:one", "--trust", "--quiet"]) == 0
    finally:
        os.chdir(home)
    assert len(surfaceviz.read("s.h5").spectra) == 1


def test_a_slice_of_a_module_is_continued_from_another_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("flagged").mkdir()
    Path("flagged/models.py").write_text(FACTORY)
    slice_ = ["slice", "flagged.models:one", "--axis=-1:1:5", "--no-plot", "-o", "s.h5", "--quiet"]
    assert cli.run(slice_) == 0
    home = Path.cwd()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    sys.path = [folder for folder in sys.path if folder != str(home)]
    for name in ("flagged.models", "flagged"):
        monkeypatch.delitem(sys.modules, name)
    assert cli.run(["hessian", "../s.h5", "--top=1", "--quiet"]) == 0  # and no question whether it is trusted
    (home / "flagged").rename(home / "renamed")
    for name in ("flagged.models", "flagged"):
        monkeypatch.delitem(sys.modules, name)
    assert cli.run(["hessian", "../s.h5", "--top=2"]) == 1
    line = capsys.readouterr().err
    assert "../s.h5 was computed from flagged.models, which is in none of" in line
    assert "name its problem by --problem FILE.py:one" in line


def _untrained(tokens: int = 7) -> Problem:
    """Return a language model whose logits prefer a token that is never a target; its targets are two others."""
    head = nn.Linear(2, tokens)
    with torch.no_grad():
        head.bias[tokens - 1] = 50.0
    model = nn.Sequential(nn.Embedding(tokens, 2), head)
    x = torch.arange(12).reshape(4, 3) % 2
    return Problem(model, (x, 1 - x), "cross_entropy")


@pytest.mark.parametrize("command", [surfaceviz.hessian, surfaceviz.sharpness, oracles.run_slice])
def test_accuracies_near_chance_are_told_by_every_command(command: Any) -> None:
    recorder = oracles.Recorder()
    more = {surfaceviz.hessian: {"top": 1}, surfaceviz.sharpness: {"rescale": False, "starts": 1, "iterations": 1}}
    command(_untrained(), reporter=recorder, **more.get(command, {"axes": [(-1, 1, 2)]}))
    assert any(
        "0, is near chance (1 in 7): were the trained weights loaded? If not" in line for line in recorder.warned
    )
