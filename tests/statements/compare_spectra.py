"""Spectra and Hessian maps, compared with dense float64 Hessians."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comparison import Comparison
from dense_point import Point, point_of
from float64_program import Array, Program, at, deviation, spectral_norm, stored
from random_problems import RandomProblem
from scipy import stats
from torch import Tensor

_SINGLE = 1e-8
_CLUSTER = 1e-4  # of an eigenvalue: the search of a map does not tell closer ones apart; `beyond` covers them
_SIGN = 1e-13  # of ||A||: a float64 eigenvalue above it has a sign
_STEP = 1e-6  # of max(1, ||theta||): a Newton step that the tool takes for 0
_BENT = 0.02  # of H v: a gradient's departure from its line that is more than rounding
_CHANCE = 0.9995  # quantile of a two-sided interval of 99.9%
_GROUP_RATIO = (0.4, 1.8)  # of a standard error from 16 groups to the true one: chi^2 of 15 degrees, 99.99%


def compare_spectrum(told: Comparison, given: RandomProblem, program: Program, file: Path, index: int) -> None:
    """Compare a spectrum of a file."""
    s = stored(file, f"spectra/{index}")
    directions = program.directions(file)
    place = [float(s[name]) for name in ("alpha", "beta") if name in s]
    told.title += f"; {place} {s['parameters']} {'DHD' if s['normalised'] else 'H'}"
    point = point_of(program, at(program.theta, directions, place), s)
    values = np.asarray(np.linalg.eigvalsh(point.matrix), np.float64)
    told.holds("the dimension", s["dimension"] == len(values))
    loss = program.allowance(lambda t: np.array([float(program.value(t.detach()))]), point.theta)[0]
    told.close("loss", s["loss"], float(program.value(point.theta)), loss)
    room = max(float(np.linalg.norm(each)) for each in point.gradient_changes)
    norm = float(np.linalg.norm(point.gradient))
    told.close("gradient norm", s["gradient_norm"], norm, room + 1e-12 * norm)
    _compare_eigenvalues(told, s, values, point.slack)
    _compare_traces(told, s, point)
    _compare_shares(told, s, values, point.slack)
    _compare_newton(told, s, point)
    _compare_sampling(told, s, program, point, given)
    _compare_along(told, s, program, point, [d.numpy()[point.chosen] for d in directions])
    _compare_differences(told, s, program, (stored(file, "slice"), directions, place))
    _compare_kind(told, s, program, point, smooth=given.smooth)


def _compare_eigenvalues(told: Comparison, s: dict[str, Any], values: Array, slack: float) -> None:
    found, residuals, bottom = s["eigenvalues"], s["residuals"], int(s["bottom"])
    top = len(found) - bottom
    told.close("||A||", s["norm"], np.abs(found).max(), 1e-12 * np.abs(found).max() + slack)
    true = np.r_[values[:bottom], values[len(values) - top :]]
    told.close("eigenvalues", found, true, residuals + slack)
    room = s["beyond"] + slack + (residuals.max() if s["beyond"] == 0 else 0.0)  # 0: all eigenvalues are known
    if top:
        told.close("beyond, above", min(found[-1] + s["beyond"], values[-1]), values[-1], room - s["beyond"])
    if bottom:
        told.close("beyond, below", max(found[0] - s["beyond"], values[0]), values[0], room - s["beyond"])
    for name, sign in (("listed_above", 1), ("listed_below", -1)):
        if name in s:
            outside = np.count_nonzero(sign * values > sign * s[name] + slack)
            listed = np.count_nonzero(sign * found > sign * s[name] - residuals.max() - slack)
            told.holds(f"{name} {s[name]:.6g}: {outside} eigenvalues lie outside, {listed} are listed",
                       outside <= listed)  # fmt: skip


def _compare_traces(told: Comparison, s: dict[str, Any], point: Point) -> None:
    d = point.scale

    def trace(h: Array, _g: Array) -> float:
        return float(d**2 @ np.diag(h))

    def expected(h: Array, _g: Array) -> float:
        return float(point.filters**2 @ np.diag(h))

    def rank(h: Array, _g: Array) -> float:
        matrix = d[:, None] * h * d
        return float(np.trace(matrix) ** 2 / max(np.sum(matrix**2), 1e-300))

    for name, function in (("trace", trace), ("expected", expected), ("effective_rank", rank)):
        if name in s:
            factor = stats.t.ppf(_CHANCE, max(int(s["probes"]) - 1, 1))
            room = point.allowance(function) + (factor * s[f"{name}_stderr"] if s[f"{name}_stderr"] else 0.0)
            scale = float(np.abs(d**2 * np.diag(point.hessian)).sum())
            room += 1e-12 * (scale if name != "effective_rank" else 1.0)
            told.close(name, s[name], function(point.hessian, point.gradient), room)


def _compare_shares(told: Comparison, s: dict[str, Any], values: Array, slack: float) -> None:
    if "negative_share" not in s:
        return
    zero, count = s["zero_threshold"], len(values)
    least, most = (np.count_nonzero(values < -zero + sign * slack) for sign in (-1, 1))
    low, high = s["negative_bounds"]
    told.holds(f"negative share within [{low:.4g}, {high:.4g}], truly {least / count:.4g} .. {most / count:.4g}",
               low <= most / count + 1e-12 and high >= least / count - 1e-12)  # fmt: skip
    if "zero_share" not in s:
        return
    negative, zeros = round(s["negative_share"] * count), round(s["zero_share"] * count)
    told.close("negative count", s["negative_share"] * count, negative, 1e-9)
    told.holds(f"{negative} counted negative, truly {least} .. {most}", least <= negative <= most)
    norm = np.abs(values).max()
    sure = np.count_nonzero(values < _SIGN * norm)
    told.holds(f"{negative} counted negative, of which only {sure} are not positive", negative <= sure)
    sure = np.count_nonzero(values > -_SIGN * norm)
    told.holds(f"{count - negative - zeros} counted positive, of which only {sure} are not negative",
               count - negative - zeros <= sure)  # fmt: skip
    nodes = s["density/nodes"][0]
    told.close("all eigenvalues", nodes, values, slack + zero)


def _compare_newton(told: Comparison, s: dict[str, Any], point: Point) -> None:
    if "newton_decrement" not in s:
        return
    found, bottom, used = s["eigenvalues"], int(s["bottom"]), int(s["newton_pairs"])
    size, noise = len(point.gradient), max(float(np.linalg.norm(each)) for each in point.gradient_changes)
    if np.linalg.norm(point.gradient) > 10 * noise:
        curved = point.allowance(_curvature_along_gradient)
        told.close("gradient curvature", s["gradient_curvature"],
                   _curvature_along_gradient(point.hessian, point.gradient), curved)  # fmt: skip
    places = np.r_[np.arange(bottom), np.arange(size - len(found) + bottom, size)][len(found) - used :]
    d = point.scale
    values = np.linalg.eigvalsh(point.matrix)
    if not used or np.linalg.norm(d * point.gradient) <= 10 * noise:
        return
    rest = np.setdiff1d(np.arange(size), places)
    gap = np.abs(values[places][:, None] - values[rest]).min() if len(rest) else np.inf
    error, least = float(np.linalg.norm(s["residuals"])) + point.slack, float(values[places].min())
    if least <= 2 * error or gap <= 2 * error:  # the told pairs are not determined
        return

    def slopes(h: Array, g: Array) -> tuple[Array, Array]:
        lambdas, vectors = np.linalg.eigh(d[:, None] * h * d)
        return lambdas[places], vectors[:, places].T @ (d * g)

    def decrement(h: Array, g: Array) -> float:
        lambdas, along = slopes(h, g)
        return float((along**2 / lambdas).sum())

    def left_out(h: Array, g: Array) -> float:
        return float(1 - (slopes(h, g)[1] ** 2).sum() / ((d * g) ** 2).sum())

    turned = 2 * error / gap  # of the invariant subspace (Davis & Kahan)
    square = float(((d * point.gradient) ** 2).sum())
    room = point.allowance(decrement) + square * (2 * error / least**2 + 2 * turned / least)
    told.close("newton decrement", s["newton_decrement"], decrement(point.hessian, point.gradient), room)
    told.close("newton left out, squared", s["newton_left_out"] ** 2, left_out(point.hessian, point.gradient),
               point.allowance(left_out) + 2 * turned + 16 * point.eps)  # fmt: skip


def _curvature_along_gradient(h: Array, g: Array) -> float:
    return float(g @ h @ g / (g @ g))


def _compare_sampling(told: Comparison, s: dict[str, Any], program: Program, point: Point,
                      given: RandomProblem) -> None:  # fmt: skip
    if "gradient_stderr" not in s:
        return
    told.holds("a loss that is no mean has no sampling error", not given.loss.coupled)
    rows = program.sample_gradients(point.theta)[:, point.chosen]
    true = deviation(rows)
    if int(s["gradient_groups"]) == len(rows):
        told.close("gradient stderr", s["gradient_stderr"], true, 1e-5 * true + 1e-9)
    else:
        ratio = 1.0 if s["gradient_stderr"] == true else s["gradient_stderr"] / true
        told.holds(f"gradient stderr {s['gradient_stderr']:.3g} from groups, truly {true:.3g}",
                   _GROUP_RATIO[0] < ratio < _GROUP_RATIO[1])  # fmt: skip


def _compare_along(told: Comparison, s: dict[str, Any], program: Program, point: Point, rows: list[Array]) -> None:
    """Compare d'Hd and d'g; a told form has directions inside of the matrix and batch norms that stay."""
    if "along" not in s:
        return
    told.holds("no curvature along axes where batch norms are recalibrated", not program.recalibrated)
    for i, a in enumerate(rows):
        size = float(np.linalg.norm(a))
        room = point.allowance(lambda _h, g, a=a: float(a @ g)) + program.eps * size * float(
            np.linalg.norm(point.gradient)
        )
        told.close(f"slope {i}", s["slope"][i], a @ point.gradient, 8 * room)
        for j, b in enumerate(rows):
            form = float(a @ point.hessian @ b)
            scale = size * float(np.linalg.norm(b)) * spectral_norm(point.hessian)
            room = point.allowance(lambda h, _g, a=a, b=b: float(a @ h @ b)) + 8 * program.eps * scale
            told.close(f"d'Hd {i}{j}", s["along"][i, j], form, room)


def _compare_differences(told: Comparison, s: dict[str, Any], program: Program, slice_: Any) -> None:
    """Compare the second differences of the slice's own values."""
    surface, directions, place = slice_
    if "differences" not in s or program.recalibrated:
        return

    def value(t: Tensor) -> Array:
        return np.array([float(program.value(t.detach()))])

    for i, name in enumerate(("alpha", "beta")[: len(place)]):
        h = float(np.diff(surface[name]).mean())
        near = [at(program.theta, directions, [x + k * h * (j == i) for j, x in enumerate(place)]) for k in (-1, 0, 1)]
        a, b, c = (float(value(t)[0]) for t in near)
        room = sum(w * float(program.allowance(value, t)[0]) for w, t in zip((1, 2, 1), near, strict=True))
        told.close(f"second difference {i}", s["differences"][i], (a - 2 * b + c) / h**2, room / h**2)


