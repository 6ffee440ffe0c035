"""A plane of ResNet-56 on one GPU: surfaceviz in float32, TF32 and bf16 against the plain eager loop there.

    python scripts/bench_gpu.py [--points 51] [--samples 10000] [--device cuda] [--json FILE]

32 x 32 x 3 images. For each dtype: seconds of the whole plane and images per second of surfaceviz, with the engine
that it chooses; images per second of a plain loop (weights moved in place, batches on the device, sums kept there), in
the best of three batch sizes; and surfaceviz's share of the rate that a large matrix product reaches on this device in
this dtype, counting 2 operations a multiplication and addition. (``--device cpu --points 3 --samples 64`` shows that it
runs.)
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import surfaceviz
from surfaceviz.evaluate import DTYPES, allow_tf32
from surfaceviz.zoo.networks import ResNet

BLOCKS = 9  # three stages of 9 blocks of 2 layers, and two more: 56
BATCHES = (500, 1000, 2000)


def problem(samples: int) -> surfaceviz.Problem:
    """Return a ResNet-56 on noise."""
    torch.manual_seed(0)
    model = ResNet(BLOCKS, channels=3).eval()
    x, y = torch.randn(samples, 3, 32, 32), torch.randint(10, (samples,))
    return surfaceviz.Problem(model, (x, y), "cross_entropy")


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Return the shortest of three times."""
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return best


def matrix_rate(dtype: str, device: torch.device) -> float:
    """Return the operations per second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=DTYPES[dtype]) for _ in range(2))
    with allow_tf32(dtype, device):
        return 2 * size**3 / seconds_of(lambda: a @ b, device)


@torch.inference_mode()
def plain_rate(samples: int, dtype: str, device: torch.device) -> float:
    """Return the images per second of a plain loop over one point."""
    model = problem(1).model.to(device, DTYPES[dtype])
    x, y = torch.randn(samples, 3, 32, 32, device=device, dtype=DTYPES[dtype]), torch.randint(10, (samples,))
    y = y.to(device)
    own: list[torch.Tensor] = list(model.parameters())
    theta = [p.clone() for p in own]
    delta, eta = ([torch.randn_like(p) * 0.01 for p in theta] for _ in range(2))

    def point(size: int) -> float:
        torch._foreach_copy_(own, theta)
        torch._foreach_add_(own, delta, alpha=0.1)
        torch._foreach_add_(own, eta, alpha=0.1)
        total = torch.zeros((), device=device)
        for inputs, targets in zip(x.split(size), y.split(size), strict=True):
            total += functional.cross_entropy(model(inputs).float(), targets, reduction="sum")
        return total.item()

    with allow_tf32(dtype, device):
        return max(samples / seconds_of(lambda size=size: point(size), device) for size in BATCHES)  # type: ignore[misc]


def measured(points: int, samples: int, dtype: str, device: torch.device) -> dict[str, Any]:
    """Return the figures of one dtype."""
    given = problem(samples)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        given.model(torch.zeros(1, 3, 32, 32))
    begun = time.perf_counter()
    surface = surfaceviz.slice(given, [(-1, 1, points)] * 2, dtype=dtype, device=str(device))
    whole = time.perf_counter() - begun
    rate = points**2 * samples / float(surface.provenance["seconds"])
    plain = plain_rate(samples, dtype, device)
    return {
        "engine": f"{surface.provenance['engine']}, batches of {surface.provenance['batch_size']}",
        "seconds": whole,
        "images_per_second": rate,
        "plain_images_per_second": plain,
        "ratio": rate / plain,
        "share_of_matrix_rate": rate * counter.get_total_flops() / matrix_rate(dtype, device),
    }


def main() -> int:
    """Print the figures, and write them as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--points", type=int, default=51, help="along each axis")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # an untrained network is at no minimum
    device = torch.device(asked.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    figures: dict[str, Any] = {"device": name, "torch": str(torch.__version__)}
    for dtype in ("float32", "tf32", "bf16"):
        figures[dtype] = measured(asked.points, asked.samples, dtype, device)
        print(dtype, json.dumps(figures[dtype]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
