"""Baseline: the files of a release read as text, and the versions that the packages' own metadata tell."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import surfaceviz
from surfaceviz.version import VERSION

ROOT = Path(__file__).parents[1]


def _text(name: str) -> str:
    return (ROOT / name).read_text()


def test_the_version_is_written_in_one_place_and_every_file_agrees() -> None:
    project = tomllib.loads(_text("pyproject.toml"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "surfaceviz/version.py"
    assert surfaceviz.__version__ == VERSION
    assert re.findall(r"(?m)^version: (.+)$", _text("CITATION.cff")) == [VERSION]
    first = next(line for line in _text("CHANGELOG.md").splitlines() if line.startswith("## "))
    assert first.split()[1] == VERSION


def test_both_recipes_install_the_same_on_the_same_image() -> None:
    docker, apptainer = _text("Dockerfile"), _text("surfaceviz.def")
    (image,) = re.findall(r"(?m)^FROM (\S+)$", docker)
    assert re.findall(r"(?m)^From: (\S+)$", apptainer) == [image]
    for kind in ("apt-get install", "python -m pip install"):
        lines = [re.findall(rf"{kind} (.*?)(?: \\)?\n", text) for text in (docker, apptainer)]
        assert lines[0] == lines[1]
        assert len(lines[0]) == 1


def test_the_recipes_name_extras_that_exist() -> None:
    extras = tomllib.loads(_text("pyproject.toml"))["project"]["optional-dependencies"]
    for name in ("Dockerfile", "surfaceviz.def"):
        (named,) = re.findall(r"'/src\[(.*?)\]'", _text(name))
        assert set(named.split(",")) <= set(extras)


@pytest.mark.slow
def test_version_names_torch_and_mpi() -> None:
    done = subprocess.run([sys.executable, "-m", "surfaceviz", "--version"], capture_output=True, text=True, check=True)
    first, torch, mpi = done.stdout.splitlines()
    assert first == f"surfaceviz {VERSION}"
    assert torch == f"torch {version('torch')}"
    assert re.fullmatch(rf"(Open MPI v|MPICH Version: )\d[\d.]* \(mpi4py {re.escape(version('mpi4py'))}\)", mpi)


@pytest.mark.slow
def test_version_imports_no_torch() -> None:
    code = "import sys; from surfaceviz import cli; cli.run(['--version']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
