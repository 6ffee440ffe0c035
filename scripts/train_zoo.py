"""Train the networks of the catalogue and write the weights that the package ships.

    python scripts/train_zoo.py [NAME...]

Prints accuracies and fails where one is under its target. Torch's results differ a little from
machine to machine, so the weights made again are as good as those shipped, not the same bits.
"""

from __future__ import annotations

import sys
import time

import torch
from safetensors.torch import save_file

from surfaceviz.zoo import catalogue, training

RECIPES: dict[str, tuple[training.Recipe, float]] = {
    "resnet20-digits": (training.Recipe(epochs=60, shift=1), 0.97),
    "resnet20-plain-digits": (training.Recipe(epochs=80, peak_rate=0.05, shift=1), 0.95),
    "mlp-digits": (training.Recipe(epochs=60, peak_rate=0.05), 0.93),
    "cnn-fashion": (training.Recipe(epochs=2, batch_size=128, peak_rate=0.1), 0.85),
}


def main(names: list[str]) -> int:
    """Train each of ``names`` (all without any) and return the exit code."""
    failed = 0
    for name in names or list(RECIPES):
        recipe, target = RECIPES[name]
        entry = catalogue.ENTRIES[name]
        data = entry.data(None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = entry.network()
        started = time.perf_counter()
        training.train(model, data["train"], recipe, generator=torch.Generator().manual_seed(0))
        seconds = time.perf_counter() - started
        scores = {split: training.accuracy(model, pair) for split, pair in data.items()}
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, catalogue.weights_path(name))
        shown = ", ".join(f"{split} accuracy {score:.4f}" for split, score in scores.items())
        good = scores["test"] > target
        failed += not good
        print(f"{name}: {shown} (target > {target}) in {seconds:.0f} s{'' if good else '  TOO LOW'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
