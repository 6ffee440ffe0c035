"""Baseline: what `os.stat` and the content of the files that were there before say."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from surfaceviz import atomic_write
from surfaceviz.atomic_write import ChangedError, DurabilityWarning, NotReplacedError
from surfaceviz.file_kinds import is_own_output

PRECIOUS = b"precious"


def _names() -> set[str]:
    return {path.name for path in Path().iterdir()}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_the_mode_of_a_replaced_file_is_kept(mode: int) -> None:
    Path("a").write_bytes(b"old")
    Path("a").chmod(mode)
    atomic_write.write_bytes(Path("a"), b"new")
    assert Path("a").stat().st_mode & 0o7777 == mode
    assert Path("a").read_bytes() == b"new"


def test_a_new_file_has_the_mode_of_the_umask() -> None:
    before = os.umask(0o027)
    try:
        atomic_write.write_bytes(Path("a"), b"new")
    finally:
        os.umask(before)
    assert Path("a").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_a_replaced_file_is_kept() -> None:
    Path("a").write_bytes(b"old")
    os.chown("a", 1234, 2345)
    atomic_write.write_bytes(Path("a"), b"new")
    assert (Path("a").stat().st_uid, Path("a").stat().st_gid) == (1234, 2345)


def test_a_read_only_file_is_refused() -> None:
    Path("a").write_bytes(PRECIOUS)
    Path("a").chmod(0o444)
    with pytest.raises(NotReplacedError, match="it is read-only, and kept"):
        atomic_write.write_bytes(Path("a"), b"new")
    assert Path("a").read_bytes() == PRECIOUS
    assert _names() == {"a"}


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "socket"])
def test_a_special_file_is_refused(kind: str) -> None:
    match kind:
        case "fifo":
            os.mkfifo("a")
        case "folder":
            Path("a").mkdir()
        case "device":
            Path("a").symlink_to("/dev/null")
        case _:
            import socket  # noqa: PLC0415

            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind("a")
    before = os.lstat("a")
    with pytest.raises(NotReplacedError, match=r"it is a (folder|device, a pipe or a socket)"):
        atomic_write.write_bytes(Path("a"), b"new")
    assert os.path.samestat(before, os.lstat("a"))
    assert _names() == {"a"}


def test_a_link_into_nothing_is_not_followed() -> None:
    Path("a").symlink_to("elsewhere")
    with pytest.raises(NotReplacedError, match="it is a link to .*elsewhere, which is not followed"):
        atomic_write.write_bytes(Path("a"), b"new")
    assert _names() == {"a"}


@pytest.mark.parametrize("plant", ["link", "fifo", "folder", "file"])
def test_what_is_planted_under_the_old_names_of_parts_stays(plant: str) -> None:
    Path("victim").write_bytes(PRECIOUS)
    name = Path(".a.part")
    if plant == "link":
        name.symlink_to("victim")
    elif plant == "fifo":
        os.mkfifo(name)
    elif plant == "folder":
        name.mkdir()
    else:
        name.write_bytes(PRECIOUS)
    before = os.lstat(name)
    atomic_write.write_bytes(Path("a"), b"new")
    assert Path("a").read_bytes() == b"new"
    assert Path("victim").read_bytes() == PRECIOUS
    assert os.path.samestat(before, os.lstat(name))


def test_no_two_parts_have_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    replace = os.replace

    def noting(part: Path, target: Path) -> None:
        names.append(str(part))
        replace(part, target)

    monkeypatch.setattr(os, "replace", noting)
    for _ in range(20):
        atomic_write.write_bytes(Path("a"), b"new")
    assert len(set(names)) == 20


def test_only_the_file_that_was_read_is_replaced() -> None:
    first = atomic_write.write_bytes(Path("a"), b"1")
    second = atomic_write.write_bytes(Path("a"), b"2", expected=first)
    assert atomic_write.identity(Path("a")) == second
    Path("other").write_bytes(PRECIOUS)
    Path("other").replace("a")  # another program moves a file into its place
    with pytest.raises(ChangedError):
        atomic_write.write_bytes(Path("a"), b"3", expected=second)
    with pytest.raises(ChangedError):
        atomic_write.write_bytes(Path("a"), b"3", expected=None)
    assert Path("a").read_bytes() == PRECIOUS
    assert _names() == {"a"}


KILLED = """
import os, signal
from pathlib import Path
from surfaceviz import atomic_write
os.fsync = lambda _descriptor: os.kill(os.getpid(), signal.SIGKILL)
atomic_write.write_bytes(Path("a.png"), b"new")
"""


def test_parts_of_killed_writers_are_removed_by_the_next_and_no_others() -> None:
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", KILLED], check=False)
        assert run.returncode == -signal.SIGKILL
    assert len(_names()) == 1  # the second and the third one removed the part of the one before
    living, descriptor = atomic_write.new_part(Path.cwd() / "a.png", 0o666)
    Path("victim").write_bytes(PRECIOUS)
    planted = Path(f".a.png.surfaceviz-{'0' * 32}.part")
    planted.symlink_to("victim")
    others = {living.name, "victim", planted.name, ".a.png.mine.part", ".b.png.surfaceviz-" + "1" * 32 + ".part"}
    for name in others:
        Path(name).touch()
    atomic_write.remove_dead_parts(Path("a.png"))
    assert _names() == others
    assert Path("victim").read_bytes() == PRECIOUS
    os.close(descriptor)


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_step_leaves_the_old_file_and_no_part(
    step: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a").write_bytes(b"old")

    def fail(*_args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match=os.strerror(code)):
        atomic_write.write_bytes(Path("a"), b"new")
    assert Path("a").read_bytes() == b"old"
    assert _names() == {"a"}


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_cannot_sync_gets_the_file_and_a_warning(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", cannot)
    with pytest.warns(DurabilityWarning, match="can't sync a (file|folder): a power failure may lose"):
        atomic_write.write_bytes(Path("a"), b"new")
    assert Path("a").read_bytes() == b"new"


@pytest.mark.parametrize("length", [1, 150, 200, 231, 240, 250, 255])
def test_any_name_that_the_file_system_takes_can_be_written(length: int) -> None:
    path = Path("\N{LATIN SMALL LETTER E WITH ACUTE}" * (length // 2) + "a" * (length % 2))
    for content in (b"1", b"2"):
        atomic_write.write_bytes(path, content)
    assert path.read_bytes() == b"2"
    assert len(_names()) == 1


def test_a_name_that_is_too_long_is_one_error() -> None:
    with pytest.raises(OSError, match="File name too long"):
        atomic_write.write_bytes(Path("a" * 256), b"1")


@pytest.mark.parametrize(
    ("name", "head", "ours"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n....tEXtSoftware\0Matplotlib version3.9", True),
        ("a.png", b"\x89PNG\r\n\x1a\n....a photograph", False),
        ("a.png", b"\x89HDF\r\n\x1a\n", False),
        ("a.svg", b'<?xml version="1.0"?> ... Matplotlib v3.9', True),
        ("a.svg", b'<?xml version="1.0"?> inkscape', False),
        ("a.html", b"<!DOCTYPE html><html>my page</html>", False),
        ("package.json", b'{\n "name": "precious"', False),
        ("a.json", b'{\n "checkpoints": [\n', True),
        ("a.csv", b"alpha,beta\n", False),
        ("a.gif", b"GIF89a", True),
        ("a.gif", b"precious", False),
        ("any.thing", b"", True),
        ("any.thing", b"x", False),
    ],
)
def test_files_of_another_kind_are_recognised(name: str, head: bytes, ours: bool) -> None:
    assert is_own_output(Path(name), head) == ours