def _compare_kind(told: Comparison, s: dict[str, Any], program: Program, point: Point, *, smooth: bool) -> None:
    """Check that the kind is not false, and the signs that the reason counts."""
    values = np.linalg.eigvalsh(point.matrix)
    kind, reason, norm = str(s["kind"]), str(s["reason"]), np.abs(values).max(initial=0.0)
    negative, positive = values[0] < -_SIGN * norm, values[-1] > _SIGN * norm
    slope = float(np.linalg.norm(point.gradient))
    noise = max(float(np.linalg.norm(each)) for each in point.gradient_changes)
    if kind in ("local minimum", "local maximum"):
        sign = 1 if kind == "local minimum" else -1
        curved = float((sign * values).min())
        told.holds(f"{kind}: an eigenvalue of {curved:.3g}", curved > 0)
        step = np.linalg.norm(np.linalg.lstsq(point.matrix, point.scale * point.gradient)[0])
        far = _STEP * max(1.0, float(np.linalg.norm(point.theta.numpy()))) * np.sqrt(len(values))
        told.holds(f"{kind}: Newton's step is {step:.3g}", step <= far + noise / max(curved, 1e-300))
        told.holds(f"{kind} of part of the parameters", len(values) == len(point.theta))
    if kind in ("saddle", "degenerate saddle"):
        told.holds(f"{kind}: eigenvalues {values[0]:.3g} .. {values[-1]:.3g}", negative and positive)
    if kind not in ("not a critical point", "not smooth here"):
        far = _STEP * max(1.0, float(np.linalg.norm(point.theta.numpy()))) * norm + noise
        told.holds(f"{kind}: the gradient is {slope:.3g}, over {far:.3g}", slope <= far)
    if kind == "not a critical point":
        told.holds("not critical, though the gradient is 0", slope > 1e-15)
    if smooth and kind == "not smooth here":
        told.holds(f"{kind}: {reason}, but the network is smooth", _changes_fast(point, program, reason))
    for word, count in (("negative", np.count_nonzero(values < _SIGN * norm)),
                        ("positive", np.count_nonzero(values > -_SIGN * norm))):  # fmt: skip
        said = re.search(rf"(\d+) (?:is |are )?{word}", reason)
        if said:
            told.holds(f"{reason}: at most {count} are {word}", int(said[1]) <= count)


