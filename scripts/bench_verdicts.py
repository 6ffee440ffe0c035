"""Error rates of the verdicts of `surfaceviz compare`, on networks whose truth is known from 10^4 directions.

    python scripts/bench_verdicts.py [--pairs 1000] [--json FILE]

Networks are small perceptrons with and without batch norm; the measure is the expected rise under filter-scaled noise
at three radii, which Holm's method corrects together. Differences, verdicts, gauge and rises are those of the package.

* selection (other data, networks and directions than those reported): coverage of Student's t with two degrees of
  freedom, and of the bootstrap, at several numbers of directions, and the power at a true log-ratio of 0.3;
* identical: copies of equal function by layer, neuron and batch-norm rescalings, permutations, and all of them:
  how often a network is called flatter than its copy;
* logits: copies with the logits times 2 to 4, or over 2 to 4;
* coverage of the 95% intervals, for pairs of different networks;
* power: pairs with a true log-ratio of 0.3 +- 0.02, in one gauge, and as they are;
* forecast: undecided pairs with as many directions as the verdict names.

Every part is kept in build/verdicts, so that a killed run resumes. Rates are judged by exact binomial tests at 99%.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from contenders import machine
from scipy.special import stdtr, stdtrit
from scipy.stats import binomtest
from verdict_classes import (
    COPIES,
    MIDDLE,
    Directions,
    Judged,
    Pools,
    copies,
    different,
    effect_pairs,
    effects,
    followed,
)
from verdict_pool import Member, cached, log_ratios, noise, pool, rises

from surfaceviz.comparison import DIRECTIONS, RADII, from_directions
from surfaceviz.comparison.bootstrap import bootstrap_directions
from surfaceviz.records import FloatArray
from surfaceviz.sharpness_measures.random_perturbations import expected_rise

REPORTED, CHOSEN = 13, 12  # seeds of the data and the networks
MEMBERS, CHOSEN_MEMBERS = 20, 10
EFFORTS = 16, 32, 64, 100
CHUNK = 100
SURE = 0.01  # level of the binomial tests
LEVEL, COVERED, POWER, DECIDED = 0.05, 0.95, 0.8, 0.7
GAUGES = "raw", "gauge"

Alternative = Literal["two-sided", "less", "greater"]


def selection(pools: Pools, trials: int = 2000) -> dict[str, Any]:
    """Return coverage and power of the candidates at each number of directions, as they are and in the gauge."""
    return {
        f"{count} {gauge}": _candidates(pools, count, k, trials) for count in EFFORTS for k, gauge in enumerate(GAUGES)
    }


def _candidates(pools: Pools, count: int, gauge: int, trials: int) -> dict[str, float]:
    """Return the coverage of each candidate, and the mean power at 0.3 among three measures."""
    generator = np.random.default_rng(count)
    covered, power = Counter[str](), 0.0
    for i in range(trials):
        members = pools[bool(i % 2)].members
        a, b = generator.choice(len(members), 2, replace=False)
        rows, radius = generator.choice(members[a].draws.shape[1], count, replace=False), i % len(RADII)
        x, y = (members[k].draws[gauge, rows, radius] for k in (a, b))
        found, boot = from_directions(x, y), bootstrap_directions(x, y, generator, resamples=299)
        truth = float(log_ratios([members[a], members[b]])[0, 1, gauge, radius])
        plain = float(stdtrit(count - 1, (1 + COVERED) / 2)) * found.stderr
        covered["t"] += abs(found.estimate - truth) <= plain
        covered["t by kurtosis"] += found.low <= truth <= found.high
        covered["bootstrap"] += boot.low <= truth <= boot.high
        critical = -float(stdtrit(found.freedom, LEVEL / len(RADII) / 2))
        power += float(stdtr(found.freedom, 0.3 / found.stderr - critical))
    return {**{name: hits / trials for name, hits in covered.items()}, "power": power / trials}


def rows_of(name: str, found: Callable[[range], Iterator[Judged]], pairs: int) -> list[dict[str, Any]]:
    """Return a row for each pair: kinds of verdicts, and whether intervals cover the truth; kept in chunks."""
    rows: list[dict[str, Any]] = []

    def chunk(numbers: range) -> list[dict[str, Any]]:
        return [_row(*each) for each in found(numbers)]

    for start in range(0, pairs, CHUNK):
        numbers = range(start, min(start + CHUNK, pairs))
        rows += cached(f"{name}-{start}-{len(numbers)}", partial(chunk, numbers))
    return rows


def _row(verdicts: Any, truth: FloatArray) -> dict[str, Any]:
    differences = [[v.raw for v in verdicts], [v.gauge for v in verdicts]]
    covered = [
        [bool(d.low <= t <= d.high) for d, t in zip(row, ratios, strict=True)]
        for row, ratios in zip(differences, truth, strict=True)
    ]
    zero = [bool(v.gauge.low <= 0 <= v.gauge.high) for v in verdicts]
    right = [v.favoured == int(t > 0) for v, t in zip(verdicts, truth[0], strict=True)]
    return {"kinds": [v.kind for v in verdicts], "covered": covered, "zero": zero, "right": right}


def judged_rate(count: int, total: int, rate: float, alternative: Alternative) -> dict[str, Any]:
    """Return a rate and whether it is consistent with a bound, by an exact binomial test at 99%.

    Args:
        count: events.
        total: pairs.
        rate: the bound.
        alternative: ``greater``: more events than the bound are a fault; ``less``: fewer; ``two-sided``: both.
    """
    p = float(binomtest(count, total, rate, alternative=alternative).pvalue)
    return {"count": count, "of": total, "rate": count / total, "bound": rate, "p": p, "passes": p >= SURE}


def copies_part(pools: Pools, name: str, pairs: int, directions: Directions) -> dict[str, Any]:
    """Return how copies were judged."""
    rows = rows_of(f"copies-{name}", lambda n: copies(pools, name, n, directions), pairs)
    supported = sum(row["kinds"][MIDDLE] == "supported" for row in rows)
    anywhere = sum("supported" in row["kinds"] for row in rows)
    covered = sum(row["zero"][MIDDLE] for row in rows)
    caught = sum(row["kinds"][MIDDLE] in ("artefact of scale", "not comparable") for row in rows)
    by_scale = {"artefact or not comparable": judged_rate(caught, len(rows), 1 - LEVEL, "less")}
    return {
        "kinds": dict(Counter(row["kinds"][MIDDLE] for row in rows)),
        **(by_scale if "logits" in name else {}),
        "called different": judged_rate(supported, len(rows), LEVEL, "greater"),
        "called different at any radius": judged_rate(anywhere, len(rows), LEVEL, "greater"),
        "interval in the gauge covers a ratio of 1": covered / len(rows),
    }


def coverage_part(pools: Pools, pairs: int, directions: Directions) -> dict[str, Any]:
    """Return the coverage of the intervals on different networks, and wrong signs among supported differences."""
    rows = rows_of("different", lambda n: different(pools, n, directions), pairs)
    coverage = {
        f"{gauge}, radius {radius:g}": judged_rate(
            sum(row["covered"][g][k] for row in rows), len(rows), COVERED, "two-sided"
        )
        for g, gauge in enumerate(GAUGES)
        for k, radius in enumerate(RADII)
    }
    supported = [row["right"][MIDDLE] for row in rows if row["kinds"][MIDDLE] == "supported"]
    return {
        "coverage": coverage, "kinds": dict(Counter(row["kinds"][MIDDLE] for row in rows)),
        "wrong sign": f"{len(supported) - sum(supported)} of {len(supported)} supported",
    }  # fmt: skip


def power_part(pools: Pools, pairs: int, directions: Directions, *, in_gauge: bool) -> dict[str, Any]:
    """Return how often a true log-ratio of 0.3 is supported, with the right sign."""
    name = "effect-gauge" if in_gauge else "effect-raw"
    rows = rows_of(name, lambda n: effects(pools, n, directions, in_gauge=in_gauge), pairs)
    hits = sum(row["kinds"][MIDDLE] == "supported" and row["right"][MIDDLE] for row in rows)
    return {
        "network pairs": sum(len(effect_pairs(each, in_gauge=in_gauge)) for each in pools.values()),
        "kinds": dict(Counter(row["kinds"][MIDDLE] for row in rows)),
        "supported": judged_rate(hits, len(rows), POWER, "less"),
    }


def forecast_part(pools: Pools, pairs: int, *, same: bool) -> dict[str, Any]:
    """Return how often an undecided pair is decided with as many directions as its verdict names."""

    def rows(numbers: range) -> list[tuple[int | None, str | None]]:
        return [(a.needed, None if b is None else b.kind) for a, b in followed(pools, numbers, same=same)]

    found: list[tuple[int | None, str | None]] = []
    start = 0
    while len([kind for _, kind in found if kind]) < pairs and start < 40 * pairs:
        numbers = range(start, start + 10 * CHUNK)
        found += cached(f"forecast-{same}-{start}", partial(rows, numbers))
        start += 10 * CHUNK
    known = [(named, kind) for named, kind in found if kind]
    decided = sum(kind != "undecided" for _, kind in known)
    return {
        "pairs": start, "undecided": len(found), "not followed": len(found) - len(known),
        "named, quartiles": np.quantile([named for named, _ in known], [0.25, 0.5, 0.75]).tolist(),
        "kinds": dict(Counter(kind for _, kind in known)),
        "decided": judged_rate(decided, len(known), DECIDED, "less"),
    }  # fmt: skip


def same_as_the_tool(pools: Pools) -> float:
    """Return the largest relative deviation from `expected_rise`, whose passes are the tool's, over four networks."""
    worst = 0.0
    for each in pools.values():
        for member in each.members[:2]:
            objective = each.world.objective
            tool = expected_rise(objective, member.theta, sigma=RADII[MIDDLE], pairs=10, seed=7).draws
            own = rises(each.world, member.theta, noise(each.world, 7, 10, start=10))[:, MIDDLE]
            assert tool is not None
            worst = max(worst, float(np.abs(tool / own - 1).max()))
    return worst


