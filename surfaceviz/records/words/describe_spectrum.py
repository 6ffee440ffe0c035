"""Text description of spectra, for terminals and notebooks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from surfaceviz.records.curvature import Layers, Spectrum

_WIDTH = 12  # characters of a number in a table
_MANY = 64  # eigenvalues: of more, only half of these from either end are listed
_CONFIDENCE = 0.95


def describe_spectrum(spectrum: Spectrum) -> list[tuple[str, str]]:
    """Return a description of a spectrum as rows (label, text)."""
    s = spectrum
    matrix = f"{s.symbol} over {s.dimension} parameters ({s.parameters}), {s.split} loss of {s.samples} samples"
    rows = [("point", s.where), ("matrix", matrix), ("kind", s.kind), ("", s.reason)]
    rows += _eigenvalue_rows(s)
    rows += _completeness_rows(s)
    rows.append(("gradient", f"norm {s.gradient_norm:.4g} of the loss {s.loss:.6g}"))
    rows += gradient_rows(s)
    if s.decayed_gradient_norm is not None:
        part = f"whose own is {s.decay_norm:.4g}"
        rows.append(("", f"norm {s.decayed_gradient_norm:.4g} with weight decay {s.weight_decay:g}, {part}"))
    if s.trace is not None:
        rows.append(("trace", trace_words(s)))
    if s.effective_rank is not None:
        letters = f"effective, tr({s.symbol})^2 / tr({s.symbol}^2)"
        rows.append(("rank", f"{s.effective_rank:.5g}{_interval(s.effective_rank_stderr, s.probes)} {letters}"))
    if s.negative_share is not None:
        rows.append(("negative", negative_words(s)))
    rows += _along_rows(s)
    if s.layers is not None:
        rows += [("layer", line) for line in _layer_lines(s.layers, s)]
    if s.derivatives is not None:
        rows.append(("derivatives", s.derivatives))
    if s.float64_check is not None:
        rows.append(("float64", precision_words(s)))
    rows += [("note", note) for note in s.notes]
    rows.append(("cost", f"{s.products} products"))
    return rows


def precision_words(s: Spectrum) -> str:
    """Return a text on the comparison with float64."""
    if s.float64_error is None or s.float64_gradient_error is None:
        return str(s.float64_check)
    share = f" ({_upwards(s.float64_error / s.norm)} of the largest)" if s.norm else ""
    error, gradient = _upwards(s.float64_error), _upwards(s.float64_gradient_error)
    return (
        f"{s.float64_check}: eigenvalues in {s.dtype} are off by at most {error}{share}, at 99.5%; the gradient by "
        f"{gradient}"
    )


def _upwards(x: float) -> str:
    """Return two digits of a bound that are not less than it: rounding changes them by less than 5%."""
    return f"{1.05 * x:.2g}"


def gradient_rows(s: Spectrum) -> list[tuple[str, str]]:
    """Return rows on the gradient beside its sampling error and the curvature."""
    rows, letter = [], "H" if s.operator == "hessian" else "G"
    if s.gradient_stderr is not None and s.gradient_groups is not None:
        of = "each sample" if s.gradient_groups == s.samples else f"{s.gradient_groups} groups of samples"
        times = f": the norm is {s.gradient_norm / s.gradient_stderr:.2g} times that" if s.gradient_stderr else ""
        rows.append(("", f"standard error over samples {s.gradient_stderr:.2g}, from {of}{times}"))
    if s.gradient_curvature is not None:
        fall = s.gradient_norm**2 / (2 * s.gradient_curvature) if s.gradient_curvature > 0 else np.inf
        lower = f": the quadratic model falls by {fall:.2g} along it" if np.isfinite(fall) else ""
        rows.append(("", f"curvature along the gradient, g'{letter}g / |g|^2, {s.gradient_curvature:.5g}{lower}"))
    if s.newton_decrement is not None and s.newton_pairs:
        share = f", {s.newton_decrement / abs(s.loss):.2g} of the loss" if s.loss else ""
        left_out = f"{s.newton_left_out:.0%} of the gradient's norm left out"
        pairs = f"on {s.newton_pairs} positive eigenvalues, {left_out}"
        rows.append(("newton", f"decrement g'{letter}^-1 g {s.newton_decrement:.3g}{share}; {pairs}"))
    return rows


def trace_words(s: Spectrum) -> str:
    """Return a text on the trace, with its error."""
    if s.trace_stderr == 0:
        return f"{s.trace:.6g}, exact: from all {s.dimension} eigenvalues"
    if s.trace_stderr is None or s.probes is None:
        return f"{s.trace:.6g}"
    if s.probes == 1:
        return f"{s.trace:.6g} from 1 probe, which does not tell its error"
    return f"{s.trace:.6g}{_interval(s.trace_stderr, s.probes)} (95% by Student's t, {s.probes} probes)"


def negative_words(s: Spectrum) -> str:
    """Return a text on the share of negative eigenvalues: counted, or between bounds."""
    if s.zero_threshold is None:
        return "an older version left a share without a valid error in this file; compute it again with --overwrite"
    if s.zero_share is not None:
        zeros = f"{s.zero_share:.2%} are 0 within rounding, {s.zero_threshold:.1g}"
        return f"{s.negative_share:.2%} of the eigenvalues, counted from all {s.dimension}; {zeros}"
    low, high = s.negative_bounds if s.negative_bounds is not None else (0.0, 1.0)
    return (
        f"between {_percent(low, math.floor)} and {_percent(high, math.ceil)} of the eigenvalues are below "
        f"-{s.zero_threshold:.1g} (95% confidence; the quadrature does not tell small eigenvalues from 0)"
    )


def student_factor(count: int | None) -> float:
    """Return the number of standard errors of a 95% interval for the mean of ``count`` samples, by Student's t."""
    from scipy.special import stdtrit  # noqa: PLC0415  only where an interval is described

    return float(stdtrit(count - 1, (1 + _CONFIDENCE) / 2)) if count is not None and count > 1 else float("nan")


