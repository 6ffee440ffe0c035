"""The files that a command reads, none of which it may write."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from surfaceviz import start_folder
from surfaceviz.errors import StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The files that a command reads.

    Attributes:
        files: paths; a suffix ``:KEY`` or ``:FACTORY`` is removed where there is no such file.
        folders: folders whose files are data.
    """

    files: tuple[str | Path, ...] = ()
    folders: tuple[str | Path, ...] = field(default=())

    def paths(self) -> Iterator[Path]:
        """Yield the files that exist."""
        for given in self.files:
            for name in (str(given), str(given).rpartition(":")[0]):
                path = start_folder.anchored(given if isinstance(given, Path) else name) if name else None
                if path is not None and _is_file(path):
                    yield path
                    break


def refuse_inputs(outputs: Iterable[Path], inputs: Inputs) -> None:
    """Refuse an output that is an input.

    Inputs are the named files, the files in a folder of data, loaded modules, and what the user's code opened.

    Raises:
        StoreError: an output is an input.
    """
    read = {_file_number(path): path for path in inputs.paths()}
    folders = [os.path.realpath(start_folder.anchored(folder)) for folder in inputs.folders]
    for output in outputs:
        if not _is_file(output):
            continue
        real = os.path.realpath(output)
        if (
            _file_number(output) in read
            or any(_is_below(real, folder) for folder in folders)
            or _is_module(output)
            or _was_opened(output)
        ):
            raise StoreError(f"{output} is what is read, and kept; give another name by -o")


class _Opened:
    """The files that the user's code opened for reading."""

    recording = 0
    hooked = False
    files: set[str] = set()  # noqa: RUF012  one for the process, as the hook


@contextmanager
def recorded() -> Iterator[None]:
    """Record the files that the block opens: the user's code may read data that no option names."""
    if not _Opened.hooked:
        _Opened.hooked = True
        sys.addaudithook(_record)  # it can't be removed, but costs little
    _Opened.recording += 1
    try:
        yield
    finally:
        _Opened.recording -= 1
        _Opened.files |= set(_held_open())


def forget_opened() -> None:
    """Forget the files of the commands before, which are no inputs of the next one."""
    _Opened.files.clear()


def _record(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _Opened.recording:
        path, _, flags = arguments
        if isinstance(path, str | bytes) and isinstance(flags, int) and flags & 0b11 != os.O_WRONLY:
            _Opened.files.add(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100  the folder of this moment


def _held_open() -> Iterator[str]:
    """Yield the files that this process has open or mapped, which libraries in C open without telling Python."""
    with suppress(OSError):  # another system than Linux
        for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
            with suppress(OSError):
                yield os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:  # noqa: PTH123
            yield from (line.rstrip("\n").split(maxsplit=5)[5] for line in lines if "/" in line)


def _was_opened(path: Path) -> bool:
    number = _file_number(path)
    return any(_file_number(file) == number for file in _Opened.files)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _file_number(path: str | Path) -> tuple[int, int] | None:
    """Return device and inode of a regular file; None for anything else. It is called for thousands of names."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118


def _is_module(path: Path) -> bool:
    """Return whether a file is the source of a module that this process has loaded."""
    number = _file_number(path)
    for module in list(sys.modules.values()):
        source = getattr(module, "__file__", None)
        if isinstance(source, str) and _file_number(source) == number:
            return True
    return False
