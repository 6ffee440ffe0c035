"""Comparisons in HDF5: a group for each network, with its slices. Verdicts are made from them again."""

from __future__ import annotations

from pathlib import Path

import h5py

from surfaceviz.records import ComparedNetwork, Comparison, Slice
from surfaceviz.start_folder import anchored
from surfaceviz.store.fields import decode_fields, encode_fields
from surfaceviz.store.files import SCHEMA_VERSION, decode_provenance, encode_provenance, new_file
from surfaceviz.store.groups.spectra import numbered_groups
from surfaceviz.store.opening import open_surfaceviz, root_names
from surfaceviz.store.output_file import OutputFile
from surfaceviz.store.slices import decode_from, encode_into

_NETWORKS = "networks"
_SLICES = ("plane", "rays", "gauge_rays")


def write_comparison(output: OutputFile, comparison: Comparison) -> None:
    """Write the networks of a comparison, atomically.

    Raises:
        StoreError: the file can't be written; the old file stays.
    """
    with new_file() as made:
        root = made.root
        root.attrs["schema_version"] = SCHEMA_VERSION
        encode_provenance(root, comparison.provenance)
        networks = root.create_group(_NETWORKS)
        for number, network in enumerate(comparison.networks):
            _encode_network(networks.create_group(str(number)), network)
        output.additions.apply(root)
    output.write(made.image)


def read_comparison(path: str | Path) -> Comparison:
    """Return the networks of a comparison in a file, without verdicts.

    Raises:
        SchemaError: the file is missing, truncated, of a later version, or holds no comparison.
    """
    with open_surfaceviz(anchored(path), holding=_NETWORKS) as file:
        networks = tuple(_decode_network(group) for group in numbered_groups(file, _NETWORKS))
        return Comparison(networks=networks, provenance=decode_provenance(file))


def holds_comparison(path: str | Path) -> bool:
    """Return whether a file holds a comparison; False for a broken file."""
    return {_NETWORKS, "schema_version"} <= root_names(path)


def _encode_network(group: h5py.Group, network: ComparedNetwork) -> None:
    encode_fields(group, network, skip=_SLICES)
    for name in _SLICES:
        surface = getattr(network, name)
        if surface is not None:
            encode_into(group.create_group(name), surface)


def _decode_network(group: h5py.Group) -> ComparedNetwork:
    slices: dict[str, Slice | None] = {name: decode_from(group[name]) if name in group else None for name in _SLICES}
    return decode_fields(group, ComparedNetwork, **slices)
