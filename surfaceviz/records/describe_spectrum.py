"""Text description of spectra, for terminals and notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from surfaceviz.records.curvature import Layers, Spectrum

_WIDTH = 12  # characters of a number in a table


def describe_spectrum(spectrum: Spectrum) -> list[tuple[str, str]]:
    """Return a description of a spectrum as rows (label, text)."""
    s = spectrum
    matrix = f"{s.symbol} over {s.dimension} parameters ({s.parameters}), {s.split} loss of {s.samples} samples"
    rows = [("point", s.where), ("matrix", matrix), ("kind", s.kind), ("", s.reason)]
    rows += [("eigenvalue", _eigenvalue(s, k)) for k in range(len(s.eigenvalues) - 1, -1, -1)]
    rows.append(("gradient", f"norm {s.gradient_norm:.4g} of the loss {s.loss:.6g}"))
    rows += gradient_rows(s)
    if s.decayed_gradient_norm is not None:
        part = f"whose own is {s.decay_norm:.4g}"
        rows.append(("", f"norm {s.decayed_gradient_norm:.4g} with weight decay {s.weight_decay:g}, {part}"))
    if s.trace is not None:
        rows.append(("trace", f"{s.trace:.6g} +- {s.trace_stderr:.2g} ({s.probes} probes)"))
    if s.effective_rank is not None:
        letters = f"tr({s.symbol})^2 / tr({s.symbol}^2)"
        rows.append(("rank", f"{s.effective_rank:.5g} +- {s.effective_rank_stderr:.2g} effective, {letters}"))
    if s.negative_share is not None:
        rows.append(("negative", negative_words(s)))
    rows += _along_rows(s)
    if s.layers is not None:
        rows += [("layer", line) for line in _layer_lines(s.layers, s.rtol)]
    rows += [("note", note) for note in s.notes]
    if not s.whole:
        rows.append(("beyond", f"no eigenvalue lies more than {s.beyond:.3g} outside of these, with 99% probability"))
    rows.append(("cost", f"{s.products} products"))
    return rows


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


def negative_words(s: Spectrum) -> str:
    """Return a text on the share of negative eigenvalues, with its error and bounds."""
    share = f"{s.negative_share:.2%} +- {s.negative_share_stderr:.2%} of the eigenvalues by the nodes"
    if s.negative_bounds is None:
        return share
    return share + "; what the nodes leave open: {:.1%} .. {:.1%}".format(*s.negative_bounds)


def _eigenvalue(s: Spectrum, k: int) -> str:
    text = f"{s.eigenvalues[k]:>{_WIDTH}.6g}  residual {s.residuals[k]:.1e}"
    if s.is_zero(k):
        return text + ": 0 within the residual that rtol ||H|| allows; a smaller --rtol tells more"
    return text if s.converged[k] else text + ": NOT CONVERGED"


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
        rows.append(
            ("expected", f"{s.expected:.5g} +- {s.expected_stderr:.2g} along a random filter-normalised direction")
        )
    return rows


def _layer_lines(layers: Layers, rtol: float) -> list[str]:
    width = max(map(len, layers.names))
    return [
        f"{name:<{width}}  {layers.sizes[i]:>9} entries  trace {layers.trace[i]:>10.4g} +- "
        f"{layers.trace_stderr[i]:<8.2g}  top {layers.top[i]:>10.4g} (residual {layers.residual[i]:.0e})"
        + (" NOT CONVERGED" if layers.residual[i] > rtol * abs(layers.top[i]) else "")
        for i, name in enumerate(layers.names)
    ]
