"""Local data sets by name: the digits, which are in the package, IDX files, CIFAR; and own data by path."""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from pathlib import Path

import numpy as np
import torch

from surfaceviz.errors import ProblemError
from surfaceviz.zoo.cifar import LAYOUTS, cifar
from surfaceviz.zoo.labelled_data import Dataset, TensorPair, checked_labels
from surfaceviz.zoo.own_data import npz_folder, text_file

_DIGITS = Path(__file__).parent / "digits" / "digits.npz"

# The folder of Debian's package dataset-fashion-mnist.
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

# The data sets that have a name -> what they are.
DATASETS = {
    "digits": "1,797 handwritten digits of 8 x 8 pixels (in the package)",
    "mnist": "70,000 handwritten digits of 28 x 28 pixels (IDX files)",
    "fashion-mnist": "70,000 pieces of clothing of 28 x 28 pixels (IDX files)",
    "cifar10": "60,000 colour images of 32 x 32 pixels, 10 classes (binary or pickled version)",
    "cifar100": "the same with 100 classes",
}
_CLASSES = 10  # of the digits and of both MNISTs
_IMAGE_AXES = 3  # of IDX images
_SOURCES = {
    "mnist": "get the four files of MNIST from https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion-mnist": "Fashion-MNIST: apt-get install dataset-fashion-mnist",
}
_MAGIC = 4  # bytes
_SMALL, _EXPANSION = 64 * 2**20, 20  # bytes that a file may expand to: so many, and so many times its own; ours
_IDX_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def digits() -> dict[str, TensorPair]:
    """Return the handwritten digits in the package, every fifth image being test.

    Images are float32 of shape (N, 1, 8, 8), standardised by the mean 0.305 and the standard
    deviation 0.376 of the training pixels over 16; 1437 train, 360 test.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998); see ``digits/SOURCE.md``.
    """
    with np.load(_DIGITS) as stored:
        images, labels = stored["images"], stored["labels"]
    x = torch.tensor((images[:, None] / 16 - 0.305) / 0.376, dtype=torch.float32)
    y = torch.tensor(labels, dtype=torch.int64)
    test = torch.arange(len(y)) % 5 == 0
    return {"train": (x[~test], y[~test]), "test": (x[test], y[test])}


def load(name: str, folder: str | Path | None = None) -> Dataset:
    """Return the data set of a name, of a folder of `.npz` files, or of a text file.

    Args:
        name: a key of `DATASETS`, or a path.
        folder: where the files of a named data set are; by default ``$SURFACEVIZ_DATA``, then for Fashion-MNIST the
            place of Debian's package, for the others the current folder. For a path, a place that replaces it.

    Raises:
        ProblemError: the name is unknown, or a file is missing or broken.
    """
    if name == "digits":
        if folder is not None:
            raise ProblemError("digits are in the package; leave out --data")
        return Dataset(splits=digits(), classes=_CLASSES, shift=1)
    root = Path(folder or os.environ.get("SURFACEVIZ_DATA") or ".")
    if name in LAYOUTS:
        return Dataset(splits=cifar(name, root), classes=LAYOUTS[name].classes, shift=4, flip=True)
    if name in DATASETS:
        fashion = name == "fashion-mnist"
        splits = idx_folder(folder if fashion else root, hint=_SOURCES[name])
        return Dataset(splits=splits, classes=_CLASSES, shift=2, flip=fashion)
    path = Path(folder or name)
    if path.is_dir():
        return npz_folder(path)
    if path.is_file():
        return text_file(path)
    raise ProblemError(f"unknown data {name!r}; give one of {', '.join(DATASETS)}, a folder of .npz or a text file")


def read_idx(path: str | Path) -> np.ndarray:
    """Return the array in an IDX file, gzipped or not.

    Raises:
        ProblemError: the file is missing, is not an IDX file, or its length differs from its header.

    Source: the format's description by LeCun et al. (MNIST): two zero bytes, a type code, the
    number of dimensions, the sizes as big-endian 32-bit integers, the data.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ProblemError(f"{path}: not a regular file")
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
            return _read_array(path, stream)
    except (OSError, EOFError, zlib.error) as error:
        raise ProblemError(f"{path}: not readable as an IDX file ({error})") from error


def _read_array(path: Path, stream: gzip.GzipFile | io.BufferedReader) -> np.ndarray:
    """Return the array of an open IDX file; no more bytes are read than its header asks for.

    Raises:
        ProblemError: see `read_idx`.
    """
    start = stream.read(_MAGIC)
    sizes = stream.read(4 * start[3]) if len(start) == _MAGIC else b""
    if len(start) < _MAGIC or start[:2] != b"\0\0" or start[2] not in _IDX_DTYPES or len(sizes) < 4 * start[3]:
        raise ProblemError(f"{path}: no IDX file (it starts with {start!r})")
    dtype = np.dtype(_IDX_DTYPES[start[2]])
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    length = path.stat().st_size
    if expected > _SMALL + _EXPANSION * length:
        raise ProblemError(
            f"{path}: {length} bytes, but its header of shape {shape} asks for {expected}, many times more"
        )
    raw = stream.read(expected + 1)
    if len(raw) != expected:
        count = "more" if len(raw) > expected else _MAGIC + len(sizes) + len(raw)
        total = _MAGIC + len(sizes) + expected
        raise ProblemError(f"{path}: {count} bytes, but its header of shape {shape} asks for {total}")
    return np.frombuffer(raw, dtype).reshape(shape)


def idx_folder(
    folder: str | Path | None = None,
    *,
    splits: tuple[str, ...] = ("train", "test"),
    hint: str = _SOURCES["fashion-mnist"],
) -> dict[str, TensorPair]:
    """Return the splits of a folder with the layout of MNIST and Fashion-MNIST.

    Images become float32 of shape (N, 1, H, W) in [0, 1]; labels int64 of shape (N,).

    Args:
        folder: the folder of ``train-images-idx3-ubyte[.gz]`` and its like; by default
            ``$SURFACEVIZ_DATA``, then the place of Debian's ``dataset-fashion-mnist``.
        splits: which of ``train`` and ``test`` to read.
        hint: where to get the files, for the message about a missing one.

    Raises:
        ProblemError: a file is missing or broken, images and labels differ in number, or a label is out of range.
    """
    root = Path(folder or os.environ.get("SURFACEVIZ_DATA") or FASHION_MNIST)
    return {split: _idx_split(root, "t10k" if split == "test" else split, hint) for split in splits}


def _idx_split(root: Path, stem: str, hint: str) -> TensorPair:
    place = _either(root, f"{stem}-images-idx3-ubyte", hint)
    images = read_idx(place)
    if images.ndim != _IMAGE_AXES or images.dtype != np.uint8:
        raise ProblemError(f"{place}: shape {images.shape}, type {images.dtype}; expected images (N, H, W) of bytes")
    place = _either(root, f"{stem}-labels-idx1-ubyte", hint)
    labels = read_idx(place)
    if len(images) != len(labels):
        raise ProblemError(f"{root}: {len(images)} {stem} images but {len(labels)} labels")
    y = checked_labels(labels, len(images), place, _CLASSES)
    return torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1), y


def _either(root: Path, name: str, hint: str) -> Path:
    for path in (root / f"{name}.gz", root / name):
        if path.exists():
            return path
    raise ProblemError(
        f"{root / name}[.gz]: no such file; give the folder of IDX files by --data or SURFACEVIZ_DATA ({hint})"
    )
