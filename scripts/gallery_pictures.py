"""The pictures of the gallery: the commands behind each, what it shows, and what it does not show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture and the commands behind it; the last one draws it."""

    name: str
    title: str
    seen: str
    hidden: str
    commands: tuple[str, ...]

    @property
    def page(self) -> str:
        """Return the name of the picture's page."""
        return f"{self.name.replace('.', '-') if self.name.endswith('.gif') else self.name.rpartition('.')[0]}.md"


PICTURES = (
    Picture(
        name="plain-skip.png",
        title="A plain network and one with skip connections",
        seen=(
            "ResNet-20 on handwritten digits with skip connections and without, one set of levels. At 20 "
            "layers both basins are round; the plain one rises sooner (Li et al. see it break up as "
            "networks get deeper)."
        ),
        hidden=(
            "Other directions and other trainings. A difference in this one plane is that of two sets of "
            "weights; at 20 layers it says little about skip connections as such."
        ),
        commands=(
            "surfaceviz slice resnet20-digits --axis -1:1:51 --axis -1:1:51 -o skip.h5",
            "surfaceviz slice resnet20-plain-digits --axis -1:1:51 --axis -1:1:51 -o plain.h5",
            "surfaceviz plot skip.h5 plain.h5 -o plain-skip.png",
        ),
    ),
    Picture(
        name="surfaces.png",
        title="Both in 3-D",
        seen=(
            "ResNet-20 with skip connections and without, in 3-D, on one scale of heights and colours, "
            "seen from one side; points with a spectrum are numbered, with the largest eigenvalue of the "
            "Hessian. A ring is a mark that the surface hides."
        ),
        hidden=("What is behind the surface. Heights are hard to read in perspective; read values from the contours."),
        commands=(
            "surfaceviz hessian skip.h5 --at 0,0 --at 0.6,0.5 --density --probes 4",
            "surfaceviz hessian plain.h5",
            "surfaceviz plot skip.h5 plain.h5 --kind surface -o surfaces.png",
        ),
    ),
    Picture(
        name="orbit.gif",
        title="Both from all sides",
        seen=(
            "The part of both surfaces (ResNet-20 with skip connections and without) below a loss of 10, "
            "from all sides. `-o orbit.mp4` makes a video."
        ),
        hidden=(
            "Losses above 10, which are cut off. The view turns; the surface has no more than the two "
            "dimensions of the slice."
        ),
        commands=("surfaceviz plot skip.h5 plain.h5 --animate orbit --clip 10 --frames 36 -o orbit.gif",),
    ),
    Picture(
        name="report.png",
        title="The report",
        seen=(
            "The interactive page of two slices, as a browser shows it: linked surfaces and contours, "
            "cuts, spectra, tables."
        ),
        hidden=(
            "A picture of the page can't be turned; beyond 150 points along an axis, the page shows every"
            " second, third, ... point and says so."
        ),
        commands=(
            "surfaceviz report skip.h5 plain.h5 -o report.html",
            "python ../../scripts/screenshot.py report.html report.png --height 1390",
        ),
    ),
    Picture(
        name="plain-skip-lines.svg",
        title="Labelled contour lines",
        seen="ResNet-20 with skip connections and without, as labelled contour lines, in a vector format.",
        hidden="Values between the lines, and which points were evaluated.",
        commands=("surfaceviz plot skip.h5 plain.h5 --kind lines -o plain-skip-lines.svg",),
    ),
    Picture(
        name="paper.png",
        title="Levels of the paper",
        seen=(
            "The levels of the paper's figures, 0.1 to 10 in steps of 0.5, as wide as a page; above them it is hatched."
        ),
        hidden=("Losses below 0.1, the first level, and above 10: inside the first line, both basins look flat."),
        commands=("surfaceviz plot skip.h5 plain.h5 --kind lines --levels paper --size page -o paper.png",),
    ),
    Picture(
        name="accuracy.png",
        title="Accuracy on test images",
        seen=(
            "The accuracy on the test images over the plane of the first picture, as a heat map: a "
            "plateau, and its edge."
        ),
        hidden=("The loss. The accuracy is flat where the loss still rises, as it counts only the largest logit."),
        commands=("surfaceviz plot skip.h5 plain.h5 --of test_accuracy --kind heat -o accuracy.png",),
    ),
    Picture(
        name="refined.png",
        title="A refined slice",
        seen=(
            "The plane of the first picture on 101 x 101 points, over the range that was found for it: "
            "the dots were evaluated, the rest is interpolated, and audited."
        ),
        hidden=(
            "The values of the points between the dots, which are interpolated: at most a tenth of them "
            "is off by more than 5%, with 95% confidence, as the audit prints."
        ),
        commands=(
            "surfaceviz slice resnet20-digits --axis auto:101 --axis auto:101 --tol 0.05 -o refined.h5",
            "surfaceviz plot refined.h5 --show-points -o refined.png",
        ),
    ),
    Picture(
        name="curve.png",
        title="A curve",
        seen=(
            "One direction through the ResNet-20: loss of both splits with the standard error of its "
            "rise, accuracy on the second axis."
        ),
        hidden=("All other directions. The band is the error over samples of the data, and not over directions."),
        commands=(
            "surfaceviz slice resnet20-digits --axis -1:1:81 -o curve.h5",
            "surfaceviz plot curve.h5 -o curve.png",
        ),
    ),
    Picture(
        name="curves.png",
        title="Two curves",
        seen="The loss along one direction through ResNet-20 with skip connections and without, overlaid.",
        hidden=("Whether the difference is one of the networks or of the two directions: each curve has its own."),
        commands=(
            "surfaceviz slice resnet20-plain-digits --axis -1:1:81 -o curve-plain.h5",
            "surfaceviz plot curve.h5 curve-plain.h5 --of train_loss -o curves.png",
        ),
    ),
    Picture(
        name="rays.png",
        title="Many directions",
        seen=(
            "Ten random directions through each network: the median, the quartiles and the range over "
            "them, and the direction toward the highest loss at the same distances. At alpha 0.25 the ten"
            " losses of the ResNet-20 range from 0.0015 to 0.12, so that one direction tells little, and "
            "the bands of both networks overlap."
        ),
        hidden=(
            "A difference of architectures: ten directions around one training each say nothing about other trainings."
        ),
        commands=(
            ("surfaceviz slice resnet20-digits --axis -1:1:41 --repeat 10 --split train --samples 512 -o rays.h5"),
            (
                "surfaceviz slice resnet20-plain-digits --axis -1:1:41 --repeat 10 --split train --samples "
                "512 -o rays-plain.h5"
            ),
            (
                "surfaceviz slice resnet20-digits --along ascent --axis -3.132:3.132:41 --split train "
                "--samples 512 -o ascent.h5"
            ),
            "surfaceviz plot rays.h5 rays-plain.h5 ascent.h5 -o rays.png",
        ),
    ),
    Picture(
        name="curvature.png",
        title="Curvature",
        seen=(
            "The plane of the first picture with the curvature at two of its points: the ellipse of the "
            "slice's own Hessian (of a size that shows its shape), the density of all 269,434 "
            "eigenvalues, the largest and the smallest."
        ),
        hidden=(
            "The other directions at both points. The ellipse has the curvature of the plane; the largest"
            " eigenvalue lies outside of it."
        ),
        commands=(
            "surfaceviz hessian skip.h5 --at 0,0 --at 0.6,0.5 --density --probes 4",
            "surfaceviz plot skip.h5 --spectrum -o curvature.png",
        ),
    ),
    Picture(
        name="convexity.png",
        title="Convexity",
        seen=(
            "How convex both networks look: |lambda_min / lambda_max| of the Hessian over 300 samples, "
            "under the contours of the loss."
        ),
        hidden=(
            "Convexity as such. A ratio near 0 means that the most negative eigenvalue is small next to "
            "the largest; many negative eigenvalues may remain. The grid of the map has 9 x 9 points."
        ),
        commands=(
            "surfaceviz hessian skip.h5 --map 9:9 --samples 300",
            "surfaceviz hessian plain.h5 --map 9:9 --samples 300",
            "surfaceviz plot skip.h5 plain.h5 --map ratio -o convexity.png",
        ),
    ),
    Picture(
        name="spectra.png",
        title="Spectra",
        seen=("The spectra at both minima, overlaid: a bulk at 0, a few outliers, little on the negative side."),
        hidden=(
            "Single eigenvalues of the bulk: the density is smoothed, from four random vectors. What is "
            "negative and close to 0 can't be told from 0."
        ),
        commands=(
            "surfaceviz hessian resnet20-digits --density --probes 4 -o skip-spectrum.h5",
            "surfaceviz hessian resnet20-plain-digits --density --probes 4 -o plain-spectrum.h5",
            "surfaceviz plot skip-spectrum.h5 plain-spectrum.h5 --kind spectrum -o spectra.png",
        ),
    ),
    Picture(
        name="extremes.png",
        title="Extreme directions",
        seen=(
            "The ResNet-20 along its steepest and its most negative direction, where random directions show neither."
        ),
        hidden=(
            "A typical direction. These are the two extreme ones of one point; the axes are distances in "
            "weight space, and can't be compared with filter-normalised ones."
        ),
        commands=(
            ("surfaceviz slice resnet20-digits --along extremes --axis -2:2:41 --axis -2:2:41 -o extremes.h5"),
            "surfaceviz plot extremes.h5 -o extremes.png",
        ),
    ),
    Picture(
        name="edge.png",
        title="The edge of stability",
        seen=(
            "Gradient descent on the whole split at the edge of stability (Cohen et al., arXiv "
            "2103.00065): the largest eigenvalue rises to 2 / learning rate and stays about there, while "
            "the loss still falls. Late in the training a cross-entropy flattens."
        ),
        hidden=(
            "Whether the training is stable in other directions than that of the largest eigenvalue. The "
            "threshold is that of a quadratic."
        ),
        commands=(
            (
                "surfaceviz train mlp digits --batch all --lr 0.2 --schedule constant --momentum 0 "
                "--weight-decay 0 --epochs 150 -o run"
            ),
            "surfaceviz edge run -o edge.h5",
        ),
    ),
    Picture(
        name="edge-sgd.png",
        title="SGD in batches",
        seen=(
            "A perceptron by SGD in batches of 32: batch sharpness, with its standard error, as found: it"
            " stays at about half of 2 / learning rate, above the largest eigenvalue late in the "
            "training."
        ),
        hidden=(
            "A threshold for SGD with momentum: 2 / learning rate holds for plain SGD. The band is a "
            "standard error over 16 mini-batches, and not over trainings."
        ),
        commands=(
            (
                "surfaceviz train mlp digits --batch 32 --lr 0.1 --schedule constant --momentum 0 "
                "--weight-decay 0 --epochs 20 --no-augment -o sgd"
            ),
            "surfaceviz edge sgd --checkpoints 25 -o edge-sgd.h5",
        ),
    ),
    Picture(
        name="edge-adam.png",
        title="Adam",
        seen=(
            "A perceptron by Adam on the whole split: the preconditioned eigenvalue reaches 38 / learning"
            " rate early, and falls as the cross-entropy flattens."
        ),
        hidden="The moments of Adam as they change: the threshold holds for a frozen preconditioner.",
        commands=(
            (
                "surfaceviz train mlp digits --optimiser adam --batch all --lr 0.015 --schedule constant "
                "--weight-decay 0 --epochs 200 -o adam"
            ),
            "surfaceviz edge adam --checkpoints 25 -o edge-adam.h5",
        ),
    ),
    Picture(
        name="compare.png",
        title="Networks compared",
        seen=(
            "Two networks on handwritten digits: planes on one scale, the median and the spread of curves"
            " along 16 random directions, and the ratios of all measures with 95% intervals, as they are "
            "and in one gauge. The loss differs by the scale of the logits alone; the rises, widths and "
            "traces differ by more."
        ),
        hidden="Other trainings: with one training each, the intervals cover directions and samples only.",
        commands=("surfaceviz compare mlp-digits cnn-digits -o compare.h5",),
    ),
    Picture(
        name="path.png",
        title="The path of a training",
        seen=(
            "Gradient descent of a perceptron in its principal plane: the colour of an iterate tells how "
            "far off the plane it really is; the losses of the iterates, and of their projections onto "
            "the plane."
        ),
        hidden=(
            "What lies off the plane. Even a random walk has about 90% of its variance in such a plane, "
            "which is printed next to the share of this path."
        ),
        commands=("surfaceviz trajectory run --axis auto:41 --axis auto:41 --tol 0.05 -o path.h5",),
    ),
    Picture(
        name="path.gif",
        title="The path as a movie",
        seen=(
            "Gradient descent in its principal plane, as a movie: the slice stays, the path grows, with "
            "the loss beside it."
        ),
        hidden=(
            "That the plane is that of the whole training: early iterates lie off it, by the distance "
            "that their colour tells in the picture."
        ),
        commands=("surfaceviz plot path.h5 --animate trajectory --frames 36 -o path.gif",),
    ),
    Picture(
        name="path-surface.png",
        title="The path in 3-D",
        seen="Gradient descent in its principal plane, in 3-D.",
        hidden="The distance of the iterates from the plane, except by their colour; what the surface hides.",
        commands=("surfaceviz plot path.h5 --kind surface -o path-surface.png",),
    ),
    Picture(
        name="fashion.png",
        title="Fashion-MNIST",
        seen="A small CNN after two epochs on Fashion-MNIST, over a subset of 10,000 training samples.",
        hidden="The other 50,000 training images, and the standard error over samples, which is in the file.",
        commands=(
            "surfaceviz slice cnn-fashion --split train --samples 10000 -o fashion.h5",
            "surfaceviz plot fashion.h5 -o fashion.png",
        ),
    ),
)
