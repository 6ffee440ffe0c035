"""Numbers: NumPy's npz, CSV for pandas, NetCDF for xarray."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import netcdf_file

from surfaceviz.records import Slice
from surfaceviz.render.export.height_field import described, dimensions_of, harmless, point_arrays
from surfaceviz.render.export.options import ExportOptions


def npz(surface: Slice, options: ExportOptions, suffix: str) -> bytes:  # noqa: ARG001
    """Return all arrays, of the slice's shape but for the axes, and the provenance as a JSON string; no pickles."""
    arrays: dict[str, NDArray[Any]] = {**_fields(surface), **_axes(surface)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in [*_unique(arrays.items()), ("provenance", np.array(described(surface)))]:
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            # a fixed date: equal slices are equal files
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def csv_table(surface: Slice, options: ExportOptions, suffix: str) -> bytes:  # noqa: ARG001
    """Return a row for each point, the last dimension the fastest; numbers read back as they are, ``nan`` among them.

    Source: RFC 4180.
    """
    arrays = point_arrays(surface)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(arrays)
    writer.writerows(zip(*(array.ravel().tolist() for array in arrays.values()), strict=True))
    return text.getvalue().encode(errors="replace")


def netcdf(surface: Slice, options: ExportOptions, suffix: str) -> bytes:  # noqa: ARG001
    """Return NetCDF 3 with the dimensions of the arrays; a name that it can't have stands in ``long_name``."""
    buffer = io.BytesIO()
    file: Any = netcdf_file(buffer, "w", version=2)
    for name, axis in _axes(surface).items():
        file.createDimension(name, len(axis))
        file.createVariable(name, "f8", (name,))[:] = axis
    dimensions = dimensions_of(surface)
    for (name, array), own in zip(_unique(_fields(surface).items()), _fields(surface), strict=True):
        variable = file.createVariable(name, "b" if array.dtype == np.uint8 else "f8", dimensions)
        variable[:] = array
        if name != own:
            variable.long_name = harmless(own).encode()
    file.title = harmless(surface.title).encode() or b"slice"
    file.provenance = described(surface).encode()
    file.flush()
    return buffer.getvalue()


def _axes(surface: Slice) -> dict[str, NDArray[Any]]:
    return dict(zip(dimensions_of(surface), surface.grid, strict=True))


def _fields(surface: Slice) -> dict[str, NDArray[Any]]:
    return {name: array for name, array in point_arrays(surface).items() if name not in dimensions_of(surface)}


def _unique(named: Iterable[tuple[str, NDArray[Any]]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield arrays under names that files and archives can have, no two of them alike."""
    seen = {"provenance"}
    for name, array in named:
        plain = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)
        plain = plain if plain[:1].isalpha() else f"_{plain}"
        while plain in seen:
            plain += "_"
        seen.add(plain)
        yield plain, array
