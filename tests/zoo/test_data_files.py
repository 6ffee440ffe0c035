"""Baseline: files written here byte by byte, in each format, whose pixels and labels are known."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from surfaceviz.errors import ProblemError
from surfaceviz.zoo import datasets

_PIXELS = 3072
MEAN, STD = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])


def _pixels(count: int) -> np.ndarray:
    return (np.arange(count * _PIXELS) * 7 % 256).astype(np.uint8).reshape(count, _PIXELS)


def _standard(pixels: np.ndarray) -> np.ndarray:
    images = pixels.reshape(-1, 3, 32, 32) / 255
    standard: np.ndarray = (images - MEAN[:, None, None]) / STD[:, None, None]
    return standard


def _write_binary(folder: Path, labels: list[int], *, name: str = "cifar10") -> None:
    folder.mkdir(exist_ok=True)
    files = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for file in files if name == "cifar10" else ["train.bin", "test.bin"]:
        before = [[label] if name == "cifar10" else [3, label] for label in labels]
        rows = [bytes(b) + p.tobytes() for b, p in zip(before, _pixels(len(labels)), strict=True)]
        (folder / file).write_bytes(b"".join(rows))


def _write_pickled(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def test_binary_cifar_files_are_read_in_order_and_standardised() -> None:
    _write_binary(Path("cifar-10-batches-bin"), [7, 2])
    data = datasets.load("cifar10", ".")
    x, y = data.splits["train"]
    assert x.shape == (10, 3, 32, 32)
    assert y.tolist() == [7, 2] * 5
    np.testing.assert_allclose(x[:2].numpy(), _standard(_pixels(2)), atol=1e-6)
    _write_binary(Path("cifar-100-binary"), [99, 0, 4], name="cifar100")
    assert datasets.load("cifar100", "cifar-100-binary").splits["test"][1].tolist() == [99, 0, 4]
    assert datasets.load("cifar100", ".").classes == 100


def test_pickled_cifar_files_give_the_same() -> None:
    folder = Path("cifar-10-batches-py")
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        _write_pickled(folder / name, {b"data": _pixels(2), b"labels": [7, 2], b"batch_label": b"some"})
    _write_binary(Path("cifar-10-batches-bin"), [7, 2])
    pickled, binary = (datasets.load("cifar10", place) for place in (folder, "cifar-10-batches-bin"))
    for split in ("train", "test"):
        for ours, theirs in zip(pickled.splits[split], binary.splits[split], strict=True):
            assert torch.equal(ours, theirs)
    for name in ("train", "test"):
        _write_pickled(Path("cifar-100-python") / name, {b"data": _pixels(1), b"fine_labels": [42]})
    assert datasets.load("cifar100", ".").splits["train"][1].tolist() == [42]


def test_an_old_pythons_pickle_of_an_array_is_read() -> None:
    """Protocol 2 of Python 2 names numpy.core.multiarray and has byte strings."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR(I1\n(I1\nI3072\ntcnumpy\ndtype\n"
        b"(U\x02u1I0\nI1\ntR(I3\nU\x01|NNNI-1\nI-1\nI0\ntbI00\nT\x00\x0c\x00\x00" + _pixels(1).tobytes() + b"tb"
    )
    for name in ("train", "test"):
        Path(name).write_bytes(b"\x80\x02}(U\x04data" + array + b"U\x0bfine_labels(lI5\nau.")
    assert datasets.load("cifar100", ".").splits["train"][1].tolist() == [5]
    np.testing.assert_allclose(datasets.load("cifar100", ".").splits["test"][0], _standard(_pixels(1)), atol=1e-6)


class _Command:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def test_a_pickle_runs_no_code() -> None:
    for name in ("train", "test"):
        _write_pickled(Path(name), {b"data": _Command(), b"fine_labels": [1]})
    with pytest.raises(ProblemError, match=r"train: not a pickled CIFAR file \(it names posix.system, which no CIFAR"):
        datasets.load("cifar100", ".")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "train: not a pickled CIFAR file"),
        (b"\x80\x02}(U\x04data", "train: not a pickled CIFAR file"),
        (pickle.dumps([1]), "train: no pixels of shape"),
        (pickle.dumps({b"data": _pixels(1).astype(float)}), "train: no pixels of shape"),
        (pickle.dumps({b"data": _pixels(1), b"labels": [1]}, 2), "no list of integers in its entry 'fine_labels'"),
        (pickle.dumps({b"data": _pixels(1), b"fine_labels": [1, 2]}, 2), "train: 1 inputs but 2 labels"),
        (pickle.dumps({b"data": _pixels(1), b"fine_labels": [100]}, 2), "label 100 of sample 0 is out of .* 0 to 99"),
        (pickle.dumps({b"data": _pixels(1), b"fine_labels": [-1]}, 2), "label -1 of sample 0 is out of range"),
    ],
)
def test_broken_pickles_are_refused_in_one_line(content: bytes, match: str) -> None:
    for name in ("train", "test"):
        Path(name).write_bytes(content)
    with pytest.raises(ProblemError, match=match) as raised:
        datasets.load("cifar100", ".")
    assert "\n" not in str(raised.value)


