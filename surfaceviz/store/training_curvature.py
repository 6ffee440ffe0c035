"""Files of the curvature along a training: spectra without a slice."""

from __future__ import annotations

from pathlib import Path

from surfaceviz.records import Curvature
from surfaceviz.start_folder import anchored
from surfaceviz.store.files import SCHEMA_VERSION, decode_provenance, encode_provenance, new_file, write_bytes
from surfaceviz.store.groups.spectra import decode_spectra, encode_spectra
from surfaceviz.store.opening import open_surfaceviz, root_names
from surfaceviz.store.output_file import OutputFile


def write_curvature(path: Path | OutputFile, curvature: Curvature) -> None:
    """Write the curvature along a training to ``path``, atomically.

    Raises:
        StoreError: the file can't be written; the old file stays.
    """
    with new_file() as made:
        file = made.root
        file.attrs["schema_version"] = SCHEMA_VERSION
        encode_provenance(file, curvature.provenance)
        file.create_group("spectra")
        encode_spectra(file, curvature.spectra)
        if isinstance(path, OutputFile):
            path.additions.apply(file)
    if isinstance(path, OutputFile):
        path.write(made.image)
    else:
        write_bytes(path, made.image)


def read_curvature(path: str | Path) -> Curvature:
    """Return the curvature along a training from a file.

    Raises:
        SchemaError: the file is missing, truncated, not a surfaceviz file, of a later version, or has links.
    """
    with open_surfaceviz(anchored(path), holding="spectra") as file:
        return Curvature(decode_spectra(file), decode_provenance(file))


def holds_training_curvature(path: str | Path) -> bool:
    """Return whether a file holds the curvature along a training, and not a slice; False for a broken file."""
    found = root_names(path)
    return "slice" not in found and "spectra" in found
