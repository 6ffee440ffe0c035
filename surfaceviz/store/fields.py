"""Dataclass fields in HDF5: attributes for scalars and text, data sets for arrays, groups for nested records.

A new field of a record needs no line here, as long as its type is one of those below and it has a default, which
files without the field are read with. None is stored by leaving the field out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import h5py
import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import AXIS_NAMES, FloatArray, TensorEntry
from surfaceviz.store.files import as_text, read_attribute, read_number
from surfaceviz.store.typed import ContentError, read_numbers, read_texts

RecordT = TypeVar("RecordT")

_PARALLEL = ("names", "checkpoints")  # texts that are parallel to the arrays of their record
_FILE_NAMES = {"layers": "by_layer", "names": "name"}  # fields that schema 1 calls otherwise


@dataclass(frozen=True, slots=True)
class _Codec:
    """How a value of one type is stored.

    Attributes:
        encode: writes a value under a name into a group.
        decode: reads it.
        is_stored: whether a group holds it.
    """

    encode: Callable[[h5py.Group, str, Any], None]
    decode: Callable[[h5py.Group, str], Any]
    is_stored: Callable[[h5py.Group, str], bool]


class _Field(NamedTuple):
    """A field of a record."""

    name: str
    file_name: str
    codec: _Codec
    required: bool  # it has no default


def encode_fields(group: h5py.Group, record: Any, *, skip: tuple[str, ...] = ()) -> None:
    """Write the fields of a record into a group, but those in ``skip`` and those that are None."""
    for name, file_name, codec, _ in _fields_of(type(record), skip):
        value = getattr(record, name)
        if value is not None:
            codec.encode(group, file_name, value)


def decode_fields(group: h5py.Group, record_type: type[RecordT], **others: Any) -> RecordT:
    """Return the record in a group, with the fields ``others`` as given.

    Raises:
        KeyError: the group lacks a field that has no default.
    """
    values = {
        name: codec.decode(group, file_name)
        for name, file_name, codec, required in _fields_of(record_type, tuple(others))
        if required or codec.is_stored(group, file_name)
    }
    return record_type(**values, **others)


def file_names(record_type: type) -> frozenset[str]:
    """Return the names under which the fields of a record are stored."""
    return frozenset(_FILE_NAMES.get(each.name, each.name) for each in fields(record_type))


def array_fields(record_type: type) -> list[str]:
    """Return the names of the fields that are arrays."""
    return [each.name for each in fields(record_type) if _is_array(get_type_hints(record_type)[each.name])]


def _fields_of(record_type: type, skip: tuple[str, ...]) -> list[_Field]:
    hints = get_type_hints(record_type)
    return [
        _Field(
            name=each.name,
            file_name=_FILE_NAMES.get(each.name, each.name),
            codec=_codec(each.name, _without_none(hints[each.name])),
            required=each.default is MISSING and each.default_factory is MISSING,
        )
        for each in fields(record_type)
        if each.name not in skip
    ]


def _without_none(hint: Any) -> Any:
    """Return T for the type T | None, and other types unchanged."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    return hint


def _is_array(hint: Any) -> bool:
    return get_origin(_without_none(hint)) in (np.ndarray, NDArray)  # NDArray itself from NumPy 2.5 on


def _codec(name: str, hint: Any) -> _Codec:
    """Return how a field is stored, by its type.

    Raises:
        TypeError: a type that files do not hold.
    """
    if hint in (str, int, float, bool):
        read = read_attribute if hint is str else read_number
        return _Codec(_encode_attribute, lambda group, key: hint(read(group, key)), _in_attributes)
    if is_dataclass(hint):
        return _Codec(_encode_nested, lambda group, key: decode_fields(_group(group, key), hint), _in_group)  # type: ignore[arg-type]
    if _is_array(hint):
        return _Codec(_encode_array, lambda group, key: read_numbers(group[key], _kinds(hint)), _in_group)
    codec = _TEXTS if name in _PARALLEL else _CODECS.get(hint)
    if codec is None:
        raise TypeError(f"{name}: got a field of type {hint}; expected one of {', '.join(map(str, _CODECS))}")
    return codec


