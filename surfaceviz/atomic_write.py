"""Atomic file writes: a part next to the target, fsynced and renamed over it. All outputs go through here.

A part has a name that cannot be guessed, is created by this process (``O_EXCL``, ``O_NOFOLLOW``) and locked while it is
written, so that a later writer recognises and removes the parts of killed ones.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without them: parts of killed writers stay
    fcntl = None  # type: ignore[assignment]

HEAD = 2**16  # bytes that are read to recognise a file; ours
_LONGEST = (
    150  # bytes of a target's name that a part or a lock repeats; longer names are hashed; file systems end at 255
)
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a FIFO would wait for its other end
_swept: set[str] = set()


class NotReplacedError(OSError):
    """The target is not a file that this output may replace; it is kept."""


class ChangedError(NotReplacedError):
    """The target is not the file that was read or written before."""


class DurabilityWarning(RuntimeWarning):
    """The file system can't sync: a power failure may lose the last write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The identity of a file's content, as the file system tells it."""

    device: int
    inode: int
    modified: int  # nanoseconds
    size: int


Expected = Identity | None
ANY = Identity(device=-1, inode=-1, modified=-1, size=-1)  # whatever is there


def identity(path: Path) -> Expected:
    """Return the identity of the file at ``path``, links followed; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    return _identity(found)


def _identity(found: os.stat_result) -> Identity:
    return Identity(device=found.st_dev, inode=found.st_ino, modified=found.st_mtime_ns, size=found.st_size)


def write_bytes(
    path: Path,
    content: bytes,
    *,
    accept: Callable[[bytes], bool] | None = None,
    expected: Expected = ANY,
    synced: bool = True,
) -> Identity:
    """Write bytes to ``path`` atomically and, if synced, durably, and return the identity of the new file.

    Mode, owner and extended attributes of a replaced file are kept.

    Args:
        path: the file; a link to an existing file is followed if ``accept`` is None.
        content: its bytes.
        accept: returns whether an existing file with these first bytes may be replaced; None: any regular file.
        expected: the file that is replaced; None: there is none.
        synced: whether the file is safe from a power failure as well, for which several milliseconds are waited.

    Raises:
        NotReplacedError: the target is read-only, not a regular file, a link, or not accepted; it is kept.
        ChangedError: the target is not the expected file; it is kept.
        OSError: the folder is missing or not writable, or the disk is full; the previous file stays.
    """
    target = check_target(path, accept)
    old = _stat(target)
    if str(target) not in _swept:
        remove_dead_parts(target)
    part, descriptor = new_part(target, 0o666 if old is None else 0o600)
    try:
        _write(descriptor, content, synced=synced)
        if old is not None:
            _keep_metadata(target, old, descriptor)
        written = _identity(os.fstat(descriptor))
        if expected != ANY and identity(target) != expected:
            raise ChangedError(errno.EEXIST, "another program has changed, moved or created it since it was read")
        os.replace(part, target)  # noqa: PTH105  fault injection patches os
    finally:
        part.unlink(missing_ok=True)
        os.close(descriptor)
    if synced:
        _sync_folder(target.parent)
    return written


def check_target(path: Path, accept: Callable[[bytes], bool] | None = None) -> Path:
    """Return the file that a write to ``path`` replaces.

    Args:
        path: as for `write_bytes`.
        accept: as for `write_bytes`.

    Raises:
        NotReplacedError: see `write_bytes`.
        OSError: the name can't be a file's.
    """
    given = Path(os.fspath(path))
    if given.is_symlink() and (accept is not None or not given.exists()):
        leads = Path(os.path.realpath(given))
        raise NotReplacedError(
            errno.ELOOP, f"it is a link to {leads}, which is not followed; give that name, or remove the link"
        )
    target = Path(os.path.realpath(given))
    found = _stat(target)
    if found is None:
        return target
    if stat.S_ISDIR(found.st_mode):
        raise NotReplacedError(errno.EISDIR, "it is a folder; give the name of a file")
    if not stat.S_ISREG(found.st_mode):
        raise NotReplacedError(errno.EINVAL, "it is a device, a pipe or a socket; give the name of a regular file")
    if not found.st_mode & 0o222 or not os.access(target, os.W_OK):
        raise NotReplacedError(errno.EACCES, "it is read-only, and kept; give another name, or make it writable")
    if accept is not None and not accept(_head(target)):
        raise NotReplacedError(
            errno.EEXIST, "there is another file of that name, and kept; give another name, or overwrite"
        )
    return target


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _head(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT)
    try:
        return os.read(descriptor, HEAD)
    finally:
        os.close(descriptor)


def short_name(name: str) -> str:
    """Return a file's name for use within a longer one: a hash where that would be too long for a file system."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONGEST else hashlib.sha256(encoded).hexdigest()[:32]


def new_part(target: Path, mode: int) -> tuple[Path, int]:
    """Create the part of a target, and return its path and its descriptor, which holds the system's lock."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | getattr(os, "O_BINARY", 0)
    while True:
        part = target.with_name(f".{short_name(target.name)}.surfaceviz-{secrets.token_hex(16)}.part")
        descriptor = os.open(part, flags, mode)
        _flock(descriptor)
        if part.exists():  # else another writer took it for that of a killed one, before it was locked
            return part, descriptor
        os.close(descriptor)


def _flock(descriptor: int) -> bool:
    """Return whether this process has the lock now, or False also where there are no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_dead_parts(target: Path) -> None:
    """Remove the parts that killed writers of a target left."""
    target = Path(os.path.realpath(target))
    _swept.add(str(target))
    remove_dead_parts_in(target.parent, re.escape(short_name(target.name)))


def remove_dead_parts_in(folder: Path, names: str) -> None:
    """Remove the parts that killed writers left in a folder, of files whose names match the regular expression."""
    pattern = re.compile(rf"\.{names}\.surfaceviz-[0-9a-f]{{32}}\.part")
    try:
        found = [name for name in os.listdir(folder) if pattern.fullmatch(name)]  # noqa: PTH208
    except OSError:
        return  # a folder that may be written and not be listed, or that is not there
    for name in found:
        _remove_if_dead(folder / name)


def _remove_if_dead(part: Path) -> None:
    try:
        descriptor = os.open(part, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT)
    except OSError:
        return  # a link, or removed by its writer
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and _flock(descriptor):
            part.unlink(missing_ok=True)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes, *, synced: bool) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    if synced:
        _fsync(descriptor, "file")


def _keep_metadata(target: Path, old: os.stat_result, descriptor: int) -> None:
    """Give a part the owner, the mode and the extended attributes of the file that it replaces."""
    if not hasattr(os, "fchown"):
        return
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.fstat(descriptor).st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError as error:
            if old.st_uid != os.geteuid():
                raise NotReplacedError(
                    errno.EPERM, "it belongs to another user, and is kept; give another name"
                ) from error
    for name in _attributes(target):
        try:
            os.setxattr(descriptor, name, os.getxattr(target, name))
        except OSError:
            continue  # an attribute that only the system sets
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _attributes(path: Path) -> list[str]:
    try:
        return os.listxattr(path)
    except (OSError, AttributeError):
        return []


def _sync_folder(folder: Path) -> None:
    """Make a rename durable over a power failure, on systems that can sync folders."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        _warn_of("folder")
        return
    try:
        _fsync(descriptor, "folder")
    finally:
        os.close(descriptor)


def _fsync(descriptor: int, what: str) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
        _warn_of(what)


def _warn_of(what: str) -> None:
    warnings.warn(
        f"the file system can't sync a {what}: a power failure may lose the last seconds",
        DurabilityWarning,
        stacklevel=2,
    )
