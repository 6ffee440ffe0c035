"""Slices as files of other programs: ParaView, Blender, printers, pandas, xarray."""

from __future__ import annotations

import math
from pathlib import Path

from surfaceviz.records import Slice
from surfaceviz.render.export.formats import FORMATS
from surfaceviz.render.export.options import ExportOptions
from surfaceviz.render.figure_io import put


def export(
    surface: Slice, path: Path, to: str, options: ExportOptions | None = None, *, overwrite: bool = True
) -> None:
    """Write a slice in another program's format, atomically.

    ``vts`` and ``vtp`` hold every metric as point data, unchanged, and the drawn quantity as the height; ``gltf``
    (binary where the name ends in .glb) and ``obj`` a coloured surface 2 units wide; ``stl`` a closed body 100 mm wide
    on a base of 3 mm; ``npz``, ``csv`` and ``netcdf`` only the numbers. Alpha points to the right, beta away from the
    viewer, the loss upwards: z, in ``gltf`` y. Width is the longest side. Points without a value are holes.

    Args:
        surface: the slice.
        path: the file.
        to: a name in `FORMATS`.
        options: how the height is drawn.
        overwrite: whether an existing file is replaced.

    Raises:
        ValueError: an unknown format or metric, options that it does not use, or a curve where it needs a surface.
        StoreError: it can't be written; the old file stays.
    """
    options = options or ExportOptions()
    check_format(surface, to, options)
    put(path, FORMATS[to].load()(surface, options, path.suffix.lower()), overwrite=overwrite)


def check_format(surface: Slice, to: str, options: ExportOptions | None = None) -> None:
    """Refuse a format that can't hold a slice, and options that it does not use.

    Raises:
        ValueError: the format is unknown, needs a surface, holds no rays or no shape; or the height is not positive.
    """
    options = options or ExportOptions()
    if to not in FORMATS:
        raise ValueError(f"export: expected one of {', '.join(FORMATS)}, got {to!r}")
    chosen = FORMATS[to]
    if surface.seeds and chosen.drawn:
        raise ValueError(
            f"{to} holds one curve or surface; got {len(surface.seeds)} rays. Export to csv, npz or netcdf"
        )
    if surface.ndim not in chosen.ndim:
        raise ValueError(f"a curve has no surface, which {to} holds; export it to vts, vtp, csv, npz or netcdf")
    if not chosen.drawn and options != ExportOptions():
        raise ValueError(f"{to} holds every metric as it is; leave out of, log, clip and height, which shape a surface")
    if chosen.drawn and not (math.isfinite(options.height) and options.height > 0):
        example = ExportOptions().height
        raise ValueError(f"height: expected a share of the width, such as {example:g}, got {options.height:g}")
