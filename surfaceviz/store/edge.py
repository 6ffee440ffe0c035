"""Files of the stability along a training: the group ``edge``."""

from __future__ import annotations

from pathlib import Path

from surfaceviz.records.edge import Edge
from surfaceviz.start_folder import anchored
from surfaceviz.store.fields import array_fields, decode_fields, encode_fields
from surfaceviz.store.files import SCHEMA_VERSION, decode_provenance, encode_provenance, new_file
from surfaceviz.store.opening import open_surfaceviz, root_names
from surfaceviz.store.output_file import OutputFile
from surfaceviz.store.typed import ContentError

_GROUP = "edge"


def write_edge(output: OutputFile, edge: Edge) -> None:
    """Write the stability along a training, atomically.

    Raises:
        StoreError: the file can't be written; the old file stays.
    """
    with new_file() as made:
        made.root.attrs["schema_version"] = SCHEMA_VERSION
        encode_provenance(made.root, edge.provenance)
        encode_fields(made.root.create_group(_GROUP), edge, skip=("provenance",))
        output.additions.apply(made.root)
    output.write(made.image)


def read_edge(path: str | Path) -> Edge:
    """Return the stability along a training from a file.

    Raises:
        SchemaError: the file is missing, truncated, not a surfaceviz file, of a later version, or has links.
    """
    with open_surfaceviz(anchored(path), holding=_GROUP) as file:
        edge = decode_fields(file[_GROUP], Edge, provenance=decode_provenance(file))
        shapes = {getattr(edge, name).shape for name in array_fields(Edge)}
        if shapes != {(len(edge.checkpoints),)} or not edge.checkpoints:
            raise ContentError(f"got arrays of shapes {sorted(shapes)} in {_GROUP}; expected one length for all")
        return edge


def holds_edge(path: str | Path) -> bool:
    """Return whether a file holds the stability along a training; False for a broken file."""
    return _GROUP in root_names(path)