def _in_attributes(group: h5py.Group, name: str) -> bool:
    return name in group.attrs


def _in_group(group: h5py.Group, name: str) -> bool:
    return name in group


def _encode_attribute(group: h5py.Group, name: str, value: str | float) -> None:
    group.attrs[name] = as_text(value) if isinstance(value, str) else value


def _encode_array(group: h5py.Group, name: str, value: Any) -> None:
    group.create_dataset(name, data=value)


def _kinds(hint: Any) -> str:
    """Return the kinds of numbers that an array field may have, as NumPy names them."""
    parameter = get_args(hint)[-1]  # dtype[T] of ndarray; T itself from NumPy 2.5 on
    kind = np.dtype(*(get_args(parameter) or (parameter,))).kind
    return "b" if kind == "b" else "iu" if kind in "iu" else "fiu"


def _group(group: h5py.Group, name: str) -> h5py.Group:
    if not isinstance(group[name], h5py.Group):
        raise ContentError(f"{group[name].name} is a data set, expected a group")
    return group[name]


def _encode_texts(group: h5py.Group, name: str, value: tuple[str, ...]) -> None:
    group.create_dataset(name, data=list(map(as_text, value)), dtype=h5py.string_dtype())


def _decode_texts(group: h5py.Group, name: str) -> tuple[str, ...]:
    return read_texts(group[name])


def _encode_nested(group: h5py.Group, name: str, value: Any) -> None:
    encode_fields(group.create_group(name), value)


def _encode_coordinates(group: h5py.Group, _name: str, value: tuple[float, ...]) -> None:
    """Write the coordinates of a point as the attributes ``alpha`` and ``beta``; of no point, none."""
    for axis, x in zip(AXIS_NAMES, value, strict=False):
        group.attrs[axis] = x


def _decode_coordinates(group: h5py.Group, _name: str) -> tuple[float, ...]:
    return tuple(float(read_number(group, axis)) for axis in AXIS_NAMES if axis in group.attrs)


def _encode_json(group: h5py.Group, name: str, value: Any) -> None:
    group.attrs[name] = json.dumps(value)


def _decode_json(group: h5py.Group, name: str) -> Any:
    try:
        return json.loads(str(read_attribute(group, name)))
    except RecursionError as error:
        raise ContentError(f"{group.name}: the attribute {name} nests too deep") from error


def _encode_mapping(group: h5py.Group, name: str, value: Mapping[str, str]) -> None:
    _encode_json(group, name, dict(value))


def _encode_entries(group: h5py.Group, name: str, value: tuple[TensorEntry, ...]) -> None:
    if value:
        _encode_json(group, name, value)


def _decode_entries(group: h5py.Group, name: str) -> tuple[TensorEntry, ...]:
    return tuple(
        TensorEntry(str(tensor), tuple(map(int, shape)), bool(is_buffer))
        for tensor, shape, is_buffer in _decode_json(group, name)
    )


def _encode_arrays(group: h5py.Group, name: str, value: Mapping[str, Any]) -> None:
    arrays = group.create_group(name)
    for key, array in value.items():
        arrays.create_dataset(key, data=array)


def _decode_arrays(group: h5py.Group, name: str) -> dict[str, Any]:
    arrays = _group(group, name)
    return {key: read_numbers(arrays[key], "fiu") for key in arrays}


_TEXTS = _Codec(_encode_texts, _decode_texts, _in_group)  # of `_PARALLEL`
_CODECS: dict[Any, _Codec] = {
    tuple[float, ...]: _Codec(_encode_coordinates, _decode_coordinates, lambda _group, _name: True),
    tuple[str, ...]: _Codec(_encode_json, lambda group, name: tuple(_decode_json(group, name)), _in_attributes),
    tuple[TensorEntry, ...]: _Codec(_encode_entries, _decode_entries, _in_attributes),
    Mapping[str, str]: _Codec(_encode_mapping, _decode_json, _in_attributes),
    Mapping[str, FloatArray]: _Codec(_encode_arrays, _decode_arrays, _in_group),
}
