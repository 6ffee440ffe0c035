"""Baseline: docs/mistakes.md, whose code is run: each mistake gets its line, and what the page advises works."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
from pathlib import Path
from typing import Any

import oracles
import pytest
import torch
from mistakes_page import Mistake, code_block, mistakes
from safetensors.torch import save_file

from surfaceviz import cli
from surfaceviz.errors import SurfacevizError

MISTAKES = mistakes()


@pytest.fixture(scope="module")
def mistakes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of the page."""
    folder, home = tmp_path_factory.mktemp("mistakes"), Path.cwd()
    os.chdir(folder)
    try:
        Path("mine.py").write_text(code_block("python"))
        made = runpy.run_path("mine.py")
        weights = made["net"].state_dict()
        torch.save(
            {key: {n: w + shift for n, w in weights.items()} for key, shift in (("net_a", 0), ("net_b", 1))}, "gan.pt"
        )
        torch.save(made["small"].state_dict(), "other.pt")
        torch.save({n: -w if n.startswith("2") else w for n, w in weights.items()}, "best.pt")
        Path("run").mkdir()
        save_file(weights, "run/model.safetensors")
        Path("steps").mkdir()
        for step in (1, 2):
            torch.save(weights, f"steps/step-{step}.pt")
        _compute_slices()
    finally:
        os.chdir(home)
    return folder


def _cli(command: str) -> int:
    words = shlex.split(command)[1:]
    more = ["--no-plot"] if words[0] in ("slice", "compare", "edge") else []
    return cli.run([*words, *more])


def _compute_slices() -> None:
    for command in code_block("sh").splitlines():
        assert _cli(command) == 0


def _evaluate(code: str) -> None:
    """Build the problem that the code gives, and slice it."""
    names: dict[str, Any] = runpy.run_path("mine.py")
    oracles.run_slice(eval(code, names), [(-1, 1, 3)])  # noqa: S307  the page's own code


def _lines(given: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the errors and warnings that a mistake gets."""
    if given.startswith("surfaceviz "):
        _cli(given)
        return [re.sub("^(surfaceviz|warning): ", "", line) for line in capsys.readouterr().err.splitlines()]
    with pytest.raises((SurfacevizError, ValueError)) as caught:
        _evaluate(given)
    return [" ".join(str(caught.value).split())]


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name.replace(" ", "-") for mistake in MISTAKES])
def test_each_mistake_gets_its_line_and_what_works_works(
    mistake: Mistake, mistakes_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(mistakes_folder, Path(), dirs_exist_ok=True)
    made = ("curve.h5", "rays.h5")
    if any(name in mistake.works for name in made):  # the names in a file are followed where it was made
        for name in made:
            Path(name).unlink()
        _compute_slices()
        capsys.readouterr()
    assert mistake.line in _lines(mistake.given, capsys)
    if mistake.works.startswith("surfaceviz "):
        assert _cli(mistake.works) == 0
        assert mistake.line not in capsys.readouterr().err
    else:
        _evaluate(mistake.works)


def test_the_page_has_forty_mistakes() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len({mistake.given for mistake in MISTAKES}) >= 40
