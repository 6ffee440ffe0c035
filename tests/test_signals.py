"""Baseline: exit codes, the line on stderr and the file that an interrupted command leaves; Python's own hooks."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import launchers
import oracles
import pytest

from surfaceviz import cli, signals, store
from surfaceviz.errors import Interrupted
from surfaceviz.signals import interruptible, raise_if_interrupted, raise_in_main_thread
from surfaceviz.store import opening


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "surfaceviz", "slice", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return launchers.ended_with_the_test(process)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


class _Finalised:
    """Sends a signal to this process in its finaliser, where Python drops the exception of the handler."""

    def __init__(self, signum: int) -> None:
        self._signum = signum

    def __del__(self) -> None:
        signal.raise_signal(self._signum)


def _drop_a_signal(signum: int) -> None:
    """Return after a signal whose exception was dropped."""
    thing = _Finalised(signum)
    del thing


class _Key:
    """A key of a `WeakKeyDictionary`."""


def _drop_a_signal_in_a_callback(signum: int) -> None:
    """Return after a signal in the callback of a weak reference."""
    key = _Key()
    reference = weakref.ref(key, lambda _reference: signal.raise_signal(signum))
    del key
    assert reference() is None


def _interruptible(*steps: Callable[[], object]) -> None:
    with interruptible():
        for step in steps:
            step()


def _never_ending() -> None:
    time.sleep(60)  # a loop that never asks
    raise AssertionError("the signal was lost")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("drop", [_drop_a_signal, _drop_a_signal_in_a_callback])
def test_a_signal_in_a_finaliser_is_raised_again_outside(drop: Callable[[int], None], signum: int) -> None:
    with pytest.raises(Interrupted, match=f"interrupted by {signal.Signals(signum).name}"):
        _interruptible(partial(drop, signum), _never_ending)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert sys.unraisablehook.__module__ != "surfaceviz.signals"


@pytest.mark.parametrize("drop", [_drop_a_signal, _drop_a_signal_in_a_callback])
def test_a_loop_that_asks_hears_of_a_signal_at_once(drop: Callable[[int], None]) -> None:
    steps: list[int] = []
    with pytest.raises(Interrupted):
        _interruptible(
            raise_if_interrupted, partial(steps.append, 1), partial(drop, signal.SIGTERM), partial(steps.append, 2),
            raise_if_interrupted, partial(steps.append, 3),
        )  # fmt: skip
    assert steps == [1, 2]


class FailedError(BaseException):
    """The failure of another thread."""


class _Asking:
    """Asks for the failure in its finaliser."""

    def __del__(self) -> None:
        raise_in_main_thread(self._fail)

    def _fail(self) -> None:
        raise FailedError


def test_a_request_of_another_thread_in_a_finaliser_is_raised_again_too() -> None:
    with pytest.raises(FailedError):
        _interruptible(_Asking, _never_ending)


def test_a_dropped_signal_at_the_end_of_a_block_reaches_nothing_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_AGAIN", 60.0)  # not yet raised again at the end
    with interruptible():
        _drop_a_signal(signal.SIGTERM)
        assert any(isinstance(thread, threading.Timer) for thread in threading.enumerate())
    assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate())


def test_other_exceptions_in_finalisers_are_reported_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def __del__(self) -> None:
            raise RuntimeError("mine")

    seen: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: seen.append(str(dropped.exc_value)))
    with interruptible():
        thing = Failing()
        del thing
    assert seen == ["mine"]


COMMANDS = {
    "info": ["info", "a.h5"],
    "export": ["export", "a.h5", "-o", "e.csv"],
    "plot": ["plot", "a.h5", "-o", "p.png"],
    "report": ["report", "a.h5", "-o", "r.html"],
    "merge": ["merge", "a.h5", "-o", "m.h5"],
    "hessian": ["hessian", "a.h5"],
    "sharpness": ["sharpness", "a.h5"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_ends_by_a_signal_that_came_in_a_finaliser(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never_ending(*_given: object, **_named: object) -> None:
        _drop_a_signal(signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(opening, "_look", never_ending)  # all reading comes through here
    Path("a.h5").touch()
    assert cli.run(COMMANDS[command]) == 128 + signal.SIGTERM
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("surfaceviz: interrupted by SIGTERM")
    assert {path.name for path in Path().iterdir()} == {"a.h5"}
