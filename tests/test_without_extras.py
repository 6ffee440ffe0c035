"""Baseline: a process in which Python finds none of the optional packages, as after `pip install surfaceviz`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from without_extras import OPTIONAL

from surfaceviz.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PLANE = "--axis=-1:1:5 --axis=-1:1:4 --samples=60 --engine=eager --workers=1 --quiet"
TRAIN = "--epochs=3 --batch=all --device=cpu"

# Commands that give a result -> what they write.
WHOLE = {
    f"slice mlp-digits -o s.h5 {PLANE}": ["s.h5", "s.png"],
    "info s.h5": [],
    "plot s.h5 -o filled.pdf": ["filled.pdf"],
    "hessian s.h5 --top=1 --rtol=0.1 --quiet": [],
    "plot s.h5 --kind=spectrum -o spectrum.png": ["spectrum.png"],
    "minima s.h5": [],
    "export s.h5 -o s.stl": ["s.stl"],
    "export s.h5 --to=reference -o r.h5": ["r.h5"],
    "import r.h5 -o i.h5": ["i.h5"],
    f"slice mlp-digits -o 1.h5 --shard=1/2 {PLANE}": ["1.h5"],
    f"slice mlp-digits -o 2.h5 --shard=2/2 {PLANE}": ["2.h5"],
    "merge 1.h5 2.h5 -o whole.h5": ["whole.h5", "whole.png"],
    f"train mlp digits -o a {TRAIN}": ["a"],
    f"train mlp digits -o b --seed=1 {TRAIN}": ["b"],
    "trajectory a --axis=-1:1:4 --axis=-1:1:4 --samples=60 --workers=1 --quiet": ["a-trajectory.h5"],
    "edge a --checkpoints=2 --samples=50 --rtol=0.1 --workers=1 --quiet": ["a-edge.h5"],
    "sharpness a --samples=20 --starts=1 --iterations=1 --no-rescale": [],
    "study five-points --quick": ["study-five-points.h5", "study-five-points.png"],
    "catalogue": [],
    "--version": [],
}

# Commands that need an optional package -> the line that tells which extra to install, their code, and what they write.
PARTLY: dict[str, tuple[str, int, list[str]]] = {
    "plot s.h5 --kind=surface -o surface.png": (
        "warning: pyvista is not installed: pip install 'surfaceviz[3d]'; drawn by matplotlib instead, without light",
        0,
        ["surface.png"],
    ),
    "compare a b -o c.h5 --quick --directions=4 --axis=-1:1:4 --axis=-1:1:4 --samples=60 --workers=1 --quiet": (
        "warning: no page: a page needs plotly.js, but plotly is not installed: pip install 'surfaceviz[report]'",
        0,
        ["c.h5", "c.png", "c.csv"],
    ),
    "report s.h5": (
        "surfaceviz: a page needs plotly.js, but plotly is not installed: pip install 'surfaceviz[report]'", 1, []
    ),
    "plot s.h5 --animate=orbit -o orbit.gif": (
        "surfaceviz: a movie can't be written: imageio is not installed: pip install 'surfaceviz[movie]'", 1, []
    ),
    "view s.h5": ("surfaceviz: pyvista is not installed: pip install 'surfaceviz[3d]'", 1, []),
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the commands gave, one after another in one process and one folder."""
    commands = [*WHOLE, *PARTLY]
    asked = json.dumps([shlex.split(command) for command in commands])
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "without_extras.py", asked],
        cwd=tmp_path_factory.mktemp("without"), env={**os.environ, "DISPLAY": ":0"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(commands, json.loads(done.stdout), strict=True))


def test_every_command_is_tried() -> None:
    assert {command.split()[0] for command in [*WHOLE, *PARTLY]} == {*COMMANDS, "--version"}


@pytest.mark.parametrize("command", WHOLE, ids=lambda command: command[:30])
def test_commands_work_without_the_optional_packages(command: str, outcomes: dict[str, dict[str, Any]]) -> None:
    given = outcomes[command]
    assert given["code"] == 0, given["err"]
    assert "pip install" not in given["err"]
    assert set(WHOLE[command]) <= set(given["files"])


@pytest.mark.parametrize("command", PARTLY, ids=lambda command: command[:30])
def test_the_others_name_the_extra_in_one_line(command: str, outcomes: dict[str, dict[str, Any]]) -> None:
    given, (line, code, files) = outcomes[command], PARTLY[command]
    assert given["code"] == code
    assert [each for each in given["err"].splitlines() if "pip install" in each] == [line]
    assert set(files) <= set(given["files"])
    assert not {"c.html", "s.html", "orbit.gif"} & set(given["files"])


def test_what_is_hidden_is_what_the_extras_bring() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = {
        word.partition(">")[0].partition("[")[0] for key in ("3d", "movie", "report", "mpi") for word in extras[key]
    }
    assert named <= OPTIONAL
    assert not OPTIONAL & {word.partition(">")[0] for word in project["dependencies"]}