def spread(members: tuple[Member, ...]) -> list[float]:
    """Return quartiles of |log ratio| in the gauge at the radius 0.1 over all pairs of a pool."""
    ratios = log_ratios(members)[..., 1, MIDDLE]
    found = [abs(float(ratios[a, b])) for a, b in permutations(range(len(members)), 2)]
    return [float(q) for q in np.quantile(found, [0.25, 0.5, 0.75])]


def measure(pairs: int) -> dict[str, Any]:
    """Return all figures; each part is printed as soon as it is known."""
    pools, chosen = (
        {normed: pool(seed, count, normed=normed) for normed in (False, True)}
        for seed, count in ((REPORTED, MEMBERS), (CHOSEN, CHOSEN_MEMBERS))
    )
    directions = Directions()
    parts: dict[str, Callable[[], Any]] = {
        "deviation from expected_rise": lambda: same_as_the_tool(pools),
        "selection": lambda: selection(chosen),
        "quartiles of true log-ratios": lambda: {str(n): spread(each.members) for n, each in pools.items()},
        **{f"copies, {name}": partial(copies_part, pools, name, pairs, directions) for name in COPIES},
        "different": lambda: coverage_part(pools, pairs, directions),
        "power, in one gauge": lambda: power_part(pools, pairs, directions, in_gauge=True),
        "power, as they are": lambda: power_part(pools, pairs, directions, in_gauge=False),
        "forecast, different networks": lambda: forecast_part(pools, pairs, same=False),
        "forecast, one network twice": lambda: forecast_part(pools, pairs, same=True),
    }
    figures: dict[str, Any] = {}
    for name, compute in parts.items():
        begun = time.perf_counter()
        figures[name] = cached(f"part-{name}-{pairs}", compute)
        print(f"{name} ({time.perf_counter() - begun:.0f} s)\n  {json.dumps(figures[name])}", flush=True)
    return figures


def failures(figures: Any, path: str = "") -> list[str]:
    """Return the names of rates that are not consistent with their bounds."""
    if not isinstance(figures, dict):
        return []
    own = [path] if figures.get("passes") is False else []
    return own + [name for key, each in figures.items() for name in failures(each, f"{path}/{key}")]


def main() -> int:
    """Print the figures, write them as JSON if asked, and return 0 where all rates are consistent with their bounds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--pairs", type=int, default=1000, help="of each class")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = {
        "pairs": asked.pairs,
        "directions": DIRECTIONS,
        "radii": RADII,
        "networks": [2 * MEMBERS, 2 * CHOSEN_MEMBERS],
    }
    figures = {"machine": machine(), "settings": settings, **measure(asked.pairs)}
    failed = failures(figures)
    print("all rates are consistent with their bounds" if not failed else f"not consistent: {failed}")
    if asked.json:
        asked.json.write_text(json.dumps({**figures, "not consistent": failed}, indent=1) + "\n")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
