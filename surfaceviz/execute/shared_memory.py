"""Shared-memory segments that killed MPI jobs leave in ``/dev/shm``: ours are removed at the next start.

Each rank keeps a note next to the segments, which it locks while it lives. A note that nobody locks is of a dead rank,
whatever container it was in; its segments are removed unless a living rank has noted or mapped them, too.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without them, and without /dev/shm
    fcntl = None  # type: ignore[assignment]

FOLDER = Path("/dev/shm")  # noqa: S108  where MPI libraries put them
_NO_FOLLOW, _NO_WAIT = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)
_LARGEST = 2**20  # bytes of a note

Segments = dict[str, int]  # name -> inode


class _State:
    note: tuple[Path, int] | None = None


def note_segments() -> None:
    """Note the segments that this process has mapped; call it again when there may be more."""
    if fcntl is None or not FOLDER.is_dir():
        return
    with suppress(OSError):  # a full or read-only folder: the segments stay if the job is killed
        if _State.note is None:
            _State.note = _new_note()
        content = json.dumps(dict(_mapped("self"))).encode()
        os.pwrite(_State.note[1], content, 0)
        os.ftruncate(_State.note[1], len(content))


def remove_note() -> None:
    """Remove this process's note, once the MPI library has removed its segments."""
    if _State.note is not None:
        path, descriptor = _State.note
        _State.note = None
        path.unlink(missing_ok=True)
        os.close(descriptor)


def remove_dead_segments() -> None:
    """Remove the segments of ranks that were killed."""
    if fcntl is None:
        return
    dead: Segments = {}
    alive: Segments = {}
    notes: list[tuple[Path, int]] = []
    for path in _notes():
        descriptor, segments, is_dead = _read(path)
        (dead if is_dead else alive).update(segments)
        if is_dead:
            notes.append((path, descriptor))
        elif descriptor >= 0:
            os.close(descriptor)
    if dead:
        for name, inode in (dead.items() - alive.items()) - _mapped_by_anyone():
            _remove(FOLDER / name, inode)
    for path, descriptor in notes:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _prefix() -> str:
    return f"surfaceviz-{os.geteuid()}-"


def _new_note() -> tuple[Path, int]:
    path = FOLDER / f"{_prefix()}{secrets.token_hex(16)}.segments"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return path, descriptor


def _notes() -> list[Path]:
    try:
        names = os.listdir(FOLDER)  # noqa: PTH208
    except OSError:
        return []
    return [FOLDER / name for name in names if name.startswith(_prefix()) and name.endswith(".segments")]


def _read(path: Path) -> tuple[int, Segments, bool]:
    """Return descriptor (-1: none), segments and whether the rank is dead; only of a note that this user wrote."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT)
    except OSError:
        return -1, {}, False
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size > _LARGEST:
        return descriptor, {}, False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_dead = True
    except OSError:
        is_dead = False
    try:
        content = json.loads(os.pread(descriptor, _LARGEST, 0) or b"{}")
    except ValueError:
        content = {}
    named = content.items() if isinstance(content, dict) else ()
    return descriptor, {k: v for k, v in named if isinstance(v, int) and "/" not in k}, is_dead


def _mapped(process: str) -> Iterator[tuple[str, int]]:
    """Yield name and inode of the segments that a process has mapped."""
    with suppress(OSError), Path(f"/proc/{process}/maps").open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(maxsplit=5)
            if len(fields) == 6 and fields[5].startswith(f"{FOLDER}/"):  # noqa: PLR2004
                name = fields[5].removeprefix(f"{FOLDER}/")
                if "/" not in name and not name.endswith(" (deleted)"):
                    yield name, int(fields[4])


def _mapped_by_anyone() -> set[tuple[str, int]]:
    processes = [name for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208
    return {segment for process in processes for segment in _mapped(process)}


def _remove(path: Path, inode: int) -> None:
    with suppress(OSError):
        found = os.lstat(path)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_ino == inode:
            path.unlink()
