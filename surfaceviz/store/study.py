"""Files of studies: the group ``study``, with its table and the panels of its figure."""

from __future__ import annotations

from pathlib import Path

import h5py

from surfaceviz.records import Slice
from surfaceviz.records.studies import StudyPanel, StudyResult, StudySeries
from surfaceviz.start_folder import anchored
from surfaceviz.store.fields import decode_fields, encode_fields
from surfaceviz.store.files import SCHEMA_VERSION, new_file
from surfaceviz.store.groups.spectra import numbered_groups
from surfaceviz.store.opening import open_surfaceviz, root_names
from surfaceviz.store.output_file import OutputFile
from surfaceviz.store.slices import decode_from, encode_into
from surfaceviz.store.typed import ContentError

_GROUP = "study"


def write_study(output: OutputFile, result: StudyResult) -> None:
    """Write a study's result, atomically.

    Raises:
        StoreError: the file can't be written; the old file stays.
    """
    with new_file() as made:
        made.root.attrs["schema_version"] = SCHEMA_VERSION
        group = made.root.create_group(_GROUP)
        encode_fields(group, result, skip=("panels",))
        for number, panel in enumerate(result.panels):
            _encode_panel(group.create_group(f"panels/{number}"), panel)
        output.additions.apply(made.root)
    output.write(made.image)


def read_study(path: str | Path) -> StudyResult:
    """Return a study's result from a file.

    Raises:
        SchemaError: the file is missing, truncated, not a surfaceviz file, of a later version, or holds no study.
    """
    with open_surfaceviz(anchored(path), holding=_GROUP) as file:
        group = file[_GROUP]
        panels = tuple(_decode_panel(each) for each in numbered_groups(group, "panels"))
        result = decode_fields(group, StudyResult, panels=panels)
        if {a.shape for a in (result.known, result.found, result.allowed)} != {(len(result.quantities),)}:
            raise ContentError(f"got columns of different lengths in {_GROUP}; expected one for each quantity")
        return result


def holds_study(path: str | Path) -> bool:
    """Return whether a file holds a study's result; False for a broken file."""
    return _GROUP in root_names(path)


def _encode_panel(group: h5py.Group, panel: StudyPanel) -> None:
    encode_fields(group, panel, skip=("series", "surface"))
    for number, series in enumerate(panel.series):
        encode_fields(group.create_group(f"series/{number}"), series)
    if panel.surface is not None:
        encode_into(group.create_group("surface"), panel.surface)


def _decode_panel(group: h5py.Group) -> StudyPanel:
    series = tuple(decode_fields(each, StudySeries) for each in numbered_groups(group, "series"))
    surface: Slice | None = decode_from(group["surface"]) if "surface" in group else None
    return decode_fields(group, StudyPanel, series=series, surface=surface)
