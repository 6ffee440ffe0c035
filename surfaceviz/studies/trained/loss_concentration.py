"""Final losses of many trainings of one network: the wider it is, the closer they lie, and the less training tells.

Source of the world: Choromanska et al., arXiv 1412.0233, section 5: one hidden layer of rectified units, by SGD. Theirs
are 1000 trainings of each width on MNIST of 10 x 10 pixels; ours are the digits of 8 x 8 pixels in scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.problem.problem import Problem
from surfaceviz.records import FloatArray
from surfaceviz.records.studies import StudyPanel, StudySeries
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.trained.digit_networks import digits, problem_of, seeded
from surfaceviz.studies.worlds import spectrum_of, with_weights
from surfaceviz.zoo.networks import mlp

_INPUTS, _CLASSES, _BATCH = 64, 10, 64
_THEIRS = {25: 0.76, 500: 0.41}  # correlation of training and test loss, Table 1 of the paper; their error is not given
_RESAMPLES = 1000
_RULES: dict[str, Callable[[Sequence[Tensor]], torch.optim.Optimizer]] = {
    "SGD with momentum": lambda weights: torch.optim.SGD(weights, 0.05, momentum=0.9),
    "SGD": lambda weights: torch.optim.SGD(weights, 0.5),
    "Adam": lambda weights: torch.optim.Adam(weights, 0.01),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Ends of S trainings: stacked weights, and the losses (S,) on the training and the test split."""

    weights: Sequence[Tensor]
    train: FloatArray
    test: FloatArray

    @property
    def spread(self) -> float:
        """The standard deviation of the test losses."""
        return float(self.test.std(ddof=1))

    @property
    def correlation(self) -> float:
        """The correlation of training and test losses."""
        return float(np.corrcoef(self.train, self.test)[0, 1])

    def resampled(self, generator: np.random.Generator) -> Ends:
        """Return as many trainings, drawn from these with replacement."""
        some = generator.integers(0, len(self.test), len(self.test))
        return Ends(weights=(), train=self.train[some], test=self.test[some])


