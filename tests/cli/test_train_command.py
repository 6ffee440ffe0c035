"""Baseline: lines and exit codes that the documentation promises, and numbers of parameters counted elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from surfaceviz import cli
from surfaceviz.zoo import catalogue, datasets, network_table


def _write_images() -> None:
    y = np.arange(40) % 3
    for split in ("train", "test"):
        np.savez(f"{split}.npz", x=np.random.default_rng(0).normal(size=(40, 8, 8)) + y[:, None, None], y=y)


def test_the_catalogue_lists_every_problem_network_and_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["catalogue"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert {line[0] for line in lines} == {*catalogue.CATALOGUE, *network_table.NETWORKS, *datasets.DATASETS, "name"}
    sizes = {line[0]: line[1:3] for line in lines}
    assert sizes["mlp-digits"] == ["3,466", "96.9%"]
    assert sizes["resnet56"] == ["853,018", "-"]
    assert sizes["resnet56-projection"] == ["855,770", "-"]


def test_train_prints_a_row_for_each_epoch_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    _write_images()
    command = [
        "train",
        "mlp",
        ".",
        "-o",
        "run",
        "--epochs",
        "3",
        "--batch",
        "all",
        "--optimiser",
        "adam",
        "--lr",
        "0.01",
    ]
    assert cli.run(command) == 0
    first, head, *rows, last = capsys.readouterr().out.splitlines()
    assert first.startswith("mlp (3,235 parameters) on ")
    assert "3 epochs of 1 steps, all samples, adam, learning rate 0.01 (one-cycle)" in first
    assert head.split() == [
        "epoch", "step", "lr", "train", "loss", "train", "accuracy", "test", "loss", "test", "accuracy", "seconds"
    ]  # fmt: skip
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert last == "folder   run: 4 checkpoints; surfaceviz slice run"
    assert cli.run(command) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert cli.run(["slice", "run", "--axis=-1:1:3", "--quiet", "--no-plot"]) == 0
    assert Path("run.h5").exists()
    capsys.readouterr()
    assert cli.run([*command, "--seed", "1"]) == 1
    assert capsys.readouterr().err == (
        "surfaceviz: run holds another training (seed 1 instead of 0); give another folder by -o, or --overwrite\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["resnet57", "digits"], 1, "unknown network 'resnet57'; give one of resnet20, "),
        (["mlp", "cifar10"], 1, "cifar-10-batches-bin: no such folder; get cifar-10-binary.tar.gz from "),
        (["mlp", "digits", "--epochs", "0"], 2, "epochs must be at least 1, got 0"),
        (["mlp", "digits", "--batch", "most"], 2, "batch_size must be a number of samples, or all, got 'most'"),
        (["mlp", "digits", "--optimiser", "lion"], 2, "Invalid value for '--optimiser': 'lion' is not one of"),
    ],
)
def test_errors_are_one_line(arguments: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", *arguments, "--device", "cpu"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith(f"surfaceviz: {line}")
    assert printed.count("\n") == 1
    assert list(Path().iterdir()) == []
