"""Baseline: the same call in one process; every job's values must be the same bits."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import launchers
import numpy as np
import oracles
import pytest
import torch

from surfaceviz import store
from surfaceviz.records import Slice

pytestmark = pytest.mark.slow
LONG = pytest.mark.long  # other combinations of what the gate runs

EAGER: Any = {"engine": "eager", "batch_size": 128}
CALLS: dict[str, dict[str, Any]] = {
    "curve": {"axes": [(-1, 1, 9)]},
    "rays": {"axes": [(-1, 1, 9)], "repeat": 4},
    "plane": {"axes": [(-1, 1, 7), (0, 1, 5)]},
    "refined": {"axes": [(-1, 1, 21), (-1, 1, 17)], "tol": 0.05},
    "found": {"axes": ["auto:9"], "bn": "recalibrate"},
    "sampled": {"axes": [(-1, 1, 21), (-1, 1, 17)], "tol": 0.2, "samples": "auto"},
    "chosen": {"axes": [(-1, 1, 11)], "engine": None, "batch_size": None},  # rank 0 selects the engine
}

COLLECTIVE = """
import sys
sys.path.insert(0, {tests!r})
import oracles
import surfaceviz
for name, call in {calls!r}.items():
    surface = oracles.run_slice(oracles.net_problem(samples=400), **{{**{eager!r}, **call}}, output=f"{{name}}.h5")
    assert surface.complete  # on every rank
"""

DIFFER = """
import sys
sys.path.insert(0, {tests!r})
import oracles
import surfaceviz
from surfaceviz.execute import mpi_placement
rank = mpi_placement().rank
try:
    oracles.run_slice(oracles.net_problem(), [(-1, 1, 5)], seed=int(rank == 1))
except surfaceviz.SurfacevizError as error:
    print(rank, type(error).__name__, error, flush=True)
surface = oracles.run_slice(oracles.net_problem(), [(-1, 1, 5)], seed=1)  # the next call finds all in order
print(rank + 10, surface.complete, flush=True)
"""

FACTORY = """
import os
import surfaceviz.execute

def problem():  # PAUSE s a point; FAULT says what goes wrong on rank 1
    fault, placement = os.environ.get("FAULT"), surfaceviz.execute.mpi_placement()
    fault = fault if placement and placement.rank == 1 else None
    if placement and placement.rank == 0:
        time.sleep(float(os.environ.get("BUILDING", "0")))
        open("built", "w").close()
    if fault == "unbuilt":
        raise OSError("no such disk")
    model = oracles.net()
    if fault == "other weights":
        model.fc.weight.data[0, 0] += 1e-3
    x, y = oracles.images(9 if fault == "other data" else 8)
    scale = 2 if fault == "other code" else 1
    passes, pause = iter(range(1000)), float(os.environ.get("PAUSE", "0.02"))

    def measure(model, batch):
        measured = os.path.exists("a.h5")  # the file is there before the first point
        if measured:
            with open("ticks", "a") as stream:
                stream.write(".")
            time.sleep(pause)
        if measured and next(passes) == 9:
            if fault == "raising":
                raise RuntimeError("bad luck")
            if fault == "killed":
                os.kill(os.getpid(), 9)
            if fault == "hanging":
                time.sleep(1000)
        loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")
        return {"loss": surfaceviz.PerSample(scale * loss, torch.ones_like(loss))}

    return surfaceviz.Problem(model, (x, y), measure=measure)
