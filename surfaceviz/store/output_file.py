"""The HDF5 file of a run: it is written again and again, and replaces only what the run has read or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from surfaceviz import atomic_write
from surfaceviz.errors import StoreError
from surfaceviz.store.additions import Additions, read_additions
from surfaceviz.store.files import new_file, write_bytes


class OutputFile:
    """A file that one run reads first, and then rewrites.

    Create it under the lock and before the file is read. If another program moves a file into its place meanwhile,
    that file is kept, and the run's content goes to a free name.

    Args:
        path: the file; it need not exist.
        keep: whether the additions of users are kept.
    """

    def __init__(self, path: Path, *, keep: bool = True) -> None:
        self.path = path
        if not keep:
            _refuse_link(path)
        self._known = atomic_write.identity(path)
        self.additions = read_additions(path) if keep else Additions()
        self._template: tuple[object, bytes] | None = None

    def write(self, image: bytes) -> None:
        """Replace the file.

        Raises:
            StoreError: it can't be written, or is not what was read or written last; that file is kept.
        """
        try:
            self._known = write_bytes(self.path, image, expected=self._known)
        except atomic_write.ChangedError as error:
            free = _free_name(self.path)
            write_bytes(free, image, expected=None)
            raise StoreError(
                f"{self.path} is kept: {error.strerror} by this run, whose results are in {free}"
            ) from error

    def template(self, tensors: Sequence[Mapping[str, NDArray[Any]]]) -> bytes:
        """Return the bytes of a file with the arrays of directions, which are encoded once."""
        if self._template is None or self._template[0] is not tensors:
            self._template = tensors, directions_image(tensors)
        return self._template[1]


def directions_image(tensors: Sequence[Mapping[str, NDArray[Any]]]) -> bytes:
    """Return the bytes of an HDF5 file with the arrays of directions alone."""
    with new_file() as made:
        for number, arrays in enumerate(tensors):
            group = made.root.create_group(f"directions/{number}")
            for name, array in arrays.items():
                group.create_dataset(name, data=array)
    return made.image


def _refuse_link(path: Path) -> None:
    """Refuse to replace a file through a link, without having read it."""
    try:
        atomic_write.check_target(path, lambda _head: True)
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from error


def _free_name(path: Path) -> Path:
    number = 2
    while (free := path.with_stem(f"{path.stem}-{number}")).exists() or free.is_symlink():
        number += 1
    return free
