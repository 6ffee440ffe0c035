"""Training of the catalogue's networks; writes the weights that the package ships.

    python scripts/train_zoo.py [NAME...]

The recipes, the targets and the accuracies are in `surfaceviz.zoo.catalogue`; write new accuracies there. The script
prints the accuracies and fails if a test accuracy is below its target. Torch's results differ slightly between
machines: retrained weights are as accurate as the shipped weights, but not bit-identical.
"""

from __future__ import annotations

import sys
import time

import torch
from safetensors.torch import save_file

from surfaceviz.zoo import catalogue, training


def main(names: list[str]) -> int:
    """Train each of ``names`` (all without any) and return the exit code."""
    failed = 0
    for name in names or list(catalogue.CATALOGUE):
        entry = catalogue.CATALOGUE[name]
        data = catalogue.dataset(name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = entry.network()
        started = time.perf_counter()
        training.train(model, data, entry.recipe)
        seconds = time.perf_counter() - started
        scores = {split: training.accuracy(model, pair) for split, pair in data.splits.items()}
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, catalogue.weights_path(name))
        shown = ", ".join(f"{split} accuracy {score:.4f}" for split, score in scores.items())
        good = scores["test"] > entry.target
        failed += not good
        print(f"{name}: {shown} (target > {entry.target}) in {seconds:.0f} s{'' if good else '  TOO LOW'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
