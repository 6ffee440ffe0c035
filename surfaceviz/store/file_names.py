"""Names of HDF5 files."""

from __future__ import annotations

from pathlib import Path

_SUFFIXES = (".h5", ".hdf5")


def is_hdf5_name(path: str | Path) -> bool:
    """Return whether a name ends as an HDF5 file's does.

    >>> is_hdf5_name("net.H5"), is_hdf5_name("net.pt")
    (True, False)
    """
    return Path(path).suffix.lower() in _SUFFIXES


def stem_of(path: str | Path) -> str:
    """Return a file's name without its folder and its HDF5 suffix; any other dots stay.

    >>> stem_of("runs/net-0.1.h5"), stem_of("net-0.1")
    ('net-0.1', 'net-0.1')
    """
    path = Path(path)
    return path.stem if is_hdf5_name(path) else path.name
