"""The folder in which a command started: relative paths mean files there, wherever the user's code changes to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_Base = type(Path())  # PosixPath or WindowsPath


class _State:
    folder: str | None = None


@contextmanager
def fixed() -> Iterator[None]:
    """Resolve relative paths from the present folder until the block ends; the outermost block decides."""
    if _State.folder is not None:
        yield
        return
    _State.folder = _present()
    try:
        yield
    finally:
        _State.folder = None


def start_folder() -> Path:
    """Return the folder in which the command started; outside a command, the present folder."""
    return Path(_State.folder or _present() or ".")


def anchored(path: str | os.PathLike[str]) -> Path:
    """Return a path that prints as it was given, and that opens the file of the folder where the command started.

    >>> path = anchored("a.h5")
    >>> str(path), os.fspath(path) == os.path.join(os.getcwd(), "a.h5"), str(path.with_suffix(".png"))
    ('a.h5', True, 'a.png')
    """
    if isinstance(path, Path) and (path.is_absolute() or type(path) is not _Base):
        return path
    folder = _State.folder or _present()
    return Path(path) if folder is None or Path(path).is_absolute() else _anchored_at(folder, str(path))


def shown(name: str) -> str:
    """Return the name of a file for a message: relative to the folder where the command started, if it lies there."""
    return name.removeprefix(os.path.join(start_folder(), ""))  # noqa: PTH118


def _present() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # the folder was removed: relative paths mean nothing
        return None


def _anchored_at(folder: str, path: str) -> Path:
    made: Path = _path_class(folder)(path)
    return made


@cache
def _path_class(folder: str) -> type[Path]:
    """Return the class of relative paths in a folder; `Path` gives derived paths the class of their origin."""

    class AnchoredPath(_Base):  # type: ignore[misc, valid-type]
        __slots__ = ()

        def __fspath__(self) -> str:
            return str(self) if self.is_absolute() else os.path.join(folder, str(self))  # noqa: PTH118

        def absolute(self) -> Path:
            return Path(os.fspath(self))

        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return _anchored_at, (folder, str(self))

    return AnchoredPath
