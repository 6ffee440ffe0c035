"""An exclusive lock on an output file: a lock file next to it names host and process."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from surfaceviz import atomic_write
from surfaceviz.errors import StoreError

try:
    import fcntl
except ImportError:  # a system without them: host and process decide alone
    fcntl = None  # type: ignore[assignment]

_POLL = 0.05  # seconds between two attempts
_LARGEST = 4096  # bytes of a lock file
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EMLINK, errno.EXDEV)
_NO_FOLLOW, _NO_WAIT = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)


class _HeldError(Exception):
    """Another process holds the lock."""


@contextmanager
def held(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold ``path`` for writing.

    The operating system's lock on the lock file ends with the process, so that the lock of a dead process is free
    at once. On a file system without such locks, the host and process named in the lock file decide. A file that is
    not a lock of this program, by its content, is neither used nor changed.

    Args:
        path: the output.
        wait: seconds to wait for another process.

    Raises:
        StoreError: another run holds it, another file has the lock's name, or the folder is missing or may not be
            written.
    """
    real = check_output(path)  # what a snapshot is renamed over
    file = lock_path(real)
    descriptor = _acquire(path, file, wait)
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
        atomic_write.remove_dead_parts(real)
        yield
    finally:
        held_now.clear()
        if _is_at(descriptor, file):
            file.unlink(missing_ok=True)
        os.close(descriptor)


def check_output(path: Path) -> Path:
    """Return the file that a write to ``path`` replaces.

    Raises:
        StoreError: it is a folder, a device, read-only, or a link into nothing.
    """
    try:
        return atomic_write.check_target(path)
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from error


def lock_path(path: Path) -> Path:
    """Return the path of the lock file of an output."""
    name = atomic_write.short_name(path.name)
    return path.with_name(f"{name}.lock" if name == path.name else f".{name}.lock")


def _acquire(path: Path, file: Path, wait: float) -> int:
    deadline = time.monotonic() + wait
    while True:
        try:
            return _take(path, file)
        except _HeldError as error:
            if time.monotonic() >= deadline:
                raise StoreError(str(error)) from None
        except OSError as error:
            raise StoreError(f"{path} can't be written: {error.strerror or error}") from error
        time.sleep(_POLL)


def _take(path: Path, file: Path) -> int:
    """Return the descriptor of the lock file, locked: a new file, or that of a dead process."""
    while True:
        with suppress(FileExistsError, FileNotFoundError if file.parent.is_dir() else FileExistsError):
            return _create(Path(os.path.realpath(path)), file)
        try:
            descriptor = os.open(file, os.O_RDWR | _NO_FOLLOW | _NO_WAIT)
        except FileNotFoundError:
            continue  # the holder has just removed it
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise StoreError(_not_a_lock(path, file)) from None
            raise
        try:
            _lock_ours(descriptor, path, file)
            # The last holder may have removed the file between opening and locking.
            if _is_at(descriptor, file):
                _write_holder(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock_ours(descriptor: int, path: Path, file: Path) -> None:
    """Lock an existing lock file of this program.

    Raises:
        StoreError: it is another kind of file.
        _HeldError: another process holds it.
    """
    if not _is_ours(descriptor):
        raise StoreError(_not_a_lock(path, file))
    if not _lock(descriptor):
        raise _HeldError(
            f"{path} is being written by {_holder(descriptor)}; wait for it, or give another file by -o "
            f"(if that run is gone, remove {file.name})"
        )


def _create(output: Path, file: Path) -> int:
    """Create a lock file that holds its content from its first moment on.

    Raises:
        FileExistsError: there is a file of that name.
        OSError: it can't be created or written; nothing of it stays.
    """
    beside, descriptor = atomic_write.new_part(output, 0o666)
    try:
        _lock(descriptor)
        _write_holder(descriptor)
        try:
            os.link(beside, file, follow_symlinks=False)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _rename_where_links_fail(beside, file)
    except BaseException:
        os.close(descriptor)
        raise
    finally:
        beside.unlink(missing_ok=True)
    return descriptor


def _rename_where_links_fail(beside: Path, file: Path) -> None:
    """Move the lock file to its name on a file system without hard links; a name that exists is reserved first."""
    reserved = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o666)
    try:
        os.replace(beside, file)  # noqa: PTH105
    except OSError:
        if _is_at(reserved, file):
            file.unlink()
        raise
    finally:
        os.close(reserved)


def _write_holder(descriptor: int) -> None:
    content = json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


def _is_at(descriptor: int, file: Path) -> bool:
    """Return whether a name still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(file))
    except FileNotFoundError:
        return False


def _is_ours(descriptor: int) -> bool:
    """Return whether a file is a lock of this program: regular, and its content names host and process."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
        return False
    return _content(descriptor).keys() == {"host", "process"}


def _not_a_lock(path: Path, file: Path) -> str:
    return f"{path} can't be locked: {file.name} is not a lock file of surfaceviz, and is kept; give another file by -o"


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
        content = json.loads(os.pread(descriptor, _LARGEST, 0) or b"{}")
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
    except (PermissionError, OverflowError):
        return True
    return process != os.getpid()


def _holder(descriptor: int) -> str:
    content = _content(descriptor)
    return f"process {content.get('process', '?')} on {content.get('host', 'a host that is not named')}"
