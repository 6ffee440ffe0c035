"""Baseline: the processes and segments that the system lists after the launcher was killed by SIGKILL."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import launchers
import oracles
import pytest

from surfaceviz import store
from surfaceviz.execute import launcher_watch, shared_memory

EXTRA = """
import os
def ranked():
    open(f"rank-{os.environ.get('PMIX_RANK') or os.environ.get('PMI_RANK')}-{os.getpid()}", "w").close()
    return slow()
"""
BETWEEN = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:], close_fds=False))"


def _alive(process: int) -> bool:
    return bool(launcher_watch._process(process)[0])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("launcher", ["openmpi", "mpich"])
@pytest.mark.parametrize("between", [False, True])
def test_ranks_end_when_their_launcher_is_killed(launcher: str, between: bool, tmp_path: Path) -> None:
    oracles.write_factory(tmp_path, EXTRA)
    command = ["-m", "surfaceviz", "slice", "mine.py:ranked", "--axis=-1:1:50", "--axis=-1:1:200", "-o", "a.h5"]
    arguments = ["-c", BETWEEN, sys.executable, *command] if between else command
    job = launchers.start(launcher, 2, arguments)
    oracles.wait_for(Path("ticks"), 100)
    ranks = [int(path.name.split("-")[2]) for path in Path().glob("rank-*")]
    assert len(ranks) == 2
    segments = {name for name, _ in (pair for rank in ranks for pair in shared_memory._mapped(str(rank)))}
    job.kill()
    job.wait()
    deadline = time.monotonic() + 60  # so that a loaded machine fails nothing; the watch looks every two seconds
    while any(map(_alive, ranks)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [rank for rank in ranks if _alive(rank)]
    for rank in left:
        os.kill(rank, signal.SIGKILL)
    assert left == []
    store.read("a.h5")  # whole; Open MPI may end rank 0 before its last snapshot
    subprocess.run([sys.executable, "-m", "surfaceviz", "info", "a.h5"], check=True, stdout=subprocess.DEVNULL)
    assert not segments & {path.name for path in shared_memory.FOLDER.iterdir()}


def test_a_job_that_a_failed_test_leaves_is_ended() -> None:
    """Else its finaliser would warn during another test, which would fail instead."""
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    job = launchers.ended_with_the_test(subprocess.Popen(sleeping, stdout=subprocess.PIPE, text=True))
    launchers.end_all()
    assert job.returncode == -signal.SIGKILL
    assert job.stdout is not None
    assert job.stdout.closed


def test_the_watch_leaves_time_within_fifteen_seconds() -> None:
    assert launcher_watch._INTERVAL + launcher_watch._LAST_SNAPSHOT < 15


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    return tmp_path


def _note(folder: Path, name: str, segments: list[str]) -> Path:
    path = folder / f"surfaceviz-{os.geteuid()}-{name}.segments"
    path.write_text(json.dumps({segment: (folder / segment).stat().st_ino for segment in segments}))
    return path


def test_only_segments_of_the_dead_are_removed(folder: Path) -> None:
    for name in ("dead", "shared", "alive", "others", "replaced"):
        (folder / name).touch()
    _note(folder, "1", ["dead", "shared", "replaced"])
    living = _note(folder, "2", ["alive", "shared"])
    (folder / "replaced").rename(folder / "gone")
    (folder / "replaced").touch()  # another file of the same name
    with living.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        shared_memory.remove_dead_segments()
    assert {path.name for path in folder.iterdir()} == {"shared", "alive", "others", "replaced", "gone", living.name}
    shared_memory.remove_dead_segments()
    assert {path.name for path in folder.iterdir()} == {"others", "replaced", "gone"}


def test_a_segment_that_a_process_has_mapped_stays(folder: Path) -> None:
    import mmap  # noqa: PLC0415

    (folder / "mapped").write_bytes(b"x" * 4096)
    _note(folder, "1", ["mapped"])
    with (folder / "mapped").open("r+b") as stream, mmap.mmap(stream.fileno(), 4096):
        shared_memory.remove_dead_segments()
    assert [path.name for path in folder.iterdir()] == ["mapped"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"../victim": 1}', '{"victim": "x"}'])
def test_a_forged_note_removes_nothing(content: str, folder: Path) -> None:
    (folder / "victim").touch()
    (folder / f"surfaceviz-{os.geteuid()}-x.segments").write_text(content)
    (folder / f"surfaceviz-{os.geteuid()}-y.segments").symlink_to("victim")
    shared_memory.remove_dead_segments()
    assert (folder / "victim").exists()
    assert (folder / f"surfaceviz-{os.geteuid()}-y.segments").is_symlink()
