"""CIFAR-10 and CIFAR-100: the binary files, and the pickled ones through a restricted unpickler."""

from __future__ import annotations

import codecs
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surfaceviz.errors import ProblemError
from surfaceviz.zoo.labelled_data import Splits, TensorPair, checked_labels

_PIXELS = 3 * 32 * 32

# Means and standard deviations of the training pixels of CIFAR-10 by channel, over 255: the usual figures.
_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """The files of one of the two data sets.

    Attributes:
        classes: number of classes.
        labels: bytes before the pixels of a record; the last one is the label.
        key: entry of the labels in a pickled file.
        binary: folder, and files by split, of the binary version.
        pickled: the same of the pickled version.
    """

    classes: int
    labels: int
    key: bytes
    binary: tuple[str, dict[str, list[str]]]
    pickled: tuple[str, dict[str, list[str]]]


_BATCHES = [f"data_batch_{i}" for i in range(1, 6)]
LAYOUTS = {
    "cifar10": _Layout(
        classes=10,
        labels=1,
        key=b"labels",
        binary=("cifar-10-batches-bin", {"train": [f"{b}.bin" for b in _BATCHES], "test": ["test_batch.bin"]}),
        pickled=("cifar-10-batches-py", {"train": _BATCHES, "test": ["test_batch"]}),
    ),
    "cifar100": _Layout(
        classes=100,
        labels=2,
        key=b"fine_labels",
        binary=("cifar-100-binary", {"train": ["train.bin"], "test": ["test.bin"]}),
        pickled=("cifar-100-python", {"train": ["train"], "test": ["test"]}),
    ),
}


def cifar(name: str, root: Path) -> Splits:
    """Return the splits of CIFAR-10 or CIFAR-100, images standardised by channel.

    Args:
        name: ``cifar10`` or ``cifar100``.
        root: the folder of the unpacked archive, or the one that contains it.

    Raises:
        ProblemError: a file is missing or broken, or a label is out of range.
    """
    layout = LAYOUTS[name]
    for version, read in ((layout.binary, _read_binary), (layout.pickled, _read_pickled)):
        folder, files = version
        for place in (root / folder, root):
            if (place / files["test"][0]).is_file() or (place / files["train"][0]).is_file():
                return {split: _joined([read(place / each, layout) for each in files[split]]) for split in files}
    archive = "cifar-10-binary" if name == "cifar10" else "cifar-100-binary"
    raise ProblemError(
        f"{root / layout.binary[0]}: no such folder; get {archive}.tar.gz from "
        f"https://www.cs.toronto.edu/~kriz/cifar.html, unpack it in {root}, or name its folder by --data"
    )


def _joined(parts: list[TensorPair]) -> TensorPair:
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def _pair(pixels: np.ndarray, labels: np.ndarray, path: Path, layout: _Layout) -> TensorPair:
    y = checked_labels(labels, len(pixels), path, layout.classes)
    x = torch.from_numpy(pixels.reshape(-1, 3, 32, 32).astype(np.float32)).div_(255)
    return x.sub_(torch.tensor(_MEAN).view(3, 1, 1)).div_(torch.tensor(_STD).view(3, 1, 1)), y


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ProblemError(f"{path}: no such file; unpack the whole archive again") from None
    except OSError as error:
        raise ProblemError(f"{path}: not readable ({error.strerror})") from error


def _read_binary(path: Path, layout: _Layout) -> TensorPair:
    raw, record = _read(path), layout.labels + _PIXELS
    if not raw or len(raw) % record:
        raise ProblemError(f"{path}: {len(raw)} bytes; expected a multiple of {record}, the size of a record")
    records = np.frombuffer(raw, np.uint8).reshape(-1, record)
    return _pair(records[:, layout.labels :], records[:, layout.labels - 1], path, layout)


def _read_pickled(path: Path, layout: _Layout) -> TensorPair:
    found = restricted_unpickle(_read(path), path)
    pixels = found.get(b"data") if isinstance(found, dict) else None
    labels = found.get(layout.key) if isinstance(found, dict) else None
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_PIXELS,):
        raise ProblemError(f"{path}: no pixels of shape (N, {_PIXELS}) and 8 bits in its entry 'data'")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise ProblemError(f"{path}: no list of integers in its entry {layout.key.decode()!r}")
    return _pair(pixels, np.array(labels, dtype=np.int64), path, layout)


def _latin1(text: str, encoding: str) -> bytes:
    """Stand in for `_codecs.encode`, by which newer Pythons pickle bytes in protocol 2."""
    return codecs.encode(text, "latin1" if encoding in ("latin1", "latin-1") else "ascii")


_RECONSTRUCT = np.zeros(0).__reduce__()[0]  # numpy's function, whose module has two names

# What a pickled array consists of, under the old and the new names of numpy's modules.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): _latin1,
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that builds arrays, lists, dicts, numbers and bytes, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few allowed constructors."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no CIFAR file needs")
        return _ALLOWED[module, name]


def restricted_unpickle(raw: bytes, path: Path) -> Any:
    """Return the content of a pickled CIFAR file without running code from it.

    Raises:
        ProblemError: the bytes are not such a pickle.
    """
    try:
        return _Unpickler(io.BytesIO(raw), encoding="bytes").load()
    except Exception as error:  # noqa: BLE001  a torn or hostile pickle raises errors of any type
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ProblemError(f"{path}: not a pickled CIFAR file ({why}); unpack the archive again") from None
