"""Data of the user's own: a folder of `.npz` files, and a text file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfaceviz.errors import ProblemError
from surfaceviz.zoo.labelled_data import IMAGES, TEXT, Dataset, TensorPair, checked_labels, kind_of
from surfaceviz.zoo.transformers import CONTEXT

_TEST_SHARE = 0.1  # of a text, at its end
_GREY_AXES = 3  # of images without a channel axis
_FEW = 1000  # classes that a data set may have, however few its samples
_SHIFT = 8  # an image is moved by at most its size over this; 32 x 32 pixels by 4, as in arXiv 1512.03385


def npz_folder(root: Path) -> Dataset:
    """Return the data set in a folder of ``train.npz`` and further splits, such as ``test.npz``.

    A file holds the inputs ``x``, of shape (N, C, H, W), (N, H, W) or (N, F), and the labels ``y``, integers from 0 of
    shape (N,). Bytes become floats in [0, 1]; floats stay as they are. The training labels determine the number of
    classes.

    Raises:
        ProblemError: a file is missing or broken, shapes differ between splits, or a label is out of range.
    """
    if not (root / "train.npz").is_file():
        raise ProblemError(
            f"{root / 'train.npz'}: no such file; write it by np.savez('train.npz', x=inputs, y=labels), and test.npz "
            "in the same way"
        )
    paths = [root / "train.npz", *sorted(p for p in root.glob("*.npz") if p.name != "train.npz")]
    # A stray label would ask for an output for each number below it.
    first = _read_npz(paths[0], None)
    classes = int(first[1].max()) + 1
    checked_labels(first[1].numpy(), len(first[1]), paths[0], max(len(first[1]), _FEW))
    splits = {"train": first, **{path.stem: _read_npz(path, classes) for path in paths[1:]}}
    for path in paths[1:]:
        shape, expected = tuple(splits[path.stem][0].shape[1:]), tuple(first[0].shape[1:])
        if shape != expected:
            raise ProblemError(f"{path}: an input has shape {shape}, but in train.npz {expected}")
    kind = kind_of(first[0], paths[0])
    shift = min(first[0].shape[2:]) // _SHIFT if kind == IMAGES else 0
    return Dataset(splits=splits, classes=classes, kind=kind, shift=shift)


def _read_npz(path: Path, classes: int | None) -> TensorPair:
    try:
        # np.load leaves a file that it opened itself open when the file is torn
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except (OSError, ValueError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        # a TypeError: a lone array under the name of an archive
        raise ProblemError(f"{path}: not readable as an .npz file ({str(error).splitlines()[0]})") from error
    if not {"x", "y"} <= arrays.keys():
        raise ProblemError(f"{path}: expected the arrays x and y, got {', '.join(arrays) or 'none'}")
    x = _inputs(arrays["x"], path)
    kind_of(x, path)
    return x, checked_labels(arrays["y"], len(x), path, classes)


def _inputs(x: np.ndarray, path: Path) -> Tensor:
    if x.dtype == np.uint8:
        x = x.astype(np.float32) / 255
    elif x.dtype.kind != "f":
        raise ProblemError(f"{path}: x has type {x.dtype}; expected floats, or bytes (uint8) of images")
    if not np.isfinite(x).all():
        raise ProblemError(f"{path}: x holds NaN or inf; expected finite numbers")
    inputs = torch.from_numpy(x.astype(np.float32))
    return inputs.unsqueeze(1) if inputs.ndim == _GREY_AXES else inputs


def text_file(path: Path, context: int = CONTEXT) -> Dataset:
    """Return the windows of a text in UTF-8, as numbers of its characters in sorted order.

    The last tenth is the test split. Windows of ``context`` characters do not overlap; what is left over at the end is
    dropped. Inputs and targets are the same: the loss ``next_token`` shifts them.

    Raises:
        ProblemError: the file is missing, not UTF-8, or shorter than a window of each split.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ProblemError(f"{path}: no such file; expected a text file in UTF-8") from None
    except UnicodeDecodeError as error:
        raise ProblemError(f"{path}: not a text in UTF-8 (byte {error.start}); convert it") from None
    characters = sorted(set(text))
    number = {character: i for i, character in enumerate(characters)}
    codes = torch.tensor([number[character] for character in text], dtype=torch.int64)
    cut = len(codes) - max(int(len(codes) * _TEST_SHARE), context)
    parts = {"train": codes[: max(cut, 0)], "test": codes[max(cut, 0) :]}
    if len(characters) < 2 or any(len(part) < context for part in parts.values()):  # noqa: PLR2004
        raise ProblemError(
            f"{path}: {len(codes)} characters, {len(characters)} distinct; expected at least {2 * context}, 2 distinct"
        )
    windows = {split: part[: len(part) // context * context].view(-1, context) for split, part in parts.items()}
    return Dataset(splits={split: (x, x) for split, x in windows.items()}, classes=len(characters), kind=TEXT)
