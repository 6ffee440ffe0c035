"""Slices for other programs: ParaView, Blender, printers, pandas, xarray."""

from __future__ import annotations

import math
from pathlib import Path

from surfaceviz.records import Slice
from surfaceviz.render.export import meshes, paraview, tables
from surfaceviz.render.export.mesh import solid, surface_mesh
from surfaceviz.render.export.relief import HEIGHT, relief
from surfaceviz.render.figure_io import put

__all__ = ["FORMATS", "HEIGHT", "SUFFIXES", "check_format", "export"]

FORMATS = ("vts", "vtp", "gltf", "obj", "stl", "npz", "csv", "netcdf")
SUFFIXES = {f".{name}": name for name in FORMATS[:-1]} | {".glb": "gltf", ".nc": "netcdf"}

_TABLES = {"npz": tables.npz, "csv": tables.csv_table, "netcdf": tables.netcdf}
_GEOMETRY = {"vts": paraview.vts, "vtp": paraview.vtp}
_SURFACES = ("gltf", "obj", "stl")
_WIDTH = 2.0  # of gltf and obj, which have no unit that fits: Blender's own cube is as wide; ours
_PRINT = 100.0  # mm, of stl; ours
_BASE = 0.03  # of the width, beneath the lowest point of stl; ours


def export(
    surface: Slice,
    path: Path,
    to: str,
    *,
    of: str | None = None,
    log: bool = False,
    clip: float | None = None,
    height: float = HEIGHT,
) -> None:
    """Write a slice in another program's format, whole or not at all.

    ``vts`` and ``vtp`` hold every metric as point data, as it is, and what is drawn as the height; ``gltf`` (binary
    where the name ends in .glb) and ``obj`` a coloured surface 2 units wide; ``stl`` a closed body 100 mm wide on a
    base of 3 mm; ``npz``, ``csv`` and ``netcdf`` the numbers alone. Alpha leads to the right and beta away, the loss
    upwards: z, in ``gltf`` y. The longest side is meant by width. Points without a value are holes.

    Args:
        surface: the slice.
        path: the file; what is there is replaced.
        to: one of `FORMATS`.
        of: what the height shows, as in `quantity`; the loss without.
        log: whether the height is the logarithm.
        clip: what higher values are drawn at.
        height: of the drawn range, as a share of the longest side.

    Raises:
        ValueError: an unknown format or metric, options that it has no use for, or a curve where it takes a surface.
        StoreError: it can't be written; what was there stays.
    """
    check_format(surface, to, plain=of is None and not log and clip is None and height == HEIGHT)
    if to in _TABLES:
        put(path, _TABLES[to](surface))
        return
    if not (math.isfinite(height) and height > 0):
        raise ValueError(f"height: expected a share of the width, such as {HEIGHT:g}, got {height:g}")
    shape = relief(surface, of=of, log=log, clip=clip, height=height)
    if to in _GEOMETRY:
        put(path, _GEOMETRY[to](surface, shape))
    elif to == "stl":
        body = solid(surface_mesh(shape).scaled(_PRINT / shape.width), _BASE * _PRINT)
        put(path, meshes.stl(body, f"millimetres, z up: {shape.words['z']}"))
    else:
        mesh = surface_mesh(shape).scaled(_WIDTH / shape.width)
        write = meshes.obj if to == "obj" else meshes.glb if path.suffix.lower() == ".glb" else meshes.gltf
        put(path, write(mesh, surface.title, shape.words))


def check_format(surface: Slice, to: str, *, plain: bool = True) -> None:
    """Refuse a format that can't hold a slice.

    Args:
        surface: the slice.
        to: the format.
        plain: whether nothing is asked about the drawing.

    Raises:
        ValueError: it is unknown, or takes surfaces, or no drawing.
    """
    if to not in FORMATS:
        raise ValueError(f"export: expected one of {', '.join(FORMATS)}, got {to!r}")
    if surface.ndim == 1 and to in _SURFACES:
        raise ValueError(f"a curve has no surface, which {to} holds; export it to vts, vtp, csv, npz or netcdf")
    if to in _TABLES and not plain:
        raise ValueError(f"{to} holds every metric as it is; leave out of, log, clip and height, which shape a surface")