"""
SLICE = ["-m", "surfaceviz", "slice", "mine.py:problem", "--engine=eager", "--batch=128", "-o", "a.h5"]
GRID = ["--axis=-1:1:20", "--axis=-1:1:10"]


@pytest.fixture(autouse=True)
def _factory(tmp_path: Path) -> None:
    oracles.write_factory(tmp_path, FACTORY)


def _counts(surface: Slice) -> dict[str, int]:
    counts: dict[str, int] = json.loads(str(surface.provenance["worker_points"]))
    return counts


def _assert_equal_bits(a: Slice, b: Slice) -> None:
    assert a.complete
    np.testing.assert_array_equal(a.origin, b.origin)
    for name, array in a.values.items():
        np.testing.assert_array_equal(array, b.values[name])
        np.testing.assert_array_equal(a.stderr[name], b.stderr[name])
        np.testing.assert_array_equal(a.rise_stderr[name], b.rise_stderr[name])


@pytest.mark.parametrize(
    ("launcher", "ranks"),
    [("openmpi", 3), ("mpich", 2), pytest.param("openmpi", 2, marks=LONG), pytest.param("mpich", 3, marks=LONG)],
)
def test_a_job_gives_the_bits_of_one_process_and_every_rank_works(launcher: str, ranks: int) -> None:
    tests = str(Path(__file__).parents[1])
    Path("collective.py").write_text(COLLECTIVE.format(tests=tests, calls=CALLS, eager=EAGER))
    code, _, errors = launchers.finish(launchers.start(launcher, ranks, ["collective.py"]))
    assert (code, errors) == (0, "")
    for name, call in CALLS.items():
        surface = store.read(f"{name}.h5")
        fixed = {"engine": surface.provenance["engine"], "batch_size": int(surface.provenance["batch_size"])}
        _assert_equal_bits(surface, oracles.run_slice(oracles.net_problem(samples=400), **{**EAGER, **call, **fixed}))
        counts = _counts(surface)
        assert set(counts) == {str(rank) for rank in range(ranks)}
        assert min(counts.values()) >= 1
        assert sum(counts.values()) == surface.evaluated


def _start(launcher: str, ranks: int, *more: str, fault: str = "none") -> subprocess.Popen[str]:
    return launchers.start(launcher, ranks, [*SLICE, *GRID, *more], {"FAULT": fault})


def _own_lines(errors: str) -> str:
    """Return what surfaceviz itself said was wrong."""
    return "\n".join(line for line in errors.splitlines() if line.startswith("surfaceviz:"))


@pytest.mark.parametrize("launcher", ["openmpi", "mpich"])
def test_only_rank_0_prints(launcher: str) -> None:
    code, out, errors = launchers.finish(_start(launcher, 3))
    assert code == 0
    assert len(errors.splitlines()) == 1  # a warning that an untrained net is not a minimum
    lines = [line.split()[0] for line in out.splitlines()]
    assert lines.count("file") == lines.count("picture") == 1
    assert "200/200 points" in out
    assert "\x1b" not in out  # no progress bar without a terminal


def _assert_resumes(monkeypatch: pytest.MonkeyPatch, *, least: int = 1) -> None:
    """Check that the file is incomplete, and that the command resumes it to the bits of an undisturbed run."""
    monkeypatch.setenv("PAUSE", "0")
    assert least <= store.read("a.h5").done < 200
    assert launchers.finish(_start("openmpi", 2))[0] == 0
    whole = oracles.run_slice("mine.py:problem", [(-1, 1, 20), (-1, 1, 10)], workers=1, **EAGER)
    _assert_equal_bits(store.read("a.h5"), whole)


@pytest.mark.parametrize("launcher", ["openmpi", "mpich"])
def test_a_rank_that_raises_ends_the_job_with_its_name(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, errors = launchers.finish(_start(launcher, 3, fault="raising"))
    assert code == 1 or (launcher == "mpich" and code)  # MPICH mixes in that it kills the others
    assert _own_lines(errors).startswith("surfaceviz: rank 1 on ")
    assert "measuring split train raised RuntimeError: bad luck (mine.py, line" in _own_lines(errors)
    assert len(_own_lines(errors).splitlines()) == 1
    assert "Traceback" not in errors
    _assert_resumes(monkeypatch)


@pytest.mark.parametrize("launcher", ["openmpi", "mpich"])
def test_a_killed_rank_ends_the_job(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, _ = launchers.finish(_start(launcher, 3, fault="killed"))
    assert code != 0
    _assert_resumes(monkeypatch, least=0)  # MPICH kills the others at once, Open MPI lets them save


@pytest.mark.parametrize(
    ("launcher", "signum"),
    [
        ("openmpi", signal.SIGINT),
        ("mpich", signal.SIGTERM),
        pytest.param("openmpi", signal.SIGTERM, marks=LONG),
        pytest.param("mpich", signal.SIGINT, marks=LONG),
    ],
)
def test_an_interrupt_of_the_launcher_ends_the_job(
    launcher: str, signum: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = _start(launcher, 3)
    oracles.wait_for(Path("ticks"), 60)
    process.send_signal(signum)
    code, _, errors = launchers.finish(process)
    assert code != 0
    assert "Traceback" not in errors
    _assert_resumes(monkeypatch)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("other weights", "rank 1 on .* has other weights than rank 0"),
        ("other data", "rank 1 on .* has other data than rank 0"),
        ("other code", "rank 1 on .* has train_loss .* at the centre, rank 0 .*; run the same code"),
        ("unbuilt", "rank 1 on .*: mine.py:problem raised OSError: no such disk"),
    ],
)
def test_ranks_that_differ_are_detected_before_the_start(fault: str, words: str) -> None:
    code, _, errors = launchers.finish(_start("openmpi", 3, fault=fault))
    assert code == 1
    assert re.match(f"surfaceviz: {words}", _own_lines(errors))
    assert len(_own_lines(errors).splitlines()) == 1
    assert not Path("a.h5").exists()


def test_a_failing_rank_ends_the_job_while_rank_0_builds_its_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDING", "1000")
    code, _, errors = launchers.finish(_start("openmpi", 3, fault="unbuilt"))
    assert code == 1
    assert re.match("surfaceviz: rank 1 on .*: mine.py:problem raised OSError: no such disk", _own_lines(errors))
    assert not Path("built").exists()


WEIGHTS = """
import sys
sys.path.insert(0, {tests!r})
import oracles
import surfaceviz
from surfaceviz.execute import mpi_placement
try:
    oracles.run_slice(oracles.net_problem(), [(-1, 1, 5)], weights=f"w{{mpi_placement().rank}}.pt", output="a.h5")
except surfaceviz.SurfacevizError as error:
    print(mpi_placement().rank, error, flush=True)
