"""Files of other programs; these functions need no torch."""

from __future__ import annotations

from pathlib import Path

from surfaceviz.pipeline.defaults import defaults_of
from surfaceviz.pipeline.export import ExportRequest, run_export, run_import
from surfaceviz.records import Slice
from surfaceviz.render.export.options import ExportOptions

_EXPORT = defaults_of(ExportOptions)


def export(
    source: Slice | str | Path,
    output: str | Path,
    to: str | None = None,
    *,
    of: str | None = _EXPORT.of,
    log: bool = _EXPORT.log,
    clip: float | None = _EXPORT.clip,
    height: float = _EXPORT.height,
    overwrite: bool = False,
) -> list[Path]:
    """Write a slice for another program, and return the files, the output first.

    Args:
        source: a slice, or its file.
        output: the file to write.
        to: ``vts``, ``vtp``, ``gltf``, ``obj``, ``stl``, ``npz``, ``csv``, ``netcdf``, or ``reference`` for the code of
            Li et al.; by default chosen by the output's ending (.glb is gltf, .nc netcdf, .h5 reference).
        of: the quantity shown as height: ``<split>_<metric>``, a metric, or ``rise``; by default the loss.
        log: whether the height is logarithmic.
        clip: higher values are drawn at this one.
        height: height of the drawn range, as a share of the longest side (default 0.6).
        overwrite: whether existing files are replaced; the source never is.

    Raises:
        ValueError: an unknown format or metric, options that it does not use, or a curve where it needs a surface.
        SchemaError: a file that can't be read.
        StoreError: a file that exists, or can't be written.
    """
    return run_export(
        ExportRequest.of(source, output, to, of=of, log=log, clip=clip, height=height, overwrite=overwrite)
    )


def import_reference(
    surface_file: str | Path,
    output: str | Path | None = None,
    *,
    projection: str | Path | None = None,
    overwrite: bool = False,
) -> tuple[Slice, Path]:
    """Write a surface file of the reference code (Li et al.) as a slice's file, and return both.

    Args:
        surface_file: the file.
        output: the slice's file; by default ``NAME-imported.h5`` next to it.
        projection: a projection file, whose points become the trajectory.
        overwrite: whether an existing output is replaced; the files that are read never are.

    Raises:
        SchemaError: a file that is missing, broken, hostile, or of another kind.
        StoreError: the output exists, or can't be written.
    """
    paths = [None if path is None else Path(path) for path in (output, projection)]
    return run_import(Path(surface_file), paths[0], projection=paths[1], overwrite=overwrite)
