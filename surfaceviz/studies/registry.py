"""The registry of studies: a new study is a module and an entry here. Importing this module does not import torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from surfaceviz.studies.findings import Findings


class RunStudy(Protocol):
    """A function that measures a world."""

    def __call__(self, *, quick: bool) -> Findings:
        """Return the findings; ``quick`` asks for the short variant."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study.

    Attributes:
        title: a heading, also the line in the list of studies.
        question: what it asks, a sentence.
        run: ``module:function`` in `surfaceviz.studies`, a `RunStudy`.
        sources: where the known numbers come from.
    """

    title: str
    question: str
    run: str
    sources: str

    def load(self) -> RunStudy:
        """Return the function that runs it."""
        module, function = self.run.split(":")
        found: RunStudy = getattr(importlib.import_module(f"surfaceviz.studies.{module}"), function)
        return found


STUDIES: dict[str, Study] = {
    "five-points": Study(
        title="Five points, one rectified unit: two spurious minima",
        question="Does the Hessian prove the local minima of the smallest network of rectified units?",
        run="relu.five_points:run",
        sources="Swirszcz et al., arXiv 1611.06310; eigenvalues by hand",
    ),
    "deep-linear": Study(
        title="All critical points of a linear network with a hidden layer",
        question="Which critical points does a linear network have, and is any local minimum not global?",
        run="linear.deep_linear:run",
        sources="Baldi and Hornik, Neural Networks 2 (1989); Kawaguchi, arXiv 1605.07110",
    ),
    "eigenvalue-signs": Study(
        title="Why minima are rare at random: signs of eigenvalues",
        question="How often does a random symmetric matrix have no negative eigenvalue?",
        run="spectra.eigenvalue_signs:run",
        sources="2^-N by counting; Wigner's semicircle; N = 2 by hand",
    ),
    "reparametrisation": Study(
        title="One function, other weights: sharp or flat",
        question="Which pictures of a network change although its function does not?",
        run="relu.reparametrisation:run",
        sources="Dinh et al., arXiv 1703.04933; H' = D H D",
    ),
    "linear-2-3-1": Study(
        title="A linear network: convex in its product, not in its weights",
        question="Is the loss of a linear network with one hidden layer convex?",
        run="linear.linear_network:run",
        sources="closed forms of (1 - w1 w2)^2 and of the whitened 2-3-1 network",
    ),
    "strict-saddles": Study(
        title="Not convex, yet no bad minimum: factorisation and phase retrieval",
        question="Do problems with saddles need to have bad local minima?",
        run="linear.strict_saddles:run",
        sources="closed forms of the Hessians; Sun, Qu and Wright, arXiv 1602.06664",
    ),
    "saddle-escape": Study(
        title="Gradient descent near a saddle",
        question="How many steps does gradient descent lose near a saddle?",
        run="linear.saddle_escape:run",
        sources="the linearised iteration; Dauphin et al., arXiv 1406.2572",
    ),
    "permutation": Study(
        title="Permuted hidden units, and the barrier that matching removes",
        question="Is the barrier between two minima more than the order of their hidden units?",
        run="relu.permutation:run",
        sources="the symmetry itself; Ainsworth et al., arXiv 2209.04836",
    ),
    "gauss-newton": Study(
        title="The Hessian as Gauss-Newton matrix and rest",
        question="What do the Gauss-Newton matrix and the rest contribute to the spectrum?",
        run="spectra.gauss_newton:run",
        sources="H = G + R; rank of G by counting; dense matrices of torch.func",
    ),
    "wide-enough": Study(
        title="Wide enough to have no bad minimum",
        question="From which width on does every start reach the global minimum?",
        run="linear.wide_enough:run",
        sources="soft-thresholded singular values; Haeffele and Vidal, CVPR 2017",
    ),
    "teacher-student": Study(
        title="A student of rectified units that fails to learn its teacher",
        question="How often does gradient descent end in a spurious minimum where the teacher could be learnt?",
        run="relu.teacher_student:run",
        sources="Safran and Shamir, arXiv 1712.08968, Table 1 (1000 runs)",
    ),
    "index-vs-loss": Study(
        title="The index of critical points against their loss",
        question="Do critical points of low loss have few negative eigenvalues?",
        run="spectra.index_vs_loss:run",
        sources="Dauphin et al., arXiv 1406.2572; Pennington and Bahri, ICML 2017; Monte-Carlo spectra",
    ),
    "spectrum-outliers": Study(
        title="Outliers of the Hessian, about one for each class",
        question="How many eigenvalues of a classifier's Hessian stand out of the bulk?",
        run="spectra.spectrum_outliers:run",
        sources="Sagun et al., arXiv 1611.07476 and 1706.04454",
    ),
    "interpolation": Study(
        title="Straight lines from start to end, and between two trainings",
        question="Does the loss rise anywhere on the straight line from the start of a training to its end?",
        run="trained.interpolation:run",
        sources="Goodfellow et al., arXiv 1412.6544; convexity; products of linear functions",
    ),
    "batch-norm": Study(
        title="The same network with batch norm and without",
        question="What does batch norm change: the surface, its picture, or the rates that train?",
        run="trained.normalised_network:run",
        sources="scale invariance by hand; van Laarhoven, arXiv 1706.05350; Bjorck et al., arXiv 1806.02375",
    ),
    "blind-spot": Study(
        title="Blind spots: starts from which nothing is learnt",
        question="Can the initial values alone keep a rectified network from learning?",
        run="trained.blind_spot:run",
        sources="Swirszcz et al., arXiv 1611.06310; a constant guess by hand",
    ),
    "loss-concentration": Study(
        title="Final losses of many trainings lie the closer, the wider the network",
        question="Does it matter which minimum a training ends in?",
        run="trained.loss_concentration:run",
        sources="Choromanska et al., arXiv 1412.0233, section 5 (correlations)",
    ),
    "plain-skip": Study(
        title="Deep networks with skip connections and without",
        question="What do skip connections change: the surface, or where training starts on it?",
        run="trained.plain_skip:run",
        sources="linear networks by hand; Li et al., arXiv 1712.09913, on the maps of curvature",
    ),
    "sharp-flat": Study(
        title="Small and large batches: sharp or flat",
        question="Which pictures tell a sharp minimum from one with short weights?",
        run="trained.sharp_flat:run",
        sources="Keskar et al., arXiv 1609.04836 (phi), its quadratic case by hand; Li et al., arXiv 1712.09913",
    ),
}