"""


def test_a_rank_with_another_weights_file_is_detected() -> None:
    for rank in (0, 1):
        torch.save(oracles.net(seed=rank).state_dict(), f"w{rank}.pt")
    Path("weights.py").write_text(WEIGHTS.format(tests=str(Path(__file__).parents[1])))
    code, out, _ = launchers.finish(launchers.start("openmpi", 2, ["weights.py"]))
    assert code == 0  # the script has caught it
    assert re.search(r"^0 rank 1 on .* has other weights than rank 0 \(", out, re.MULTILINE)
    assert not Path("a.h5").exists()


def test_ranks_accept_a_list_of_devices() -> None:
    code, _, errors = launchers.finish(_start("openmpi", 2, "--device=cpu,cpu"))
    assert code == 0, errors


def test_a_signal_to_one_rank_ends_the_job() -> None:
    process = launchers.start("openmpi", 2, [*SLICE, "--axis=-1:1:2000"])
    oracles.wait_for(Path("ticks"), 60)
    ranks = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal() and _rank(p) == "1"]
    os.kill(ranks[0], signal.SIGTERM)
    code, _, errors = launchers.finish(process)
    assert code == 1
    assert re.match("surfaceviz: rank 1 on .*: ended by SIGTERM", _own_lines(errors))


def _rank(process: Path) -> str | None:
    """Return the rank of a process that a test here has started, in this folder."""
    try:
        if (process / "cwd").resolve() != Path.cwd() or b"surfaceviz" not in (process / "cmdline").read_bytes():
            return None
        variables = dict(v.split(b"=", 1) for v in (process / "environ").read_bytes().split(b"\0") if b"=" in v)
    except OSError:
        return None
    return variables.get(b"OMPI_COMM_WORLD_RANK", b"").decode() or None


def test_a_rank_that_hangs_does_not_keep_a_failed_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rank hangs for 1000 s; `launchers.finish` fails a job that does not end long before."""
    process = _start("openmpi", 3, fault="hanging")
    oracles.wait_for(Path("ticks"), 100)
    process.send_signal(signal.SIGTERM)
    launchers.finish(process)
    _assert_resumes(monkeypatch)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_launcher_of_another_mpi_is_detected(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", str(rank))
    command = [sys.executable, *SLICE, *GRID]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    # Other ranks print the error only when they outlive rank 0, whose exit code ends the job.
    who = "rank 1: " if rank else ""
    expected = f"surfaceviz: {who}mpiexec started 4 processes, but mpi4py's Open MPI v5.* sees 1: the launcher and"
    assert re.match(expected, done.stderr)
    assert not Path("a.h5").exists()


def test_calls_that_differ_are_detected() -> None:
    tests = str(Path(__file__).parents[1])
    Path("differ.py").write_text(DIFFER.format(tests=tests))
    code, out, _ = launchers.finish(launchers.start("openmpi", 3, ["differ.py"]))
    assert code == 0
    lines = sorted(out.splitlines(), key=lambda line: int(line.split()[0]))
    assert re.match("0 ProblemError rank 1 on .*: seed is 1 here, 0 on rank 0; all ranks must make the same", lines[0])
    assert re.match("1 ProblemError seed is 1 here", lines[1])
    assert re.match("2 RootStoppedError rank 0 has stopped: rank 1 on", lines[2])
    assert lines[3:] == ["10 True", "11 True", "12 True"]


def test_a_usage_error_is_printed_once() -> None:
    code, _, errors = launchers.finish(_start("openmpi", 3, "--axis=0:1:2"))
    assert code == 2
    assert "Traceback" not in errors
    assert _own_lines(errors) == "surfaceviz: a slice has 1 or 2 axes, got 3"
    code, _, errors = launchers.finish(_start("openmpi", 2, "--workers=3"))
    assert code == 2
    assert re.match("surfaceviz: workers: each of the 2 ranks is one worker; leave out workers", _own_lines(errors))


LOST = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import oracles
from surfaceviz.execute import mpi_placement, mpi_root, mpi_worker
mpi_root._ALIVE_INTERVAL, mpi_worker._ROOT_TIMEOUT, mpi_worker._EXIT_WAIT = 0.2, 4.0, 1.0
rank = mpi_placement().rank
def measure(model, batch, count=iter(range(100))):
    if rank == 0 and os.path.exists("lost.h5") and next(count) == 3:
        os.kill(os.getpid(), signal.SIGSTOP)  # as if its node had gone
    return {{"loss": (model(batch[0]).sum(), 1.0)}}
problem = oracles.Problem(oracles.net(), (oracles.images(8)[0],), measure=measure)
oracles.run_slice(problem, [(-1, 1, 20)], engine="eager", output="lost.h5")
"""


def test_ranks_end_when_rank_0_is_silent_for_too_long() -> None:
    Path("lost.py").write_text(LOST.format(tests=str(Path(__file__).parents[1])))
    code, _, errors = launchers.finish(launchers.start("openmpi", 2, ["lost.py"]), seconds=60)
    assert code != 0
    assert "WorkerError: rank 0 has been silent for 4 s" in errors
