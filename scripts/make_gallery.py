"""Make the pictures of the gallery, each by the command that its page names.

    python scripts/make_gallery.py [--data FOLDER] [NAME...]
    python scripts/make_gallery.py --studies
    python scripts/make_gallery.py --comparisons [--all]

The HDF5 files stay in ``build/gallery``, so that a picture that is made again needs no new evaluation.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from comparison_gallery import make_comparisons
from study_gallery import make_studies

ROOT = Path(__file__).resolve().parent.parent
FILES = ROOT / "build" / "gallery"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and the commands behind it; the last one draws it."""

    name: str
    words: str
    commands: tuple[str, ...]


PICTURES = (
    Picture(
        "plain-skip.png",
        "ResNet-20 on handwritten digits with skip connections and without, one set of levels. At 20 layers both "
        "basins are round; the plain one rises sooner (Li et al. see it break up as networks get deeper).",
        (
            "surfaceviz slice resnet20-digits --axis -1:1:51 --axis -1:1:51 -o skip.h5",
            "surfaceviz slice resnet20-plain-digits --axis -1:1:51 --axis -1:1:51 -o plain.h5",
            "surfaceviz plot skip.h5 plain.h5 -o plain-skip.png",
        ),
    ),
    Picture(
        "surfaces.png",
        "The same two files in 3-D, on one scale of heights and colours, seen from one side; points with a spectrum "
        "are numbered, with the largest eigenvalue of the Hessian. A ring is a mark that the surface hides.",
        (
            "surfaceviz hessian skip.h5 --at 0,0 --at 0.6,0.5 --density --probes 4",
            "surfaceviz hessian plain.h5",
            "surfaceviz plot skip.h5 plain.h5 --kind surface -o surfaces.png",
        ),
    ),
    Picture(
        "orbit.gif",
        "The part of both below a loss of 10, from all sides; `-o orbit.mp4` makes a video.",
        ("surfaceviz plot skip.h5 plain.h5 --animate orbit --clip 10 --frames 36 -o orbit.gif",),
    ),
    Picture(
        "report.png",
        "The interactive page of both, as a browser shows it: linked surfaces and contours, cuts, spectra, tables.",
        (
            "surfaceviz report skip.h5 plain.h5 -o report.html",
            "python ../../scripts/screenshot.py report.html report.png --height 1390",
        ),
    ),
    Picture(
        "plain-skip-lines.svg",
        "The same two files as labelled contour lines, in a vector format.",
        ("surfaceviz plot skip.h5 plain.h5 --kind lines -o plain-skip-lines.svg",),
    ),
    Picture(
        "paper.png",
        "The levels of the paper's figures, 0.1 to 10 in steps of 0.5, as wide as a page; above them it is hatched.",
        ("surfaceviz plot skip.h5 plain.h5 --kind lines --levels paper --size page -o paper.png",),
    ),
    Picture(
        "accuracy.png",
        "The accuracy on the test images over the same plane, as a heat map: a plateau, and its edge.",
        ("surfaceviz plot skip.h5 plain.h5 --of test_accuracy --kind heat -o accuracy.png",),
    ),
    Picture(
        "refined.png",
        "The plane of the first picture on 101 x 101 points, over the range that was found for it: the dots were "
        "evaluated, the rest is interpolated, and audited.",
        (
            "surfaceviz slice resnet20-digits --axis auto:101 --axis auto:101 --tol 0.05 -o refined.h5",
            "surfaceviz plot refined.h5 --show-points -o refined.png",
        ),
    ),
    Picture(
        "curve.png",
        "One direction through the ResNet-20: loss of both splits with the standard error of its rise, accuracy "
        "on the second axis.",
        (
            "surfaceviz slice resnet20-digits --axis -1:1:81 -o curve.h5",
            "surfaceviz plot curve.h5 -o curve.png",
        ),
    ),
    Picture(
        "curves.png",
        "The same curve of both networks, overlaid.",
        (
            "surfaceviz slice resnet20-plain-digits --axis -1:1:81 -o curve-plain.h5",
            "surfaceviz plot curve.h5 curve-plain.h5 --of train_loss -o curves.png",
        ),
    ),
    Picture(
        "rays.png",
        "Ten random directions through each network: the median, the quartiles and the range over them, and the "
        "direction toward the highest loss at the same distances. At alpha 0.25 the ten losses of the ResNet-20 range "
        "from 0.0015 to 0.12, so that one direction tells little, and the bands of both networks overlap.",
        (
            "surfaceviz slice resnet20-digits --axis -1:1:41 --repeat 10 --split train --samples 512 -o rays.h5",
            (
                "surfaceviz slice resnet20-plain-digits --axis -1:1:41 --repeat 10 --split train --samples 512 "
                "-o rays-plain.h5"
            ),
            (
                "surfaceviz slice resnet20-digits --along ascent --axis -3.132:3.132:41 --split train --samples 512 "
                "-o ascent.h5"
            ),
            "surfaceviz plot rays.h5 rays-plain.h5 ascent.h5 -o rays.png",
        ),
    ),
    Picture(
        "curvature.png",
        "The plane of the first picture with the curvature at two of its points: the ellipse of the slice's own "
        "Hessian (of a size that shows its shape), the density of all 269,434 eigenvalues, the largest and the "
        "smallest.",
        (
            "surfaceviz hessian skip.h5 --at 0,0 --at 0.6,0.5 --density --probes 4",
            "surfaceviz plot skip.h5 --spectrum -o curvature.png",
        ),
    ),
    Picture(
        "convexity.png",
        "How convex both networks look: |lambda_min / lambda_max| of the Hessian over 300 samples, under the contours "
        "of the loss.",
        (
            "surfaceviz hessian skip.h5 --map 9:9 --samples 300",
            "surfaceviz hessian plain.h5 --map 9:9 --samples 300",
            "surfaceviz plot skip.h5 plain.h5 --map ratio -o convexity.png",
        ),
    ),
    Picture(
        "spectra.png",
        "The spectra at both minima, overlaid: a bulk at 0, a few outliers, little on the negative side.",
        (
            "surfaceviz hessian resnet20-digits --density --probes 4 -o skip-spectrum.h5",
            "surfaceviz hessian resnet20-plain-digits --density --probes 4 -o plain-spectrum.h5",
            "surfaceviz plot skip-spectrum.h5 plain-spectrum.h5 --kind spectrum -o spectra.png",
        ),
    ),
    Picture(
        "extremes.png",
        "The same network along its steepest and its most negative direction, where random directions show neither.",
        (
            "surfaceviz slice resnet20-digits --along extremes --axis -2:2:41 --axis -2:2:41 -o extremes.h5",
            "surfaceviz plot extremes.h5 -o extremes.png",
        ),
    ),
    Picture(
        "edge.png",
        "Gradient descent on the whole split at the edge of stability (Cohen et al., arXiv 2103.00065): the largest "
        "eigenvalue rises to 2 / learning rate and stays about there, while the loss still falls. Late in the training "
        "a cross-entropy flattens.",
        (
            (
                "surfaceviz train mlp digits --batch all --lr 0.2 --schedule constant --momentum 0 --weight-decay 0 "
                "--epochs 150 -o run"
            ),
            "surfaceviz edge run -o edge.h5",
        ),
    ),
    Picture(
        "edge-sgd.png",
        "The same network by SGD in batches of 32: batch sharpness, with its standard error, as found: "
        "it stays at about half of 2 / learning rate, above the largest eigenvalue late in the training.",
        (
            (
                "surfaceviz train mlp digits --batch 32 --lr 0.1 --schedule constant --momentum 0 --weight-decay 0 "
                "--epochs 20 --no-augment -o sgd"
            ),
            "surfaceviz edge sgd --checkpoints 25 -o edge-sgd.h5",
        ),
    ),
    Picture(
        "edge-adam.png",
        "The same network by Adam on the whole split: the preconditioned eigenvalue reaches 38 / learning "
        "rate early, and falls as the cross-entropy flattens.",
        (
            (
                "surfaceviz train mlp digits --optimiser adam --batch all --lr 0.015 --schedule constant "
                "--weight-decay 0 --epochs 200 -o adam"
            ),
            "surfaceviz edge adam --checkpoints 25 -o edge-adam.h5",
        ),
    ),
    Picture(
        "compare.png",
        "Two networks on handwritten digits: planes on one scale, the median and the spread of curves along 16 random "
        "directions, and the ratios of all measures with 95% intervals, as they are and in one gauge. The loss differs "
        "by the scale of the logits alone; the rises, widths and traces differ by more.",
        ("surfaceviz compare mlp-digits cnn-digits -o compare.h5",),
    ),
    Picture(
        "path.png",
        "The first of these trainings in its principal plane: the colour of an iterate tells how far off the plane "
        "it really is; the losses of the iterates, and of their projections onto the plane.",
        ("surfaceviz trajectory run --axis auto:41 --axis auto:41 --tol 0.05 -o path.h5",),
    ),
    Picture(
        "path.gif",
        "The same as a movie: the slice stays, the path grows, with the loss beside it.",
        ("surfaceviz plot path.h5 --animate trajectory --frames 36 -o path.gif",),
    ),
    Picture(
        "path-surface.png",
        "The same in 3-D.",
        ("surfaceviz plot path.h5 --kind surface -o path-surface.png",),
    ),
    Picture(
        "fashion.png",
        "A small CNN after two epochs on Fashion-MNIST, over a subset of 10,000 training samples.",
        (
            "surfaceviz slice cnn-fashion --split train --samples 10000 -o fashion.h5",
            "surfaceviz plot fashion.h5 -o fashion.png",
        ),
    ),
)


