"""The HDF5 file, schema version 1: snapshots and reading.

A snapshot is made in memory, written to a temporary file in the same folder, fsynced and renamed to its path. So the
path holds a whole, valid file at any instant, whatever ends the run.
"""

from surfaceviz.store.additions import Additions, read_additions
from surfaceviz.store.files import (
    SCHEMA_VERSION,
    check_name,
    open_hdf5,
    read_dataset,
    refuse_links,
    write_bytes,
)
from surfaceviz.store.output_file import OutputFile
from surfaceviz.store.slices import LARGEST_DIRECTIONS, encode, holds_slice, read, read_directions, write
from surfaceviz.store.training_curvature import holds_training_curvature, read_curvature, write_curvature

__all__ = [
    "LARGEST_DIRECTIONS",
    "SCHEMA_VERSION",
    "Additions",
    "OutputFile",
    "check_name",
    "encode",
    "holds_slice",
    "holds_training_curvature",
    "open_hdf5",
    "read",
    "read_additions",
    "read_curvature",
    "read_dataset",
    "read_directions",
    "refuse_links",
    "write",
    "write_bytes",
    "write_curvature",
]  # fmt: skip
