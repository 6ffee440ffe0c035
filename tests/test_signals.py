"""Baseline: exit codes, the line on stderr and the file that an interrupted command leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import oracles
import pytest

from surfaceviz import store


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "surfaceviz", "slice", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_a_snapshot(signum: signal.Signals, workers: str, tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    process = _start("mine.py:slow", "--axis=-1:1:20", "--axis=-1:1:50", "--workers", workers, "-o", "a.h5")
    oracles.wait_for(Path("ticks"), 60)  # evaluations; two chunks for each of two workers take 40 and their centres
    process.send_signal(signum)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + signum
    kept = store.read("a.h5").done
    name = signal.Signals(signum).name
    assert f"interrupted by {name}; {kept} of 1000 points are in a.h5; the same command goes on from there" in errors
    assert 0 < kept < 1000
    assert str(store.read("a.h5").provenance["command"]).startswith("surfaceviz slice mine.py:slow --axis=-1:1:20")
    assert len(errors.splitlines()) == 1
    assert not Path("a.h5.lock").exists()


def test_two_commands_on_one_file_and_a_ctrl_c_before_the_first_point(tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    first = _start("mine.py:slow", "--axis=-1:1:50", "--axis=-1:1:50", "-o", "a.h5", "--workers", "1")
    oracles.wait_for(Path("a.h5"))
    second = _start("mine.py:slow", "--axis=-1:1:50", "--axis=-1:1:50", "-o", "a.h5", "--workers", "1")
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"a.h5 is being written by process {first.pid} on" in errors
    first.kill()
    first.communicate()
    early = _start("mine.py:slow", "-o", "b.h5")
    time.sleep(0.5)
    early.send_signal(signal.SIGINT)
    _, errors = early.communicate(timeout=20)
    assert early.returncode == 130
    assert errors == "surfaceviz: interrupted by SIGINT\n"
    assert not Path("b.h5").exists()
