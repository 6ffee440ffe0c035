"""The Python interface to files of other programs, which needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from surfaceviz import reference_format, store
from surfaceviz.errors import StoreError
from surfaceviz.records import Slice
from surfaceviz.render import export as formats

REFERENCE = "reference"
FORMATS = (*formats.FORMATS, REFERENCE)
_ENDINGS = {"netcdf": ".nc", REFERENCE: "-reference.h5"}
_HDF5 = (".h5", ".hdf5")


def export(
    given: Slice | str | Path,
    output: str | Path,
    to: str | None = None,
    *,
    of: str | None = None,
    log: bool = False,
    clip: float | None = None,
    height: float = formats.HEIGHT,
    overwrite: bool = False,
) -> list[Path]:
    """Write a slice for another program, and return the files, the one that was named first.

    Args:
        given: a slice, or its file.
        output: the file to write.
        to: ``vts``, ``vtp``, ``gltf``, ``obj``, ``stl``, ``npz``, ``csv``, ``netcdf``, or ``reference`` for the code of
            Li et al.; by the output's name without (.glb is gltf, .nc netcdf, .h5 reference).
        of: what the height of a surface shows: ``<split>_<metric>``, a metric, or ``rise``; the loss without.
        log: whether the height is the logarithm.
        clip: what higher values are drawn at.
        height: of the drawn range, as a share of the longest side.
        overwrite: whether files that are there are replaced; the slice's own never is.

    Raises:
        ValueError: an unknown format or metric, options that it has no use for, or a curve where it takes a surface.
        SchemaError: a file that can't be read.
        StoreError: a file that is there, or can't be written.
    """
    path = Path(output)
    to = to or format_of(path)
    _check_ending(path, to)
    surface = given if isinstance(given, Slice) else store.read(given)
    sources = [] if isinstance(given, Slice) else [Path(given)]
    if to != REFERENCE:
        formats.check_format(surface, to)
        _refuse_there([path], sources, overwrite=overwrite)
        formats.export(surface, path, to, of=of, log=log, clip=clip, height=height)
        return [path]
    if of is not None or log or clip is not None or height != formats.HEIGHT:
        raise ValueError("reference holds losses and accuracies as they are; leave out of, log, clip and height")
    tensors = store.read_directions(sources[0]) if sources else []
    _refuse_there([path, *reference_format.companions(surface, path, tensors).values()], sources, overwrite=overwrite)
    return reference_format.write_reference(surface, path, tensors)


def format_of(path: Path) -> str:
    """Return the format that a file's name asks for.

    Raises:
        ValueError: none does.
    """
    suffix = path.suffix.lower()
    if suffix in _HDF5:
        return REFERENCE
    if suffix not in formats.SUFFIXES:
        known = ", ".join([*formats.SUFFIXES, ".h5"])
        raise ValueError(f"{path}: no format ends in {suffix or 'nothing'}; name it by --to, or end in {known}")
    return formats.SUFFIXES[suffix]


def _check_ending(path: Path, to: str) -> None:
    """Refuse the ending of another format than the one that is asked for."""
    known = formats.SUFFIXES.get(path.suffix.lower(), to)
    if known != to:
        raise ValueError(f"{path} ends as {known} does, and {to} is asked for; name one of them")


def default_output(path: Path, to: str) -> Path:
    """Return what an export of a file is called where nothing is said: its own name with another ending, beside it."""
    return path.with_name(_stem(path) + _ENDINGS.get(to, f".{to}"))


def import_reference(
    surface_file: str | Path,
    output: str | Path | None = None,
    *,
    projection: str | Path | None = None,
    overwrite: bool = False,
) -> tuple[Slice, Path]:
    """Read a surface file of the reference code into a slice's file, and return both.

    Args:
        surface_file: the file.
        output: the slice's file; ``NAME-imported.h5`` beside it without.
        projection: a projection file, whose points become the trajectory.
        overwrite: whether the output may be there already; what is read is never replaced.

    Raises:
        SchemaError: a file that is missing, broken, hostile, or another one.
        StoreError: the output is there, or can't be written.
    """
    source = Path(surface_file)
    path = source.with_name(f"{_stem(source)}-imported.h5") if output is None else Path(output)
    store.check_name(path)
    surface = reference_format.read_reference(source, projection)
    sources = [source, *([] if projection is None else [Path(projection)])]
    _refuse_there([path], sources, overwrite=overwrite)
    store.write(path, surface)
    return surface, path


def _stem(path: Path) -> str:
    return path.stem if path.suffix.lower() in _HDF5 else path.name


def _refuse_there(paths: Iterable[Path], sources: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse to write over what is read, and without ``overwrite`` over anything."""
    read = {os.path.realpath(source) for source in sources}
    for path in paths:
        if os.path.realpath(path) in read:
            raise StoreError(f"{path} is what is read, and kept; give another name by -o")
        if path.exists() and not overwrite:
            raise StoreError(f"{path} is there already, and kept; give another name by -o, or --overwrite")
