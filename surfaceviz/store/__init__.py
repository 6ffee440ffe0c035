"""The HDF5 file, schema version 1: snapshots and reading.

A snapshot is made in memory, written beside the file, fsynced and renamed over it, so that at any instant
the path holds a whole, valid file, whatever kills the run.
"""

from surfaceviz.store.courses import holds_course, read_curvature, write_curvature
from surfaceviz.store.files import SCHEMA_VERSION, check_name, opened_hdf5, plain, put, refuse_outside
from surfaceviz.store.slices import LARGEST_DIRECTIONS, encode, holds_slice, read, read_directions, write

__all__ = [
    "LARGEST_DIRECTIONS", "SCHEMA_VERSION", "check_name", "encode", "holds_course", "holds_slice", "opened_hdf5",
    "plain", "put", "read", "read_curvature", "read_directions", "refuse_outside", "write", "write_curvature",
]  # fmt: skip