def test_broken_binary_files_are_refused() -> None:
    with pytest.raises(ProblemError, match=r"cifar-10-batches-bin: no such folder; get cifar-10-binary.tar.gz from"):
        datasets.load("cifar10", ".")
    _write_binary(Path("a"), [1, 10])
    with pytest.raises(ProblemError, match="data_batch_1.bin: label 10 of sample 1 is out of range; expected 0 to 9"):
        datasets.load("cifar10", "a")
    torn = Path("a/data_batch_1.bin")
    torn.write_bytes(torn.read_bytes()[:-1])
    with pytest.raises(ProblemError, match="data_batch_1.bin: 6145 bytes; expected a multiple of 3073"):
        datasets.load("cifar10", "a")
    torn.unlink()
    with pytest.raises(ProblemError, match="data_batch_1.bin: no such file; unpack the whole archive again"):
        datasets.load("cifar10", "a")


def test_a_folder_of_npz_files_is_a_data_set() -> None:
    np.savez("train.npz", x=np.full((3, 16, 16), 255, np.uint8), y=np.array([0, 2, 1]))
    np.savez("held.npz", x=np.zeros((1, 16, 16), np.uint8), y=np.array([2], np.uint8))
    data = datasets.load(".")
    assert (data.classes, data.kind, data.shape, data.shift, data.flip) == (3, "images", (1, 16, 16), 2, False)
    assert sorted(data.splits) == ["held", "train"]
    assert data.splits["train"][0].unique().tolist() == [1.0]
    np.savez("train.npz", x=np.eye(3), y=np.array([0, 2, 1]))
    Path("held.npz").unlink()
    assert (datasets.load(".").kind, datasets.load(".").shape) == ("vectors", (3,))


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"x": np.eye(2)}, "train.npz: expected the arrays x and y, got x"),
        ({"x": np.eye(2), "y": np.array([0.5, 1])}, "labels have shape .* expected a vector of integers"),
        ({"x": np.eye(2), "y": np.array([0, -3])}, "label -3 of sample 1 is out of range; expected 0 or more"),
        ({"x": np.eye(2), "y": np.array([0, 10**9])}, "label 1000000000 of sample 1 is out of .* expected 0 to 999"),
        ({"x": np.eye(2), "y": np.eye(2, dtype=int)}, "labels have shape .* expected a vector of integers"),
        ({"x": np.eye(2), "y": np.array([0])}, "train.npz: 2 inputs but 1 labels"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, int)}, "train.npz: no samples"),
        ({"x": np.zeros(2), "y": np.array([0, 1])}, r"x has shape \(2,\); expected images"),
        ({"x": np.zeros((2, 2), int), "y": np.array([0, 1])}, "x has type int64; expected floats"),
        ({"x": np.array([[np.nan]]), "y": np.array([0])}, "x holds NaN or inf"),
        ({"x": np.array([["a"]], object), "y": np.array([0])}, "not readable as an .npz file"),
    ],
)
def test_broken_npz_files_are_refused(arrays: dict[str, np.ndarray], match: str) -> None:
    np.savez("train.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match=match):
        datasets.load(".")


def test_splits_of_a_folder_fit_each_other() -> None:
    with pytest.raises(ProblemError, match=r"train.npz: no such file; write it by np.savez"):
        datasets.load(".")
    np.savez("train.npz", x=np.eye(2), y=np.array([0, 1]))
    np.savez("test.npz", x=np.eye(2), y=np.array([0, 2]))
    with pytest.raises(ProblemError, match="test.npz: label 2 of sample 1 is out of range; expected 0 to 1"):
        datasets.load(".")
    np.savez("test.npz", x=np.eye(3), y=np.array([0, 1, 1]))
    with pytest.raises(ProblemError, match=r"test.npz: an input has shape \(3,\), but in train.npz \(2,\)"):
        datasets.load(".")
    Path("train.npz").write_bytes(Path("train.npz").read_bytes()[:-30])
    with pytest.raises(ProblemError, match="train.npz: not readable as an .npz file"):
        datasets.load(".")


def test_a_text_is_cut_into_windows_of_characters() -> None:
    text = "abcä" * 100
    Path("t.txt").write_text(text, encoding="utf-8")
    data = datasets.load("t.txt")
    windows, targets = data.splits["train"]
    assert torch.equal(windows, targets)
    assert (data.classes, windows.shape, data.splits["test"][0].shape) == (4, (5, 64), (1, 64))
    assert "".join("abcä"[i] for i in windows.flatten()) == text[: 5 * 64]
    Path("t.txt").write_text("ab" * 63)
    with pytest.raises(ProblemError, match="t.txt: 126 characters, 2 distinct; expected at least 128, 2 distinct"):
        datasets.load("t.txt")
    Path("t.txt").write_bytes(b"abc\xff")
    with pytest.raises(ProblemError, match=r"t.txt: not a text in UTF-8 \(byte 3\)"):
        datasets.load("t.txt")


def test_names_that_are_no_data_are_refused_with_the_names_that_are() -> None:
    with pytest.raises(ProblemError, match="unknown data 'cifar'; give one of digits, mnist, .* a folder of .npz or"):
        datasets.load("cifar")
    with pytest.raises(ProblemError, match="digits are in the package; leave out --data"):
        datasets.load("digits", ".")
    with pytest.raises(ProblemError, match="train-images-idx3-ubyte.*get the four files of MNIST from"):
        datasets.load("mnist", ".")
