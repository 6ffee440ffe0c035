"""The page of the comparisons, gallery/comparisons.md, from the files in gallery/comparisons."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time

import numpy as np
from comparison_steps import KEPT, MARK, Step, run_steps, seconds_of
from sharp_flat_gallery import prepare_data, sharp_flat_section, sharp_flat_steps

import surfaceviz

GALLERY = KEPT.parent
_DEPTHS = (20, 32, 44, 56)
_RESOLVED, _SHELF = 10.0, (2.0, 5.0)  # losses
_KINDS = {"plain": "-plain", "skip": ""}
# Recipes of the trainings: epochs and peak rate. Plain networks deeper than 20 layers do not train at 0.05.
_RECIPES = {
    "plain": {32: (30, "0.02"), 44: (40, "0.01"), 56: (60, "0.005")},
    "skip": {32: (30, "0.05"), 44: (30, "0.05"), 56: (30, "0.05")},
}
_GRID = "--axis -1:1:31 --axis -1:1:31 --tol 0.05 --level 10 --samples 400"
_HEAD = """# Comparisons

Made by `python scripts/make_gallery.py --comparisons` from the small files in `gallery/comparisons`; a step whose
command or inputs changed is run again, `--all` runs all of them: {minutes:.0f} minutes, one process at a time on a busy
machine; Fashion-MNIST's IDX files are named by `--data FOLDER`. The trained weights are not in the repository: the
commands make them again, to the same bits only with the same version of PyTorch on the same kind of processor.
"""
_DEPTH_WORDS = """Each panel is a plane through the trained weights along two random, filter-normalised directions.
All panels have one range and one set of levels; nothing above a loss of 10 is resolved. The catalogue's ResNet-20s
have trained weights; the others were trained by the commands below.

**What is seen.** At 20 layers plain and skip look alike. From 32 layers on, a loss below 1 covers more of the plane
with skips than without, at 56 layers {skip56:.1%} against {plain56:.1%} (the table), and the contours with skips are
closed and nested from the minimum up to 10. Without skips the basin opens into a shelf: of the points below 10,
{plain56_shelf:.0%} lie between 2 and 5 (with skips {skip56_shelf:.0%}), about the loss ln 10 = 2.3 of a network that
guesses. Behind the shelf a wall rises to {plain56_max:.0e} (with skips {skip56_max:.0e}). The many separate minima of
the paper's ResNet-56 without skips are not seen below 10 in this plane.

**Batch norm.** These planes keep the running statistics of the centre. In the last strip they are computed again at
each point: the walls are gone. No loss of a plain network exceeds {plain_most:.1f}, while those with skips reach
{skip_most:.0f}: outside its basin a plain network guesses, one with skips errs with confidence. A loss below 1 covers
{plain56r:.1%} at 56 layers without skips, {skip56r:.1%} with them. So the height of the wall tells about running
statistics that no longer fit; the size of the basin differs either way.

**Trainings that failed.** The plain ResNet-56 at a peak rate of 0.01, seed 0, ended at a training accuracy of 87.1%
after 40 epochs and 76.6% after 60: it failed to fit the data, and its plane is not shown as one of a minimum. At 0.005
it reached 94.8%, measured with the shifts of the training (97.5% without). So the plain networks have other recipes
than their twins, and a higher loss the deeper they are: 0.119 against 0.0018 at 56 layers.

**What may not be concluded.** One training each, one plane each: nothing is said about other seeds or directions.
Plain and skip differ in peak rate, batch size and final loss, so the pictures do not separate the architecture from
the training that it needed. A smaller basin in these units does not show a worse generalisation.
"""


def _trained(kind: str, depth: int) -> str:
    return f"resnet{depth}{_KINDS[kind]}-digits"


def depth_steps() -> tuple[Step, ...]:
    """Return the trainings and slices of plain against skip."""
    steps = [
        Step(
            command=f"surfaceviz train resnet{depth}{_KINDS[kind]} digits --epochs {epochs} --lr {rate} "
            f"--every {epochs} -o {_trained(kind, depth)}",
            makes=_trained(kind, depth),
        )
        for kind, recipes in _RECIPES.items()
        for depth, (epochs, rate) in recipes.items()
    ]
    for kind in _KINDS:
        for depth in _DEPTHS:
            needs = (_trained(kind, depth),) if depth in _RECIPES[kind] else ()  # 20 layers: the catalogue's
            for ending, option in (("", ""), ("-recalibrated", " --bn recalibrate")):
                name = f"{kind}-{depth}{ending}.h5"
                command = f"surfaceviz slice {_trained(kind, depth)} {_GRID}{option} --workers 1 -o {name}"
                steps.append(Step(command=command, makes=name, needs=needs))
    return tuple(steps)


def strip_command(name: str, *, ending: str = "", solid: bool = False) -> str:
    """Return the command that draws plain networks above those with skips."""
    files = [f"{kind}-{depth}{ending}.h5" for kind in _KINDS for depth in _DEPTHS]
    labels = [f'--label "{kind}, {depth} layers"' for kind in _KINDS for depth in _DEPTHS]
    look = "--kind surface" if solid else "--axis-name \u03b1 --axis-name \u03b2"
    return f"surfaceviz plot {' '.join(files)} {' '.join(labels)} --size page {look} -o {name}"


def _draw(command: str) -> str:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", *shlex.split(command)], cwd=KEPT, check=True)
    print(f"{time.perf_counter() - begun:6.1f} s  {command}", flush=True)
    return f"![](comparisons/{command.rsplit(maxsplit=1)[-1]})\n\n{MARK}```sh\n{command}\n```\n"


def _finite(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the train losses of a file; what is not finite lies above all."""
    values = surfaceviz.read(KEPT / name).values["train_loss"]
    return np.where(np.isfinite(values), values, np.inf)


