"""What a slice of a large model holds in memory: a plane of an MLP, a curve of a decoder, in several ways.

    python scripts/bench_memory.py [--json FILE]

The MLP has 102 million parameters, the decoder (of the size of GPT-2) 124 million. Each way runs in a process of its
own, on one thread: its peak resident memory above what it held before the model was built, in copies of the float32
weights, and the seconds of a point. With directions held and regenerated, losses must have equal bits. Told beside it:
how much the largest tensor is, as a share of the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAYERS, WIDTH, SAMPLES = 10, 3200, 64
MEGABYTE = 2**20
LARGEST = {"mlp": WIDTH**2 / (LAYERS * (WIDTH**2 + WIDTH)), "decoder": 50257 * 768 / 124_439_808}


@dataclass(frozen=True, slots=True)
class Way:
    """A way to compute a slice."""

    model: str
    dtype: str
    regenerate: bool


WAYS = {
    f"{model} {dtype} {'regenerated' if regenerate else 'held'}": Way(model, dtype, regenerate)
    for model in LARGEST
    for dtype in ("float32", "bf16")
    for regenerate in (False, True)
}


def resident() -> float:
    """Return the memory that this process holds now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def child(way: Way) -> None:
    """Cut a slice and print what it took."""
    import torch  # noqa: PLC0415  each process measures itself
    from torch import nn  # noqa: PLC0415

    import surfaceviz  # noqa: PLC0415

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # untrained networks are at no minimum
    options: dict[str, Any] = {"dtype": way.dtype, "regenerate": way.regenerate}
    surfaceviz.slice(regression(nn.Linear(8, 8), 8), [(-1, 1, 2)] * 2, **options)  # everything is loaded
    before = resident()
    torch.manual_seed(0)
    problem, axes = (plane_of_mlp if way.model == "mlp" else curve_of_decoder)()
    weights = sum(p.numel() for p in problem.model.parameters()) * 4 / MEGABYTE
    begun = time.perf_counter()
    surface = surfaceviz.slice(problem, axes, engine="eager", batch_size=SAMPLES, workers=1, **options)
    seconds = time.perf_counter() - begun
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024 - before
    print(
        json.dumps(
            {
                "weights_mb": weights,
                "peak_mb": peak,
                "copies": peak / weights,
                "seconds_a_point": float(surface.provenance["seconds"]) / surface.origin.size,
                "seconds": seconds,
                "losses": surface.values["train_loss"].ravel().tolist(),
            }
        )
    )


def plane_of_mlp() -> tuple[Any, list[tuple[float, float, int]]]:
    """Return an MLP of ten equal layers, and the axes of a plane."""
    from torch import nn  # noqa: PLC0415  each process measures itself

    layers = [layer for _ in range(LAYERS) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    return regression(nn.Sequential(*layers[:-1]), WIDTH), [(-0.5, 1, 3)] * 2


def curve_of_decoder() -> tuple[Any, list[tuple[float, float, int]]]:
    """Return a decoder of 12 layers with tied embeddings of 50257 tokens, and the axis of a curve."""
    import torch  # noqa: PLC0415  each process measures itself
    from bench_decoder import Decoder  # noqa: PLC0415

    from surfaceviz import Problem  # noqa: PLC0415

    tokens = torch.randint(0, 50257, (2, 16), generator=torch.Generator().manual_seed(1))
    return Problem(Decoder(), (tokens, tokens), "next_token"), [(-0.5, 1, 5)]


def regression(model: Any, width: int) -> Any:
    """Return a regression of noise on noise."""
    import torch  # noqa: PLC0415  each process measures itself

    from surfaceviz import Problem  # noqa: PLC0415

    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(SAMPLES, width, generator=generator) for _ in range(2))
    return Problem(model, (x, y), "mse")


def promised(way: Way, weights: float) -> float:
    """Return the copies of the weights that docs/start/cluster.md promises for a way, in every dtype.

    The model and a point; a tensor of each direction, twice, where they are regenerated (the cosine takes both, and a
    point of another dtype); else both directions, or the one of a curve, and the check in float64.
    """
    axes = 2 if way.model == "mlp" else 1
    reserve = 192 / weights  # blocks of float64, activations, freed blocks of malloc
    return 2 + reserve + (2 * LARGEST[way.model] if way.regenerate else axes + 2)


def main() -> int:
    """Print the figures, write them as JSON if asked, and return 0 where every way keeps to the promised copies."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", choices=tuple(WAYS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(WAYS[asked.child])
        return 0
    figures: dict[str, Any] = {}
    for name, way in WAYS.items():
        done = subprocess.run(
            [sys.executable, __file__, "--child", name], check=True, stdout=subprocess.PIPE, text=True
        )
        figures[name] = {**json.loads(done.stdout), "largest_tensor_in_copies": LARGEST[way.model]}
        figures[name]["promised_copies"] = promised(way, figures[name]["weights_mb"])
    losses = {name: figure.pop("losses") for name, figure in figures.items()}
    equal = all(losses[name] == losses[name.replace("regenerated", "held")] for name in WAYS)
    figures["equal_bits"] = equal
    print(json.dumps(figures, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    kept = all(figures[name]["copies"] <= figures[name]["promised_copies"] for name in WAYS)
    return 0 if equal and kept else 1


if __name__ == "__main__":
    sys.exit(main())
