"""Train a small network by plain gradient descent on the whole split and keep checkpoints, for the edge of stability.

    python scripts/train_edge.py FOLDER

The same network and data as ``scripts/train_edge.py:problem``, at a step at which the largest eigenvalue of the
Hessian rises to 2 / learning rate and stays about there (Cohen et al., arXiv 2103.00065).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import surfaceviz

RATE, STEPS, EVERY = 0.6, 4000, 200


def problem() -> surfaceviz.Problem:
    """Return a 64-32-10 tanh network on a thousand digits under the mean squared loss, at its start."""
    x, y = load_digits(return_X_y=True)
    inputs = torch.tensor(x[:1000] / 16, dtype=torch.float32)
    targets = nn.functional.one_hot(torch.tensor(y[:1000]), 10).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    return surfaceviz.Problem(model, (inputs, targets), "mse", name="edge")


def main() -> None:
    """Train, and write ``step-0000.pt``, ... into the folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    given = problem()
    inputs, targets = given.sources["train"]
    optimiser = torch.optim.SGD(given.model.parameters(), lr=RATE)
    for step in range(STEPS + 1):
        loss = nn.functional.mse_loss(given.model(inputs), targets)
        if step % EVERY == 0:
            torch.save(given.model.state_dict(), folder / f"step-{step:04}.pt")
            print(f"step {step}: loss {loss.item():.5f}")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


if __name__ == "__main__":
    main()
