"""Baseline: a second process that holds, held, or pretends to hold the lock."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from surfaceviz import lock
from surfaceviz.errors import StoreError

HOLDER = """
import sys
from pathlib import Path
from surfaceviz import lock
with lock.held(Path("a.h5")):
    print("held", flush=True)
    sys.stdin.read()
"""


def _holder() -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_writer_is_refused_and_told_who_writes() -> None:
    holder = _holder()
    with (
        pytest.raises(StoreError, match=f"a.h5 is being written by process {holder.pid} on {socket.gethostname()}"),
        lock.held(Path("a.h5")),
    ):
        pass
    holder.communicate("")
    assert not Path("a.h5.lock").exists()
    with lock.held(Path("a.h5")):
        assert json.loads(Path("a.h5.lock").read_text())["process"] == os.getpid()


def test_a_link_and_its_target_are_one_file() -> None:
    Path("link.h5").symlink_to("a.h5")
    holder = _holder()
    with pytest.raises(StoreError, match="link.h5 is being written by process"), lock.held(Path("link.h5")):
        pass
    holder.communicate("")


def test_a_dead_ones_lock_is_taken_over() -> None:
    holder = _holder()
    holder.kill()
    holder.communicate()
    assert Path("a.h5.lock").exists()
    with lock.held(Path("a.h5")):
        pass
    assert not Path("a.h5.lock").exists()


@pytest.mark.parametrize(
    ("content", "free"),
    [
        ({"host": socket.gethostname(), "process": 2**22 + 1}, True),
        ({"host": socket.gethostname(), "process": 1}, False),
        ({"host": "elsewhere", "process": 2**22 + 1}, False),
        ({}, True),
    ],
)
def test_without_system_locks_host_and_process_decide(
    content: dict[str, object], free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    Path("a.h5.lock").write_text(json.dumps(content))
    if free:
        with lock.held(Path("a.h5")):
            pass
        return
    with pytest.raises(StoreError, match="is being written by process .*remove a.h5.lock"), lock.held(Path("a.h5")):
        pass


def test_a_missing_folder_is_said_to_be() -> None:
    with pytest.raises(StoreError, match="No such file or directory"), lock.held(Path("no/a.h5")):
        pass
