"""Baseline: exit codes, the line on stderr and the file that an interrupted command leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import oracles
import pytest

from surfaceviz import store

pytestmark = pytest.mark.slow


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "surfaceviz", "slice", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_a_snapshot(signum: signal.Signals, workers: str, tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    process = _start("mine.py:slow", "--axis=-1:1:20", "--axis=-1:1:50", "--workers", workers, "-o", "a.h5")
    oracles.wait_for(Path("ticks"), 200)  # evaluations: of the check in float64, and of some chunks for each worker
    process.send_signal(signum)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signum
    kept = store.read("a.h5").done
    name = signal.Signals(signum).name
    assert f"interrupted by {name}; {kept} of 1000 points are in a.h5; the same command resumes from there" in errors
    assert 0 < kept < 1000
    assert str(store.read("a.h5").provenance["command"]).startswith("surfaceviz slice mine.py:slow --axis=-1:1:20")
    assert len(errors.splitlines()) == 1
    assert not Path("a.h5.lock").exists()


def test_a_second_command_on_one_file_is_refused(tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    first = _start("mine.py:slow", "--axis=-1:1:50", "--axis=-1:1:50", "-o", "a.h5", "--workers", "1")
    oracles.wait_for(Path("a.h5"))
    second = _start("mine.py:slow", "--axis=-1:1:50", "--axis=-1:1:50", "-o", "a.h5", "--workers", "1")
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 1
    assert f"a.h5 is being written by process {first.pid} on" in errors
    first.kill()
    first.communicate()


WAIT = """
import time
from pathlib import Path
def wait():
    Path("waiting").touch()
    time.sleep(1000)
"""


@pytest.mark.parametrize("moment", ["a library is imported", "the problem is built"])
def test_an_interrupt_before_the_first_point_is_one_line(moment: str) -> None:
    Path("mine.py").write_text(f"{WAIT}\nproblem = wait\n")
    if moment == "a library is imported":  # the first folder that Python searches is the current one
        Path("h5py.py").write_text(f"{WAIT}\nwait()\n")
    process = _start("mine.py:problem", "-o", "b.h5")
    oracles.wait_for(Path("waiting"))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors == "surfaceviz: interrupted by SIGINT\n"
    assert not Path("b.h5").exists()
