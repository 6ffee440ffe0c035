"""An exclusive lock on an output file: a lock file next to it names host and process."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from surfaceviz.errors import StoreError

try:
    import fcntl
except ImportError:  # a system without them: host and process decide alone
    fcntl = None  # type: ignore[assignment]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold ``path`` for writing.

    The operating system's lock on the lock file ends with the process, so that the lock of a dead process is free
    at once. On a file system without such locks, the host and process named in the lock file decide.

    Raises:
        StoreError: another run holds it, or the folder is missing or may not be written.
    """
    real = Path(os.path.realpath(path))  # what a snapshot is renamed over
    file = real.with_name(f"{real.name}.lock")
    descriptor = _acquire(path, file)
    owner = os.getpid()

    def close_in_child() -> None:
        # A forked worker must not keep the lock of a parent that was killed. Fork hooks can't be removed, so
        # this hook acts only in a child of the holder, while the holder has the lock.
        if held_now and os.getppid() == owner:
            held_now.clear()
            os.close(descriptor)

    held_now = [descriptor]

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=close_in_child)
    try:
        yield
    finally:
        held_now.clear()
        file.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, file: Path) -> int:
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(f"{path} can't be written: {error.strerror} ({file.parent})") from error
        if not _lock(descriptor):
            holder = _holder(descriptor)
            os.close(descriptor)
            raise StoreError(
                f"{path} is being written by {holder}; wait for it, or give another file by -o "
                f"(if that run is gone, remove {file.name})"
            )
        # The last holder may have removed the file between opening and locking.
        if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
            break
        os.close(descriptor)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode(), 0)
    return descriptor


def _lock(descriptor: int) -> bool:
    """Return whether the lock was acquired, by the system's lock or, without one, by the content of the file."""
    if fcntl is None:
        return not _perhaps_alive(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # ENOLCK, ENOTSUP: a file system without locks
        return not _perhaps_alive(descriptor)
    return True


def _content(descriptor: int) -> dict[str, object]:
    try:
        content = json.loads(os.pread(descriptor, 4096, 0) or b"{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _perhaps_alive(descriptor: int) -> bool:
    """Return whether the process named in the file lives, or may live on another host."""
    content = _content(descriptor)
    process = content.get("process")
    if not isinstance(process, int):
        return False
    if content.get("host") != socket.gethostname():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _holder(descriptor: int) -> str:
    content = _content(descriptor)
    return f"process {content.get('process', '?')} on {content.get('host', 'a host that is not named')}"