def _depth_row(kind: str, depth: int) -> str:
    name = f"{kind}-{depth}"
    surface = surfaceviz.read(KEPT / f"{name}.h5")
    centre = tuple(len(axis) // 2 for axis in surface.axes)
    loss, train, test = (surface.values[key][centre] for key in ("train_loss", "train_accuracy", "test_accuracy"))
    recipe = _RECIPES[kind].get(depth)
    words = "catalogue" if recipe is None else f"{recipe[0]} epochs, peak rate {recipe[1]}"
    below = [f"{np.mean(_finite(f'{name}{ending}.h5') < 1):.1%}" for ending in ("", "-recalibrated")]
    return f"| {kind}, {depth} layers | {words} | {loss:.2g} | {train:.1%} | {test:.1%} | {' | '.join(below)} |"


def depth_section() -> str:
    """Return the part of the page on plain against skip, with its pictures drawn."""
    numbers = {
        f"{kind}56{ending[1:2]}": float(np.mean(_finite(f"{kind}-56{ending}.h5") < 1))
        for kind in _KINDS
        for ending in ("", "-recalibrated")
    }
    for kind in _KINDS:
        values = _finite(f"{kind}-56.h5")
        low = values[values < _RESOLVED]
        numbers[f"{kind}56_shelf"] = float(np.mean((low > _SHELF[0]) & (low < _SHELF[1])))
        numbers[f"{kind}56_max"] = float(values[np.isfinite(values)].max())
    for kind in _KINDS:
        highest = [float(_finite(f"{kind}-{depth}-recalibrated.h5").max()) for depth in _DEPTHS]
        numbers[f"{kind}_most"] = max(highest)
    strips = [
        _draw(strip_command("plain-skip-depths.png")),
        _draw(strip_command("plain-skip-depths-3d.png", solid=True)),
        _draw(strip_command("plain-skip-depths-recalibrated.png", ending="-recalibrated")),
    ]
    head = (
        "| network | training | train loss | train accuracy | test accuracy | plane below 1 | recalibrated |\n"
        "|---|---|---|---|---|---|---|"
    )
    rows = "\n".join(_depth_row(kind, depth) for kind in _KINDS for depth in _DEPTHS)
    note = "\nLosses and accuracies at the centre, over the 400 training and 360 test samples of the slices.\n"
    return "\n".join([
        "## Plain against skip connections, 20 to 56 layers\n", *strips, _DEPTH_WORDS.format(**numbers), head, rows,
        note, _commands(depth_steps()),
    ])  # fmt: skip


def _commands(steps: tuple[Step, ...]) -> str:
    seconds = seconds_of(steps)
    lines = "\n".join(f"{step.command}  # {seconds[step.makes]:.0f} s" for step in steps)
    head = "<details><summary>All commands, with seconds on a busy machine</summary>"
    return f"{head}\n\n{MARK}```sh\n{lines}\n```\n\n</details>\n"


def make_comparisons(*, anew: bool = False, data: str | None = None) -> None:
    """Run the steps that are stale, with ``anew`` all of them; draw all pictures and write the page.

    Args:
        anew: whether all steps run.
        data: the folder of Fashion-MNIST's IDX files, which the trainings need.
    """
    if data is not None:
        prepare_data(data)
    run_steps(depth_steps(), anew=anew)
    run_steps(sharp_flat_steps(), anew=anew)
    minutes = sum(seconds_of((*depth_steps(), *sharp_flat_steps())).values()) / 60
    parts = [_HEAD.format(minutes=minutes), depth_section(), sharp_flat_section(), _commands(sharp_flat_steps())]
    (GALLERY / "comparisons.md").write_text("\n".join(parts))
