"""Local data sets: scikit-learn's digits, and folders of IDX files."""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfaceviz.errors import ProblemError

TensorPair = tuple[Tensor, Tensor]

# The folder of Debian's package dataset-fashion-mnist.
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

_MAGIC = 4  # bytes
_SMALL, _EXPANSION = 64 * 2**20, 20  # bytes that a file may expand to: so many, and so many times its own; ours
_IDX_DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def digits() -> dict[str, TensorPair]:
    """Return scikit-learn's handwritten digits, every fifth image being test.

    Images are float32 of shape (N, 1, 8, 8), standardised by the mean 0.305 and the standard
    deviation 0.376 of the training pixels over 16; 1437 train, 360 test.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415  its import takes a second

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor((images.reshape(-1, 1, 8, 8) / 16 - 0.305) / 0.376, dtype=torch.float32)
    y = torch.tensor(labels, dtype=torch.int64)
    test = torch.arange(len(y)) % 5 == 0
    return {"train": (x[~test], y[~test]), "test": (x[test], y[test])}


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
    """Return the array of an open IDX file, of which no more is read than its header asks for.

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
    folder: str | Path | None = None, *, splits: tuple[str, ...] = ("train", "test")
) -> dict[str, TensorPair]:
    """Return the splits of a folder with the layout of MNIST and Fashion-MNIST.

    Images become float32 of shape (N, 1, H, W) in [0, 1]; labels int64 of shape (N,).

    Args:
        folder: the folder of ``train-images-idx3-ubyte[.gz]`` and its like; by default
            ``$SURFACEVIZ_DATA``, then the place of Debian's ``dataset-fashion-mnist``.
        splits: which of ``train`` and ``test`` to read.

    Raises:
        ProblemError: a file is missing or broken, or images and labels differ in number.
    """
    root = Path(folder or os.environ.get("SURFACEVIZ_DATA") or FASHION_MNIST)
    return {split: _idx_split(root, "t10k" if split == "test" else split) for split in splits}


def _idx_split(root: Path, stem: str) -> TensorPair:
    images = read_idx(_either(root, f"{stem}-images-idx3-ubyte"))
    labels = read_idx(_either(root, f"{stem}-labels-idx1-ubyte"))
    if len(images) != len(labels):
        raise ProblemError(f"{root}: {len(images)} {stem} images but {len(labels)} labels")
    x = torch.from_numpy(images.astype(np.float32) / 255).unsqueeze(1)
    return x, torch.from_numpy(labels.astype(np.int64))


def _either(root: Path, name: str) -> Path:
    for path in (root / f"{name}.gz", root / name):
        if path.exists():
            return path
    raise ProblemError(
        f"{root / name}[.gz]: no such file; give the folder of IDX files by --data or SURFACEVIZ_DATA "
        "(Fashion-MNIST: apt-get install dataset-fashion-mnist)"
    )
