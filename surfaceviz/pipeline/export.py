"""Wiring of exports and imports: requests, and files that must not be overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surfaceviz import reference_format, store
from surfaceviz.errors import StoreError
from surfaceviz.pipeline.outputs import Inputs, claimed
from surfaceviz.records import Slice
from surfaceviz.render.export.export import check_format
from surfaceviz.render.export.export import export as write_export
from surfaceviz.render.export.formats import FORMATS, format_of_suffix, known_suffixes
from surfaceviz.render.export.options import ExportOptions
from surfaceviz.start_folder import anchored
from surfaceviz.store.file_names import is_hdf5_name, stem_of

REFERENCE = "reference"  # the format of Li et al.'s code


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """An export.

    Attributes:
        source: a slice, or its file.
        output: the file to write.
        to: the format.
        options: how the height is drawn.
        overwrite: whether existing files are replaced; the source never is.
    """

    source: Slice | Path
    output: Path
    to: str
    options: ExportOptions
    overwrite: bool = False

    @classmethod
    def of(
        cls,
        source: Slice | str | Path,
        output: str | Path | None = None,
        to: str | None = None,
        *,
        overwrite: bool = False,
        **options: Any,
    ) -> ExportRequest:
        """Return the request for what was typed; ``options`` are the fields of `ExportOptions`.

        Raises:
            ValueError: neither the format nor the output is given, no format has the output's ending, or the format
                and the ending disagree.
        """
        given = source if isinstance(source, Slice) else anchored(source)
        if output is None:
            if to is None or isinstance(given, Slice):
                known = ", ".join((*FORMATS, REFERENCE))
                raise ValueError(f"export: name a format by --to ({known}), or a file by -o")
            output = default_output(given, to)
        path = anchored(output)
        to = to or format_of(path)
        _check_suffix(path, to)
        return cls(source=given, output=path, to=to, options=ExportOptions(**options), overwrite=overwrite)


def run_export(request: ExportRequest) -> list[Path]:
    """Write the files of an export and return them, the output first.

    Raises:
        ValueError: an unknown format or metric, options that it does not use, or a curve where it needs a surface.
        SchemaError: the source can't be read.
        StoreError: a file exists, or can't be written.
    """
    source, path = request.source, request.output
    surface = source if isinstance(source, Slice) else store.read(source)
    sources = [] if isinstance(source, Slice) else [source]
    if request.to != REFERENCE:
        check_format(surface, request.to)
        with claimed(path, inputs=Inputs(files=tuple(sources))):
            _refuse_existing([path], overwrite=request.overwrite)
            write_export(surface, path, request.to, request.options, overwrite=request.overwrite)
        return [path]
    if surface.seeds:
        raise ValueError(
            f"reference holds one curve or surface; got {len(surface.seeds)} rays. Export to csv, npz or netcdf"
        )
    if request.options != ExportOptions():
        raise ValueError("reference holds losses and accuracies as they are; leave out of, log, clip and height")
    tensors = store.read_directions(sources[0]) if sources else []
    written = [path, *reference_format.companions(surface, path, tensors).values()]
    with claimed(*written, inputs=Inputs(files=tuple(sources))):
        _refuse_existing(written, overwrite=request.overwrite)
        return reference_format.write_reference(surface, path, tensors)


def format_of(path: Path) -> str:
    """Return the format that a file's name asks for.

    Raises:
        ValueError: no format has this ending.
    """
    if is_hdf5_name(path):
        return REFERENCE
    chosen = format_of_suffix(path)
    if chosen is None:
        known = ", ".join([*known_suffixes(), ".h5"])
        ending = path.suffix.lower() or "nothing"
        raise ValueError(f"{path}: no format ends in {ending}; name it by --to, or end in {known}")
    return chosen


def _check_suffix(path: Path, to: str) -> None:
    known = format_of_suffix(path) or to
    if known != to:
        raise ValueError(f"{path} ends as {known} does, and {to} is asked for; name one of them")


def default_output(path: Path, to: str) -> Path:
    """Return the default name of an export: next to the file, with the format's ending."""
    ending = "-reference.h5" if to == REFERENCE else FORMATS[to].suffixes[0] if to in FORMATS else f".{to}"
    return path.with_name(stem_of(path) + ending)


def run_import(
    surface_file: Path, output: Path | None = None, *, projection: Path | None = None, overwrite: bool = False
) -> tuple[Slice, Path]:
    """Write a surface file of the reference code as a slice's file, and return both.

    Raises:
        SchemaError: a file that is missing, broken, hostile, or of another kind.
        StoreError: the output exists, or can't be written.
    """
    surface_file = anchored(surface_file)
    path = surface_file.with_name(f"{stem_of(surface_file)}-imported.h5") if output is None else anchored(output)
    store.check_name(path)
    surface = reference_format.read_reference(surface_file, projection)
    sources = (surface_file, *(() if projection is None else (projection,)))
    with claimed(path, inputs=Inputs(files=sources)):
        _refuse_existing([path], overwrite=overwrite)
        store.write(path, surface)
    return surface, path


def _refuse_existing(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse to overwrite any file without ``overwrite``."""
    for path in paths:
        if path.exists() and not overwrite:
            raise StoreError(f"{path} is there already, and kept; give another name by -o, or --overwrite")
