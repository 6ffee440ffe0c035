"""Baseline: the peak memory that the operating system counts for a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import surfaceviz

LIMIT = 2**30  # bytes
ITERATES = 500
PROGRAM = """
import resource, sys
import numpy as np, torch
from pathlib import Path
from safetensors.torch import save_file
import surfaceviz

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(1000, 996), torch.nn.Tanh(), torch.nn.Linear(996, 4))
count = sum(p.numel() for p in model.parameters())
assert count > 1_000_000, count
folder = Path("run")
folder.mkdir()
angle = np.linspace(0, 3, int(sys.argv[1]))
places = np.stack([np.cos(angle) * (3 - angle), np.sin(angle) * (3 - angle)], axis=1)
basis = [{k: torch.randn(p.shape) / count**0.5 for k, p in model.named_parameters()} for _ in range(2)]
for k, (a, b) in enumerate(places):
    state = {n: p.detach() + a * basis[0][n] + b * basis[1][n] for n, p in model.named_parameters()}
    save_file(state, folder / f"step-{k}.safetensors")
problem = surfaceviz.Problem(model, (torch.randn(8, 1000), torch.randint(4, (8,))), "cross_entropy")
made = surfaceviz.trajectory("run", problem=problem, axes=["auto:3", "auto:3"], engine="eager", batch_size=8, workers=1)
path = made.trajectory
# Random directions are orthogonal, and of length 1, only up to 1 / sqrt(count).
assert abs(np.linalg.norm(path.coordinates[0]) - 3) < 0.02, path.coordinates[0]
assert path.distance.max() < 1e-4, path.distance.max()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.long
def test_500_checkpoints_of_a_million_parameters_take_less_than_a_gigabyte(tmp_path: Path) -> None:
    code = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(ITERATES)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PYTHONPATH": str(Path(surfaceviz.__file__).parents[1]), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert code.returncode == 0, code.stderr[-2000:]
    assert int(code.stdout.split()[-1]) < LIMIT
