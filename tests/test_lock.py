"""Baseline: a second process that holds, held, or pretends to hold the lock."""

from __future__ import annotations

import errno
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
    Path("a.h5").touch()
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


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[[package]]\n", b'{"host": 1}', b'{"host": "a", "process": 1, "b": 2}']
)
def test_a_file_that_is_no_lock_is_neither_used_nor_changed(content: bytes) -> None:
    Path("poetry.lock").write_bytes(content)
    words = "poetry.lock is not a lock file of surfaceviz, and is kept"
    with pytest.raises(StoreError, match=words), lock.held(Path("poetry")):
        pass
    assert Path("poetry.lock").read_bytes() == content


@pytest.mark.parametrize("plant", ["link", "link into nothing", "fifo", "folder"])
def test_a_planted_lock_is_not_followed(plant: str) -> None:
    Path("victim").write_text("precious")
    name = Path("a.h5.lock")
    if plant == "fifo":
        os.mkfifo(name)
    elif plant == "folder":
        name.mkdir()
    else:
        name.symlink_to("victim" if plant == "link" else "elsewhere")
    with pytest.raises(StoreError, match="a.h5.lock is not a lock file of surfaceviz"), lock.held(Path("a.h5")):
        pass
    assert Path("victim").read_text() == "precious"
    assert {path.name for path in Path().iterdir()} == {"victim", "a.h5.lock"}


@pytest.mark.parametrize("call", ["pwrite", "link", "ftruncate"])
def test_a_disk_that_is_full_when_the_lock_is_written_is_one_line(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StoreError, match="a.h5 can't be written: No space left on device"), lock.held(Path("a.h5")):
        pass
    assert not list(Path().iterdir())


def test_a_lock_that_another_moved_into_place_is_not_removed() -> None:
    with lock.held(Path("a.h5")):
        Path("other").write_text("precious")
        Path("other").replace("a.h5.lock")
    assert Path("a.h5.lock").read_text() == "precious"


def test_without_hard_links_the_lock_works_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_args: object, **_named: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", none)
    with lock.held(Path("a.h5")):
        assert json.loads(Path("a.h5.lock").read_text())["process"] == os.getpid()
        with pytest.raises(StoreError, match="is being written by process"), lock.held(Path("a.h5")):
            pass
    assert not list(Path().iterdir())


@pytest.mark.parametrize("length", [200, 250, 255])
def test_a_long_name_can_be_locked(length: int) -> None:
    with lock.held(Path("a" * length)):
        assert len(list(Path().iterdir())) == 1
    assert not list(Path().iterdir())
