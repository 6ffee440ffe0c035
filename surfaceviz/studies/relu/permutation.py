"""Permuted hidden units: the same function with a barrier on the straight line, which matching removes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.worlds import fit, segment_to, spectrum_of, with_weights
from surfaceviz.symmetry.unit_permutations import match_units

_HIDDEN = 12


def trained(seed: int) -> Problem:
    """Return a 2-12-3 network of rectified units, trained on three rings of a plane from seeded weights."""
    noise = torch.Generator().manual_seed(0)
    x = torch.randn((150, 2), generator=noise, dtype=torch.float64)
    labels = torch.bucketize(torch.linalg.vector_norm(x, dim=1), torch.tensor([0.8, 1.5], dtype=torch.float64))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 3)).double()
    return fit(Problem(model, (x, labels), "cross_entropy"), steps=25)


def permuted(model: nn.Module, order: Tensor) -> nn.Module:
    """Return a copy of a network whose hidden units stand in another order."""
    first, bias, second, last = (p.detach() for p in model.parameters())
    return with_weights(model, [first[order], bias[order], second[:, order], last])


def matched(model: nn.Module, other: nn.Module) -> nn.Module:
    """Return a copy of ``other`` with its hidden units matched to those of ``model``."""
    flat = [torch.cat([p.detach().reshape(-1) for p in each.parameters()]) for each in (model, other)]
    parts = torch.arange(len(flat[0])).split([p.numel() for p in model.parameters()])
    rows = (parts[0].view(_HIDDEN, -1), parts[1].view(_HIDDEN, -1), parts[2].view(-1, _HIDDEN).T)
    vector = match_units(flat[0], flat[1], [torch.cat(rows, dim=1)])
    shapes = [p.shape for p in model.parameters()]
    split = vector.split([p.numel() for p in model.parameters()])
    return with_weights(other, [part.view(shape) for part, shape in zip(split, shapes, strict=True)])


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    points = 21 if quick else 61
    home, away = trained(0), trained(1)
    order = torch.randperm(_HIDDEN, generator=torch.Generator().manual_seed(3))
    copy = permuted(home.model, order)
    here, there = (spectrum_of(each, top=75, bottom=0) for each in (home, _with(home, copy)))
    cuts = {
        "permuted copy": segment_to(home, copy, points),
        "other training": segment_to(home, away.model, points),
        "other training, matched": segment_to(home, matched(home.model, away.model), points),
    }
    back = zip(home.model.parameters(), matched(home.model, copy).parameters(), strict=True)
    left = max(float((a - b).detach().abs().max()) for a, b in back)
    rises = {name: _barrier(each) for name, each in cuts.items()}
    rows = [
        Row(quantity="loss, permuted less plain", known=0, found=there.loss - here.loss, allowed=1e-12),
        Row(
            quantity="spectrum, largest change, relative", known=0,
            found=float(np.abs(there.eigenvalues - here.eigenvalues).max() / here.norm),
        ),
        Row(quantity="barrier to the permuted copy", found=rises["permuted copy"]),
        Row(quantity="largest weight of the matched copy less the network", known=0, found=left, allowed=0),
        Row(quantity="barrier to another training", found=rises["other training"]),
        Row(quantity="the same, matched", found=rises["other training, matched"]),
        Row(
            quantity="matching lowers the barrier to another training (1: yes)", known=1,
            found=float(rises["other training, matched"] < rises["other training"]), allowed=0,
        ),
    ]  # fmt: skip
    panels = [
        StudyPanel(
            title=title, x_label="share of the way", y_label="loss",
            series=tuple(line(name, c.axes[0], c.values["train_loss"]) for name, c in cuts.items() if word in name),
        )
        for title, word in (("To a permuted copy", "copy"), ("To another training", "training"))
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=panels,
        see="The barrier to a permuted copy is one of names: matching the units gives the network itself.",
        misleads="Between independent trainings matching lowers the barrier and does not abolish it at this width.",
    )  # fmt: skip


def _with(problem: Problem, model: nn.Module) -> Problem:
    return Problem(model, problem.sources["train"], "cross_entropy")


def _barrier(cut: Slice) -> float:
    """Return the largest rise over the straight line between the losses at the ends."""
    loss, t = cut.values["train_loss"], cut.axes[0]
    return float((loss - (1 - t) * loss[0] - t * loss[-1]).max())
