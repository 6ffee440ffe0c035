"""Data sets of numbers and of text, refused by name where they are something else."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from surfaceviz.store.verify.sandbox import LARGEST_DATASET

_WORDS = {"f": "real numbers", "fiu": "real numbers", "iu": "whole numbers", "b": "truth values"}


class ContentError(ValueError):
    """Content of a file that is not as it should be; `opening` puts the file's name before it."""


def read_dataset(dataset: Any) -> Any:
    """Return a data set's contents.

    Raises:
        ContentError: it is a group, keeps its data outside the file, or declares more entries than a slice has.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise ContentError(f"{dataset.name} is a group, expected a data set")
    if dataset.external or dataset.is_virtual:
        raise ContentError(f"{dataset.name} keeps its data outside the file")
    if dataset.shape is None:
        raise ContentError(f"{dataset.name} holds nothing, expected numbers or text")
    if math.prod(dataset.shape) > LARGEST_DATASET:
        raise ContentError(f"{dataset.name} declares shape {dataset.shape}, which no slice has")
    return dataset[()]


def read_numbers(dataset: Any, kinds: str = "fiu") -> NDArray[Any]:
    """Return a data set of numbers.

    Args:
        dataset: the data set.
        kinds: the kinds that are allowed, as NumPy names them: ``f`` floating-point, ``iu`` integers, ``b`` boolean.

    Raises:
        ContentError: it is of another kind, see also `read_dataset`.
    """
    if isinstance(dataset, h5py.Dataset) and dataset.dtype.kind not in kinds:
        words = "text" if h5py.check_string_dtype(dataset.dtype) else _type_words(dataset.dtype)
        raise ContentError(f"{dataset.name} holds {words}, expected {_WORDS.get(kinds, 'numbers')}")
    return np.asarray(read_dataset(dataset))


def read_texts(dataset: Any) -> tuple[str, ...]:
    """Return a data set of text, one-dimensional.

    Raises:
        ContentError: it is something else, see also `read_dataset`.
    """
    if isinstance(dataset, h5py.Dataset) and h5py.check_string_dtype(dataset.dtype) is None:
        raise ContentError(f"{dataset.name} holds {_type_words(dataset.dtype)}, expected text")
    found = read_dataset(dataset)
    if np.ndim(found) != 1:
        raise ContentError(f"{dataset.name} has shape {np.shape(found)}, expected one dimension")
    return tuple(bytes(text).decode(errors="backslashreplace") for text in found)


def _type_words(dtype: np.dtype[Any]) -> str:
    return "compounds" if dtype.kind == "V" and dtype.names else str(dtype)
