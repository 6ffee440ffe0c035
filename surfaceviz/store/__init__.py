"""The HDF5 file, schema version 1: snapshots and reading.

A snapshot is made in memory, written to a temporary file in the same folder, fsynced and renamed to its path. So the
path holds a whole, valid file at any instant, whatever ends the run.
"""

from surfaceviz.store.additions import Additions, read_additions
from surfaceviz.store.edge import holds_edge, read_edge, write_edge
from surfaceviz.store.files import SCHEMA_VERSION, check_name, write_bytes
from surfaceviz.store.opening import open_hdf5, root_names, trust_file
from surfaceviz.store.output_file import OutputFile
from surfaceviz.store.slices import LARGEST_DIRECTIONS, encode, holds_slice, read, read_directions, write
from surfaceviz.store.training_curvature import holds_training_curvature, read_curvature, write_curvature
from surfaceviz.store.typed import ContentError, read_dataset, read_numbers

__all__ = [
    "LARGEST_DIRECTIONS", "SCHEMA_VERSION", "Additions", "ContentError", "OutputFile", "check_name", "encode",
    "holds_edge", "holds_slice", "holds_training_curvature", "open_hdf5", "read", "read_additions", "read_curvature",
    "read_dataset", "read_directions", "read_edge", "read_numbers", "root_names", "trust_file", "write",
    "write_bytes", "write_curvature", "write_edge",
]  # fmt: skip
