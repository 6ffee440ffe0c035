"""One function with other weights: sharpness and raw slices change with the scale of layers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.worlds import fit, slice_of, spectrum_of, with_weights

_FACTOR = 5.0
_HIDDEN = 4


def trained() -> Problem:
    """Return a 2-4-2 network of rectified units, trained on three clusters of two classes."""
    noise = torch.Generator().manual_seed(0)
    centres = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.5]], dtype=torch.float64)
    labels = torch.arange(60) % 3
    x = centres[labels] + 0.7 * torch.randn((60, 2), generator=noise, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 2)).double()
    return fit(Problem(model, (x, (labels > 0).long()), "cross_entropy"), steps=30)


def rescaled(problem: Problem, factors: Tensor) -> Problem:
    """Return the problem with the inputs of each hidden unit times a factor (h,), and its outputs divided by it."""
    first, bias, second, last = (p.detach() for p in problem.model.parameters())
    weights = [first * factors[:, None], bias * factors, second / factors, last]
    return Problem(with_weights(problem.model, weights), problem.sources["train"], "cross_entropy")


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    plain = trained()
    layer = rescaled(plain, torch.full((_HIDDEN,), _FACTOR, dtype=torch.float64))
    neuron = rescaled(plain, torch.tensor([0.2, 1.0, 3.0, 10.0], dtype=torch.float64))
    axis = [(-1, 1, 21 if quick else 61)]
    normal, raw = (
        [slice_of(each, axis, normalise=kind) for each in (plain, layer, neuron)] for kind in ("filter", "none")
    )
    here, there = spectrum_of(plain), spectrum_of(layer)
    scales = torch.cat([torch.full((3 * _HIDDEN,), 1 / _FACTOR), torch.full((2 * _HIDDEN,), _FACTOR), torch.ones(2)])
    predicted = torch.linalg.eigvalsh(scales.double()[:, None] * dense_hessian(plain) * scales.double())
    rows = [
        Row(quantity="loss, rescaled less plain", known=0, found=there.loss - here.loss, allowed=1e-12),
        Row(
            quantity=f"a = {_FACTOR:g}: largest error of H' = D H D, relative", known=0,
            found=float(np.abs(there.eigenvalues - predicted.numpy()).max() / there.norm),
        ),
        Row(quantity="lambda_max, plain", found=here.lambda_max),
        Row(quantity=f"lambda_max, a = {_FACTOR:g}", known=float(predicted[-1]), found=there.lambda_max, allowed=1e-6),
        Row(
            quantity="filter-normalised slice: change by layers", known=0, found=_away(normal[0], normal[1]),
            allowed=1e-10,
        ),
        Row(quantity="filter-normalised slice: change by neurons", found=_away(normal[0], normal[2])),
        Row(quantity="raw slice: change by layers", found=_away(raw[0], raw[1])),
    ]  # fmt: skip
    names = ("plain", f"layers, a = {_FACTOR:g}", "each neuron its own")
    panels = [
        StudyPanel(
            title=title, x_label="alpha", y_label="loss",
            series=tuple(
                line(name, each.axes[0], each.values["train_loss"], "dashed" if "layers" in name else "line")
                for name, each in zip(names, slices, strict=True)
            ),
        )
        for title, slices in (("Raw random direction", raw), ("Filter-normalised", normal))
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=panels,
        see="The same function looks sharp or flat in raw slices; filter normalisation removes the factor of a layer.",
        misleads="A factor for each neuron still changes the filter-normalised slice, as the filters of the next layer "
        "mix the neurons.",
    )  # fmt: skip


def dense_hessian(problem: Problem) -> Tensor:
    """Return the Hessian (P, P) by `torch.func`, with the parameters in the order of the model."""
    x, target = problem.sources["train"]
    names, tensors = zip(*problem.model.named_parameters(), strict=True)
    sizes, shapes = [t.numel() for t in tensors], [t.shape for t in tensors]

    def loss(vector: Tensor) -> Tensor:
        parts = [part.view(shape) for part, shape in zip(vector.split(sizes), shapes, strict=True)]
        out = functional_call(problem.model, dict(zip(names, parts, strict=True)), (x,))
        return nn.functional.cross_entropy(out, target)

    hessian: Tensor = torch.func.hessian(loss)(torch.cat([t.detach().reshape(-1) for t in tensors]))
    return hessian


def _away(a: Slice, b: Slice) -> float:
    return float(np.abs(a.values["train_loss"] - b.values["train_loss"]).max())
