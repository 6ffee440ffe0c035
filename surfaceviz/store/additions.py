"""What users added to a file: groups, data sets and attributes that no record holds; a rewritten file keeps them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from surfaceviz.records import AXIS_NAMES, Audit, DirectionRecord, Spectrum
from surfaceviz.store.fields import file_names
from surfaceviz.store.opening import open_hdf5

_ROOT = (
    "slice",
    "directions",
    "points",
    "audit",
    "spectra",
    "hessian_map",
    "trajectory",
    "minima",
    "edge",
    "networks",
)  # groups of the schema
_SCALES = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS")  # HDF5's own, of axes
_KEYS = (
    "alpha",
    "beta",
    "source",
    "weights_sha256",
    "operator",
    "parameters",
    "normalised",
    "split",
    "samples",
    "dtype",
    "rtol",
    "seed",
    "block",
)  # fmt: skip  the attributes that tell one spectrum from another


@dataclass(frozen=True, slots=True)
class Additions:
    """The additions to a file.

    Attributes:
        attributes: (place of the object, name, value).
        image: an HDF5 file with the other objects, under numbers.
        places: of those objects: (place of the group, name), in order.
    """

    attributes: tuple[tuple[tuple[object, ...], str, Any], ...] = ()
    image: bytes = b""
    places: tuple[tuple[tuple[object, ...], str], ...] = ()

    def apply(self, file: h5py.File) -> None:
        """Write the additions into a file, where it has no object or attribute of that name."""
        if not self.attributes and not self.places:
            return
        objects = dict(_objects(file))
        for place, name, value in self.attributes:
            if place in objects and name not in objects[place].attrs:
                objects[place].attrs[name] = value
        if self.places:
            with h5py.File(io.BytesIO(self.image), "r") as added:
                for number, (place, name) in enumerate(self.places):
                    if place in objects and name not in objects[place]:
                        added.copy(str(number), objects[place], name)

    def joined(self, other: Additions) -> Additions:
        """Return these additions and those of another file; these come first where names are equal."""
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as both:
            for image, start in ((self.image, 0), (other.image, len(self.places))):
                if image:
                    with h5py.File(io.BytesIO(image), "r") as one:
                        for key in one:
                            one.copy(key, both, str(start + int(key)))
        return Additions(self.attributes + other.attributes, buffer.getvalue(), self.places + other.places)


def read_additions(path: Path) -> Additions:
    """Return the additions of users to a surfaceviz file; nothing for a file that does not exist.

    Raises:
        SchemaError: the file can't be read.
    """
    if not path.exists():
        return Additions()
    with open_hdf5(path) as file:
        objects = list(_objects(file))
        attributes = tuple(
            (place, name, value)
            for place, found in objects
            for name, value in found.attrs.items()
            if name not in _own_attributes(place)
        )
        groups = [(place, found) for place, found in objects if isinstance(found, h5py.Group)]
        added = [(place, name, found[name]) for place, found in groups for name in found if _is_added(place, name)]
        return Additions(attributes, _image([found for *_, found in added]), tuple((p, name) for p, name, _ in added))


def _image(objects: list[Any]) -> bytes:
    if not objects:
        return b""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number, found in enumerate(objects):
            found.file.copy(found, file, str(number))
    return buffer.getvalue()


def _objects(file: h5py.File) -> Iterator[tuple[tuple[object, ...], Any]]:
    """Yield the objects of the schema to which users may add, with places that stay theirs when spectra are sorted."""
    yield (), file
    for name in ("slice", "audit"):  # a map and a trajectory keep all attributes as their provenance
        if name in file and isinstance(file[name], h5py.Group):
            yield (name,), file[name]
    for name, dataset in file["slice"].items() if "slice" in file else ():
        yield ("slice", name), dataset
    for key, group in file["directions"].items() if "directions" in file else ():
        yield ("directions", key), group
    for group in file["spectra"].values() if "spectra" in file else ():
        yield ("spectra", *(str(group.attrs.get(key)) for key in _KEYS)), group


def _own_attributes(place: tuple[object, ...]) -> frozenset[str]:
    """Return the names of attributes that the schema defines, and that a rewritten file may lack."""
    match place:
        case ("directions", _):
            return file_names(DirectionRecord)
        case ("spectra", _, *_):
            return file_names(Spectrum) | set(AXIS_NAMES)
        case ("audit",):
            return file_names(Audit)
        case ("slice", _):
            return frozenset(_SCALES)
        case _:
            return frozenset()


def _is_added(place: tuple[object, ...], name: str) -> bool:
    """Return whether an object in a group is not of the schema."""
    match place:
        case ():
            return name not in _ROOT
        case ("slice",):
            return True  # a data set of the slice is in every rewritten file, and is then not copied
        case ("spectra", _, *_):
            return name not in file_names(Spectrum)
        case ("audit",):
            return name not in file_names(Audit)
        case _:
            return False