def _percent(share: float, round_: Callable[[float], int]) -> str:
    return f"{round_(1000 * share) / 10:.1f}%"


def _interval(stderr: float | None, count: int | None) -> str:
    """Return the half width of the 95% interval as text: empty where there is no error, or it is not known."""
    half = student_factor(count) * stderr if stderr else float("nan")
    return "" if math.isnan(half) else f" +- {half:.2g}"


def _eigenvalue_rows(s: Spectrum) -> list[tuple[str, str]]:
    """Return a row for each eigenvalue, the largest first; of very many, those from both ends."""
    count = len(s.eigenvalues)
    if count <= _MANY:
        return [("eigenvalue", _eigenvalue(s, k)) for k in range(count - 1, -1, -1)]
    high, low = range(count - 1, count - 1 - _MANY // 2, -1), range(_MANY // 2 - 1, -1, -1)
    between = ("", f"... {count - _MANY} more; {int((~s.converged).sum())} of all {count} have not converged ...")
    return [
        *(("eigenvalue", _eigenvalue(s, k)) for k in high), between, *(("eigenvalue", _eigenvalue(s, k)) for k in low)
    ]  # fmt: skip


def _eigenvalue(s: Spectrum, k: int) -> str:
    value, residual = float(s.eigenvalues[k]), float(s.residuals[k])
    text = f"{value:>{_WIDTH}.6g}  residual {residual:.1e}"
    if not s.converged[k]:
        return text + ": NOT CONVERGED" + (", and may be 0" if s.is_zero(k) else "")
    if s.is_zero(k):
        return text + ": may be 0; a smaller --rtol tells more"
    return text + (": converged to rtol ||H|| only" if residual > s.rtol * abs(value) else "")


def _completeness_rows(s: Spectrum) -> list[tuple[str, str]]:
    """Return rows on the eigenvalues that may be missing."""
    if s.whole:
        return [("complete", f"these are all {s.dimension} eigenvalues")]
    if s.density is not None and s.density.nodes.shape == (1, s.dimension):
        return [("complete", f"all {s.dimension} eigenvalues were computed; these are those at the requested ends")]
    sides = [word for word, count in (("above", s.top), ("below", s.bottom)) if count]
    unsought = "" if len(sides) == 2 else f"; the {'smallest' if s.top else 'largest'} were not looked for"  # noqa: PLR2004
    above, below = s.listed_above, s.listed_below
    checked = above is not None or below is not None
    known = math.isfinite(s.beyond) and (checked or (s.block == 1 and s.beyond > 0))
    where = " or ".join(sides)
    beyond = f"no eigenvalue lies more than {s.beyond:.3g} {where} these, with 99% probability over random starts"
    if not known:
        beyond = f"how far eigenvalues lie {where} these is not known"
    listed = []
    if s.top and above is not None:
        listed.append(f"above {above:.4g} ({np.count_nonzero(s.eigenvalues > above)} of these)")
    if s.bottom and below is not None:
        listed.append(f"below {below:.4g} ({np.count_nonzero(s.eigenvalues < below)} of these)")
    complete = f"every eigenvalue {' or '.join(listed)} is listed, as often as it occurs, with 99% probability"
    copies = complete if listed else "copies of equal eigenvalues were not looked for"
    return [("beyond", beyond + unsought), ("complete", copies)]


def _along_rows(s: Spectrum) -> list[tuple[str, str]]:
    """Return rows on the curvature along the slice's axes and along a random direction."""
    rows = []
    if s.along is not None:
        letter = "H" if s.operator == "hessian" else "G"
        for name, i in zip(("alpha", "beta"), range(len(s.along)), strict=False):
            seen = s.differences[i] if s.differences is not None and letter == "H" else np.nan
            own = "" if np.isnan(seen) else f"; second difference over the slice's own steps {seen:.5g}"
            rows.append((f"along {name}", f"d'{letter}d {s.along[i, i]:.5g}{own}"))
    if s.expected is not None:
        mean = f"{s.expected:.5g}{_interval(s.expected_stderr, s.probes)}"
        rows.append(("expected", f"{mean} is the mean over random filter-normalised directions"))
        if s.expected_spread is not None:
            drawn = f"standard deviation of {s.expected_directions} random ones"
            rows.append(("", f"a single direction differs from the mean by {s.expected_spread:.2g} ({drawn})"))
    return rows


def _layer_lines(layers: Layers, s: Spectrum) -> list[str]:
    width = max(map(len, layers.names))
    return [
        f"{name:<{width}}  {layers.sizes[i]:>9} entries  trace {layers.trace[i]:>10.4g}"
        f"{_interval(float(layers.trace_stderr[i]), s.probes):<12}  top {layers.top[i]:>10.4g} "
        f"(residual {layers.residual[i]:.0e})" + _layer_doubt(layers, i, s.rtol)
        for i, name in enumerate(layers.names)
    ]


def _layer_doubt(layers: Layers, i: int, rtol: float) -> str:
    if abs(layers.top[i]) <= layers.residual[i]:
        return " may be 0"
    return "" if layers.residual[i] <= rtol * abs(layers.top[i]) else " NOT CONVERGED"
