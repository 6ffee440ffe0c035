"""Baseline: an undisturbed run, and the bytes of all files of others; the walk itself is in driver.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUGS = (
    "parts have a known name",
    "any file is a lock",
    "whatever is there is replaced",
    "files are written in place",
)
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="preloads a library, and reads /proc"),
]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the library whose calls fail when told to."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "a C compiler is needed"
    path = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, HERE / "faults.c", "-ldl"], check=True)
    return path


def _walk(library: Path, seed: int, steps: int, bug: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    command = [sys.executable, str(HERE / "driver.py"), str(seed), str(steps), str(library), bug]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.slow
def test_a_short_walk_over_commands_and_faults_breaks_nothing(library: Path) -> None:
    done = _walk(library, 0, 25)
    assert (done.returncode, done.stdout) == (0, "25 steps\n"), done.stdout + done.stderr[-3000:]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_walk_over_commands_and_faults_breaks_nothing(seed: int, library: Path) -> None:
    done = _walk(library, seed, 320)
    assert (done.returncode, done.stdout) == (0, "320 steps\n"), done.stdout + done.stderr[-3000:]


@pytest.mark.long
@pytest.mark.parametrize("bug", BUGS)
def test_the_walk_finds_bugs_that_were_put_in(bug: str, library: Path) -> None:
    assert _walk(library, 3, 160, bug).returncode == 1
