"""A program that reads an HDF5 file of unknown origin, within limits, and writes a clean copy of it to its output.

`surfaceviz.store.verify.unverified` runs it as a process of its own, so that a file on which the HDF5 library crashes,
hangs or takes all memory ends this process and no other. It imports nothing of surfaceviz: it starts in the time that
h5py takes.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEBIBYTE = 2**20
LARGEST_DATASET = 2**27  # entries: more than any slice has, but a broken or hostile file may declare more; ours
MOST_OBJECTS = 100_000  # groups, data sets and attributes; a network of 10,000 tensors has 20,000 in two directions
DEEPEST = 8  # groups in each other; ours have 3
EXPANSION = 4  # bytes that a file may declare for each that it has; compressed ones of other programs have more than 1
REFUSED, SHORT_OF_MEMORY = 3, 4  # exit codes
PROCESSOR_SECONDS = 20  # and one more for each 16 MiB of the file
OWN_GROUPS = ("slice", "directions", "points", "audit", "spectra", "hessian_map", "trajectory")
_PDEATHSIG = 1  # of prctl: the signal that this process gets when its parent ends
_SCALES = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS")  # of dimension scales


class RefusedContentError(ValueError):
    """Content that no file of ours has; the message names it."""


def most_bytes(length: int) -> int:
    """Return the largest number of bytes that a file of some length may declare."""
    return 64 * MEBIBYTE + EXPANSION * length


def copied_whole(length: int) -> bool:
    """Return whether a file of some length is copied; larger ones are only read to the end."""
    return length <= 128 * MEBIBYTE


def main(path: str, parent: int) -> int:
    """Write a clean copy of a file to the standard output; a line on the standard error and an exit code if refused.

    Args:
        path: the file.
        parent: number of the process that reads the output.
    """
    length = Path(path).stat().st_size
    _end_with(parent)
    _limit(length)
    import h5py  # noqa: PLC0415  within the limits

    try:
        with h5py.File(path, "r", locking=False) as source:
            image = _copy(source, length)
    except RefusedContentError as error:
        return _refuse(str(error), REFUSED)
    except MemoryError:
        return SHORT_OF_MEMORY
    except Exception as error:  # noqa: BLE001  h5py passes on what HDF5 finds in many types
        if "allocat" in str(error):  # HDF5's words for it
            return SHORT_OF_MEMORY
        return _refuse(f"no whole HDF5 file ({error})", REFUSED)
    sys.stdout.buffer.write(image)
    return 0


def _refuse(line: str, code: int) -> int:
    sys.stderr.buffer.write(line.encode(errors="backslashreplace"))
    return code


def _end_with(parent: int) -> None:
    """End this process with its parent, also where that is killed; on other systems than Linux, its limits end it."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        with contextlib.suppress(OSError, AttributeError):  # a C library without the call
            ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended before the call
            os._exit(REFUSED)


def _limit(length: int) -> None:
    """Limit this process, on systems that can."""
    try:
        import resource  # noqa: PLC0415  missing on Windows
    except ImportError:
        return
    most = 768 * MEBIBYTE + 3 * most_bytes(length) if copied_whole(length) else resource.RLIM_INFINITY
    seconds = PROCESSOR_SECONDS + length // (16 * MEBIBYTE)
    limits = ((resource.RLIMIT_AS, most), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0))
    for kind, limit in limits:
        with contextlib.suppress(OSError, ValueError):  # a smaller one is set already
            resource.setrlimit(kind, (limit, limit))


def _copy(source: Any, length: int) -> bytes:
    """Return a clean copy of an open file, an empty image for a large file, which is only read."""
    import h5py  # noqa: PLC0415

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as target:
        _Copier(length).copy(source, target if copied_whole(length) else None)
    return buffer.getvalue() if copied_whole(length) else b""


class _Copier:
    """Copies groups, data sets and attributes within a budget of objects and bytes."""

    def __init__(self, length: int) -> None:
        self._bytes = most_bytes(length)
        self._objects = MOST_OBJECTS
        self._groups: set[tuple[int, int]] = set()

    def copy(self, source: Any, target: Any, depth: int = 0) -> None:
        """Copy the content of a group; into None, only read it."""
        import h5py  # noqa: PLC0415

        self._enter(source, depth)
        self._copy_attributes(source, target)
        for name in self._names(source):
            link = source.get(name, getlink=True)
            full = f"{source.name.rstrip('/')}/{name}"
            if not isinstance(link, h5py.HardLink):
                raise RefusedContentError(f"{full} is a {type(link).__name__}, which is not followed")
            item = source[name]
            if isinstance(item, h5py.Group):
                self.copy(item, None if target is None else target.create_group(name), depth + 1)
            elif isinstance(item, h5py.Dataset):
                self._copy_dataset(item, target, name)

    def _names(self, group: Any) -> Iterator[str]:
        for name in group:
            self._count(len(name))
            yield name

    def _enter(self, group: Any, depth: int) -> None:
        import h5py  # noqa: PLC0415

        found = h5py.h5o.get_info(group.id)
        if depth > DEEPEST or (found.fileno, found.addr) in self._groups:
            raise RefusedContentError(f"{group.name} lies too deep, or is reached by two names: groups form a tree")
        self._groups.add((found.fileno, found.addr))

    def _count(self, size: int) -> None:
        self._objects -= 1
        self._bytes -= size
        if self._objects < 0:
            raise RefusedContentError(f"it holds more than {MOST_OBJECTS:,} groups, data sets and attributes")
        if self._bytes < 0:
            raise RefusedContentError("it declares many times the bytes that it has")

    def _copy_dataset(self, item: Any, target: Any, name: str) -> None:
        if item.external or item.is_virtual:
            raise RefusedContentError(f"{item.name} keeps its data outside the file")
        if item.shape is not None and math.prod(item.shape) > LARGEST_DATASET:
            raise RefusedContentError(f"{item.name} declares shape {item.shape}, which no slice has")
        kind = _kind(item.dtype)
        if kind is None:
            if item.name.split("/")[1] in OWN_GROUPS:
                raise RefusedContentError(f"{item.name} holds {item.dtype}, expected numbers or text")
            return
        if item.shape is None:
            if target is not None:
                target.create_dataset(name, data=item[()])
            return
        self._count(math.prod(item.shape) * item.dtype.itemsize)
        try:
            data = item[()]
        except MemoryError:
            raise
        except Exception as error:  # damaged chunks, filters that are missing, text that is none
            raise RefusedContentError(f"{item.name} is not readable ({error})") from error
        if target is not None:
            self._copy_attributes(item, target.create_dataset(name, data=data, dtype=kind))

    def _copy_attributes(self, source: Any, target: Any) -> None:
        for name in source.attrs:
            attribute = source.attrs.get_id(name)
            self._count(len(name) + attribute.get_storage_size())
            kind = _kind(attribute.dtype)
            if name in _SCALES or kind is None or target is None:
                continue
            value = source.attrs[name]
            if not hasattr(value, "shape") or value.shape is not None:  # else empty
                target.attrs.create(name, value, dtype=None if isinstance(value, str) else kind)


def _kind(dtype: Any) -> Any:
    """Return the type in which to copy numbers, text, and compounds of numbers; None for references and others."""
    import h5py  # noqa: PLC0415

    if h5py.check_string_dtype(dtype) is not None:
        return h5py.string_dtype() if dtype.kind == "O" else dtype
    return None if dtype.hasobject or dtype.kind not in "fiubcSV" else dtype


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