def _changes_fast(point: Point, program: Program, reason: str) -> bool:
    """Return whether the gradient is not linear within the distance that a reason tells."""
    said = re.search(r"changes as fast as in a jump, at most ([\d.e+-]+) away", reason)
    if not said:
        return False
    rng, away = np.random.default_rng(0), float(said[1])
    for _ in range(8):
        v = rng.normal(size=len(point.theta))
        v *= away / np.linalg.norm(v)
        bent = program.gradient(point.theta + torch.from_numpy(v)) - program.gradient(point.theta)
        straight = program.hessian(point.theta) @ v
        if np.linalg.norm(bent - straight) > _BENT * np.linalg.norm(straight):
            return True
    return False


def compare_map(told: Comparison, program: Program, file: Path) -> None:
    """Compare a Hessian map of a file."""
    found, directions = stored(file, "hessian_map"), program.directions(file)
    axes = [found[name] for name in ("alpha", "beta") if name in found]
    for index in np.ndindex(found["lambda_max"].shape):
        theta = at(program.theta, directions, [float(axis[i]) for axis, i in zip(axes, index, strict=True)])
        point = point_of(program, theta, found)
        values, slack = np.linalg.eigvalsh(point.matrix), point.slack
        for name, true in (("max", values[-1]), ("min", values[0])):
            # In float32 a Krylov space may be exhausted within rounding before an end is found; `beyond` tells of it.
            room = max(found[f"residual_{name}"][index], _CLUSTER * abs(true)) + (
                found["beyond"][index] if program.eps > _SINGLE else 0.0
            )
            told.close(f"map lambda_{name} {index}", found[f"lambda_{name}"][index], true, room + slack)
        beyond = found["beyond"][index] + slack
        told.holds(f"map beyond {index}", values[-1] <= found["lambda_max"][index] + beyond)
        told.holds(f"map beyond below {index}", values[0] >= found["lambda_min"][index] - beyond)
        norm = float(np.linalg.norm(point.gradient))
        room = max(float(np.linalg.norm(each)) for each in point.gradient_changes)
        told.close(f"map gradient {index}", found["gradient_norm"][index], norm, room + 1e-12 * norm)