def make(picture: Picture, data: str | None) -> None:
    """Run a picture's commands where the files are kept and move the picture into the gallery."""
    for command in picture.commands:
        words = shlex.split(command)
        if data and "cnn-fashion" in words:
            words += ["--data", data]
        words += {"slice": ["--no-plot", "--quiet"], "hessian": ["--quiet"], "compare": ["--quiet"]}.get(words[1], [])
        words = words[1:] if words[0] == "python" else ["-m", *words]
        begun = time.perf_counter()
        subprocess.run([sys.executable, *words], cwd=FILES, check=True)
        print(f"{time.perf_counter() - begun:6.1f} s  {command}", flush=True)
    (FILES / picture.name).replace(ROOT / "gallery" / picture.name)


def write_index() -> None:
    """Write the gallery's page: each picture with its commands."""
    parts = ["# Gallery\n\nMade by `python scripts/make_gallery.py`; each picture with the commands behind it.\n"]
    for picture in PICTURES:
        commands = "\n".join(picture.commands)
        parts.append(f"## {picture.name}\n\n{picture.words}\n\n![]({picture.name})\n\n```sh\n{commands}\n```\n")
    (ROOT / "gallery" / "README.md").write_text("\n".join(parts))


def main() -> None:
    """Make the pictures that are named, all without any, and the index."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--data", help="the folder of Fashion-MNIST's IDX files")
    parser.add_argument("--studies", action="store_true", help="make the page of the studies only")
    parser.add_argument("--comparisons", action="store_true", help="make the page of the comparisons only")
    parser.add_argument("--all", action="store_true", help="of the comparisons: train and slice everything again")
    asked = parser.parse_args()
    if asked.comparisons:
        make_comparisons(anew=asked.all, data=asked.data)
        return
    if asked.studies:
        make_studies()
        return
    unknown = set(asked.names) - {picture.name for picture in PICTURES}
    if unknown:
        parser.error(f"no picture {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PICTURES)}")
    FILES.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        if not asked.names or picture.name in asked.names:
            make(picture, asked.data)
    write_index()


if __name__ == "__main__":
    main()
