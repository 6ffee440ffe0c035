"""The one door through which HDF5 files are opened for reading.

A file whose checksum is this user's is opened as it is. Every other file is first read by a process of its own, within
limits, and what is opened is the clean copy that this process made (`surfaceviz.store.verify.unverified`).
"""

from __future__ import annotations

import io
import os
import shlex
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py

from surfaceviz.errors import SchemaError, UnverifiedFileWarning
from surfaceviz.start_folder import anchored
from surfaceviz.store.files import SCHEMA_VERSION, read_number
from surfaceviz.store.typed import ContentError
from surfaceviz.store.verify import user_key
from surfaceviz.store.verify.checksum import Checked, check
from surfaceviz.store.verify.unverified import clean_copy

_SUFFIXES = (".h5", ".hdf5")  # of HDF5 files
_ATTEMPTS = 20  # to open a file that a run replaces meanwhile
_LARGEST_KEPT = 2**25  # bytes of a clean copy that is kept for the next opening

_Identity = tuple[int, int, int, int]  # device, inode, length, time of the last change


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A file's state when its bytes were last read.

    Attributes:
        path: the absolute path.
        identity: tells whether the path has the same content still.
        checked: how its bytes relate to its checksum.
        digest: sha256 of its bytes.
        image: the clean copy; None where it was not made, empty for a large file.
    """

    path: str
    identity: _Identity
    checked: Checked
    digest: str
    image: bytes | None = None


_last: list[_Seen] = []  # at most one: commands open a file several times in a row


def _other_content(path: Path, file: h5py.File, wanted: str) -> str:
    """Return the message for a file that lacks the wanted group."""
    if "networks" in file and "schema_version" in file.attrs:
        return (
            f"{path} holds a comparison, expected a {wanted}; surfaceviz info prints it, and its compare command draws "
            "it again"
        )
    return f"{path}: HDF5, but no surfaceviz {wanted} (it has {', '.join(file) or 'nothing'})"


@contextmanager
def open_surfaceviz(path: Path, *, holding: str = "slice") -> Iterator[h5py.File]:
    """Open a surfaceviz file that has the group ``holding``, for a ``with`` block.

    Warns with `UnverifiedFileWarning` about a file whose bytes no checksum vouches for.

    Raises:
        SchemaError: the file is missing, truncated, altered, not a surfaceviz file, or of a later version.
    """
    with open_hdf5(path) as file:
        if "schema_version" not in file.attrs or not isinstance(file.get(holding), h5py.Group):
            raise SchemaError(_other_content(path, file, holding))
        version = read_number(file, "schema_version")
        if version != SCHEMA_VERSION:
            what = "update surfaceviz" if version > SCHEMA_VERSION else "compute the file again"
            raise SchemaError(f"{path}: schema version {version}, expected {SCHEMA_VERSION}; {what}")
        seen = _last[0]
        yield file  # what is wrong with its content is said first
        if seen.checked in (Checked.OWN, Checked.WHOLE) or user_key.is_trusted(_as_text(seen)):
            return
        if seen.checked is Checked.ALTERED:
            raise SchemaError(
                f"{path}: its bytes are not those that were written, by its checksum, so that values may be wrong: it "
                "is damaged, or was edited. Take another copy; if you edited it, accept it as it is by surfaceviz info "
                f"--trust {shlex.quote(str(path))}"
            )
        _warn(path, seen.checked)


def _warn(path: Path, checked: Checked) -> None:
    why = (
        "it has no checksum, as it is of an earlier version or of another program"
        if checked is Checked.NONE
        else "it was edited after surfaceviz wrote it, by its checksum"
    )
    warnings.warn(f"{path}: nothing vouches for its values: {why}", UnverifiedFileWarning, stacklevel=2)


@contextmanager
def open_hdf5(path: Path, what: str = "surfaceviz file") -> Iterator[h5py.File]:
    """Open an HDF5 file for a ``with`` block, and turn what h5py raises in the block into a `SchemaError`.

    Args:
        path: the file.
        what: the kind of file expected, for the message.

    Raises:
        SchemaError: the file is missing, truncated, malformed or hostile, or no regular file.
    """
    with _opened(path) as file:
        try:
            yield file
        except ContentError as error:
            raise SchemaError(f"{path}: {error}") from error
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            # what h5py raises where parts of a file are missing, corrupt or of another kind
            raise SchemaError(f"{path}: no whole {what} ({type(error).__name__}: {error})") from error


def root_names(path: str | Path) -> frozenset[str]:
    """Return the names in a file's root, groups, data sets and attributes; an empty set for a broken file."""
    try:
        with open_hdf5(anchored(path)) as file:
            return frozenset([*file, *file.attrs])
    except SchemaError:
        return frozenset()  # reading it says what is wrong


def trust_file(path: Path) -> bool:
    """Accept a file as it is, although its checksum does not fit; return whether that could be kept.

    Raises:
        SchemaError: the file is missing, or no regular file.
    """
    return user_key.trust(_as_text(_look(path)))


def _as_text(seen: _Seen) -> str:
    return f"bytes {seen.digest} at {seen.path}"


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    for _ in range(_ATTEMPTS):
        seen = _look(path)
        try:
            file = _open(path, seen)
        except OSError as error:
            raise SchemaError(f"{path}: no whole HDF5 file ({error})") from error
        if file is not None:
            break
    else:
        raise SchemaError(f"{path} changes all the time; read it when its run has ended")
    with file:
        yield file


def _open(path: Path, seen: _Seen) -> h5py.File | None:
    """Return the open file, or its clean copy; None if the path has another file by now."""
    if seen.checked is not Checked.OWN:
        image = clean_copy(path) if seen.image is None else seen.image
        if not len(image) > _LARGEST_KEPT:
            _last[:] = [
                _Seen(path=seen.path, identity=seen.identity, checked=seen.checked, digest=seen.digest, image=image)
            ]
        if image:
            same = _identity(path.stat()) == seen.identity
            return h5py.File(io.BytesIO(image), "r") if same else None
    file = h5py.File(path, "r", locking=False)
    if os.name != "posix" or _identity(os.fstat(file.id.get_vfd_handle())) == seen.identity:
        return file
    file.close()
    return None


def _look(path: Path) -> _Seen:
    """Return the state of a file; its bytes are read if they were not the last ones read.

    Raises:
        SchemaError: it is missing, no regular file, or may not be read.
    """
    if not path.exists():
        hint = (
            "" if path.suffix in _SUFFIXES else "; give a file that surfaceviz slice, or another command, wrote (.h5)"
        )
        raise SchemaError(f"{path}: no such file{hint}")
    try:
        # Without O_NONBLOCK a FIFO would be waited for.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise SchemaError(f"{path}: no whole HDF5 file ({error.strerror})") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise SchemaError(f"{path}: not a regular file")
    with os.fdopen(descriptor, "rb") as stream:
        absolute = os.path.realpath(path)
        if not (_last and (_last[0].path, _last[0].identity) == (absolute, _identity(found))):
            checked, digest = check(stream, found.st_size)
            _last[:] = [_Seen(path=absolute, identity=_identity(found), checked=checked, digest=digest)]
    return _last[0]


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