def outputs(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """Return the logits of S networks (S, N, 10), for images of each (S, N, 64)."""
    first, bias, second, last = weights
    return torch.baddbmm(last, torch.relu(torch.baddbmm(bias, x, first)), second)


def train_many(width: int, runs: int, epochs: int, rule: str) -> Ends:
    """Return the ends of S trainings of one width at once, each with its own start and order of the samples.

    The learning rate falls to 0 as a cosine.
    """
    (x, y), (x_test, y_test) = ((x.flatten(1), y) for x, y in digits().splits.values())
    noise = torch.Generator().manual_seed(width)
    sizes = ((_INPUTS, width), (width, _CLASSES))
    weights = [
        w.requires_grad_()
        for a, b in sizes
        for w in (torch.randn((runs, a, b), generator=noise) * math.sqrt(1 / a), torch.zeros((runs, 1, b)))
    ]
    optimiser, steps = _RULES[rule](weights), epochs * (len(y) // _BATCH)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    images = x.float()
    for _ in range(epochs):
        order = torch.rand((runs, len(y)), generator=noise).argsort(dim=1)
        for some in order.split(_BATCH, dim=1)[: len(y) // _BATCH]:
            optimiser.zero_grad()
            loss: Tensor = _losses(outputs(weights, images[some]), y[some]).sum()
            loss.backward()
            optimiser.step()
            fall.step()
    ends = [w.detach().double() for w in weights]
    losses = [
        _losses(outputs(ends, x.expand(runs, -1, -1)), y.expand(runs, -1)).numpy()
        for x, y in ((x, y), (x_test, y_test))
    ]
    return Ends(weights=ends, train=losses[0], test=losses[1])


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss of each network, (S,)."""
    return nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(1)


def run(*, quick: bool) -> Findings:
    """Return the findings; errors are bootstrap standard errors over the trainings."""
    widths, runs, epochs = ((5, 10, 25), 50, 8) if quick else ((5, 10, 25, 50, 100, 250, 500), 100, 20)
    main, *others = _RULES
    ends = {width: train_many(width, runs, epochs, main) for width in widths}
    middle = 25 if quick else 50
    alike = {main: ends[middle], **{rule: train_many(middle, runs, epochs, rule) for rule in others}}
    rows = [row for width, each in ends.items() for row in _width_rows(width, each)]
    first, last = ends[widths[0]], ends[widths[-1]]
    changes: list[tuple[str, str, Callable[[Ends], float]]] = [
        ("spread", "log of the spread", lambda each: math.log(each.spread)),
        ("correlation", "correlation", _correlation),
    ]
    for name, words, measure in changes:
        fall, error = measure(first) - measure(last), math.hypot(_error(first, measure), _error(last, measure))
        rows += [
            Row(quantity=f"fall of the {words} from narrowest to widest, in standard errors", found=fall / error),
            Row(
                quantity=f"the {name} falls by more than three (1: yes)",
                known=1,
                found=float(fall > 3 * error),
                allowed=0,
            ),
        ]
    rows += [row for rule, each in alike.items() for row in _rule_rows(f"width {middle}, {rule}", each)]
    common = max(set(ends) & set(_THEIRS))
    return Findings(
        rows=rows, panels=_panels(ends),
        see="Wider networks end closer together (from about 50 units on no more), and the training loss tells less "
        f"about the test loss; at {common} units the correlation is {ends[common].correlation:.2f} +- "
        f"{_error(ends[common], _correlation):.2f}, that of the paper's 1000 trainings on MNIST {_THEIRS[common]}.",
        misleads="The spread is one between trainings by one rule: optimisers that have not come equally far differ in "
        "their mean by more than that, as the last rows show.",
    )  # fmt: skip


def _width_rows(width: int, ends: Ends) -> list[Row]:
    problem = _problem(ends, width)
    return [
        Row(quantity=f"width {width}: first loss, by the tool less by the batch of networks", known=0,
            found=spectrum_of(problem, top=1, bottom=0, rtol=0.1).loss - float(ends.train[0])),
        Row(quantity=f"width {width}: mean test loss", found=float(ends.test.mean())),
        Row(quantity=f"width {width}: spread of test losses", found=ends.spread),
        Row(quantity=f"width {width}: correlation of training and test loss", found=ends.correlation),
    ]  # fmt: skip


def _rule_rows(name: str, ends: Ends) -> list[Row]:
    return [
        Row(quantity=f"{name}: mean test loss", found=float(ends.test.mean())),
        Row(quantity=f"{name}: spread", found=ends.spread),
    ]


def _problem(ends: Ends, width: int) -> Problem:
    """Return the problem of the first of the trained networks."""
    first, bias, second, last = (w[0] for w in ends.weights)
    model = seeded(lambda: mlp(_INPUTS, width, _CLASSES), 0)
    return problem_of(with_weights(model, [first.T, bias[0], second.T, last[0]]), digits())


def _correlation(ends: Ends) -> float:
    return ends.correlation


def _error(ends: Ends, measure: Callable[[Ends], float]) -> float:
    generator = np.random.default_rng(0)
    return float(np.std([measure(ends.resampled(generator)) for _ in range(_RESAMPLES)], ddof=1))


def _panels(ends: dict[int, Ends]) -> list[StudyPanel]:
    shown = list(ends)[1::2]
    low, high = (f([f(ends[width].test) for width in shown]) for f in (np.min, np.max))
    bins = np.linspace(low, high, 40)
    middles = (bins[1:] + bins[:-1]) / 2
    widths = np.array(list(ends), dtype=float)
    theirs = line("Choromanska et al., MNIST", list(_THEIRS), list(_THEIRS.values()), "points")
    return [
        StudyPanel(
            title="Final test losses", x_label="test loss", y_label="trainings",
            series=tuple(line(f"width {w}", middles, np.histogram(ends[w].test, bins)[0], "bars") for w in shown),
        ),
        StudyPanel(
            title="Spread between trainings", x_label="hidden units", log="xy",
            y_label="standard deviation of test loss",
            series=(_by_width("", widths, ends, lambda each: each.spread),),
        ),
        StudyPanel(
            title="Training against test loss", x_label="hidden units", y_label="correlation", log="x",
            series=(_by_width("ours", widths, ends, _correlation), theirs),
        ),
    ]  # fmt: skip


def _by_width(label: str, widths: FloatArray, ends: dict[int, Ends], measure: Callable[[Ends], float]) -> StudySeries:
    values, errors = (
        np.array([f(each) for each in ends.values()]) for f in (measure, lambda each: _error(each, measure))
    )
    return StudySeries(label=label, x=widths, y=values, kind="points", error=errors)
