"""VTK's XML files, for ParaView: the true values as point data, the drawn height as geometry.

They are written here and not by the ``vtk`` package, which takes a second to import.
Source: the VTK file formats, https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import Slice
from surfaceviz.render.export.height_field import HeightField, described, harmless, height_field, point_arrays
from surfaceviz.render.export.mesh import grid_triangles
from surfaceviz.render.export.options import ExportOptions

_HIDDEN = 2  # vtkDataSetAttributes::HIDDENPOINT
_TYPES = {"f8": "Float64", "f4": "Float32", "u1": "UInt8", "i8": "Int64"}


def write_vts(surface: Slice, options: ExportOptions, suffix: str) -> bytes:  # noqa: ARG001
    """Return a structured grid."""
    return _vts(surface, height_field(surface, options))


def write_vtp(surface: Slice, options: ExportOptions, suffix: str) -> bytes:  # noqa: ARG001
    """Return triangles, of a curve lines."""
    return _vtp(surface, height_field(surface, options))


def _vts(surface: Slice, shape: HeightField) -> bytes:
    """Return a structured grid, alpha the fastest; points without a value are hidden."""
    counts = (*surface.shape, *[1] * (3 - surface.ndim))
    extent = " ".join(f"0 {count - 1}" for count in counts)
    ghost = np.where(shape.shown, 0, _HIDDEN).astype(np.uint8)
    arrays = {**point_arrays(surface), "vtkGhostType": ghost}
    piece = [f'<Piece Extent="{extent}">', *_point_data(arrays), *_points(shape), "</Piece>"]
    return _file("StructuredGrid", f'WholeExtent="{extent}"', surface, shape, piece=piece)


def _vtp(surface: Slice, shape: HeightField) -> bytes:
    """Return the triangles of a surface, or the lines of a curve; all points are there, those without a value apart."""
    if min(surface.shape) == 1 or surface.ndim == 1:
        kind, cells = "Lines", list(_lines(np.ravel(shape.shown, order="F")))
    else:
        kind, cells = "Polys", list(grid_triangles(shape.shown))
    count = f'NumberOfPoints="{shape.x.size}" NumberOf{kind}="{len(cells)}"'
    connectivity = np.concatenate([*cells, np.zeros(0, np.int64)]).astype(np.int64)
    offsets = np.cumsum([len(cell) for cell in cells], dtype=np.int64)
    piece = [
        f"<Piece {count}>",
        *_point_data(point_arrays(surface)),
        *_points(shape),
        f"<{kind}>",
        _array("connectivity", connectivity),
        _array("offsets", offsets),
        f"</{kind}>",
        "</Piece>",
    ]
    return _file("PolyData", "", surface, shape, piece=piece)


def _lines(shown: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """Yield the numbers of the points of each unbroken line."""
    numbers = np.flatnonzero(shown)
    for line in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1):
        if len(line) > 1:
            yield line


def _file(kind: str, whole: str, surface: Slice, shape: HeightField, *, piece: Iterable[str]) -> bytes:
    told = {"title": surface.title, **shape.words, "surfaceviz": described(surface)}
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<VTKFile type="{kind}" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        f"<{kind} {whole}>",
        "<FieldData>",
        *(_text(key, harmless(text)) for key, text in told.items()),
        "</FieldData>",
        *piece,
        f"</{kind}>",
        "</VTKFile>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _point_data(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    return [
        "<PointData>",
        *(_array(name, np.ravel(array, order="F")) for name, array in arrays.items()),
        "</PointData>",
    ]


def _points(shape: HeightField) -> list[str]:
    points = np.stack([np.ravel(each, order="F") for each in (shape.x, shape.y, shape.z)], axis=1)
    return ["<Points>", _array("Points", points), "</Points>"]


def _array(name: str, array: NDArray[Any]) -> str:
    """Return an array as base64, which keeps every bit, NaN and infinities; its length in bytes first."""
    values = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(np.array([values.nbytes], "<u8").tobytes() + values.tobytes()).decode()
    parts = "" if array.ndim == 1 else f' NumberOfComponents="{array.shape[1]}"'
    kind = _TYPES[values.dtype.str[1:]]
    return f'<DataArray type="{kind}" Name={quoteattr(harmless(name))}{parts} format="binary">{data}</DataArray>'


def _text(name: str, text: str) -> str:
    """Return a text as VTK has them: the numbers of its bytes, ended by 0."""
    codes = " ".join(map(str, [*text.encode(), 0]))
    return f'<Array type="String" Name={quoteattr(name)} NumberOfTuples="1" format="ascii">{codes}</Array>'
