"""Files of curvature along a training: spectra without a slice."""

from __future__ import annotations

import io
from pathlib import Path

import h5py

from surfaceviz.records import Curvature
from surfaceviz.store.files import SCHEMA_VERSION, opened, put, scalar
from surfaceviz.store.spectra import decode_spectra, encode_spectra


def write_curvature(path: Path, course: Curvature) -> None:
    """Put a course at ``path``, atomically.

    Raises:
        StoreError: it can't be written; the old file stays.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION
        for key, value in course.provenance.items():
            file.attrs[key] = value
        file.create_group("spectra")
        encode_spectra(file, course.spectra)
    put(path, buffer.getvalue())


def read_curvature(path: str | Path) -> Curvature:
    """Return the course in a file.

    Raises:
        SchemaError: missing, truncated, no surfaceviz file, of a later version, or with links out of it.
    """
    with opened(Path(path), holding="spectra") as file:
        provenance = {key: scalar(value) for key, value in file.attrs.items() if key != "schema_version"}
        return Curvature(decode_spectra(file), provenance)


def holds_course(path: str | Path) -> bool:
    """Return whether a file is one of a course, and not of a slice.

    Raises:
        SchemaError: it is neither, or broken.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            return "slice" not in file and "spectra" in file
    except OSError:
        return False  # reading it as a slice says what is wrong
