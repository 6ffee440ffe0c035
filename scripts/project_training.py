"""Project the checkpoints of a training onto a slice, and put the path into the slice's file.

    python scripts/project_training.py FILE.h5 PROBLEM FINAL CHECKPOINT... [--overwrite]

FINAL are the weights at the slice's centre. With d_t = theta_t - theta_final and the directions as the columns of D,
the coordinates of an iterate are those of least squares, and its distance is ||d_t - D c_t||. Kept is also each
iterate's own loss. ``surfaceviz plot FILE.h5`` draws the path.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import surfaceviz
from surfaceviz import store
from surfaceviz.pipeline.resolve import read_theta, resolve
from surfaceviz.records import FloatArray, Trajectory


def project(path: Path, problem: str, final: str, checkpoints: list[str]) -> Trajectory:
    """Return the path of checkpoints on the slice in a file."""
    tensors = store.read_directions(path)
    names = list(tensors[0])
    columns = np.stack([np.concatenate([each[name].ravel() for name in names]) for each in tensors], axis=1)

    def vector(weights: str) -> FloatArray:
        theta = read_theta(resolve(problem, None), weights, "float64", lambda _line: None)
        return np.concatenate([theta[name].numpy().ravel() for name in names]).astype(np.float64)

    rows = np.stack([vector(each) - vector(final) for each in checkpoints])
    solved = np.linalg.lstsq(columns.astype(np.float64), rows.T, rcond=None)[0]
    coordinates = np.asarray(solved.T, np.float64)
    distance = np.sqrt(np.sum((rows - coordinates @ columns.T) ** 2, axis=1))
    losses = [surfaceviz.slice(problem, ["0:1:2"], weights=each).centre["train_loss"] for each in checkpoints]
    steps = np.array([_step(each) for each in checkpoints])
    return Trajectory(coordinates=coordinates, step=steps, distance=distance, values={"train_loss": np.array(losses)})


def _step(checkpoint: str) -> float:
    """Return the last number in the name of a checkpoint.

    Raises:
        SystemExit: there is none.
    """
    numbers = re.findall(r"\d+", Path(checkpoint).stem)
    if not numbers:
        sys.exit(f"{checkpoint}: expected the training step in the name, such as epoch-10.pt")
    return float(numbers[-1])


def main() -> None:
    """Project, and write the file anew."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--overwrite"]
    path, problem, final, *checkpoints = arguments
    stored = store.read(path).trajectory
    if stored is not None and len(arguments) == len(sys.argv[1:]):
        sys.exit(
            f"{path} holds a path of {len(stored.step)} iterates, which is kept; a file has one path. Add --overwrite "
            "to replace it, or copy the file and project onto the copy"
        )
    trajectory = project(Path(path), problem, final, sorted(checkpoints, key=_step))
    surface = replace(store.read(path), trajectory=trajectory)
    store.write(Path(path), surface, store.read_directions(path))
    print(f"{len(checkpoints)} iterates, at most {trajectory.distance.max():.4g} off the plane")


if __name__ == "__main__":
    main()
