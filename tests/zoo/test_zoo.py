"""Baseline: accuracies measured here, scikit-learn's digits, and IDX files written byte by byte."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from surfaceviz.errors import ProblemError
from surfaceviz.zoo import catalogue, datasets, networks, training


@pytest.mark.parametrize(
    ("name", "target"),
    [("resnet20-digits", 0.97), ("resnet20-plain-digits", 0.95), ("mlp-digits", 0.93), ("cnn-digits", 0.97)],
)
def test_shipped_weights_reach_their_accuracy(name: str, target: float) -> None:
    problem = catalogue.problem(name)
    data = datasets.digits()
    assert (len(data["train"][1]), len(data["test"][1])) == (1437, 360)
    assert training.accuracy(problem.model, data["test"]) > target
    assert catalogue.CATALOGUE[name].accuracy == pytest.approx(training.accuracy(problem.model, data["test"]), abs=5e-5)
    assert all(not entry.summary.endswith(".") for entry in catalogue.CATALOGUE.values())


def test_the_digits_in_the_package_are_scikit_learns_bit_for_bit() -> None:
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor((images.reshape(-1, 1, 8, 8) / 16 - 0.305) / 0.376, dtype=torch.float32)
    test = np.arange(len(labels)) % 5 == 0
    for split, rows in (("train", ~test), ("test", test)):
        inputs, targets = datasets.digits()[split]
        assert inputs.numpy().tobytes() == x[rows].numpy().tobytes()
        assert targets.dtype == torch.int64
        np.testing.assert_array_equal(targets, labels[rows])


def test_every_entry_has_its_weights_and_a_recipe() -> None:
    for name, entry in catalogue.CATALOGUE.items():
        entry.network().load_state_dict(load_file(catalogue.weights_path(name)))
        assert entry.recipe.epochs > 0
        assert 0.5 < entry.target < 1
    shipped = {path.stem for path in catalogue.weights_path("mlp-digits").parent.iterdir()}
    assert shipped == set(catalogue.CATALOGUE)


def test_the_batch_norm_cnn_has_the_size_counted_by_hand_and_no_skips() -> None:
    model = networks.batch_norm_cnn()
    convolutions = 9 * (1 * 16 + 16 * 32 + 32 * 64)
    norms, linear = 2 * (16 + 32 + 64), 64 * 10 + 10
    assert networks.parameter_count(model) == convolutions + norms + linear
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert catalogue.weights_path("cnn-digits").stat().st_size < 300_000


def _write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wb") as stream:
        stream.write(header + array.astype(np.uint8).tobytes())


def test_idx_files_are_read_gzipped_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.arange(2 * 3 * 4).reshape(2, 3, 4) * 10
    _write_idx(Path("train-images-idx3-ubyte.gz"), images)
    _write_idx(Path("train-labels-idx1-ubyte"), np.array([7, 2]))
    _write_idx(Path("t10k-images-idx3-ubyte"), images[:1])
    _write_idx(Path("t10k-labels-idx1-ubyte.gz"), np.array([5]))
    monkeypatch.setenv("SURFACEVIZ_DATA", ".")
    data = datasets.idx_folder()
    np.testing.assert_allclose(data["train"][0].numpy()[:, 0], images / 255, rtol=1e-6)
    assert data["train"][1].tolist() == [7, 2]
    assert data["test"][1].tolist() == [5]


def test_broken_idx_files_are_refused() -> None:
    with pytest.raises(ProblemError, match=r"no such file; give the folder of IDX files by --data or SURFACEVIZ_DATA"):
        datasets.idx_folder(".")
    Path("a").write_bytes(b"\x01\x02\x03\x04")
    with pytest.raises(ProblemError, match="a: no IDX file"):
        datasets.read_idx("a")
    _write_idx(Path("b"), np.zeros((2, 2)))
    Path("b").write_bytes(Path("b").read_bytes()[:-1])
    with pytest.raises(ProblemError, match=r"b: 15 bytes, but its header of shape \(2, 2\) asks for 16"):
        datasets.read_idx("b")
    Path("c.gz").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(ProblemError, match="c.gz: not readable as an IDX file"):
        datasets.read_idx("c.gz")
    Path("d.gz").write_bytes(gzip.compress(bytes(5000))[:10] + bytes(30))
    with pytest.raises(ProblemError, match="d.gz: not readable as an IDX file"):
        datasets.read_idx("d.gz")
    _write_idx(Path("train-images-idx3-ubyte"), np.zeros((2, 2, 2)))
    _write_idx(Path("train-labels-idx1-ubyte"), np.zeros(3))
    with pytest.raises(ProblemError, match="2 train images but 3 labels"):
        datasets.idx_folder(".", splits=("train",))
    _write_idx(Path("train-labels-idx1-ubyte"), np.array([1, 10]))
    with pytest.raises(ProblemError, match="train-labels-idx1-ubyte: label 10 of sample 1 is out of range; .* 0 to 9"):
        datasets.load("mnist", ".")
    _write_idx(Path("train-images-idx3-ubyte"), np.zeros((2, 2)))
    with pytest.raises(ProblemError, match=r"shape \(2, 2\), type uint8; expected images \(N, H, W\) of bytes"):
        datasets.load("mnist", ".")
