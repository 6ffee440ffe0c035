"""The gallery's comparison of small against large batches on Fashion-MNIST."""

from __future__ import annotations

import gzip
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from comparison_steps import KEPT, MARK, WORK, Step

import surfaceviz
from surfaceviz.comparison.table import interval_rows, notes_of, table_head, table_rows
from surfaceviz.pipeline.compare.judge import judge
from surfaceviz.records import Comparison
from surfaceviz.render import save
from surfaceviz.render.comparison.comparison_figure import draw_comparison
from surfaceviz.store.comparison import read_comparison

_SEEDS = range(5)
_SAMPLES = {"train": ("train", 4000), "test": ("t10k", 2000)}
_RECIPES = {"small": (15, 32, "0.03"), "batch400": (40, 400, "0.1")}
_COMPARE = (
    'surfaceviz compare --group "small=runs/small-*" --group "large=runs/batch400-*" --quick --samples 256 '
    "--directions 10 --axis -1:1:11 --axis -1:1:11 --workers 1 -o sharp-flat.h5"
)
_LINE = (
    "surfaceviz slice runs/small-0 --toward runs/batch400-0/step-00000400.safetensors --axis -0.5:1.5:41 --workers 1 "
    "-o line.h5"
)


def prepare_data(folder: str) -> None:
    """Write the first samples of Fashion-MNIST's IDX files as a folder of .npz files."""
    target = WORK / "fashion-4000"
    target.mkdir(parents=True, exist_ok=True)
    for split, (prefix, count) in _SAMPLES.items():
        images, labels = (
            np.frombuffer(gzip.decompress((Path(folder) / f"{prefix}-{name}.gz").read_bytes()), np.uint8, offset=offset)
            for name, offset in (("images-idx3-ubyte", 16), ("labels-idx1-ubyte", 8))
        )
        x = images.reshape(-1, 28, 28)[:count]
        np.savez_compressed(target / f"{split}.npz", x=x, y=labels[:count].astype(np.int64))


def sharp_flat_steps() -> tuple[Step, ...]:
    """Return the trainings, the line between two of them, and the comparison of all."""
    trainings = tuple(
        Step(
            command=f"surfaceviz train small-cnn fashion-4000 --epochs {epochs} --batch {batch} --lr {rate} "
            f"--no-augment --weight-decay 0 --every {epochs} --seed {seed} -o runs/{name}-{seed}",
            makes=f"runs/{name}-{seed}",
        )
        for name, (epochs, batch, rate) in _RECIPES.items()
        for seed in _SEEDS
    )
    line = Step(command=_LINE, makes="line.h5", needs=("runs/small-0", "runs/batch400-0"))
    compare = Step(command=_COMPARE, makes="sharp-flat.h5", needs=tuple(step.makes for step in trainings))
    return (*trainings, line, compare)


def _comparison() -> Comparison:
    found = read_comparison(KEPT / "sharp-flat.h5")
    return replace(found, pairs=judge(found.networks, gauge=False))


def sharp_flat_section() -> str:
    """Return the part of the page on small against large batches, with its pictures drawn."""
    comparison = _comparison()
    save(draw_comparison(comparison, interval_rows(comparison.pairs[0])), KEPT / "sharp-flat.png")
    drawn = "surfaceviz plot line.h5 -o line.png"
    subprocess.run([sys.executable, "-m", *drawn.split()], cwd=KEPT, check=True)
    pair = comparison.pairs[0]
    head, rows = table_head(pair), table_rows(pair)
    table = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(_cells(row))} |" for row in rows)]
    notes = "\n".join(f"- {note}" for note in notes_of(comparison))
    return "\n".join([
        "## Small against large batches (sharp against flat?)\n", "![](comparisons/line.png)\n", _line_words(),
        "![](comparisons/sharp-flat.png)\n", f"{_WORDS}\n{MARK}```sh\n{_COMPARE}\n```\n", *table, "", notes, "",
    ])  # fmt: skip


def _cells(row: list[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in row]


def _line_words() -> str:
    """Return what the line shows: the rise beyond each of its ends."""
    line = surfaceviz.read(KEPT / "line.h5")
    at = {
        float(round(alpha, 6)): float(loss) for alpha, loss in zip(line.axes[0], line.values["train_loss"], strict=True)
    }
    small, large = at[-0.25] - at[0.0], at[1.25] - at[1.0]
    return _LINE_WORDS.format(small=small, large=large, low=at[0.0], high=at[1.0], command=_LINE)


_LINE_WORDS = """The straight line from a network trained in batches of 32 (alpha 0, train loss {low:.3f}) to one
trained in batches of 400 (alpha 1, {high:.3f}). A quarter of the way beyond its end the loss rises by {small:.3f}
beside the small batch and by {large:.3f} beside the large one, so on this line the *small* batch looks sharper, the
contrary of what such lines are shown for. The line misleads either way: its unit is the distance between the two
networks, for weights of whatever scale each of them has.

<!-- run by: scripts/comparison_gallery.py -->
```sh
{command}
surfaceviz plot line.h5 -o line.png
```
"""
_WORDS = """Five trainings of each on 4,000 images of Fashion-MNIST, no weight decay; 32 samples a batch for 15 epochs
at a peak rate of 0.03, 400 a batch for 40 epochs at 0.1. The planes and rays are filter-normalised; the training is the
unit of the intervals. In batches of 1,000 (0.1, 40 epochs) one training of five stayed at the loss of a guess, 2.30,
and the others at 0.43 to 0.51, so they are no twins of these.

**What is seen.** As they are, the trainings in small batches are flatter by lambda_max, by both traces and by the width
of the rays; the expected rises point the same way and are undecided after the correction. Without a gauge, a rescaling
that keeps the function may explain it, which the table says.

**What may not be concluded.** Batch size, rate and number of steps differ together, and so does the train loss that was
reached; 256 samples and 10 directions each are few. There is no group with weight decay.
"""
