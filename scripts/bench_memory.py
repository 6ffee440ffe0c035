"""What a slice of a model of 100 million parameters holds in memory, with its directions held and made anew.

    python scripts/bench_memory.py [--points 5] [--json FILE]

Each way runs in a process of its own, on one thread: its peak resident memory above what it held before the model
was built, in copies of the weights, and the seconds of a point. Both must give equal bits. Told beside it: of how
much the largest tensor is, as a share of the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

LAYERS, WIDTH, SAMPLES = 10, 3200, 64
MEGABYTE = 2**20


def resident() -> float:
    """Return the memory that this process holds now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def child(points: int, *, regenerate: bool) -> None:
    """Cut a plane and print what it took."""
    import torch  # noqa: PLC0415  each process measures itself
    from torch import nn  # noqa: PLC0415

    import surfaceviz  # noqa: PLC0415

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # untrained networks are at no minimum
    surfaceviz.slice(problem(nn.Linear(2, 2), 2), [(-1, 1, 2)] * 2, regenerate=regenerate)  # everything is loaded
    before = resident()
    torch.manual_seed(0)
    layers = [layer for _ in range(LAYERS) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    weights = sum(p.numel() * p.element_size() for p in model.parameters()) / MEGABYTE
    begun = time.perf_counter()
    surface = surfaceviz.slice(
        problem(model, WIDTH), [(-0.5, 1, points)] * 2, engine="eager", batch_size=SAMPLES, regenerate=regenerate,
        workers=1,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024 - before
    print(
        json.dumps(
            {
                "weights_mb": weights,
                "peak_mb": peak,
                "copies": peak / weights,
                "seconds_a_point": float(surface.provenance["seconds"]) / points**2,
                "seconds": seconds,
                "losses": surface.values["train_loss"].ravel().tolist(),
            }
        )
    )


def problem(model: Any, width: int) -> Any:
    """Return a regression of noise on noise."""
    import torch  # noqa: PLC0415  each process measures itself

    from surfaceviz import Problem  # noqa: PLC0415

    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(SAMPLES, width, generator=generator) for _ in range(2))
    return Problem(model, (x, y), "mse")


def main() -> int:
    """Print the figures, write them as JSON if asked, and return 0 where two copies and two tensors are enough."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--points", type=int, default=3, help="along each axis")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=("held", "regenerated"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.points, regenerate=asked.child == "regenerated")
        return 0
    figures: dict[str, Any] = {}
    for way in ("held", "regenerated"):
        command = [sys.executable, __file__, "--child", way, "--points", str(asked.points)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures[way] = json.loads(done.stdout)
    losses = [figures[way].pop("losses") for way in ("held", "regenerated")]
    figures["equal_bits"] = losses[0] == losses[1]
    figures["largest_tensor_in_copies"] = WIDTH**2 / (LAYERS * (WIDTH**2 + WIDTH))
    figures["parameters"] = LAYERS * (WIDTH**2 + WIDTH)
    print(json.dumps(figures, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    reserve = 192 / figures["regenerated"]["weights_mb"]  # blocks of float64, activations, freed blocks of malloc
    enough = 2 + 2 * figures["largest_tensor_in_copies"] + reserve  # the cosine takes a tensor of each direction
    return 0 if figures["equal_bits"] and figures["regenerated"]["copies"] <= enough else 1


if __name__ == "__main__":
    sys.exit(main())
