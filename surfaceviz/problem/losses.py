"""Losses and metrics as sums and weights, per sample where possible.

The loss of a split is (sum of numerators) / (sum of weights), so that a short last batch, class
weights, ``ignore_index`` and padded tokens count as they do in torch's loss on one batch of all.
"""

from __future__ import annotations

import copy
import difflib
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.errors import ProblemError
from surfaceviz.problem.checks.class_targets import classes_second, out_of_range, refuse_targets
from surfaceviz.pytree import leaves


class PerSample(NamedTuple):
    """The numerator and the weight of each sample of a batch; the mean is the ratio of their sums."""

    values: Tensor  # (n,)
    weights: Tensor  # (n,)


Scalar = Tensor | float
Measured: TypeAlias = PerSample | tuple[Scalar, Scalar]  # (sum of numerators, sum of weights)
Measure: TypeAlias = Callable[[Any, Any], Measured]  # (outputs, targets) -> ...
LossLike: TypeAlias = str | nn.Module | Callable[..., Any]

# With more classes, float64 logits would double a language model's memory without need.
_WIDEST_DOUBLE = 4096

# With up to this many classes, softmax on a CPU is several times faster with samples along the last axis.
_NARROW = 64

# torch's losses whose mean is over all elements.
_ELEMENTWISE = (
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.PoissonNLLLoss,
    nn.SoftMarginLoss,
    nn.KLDivLoss,
)


# torch's functions that are those losses, and the two that are means by weight.
_FUNCTIONS: dict[Any, type[nn.Module]] = {
    functional.cross_entropy: nn.CrossEntropyLoss,
    functional.nll_loss: nn.NLLLoss,
    functional.mse_loss: nn.MSELoss,
    functional.l1_loss: nn.L1Loss,
    functional.smooth_l1_loss: nn.SmoothL1Loss,
    functional.huber_loss: nn.HuberLoss,
    functional.binary_cross_entropy: nn.BCELoss,
    functional.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
    functional.poisson_nll_loss: nn.PoissonNLLLoss,
    functional.soft_margin_loss: nn.SoftMarginLoss,
    functional.kl_div: nn.KLDivLoss,
}
_KNOWN = tuple(_FUNCTIONS.values())


def known_loss(loss: LossLike) -> nn.Module | None:
    """Return the loss of torch that a loss is, also as a subclass with the same forward, a function or a partial of it.

    >>> known_loss(partial(functional.cross_entropy, ignore_index=-1)).ignore_index
    -1
    """
    if isinstance(loss, nn.Module):
        kind = known_kind(loss)
        return None if kind is None else loss
    function, given = (loss.func, loss.keywords) if isinstance(loss, partial) and not loss.args else (loss, {})
    kind = _FUNCTIONS.get(function) if callable(function) else None
    try:
        return None if kind is None or given.get("reduction", "mean") == "none" else kind(**given)
    except TypeError:  # a word that the module does not have
        return None


def known_kind(loss: nn.Module) -> type[nn.Module] | None:
    """Return the class of torch whose loss a module is."""
    return next((kind for kind in _KNOWN if isinstance(loss, kind) and type(loss).forward is kind.forward), None)


def loss_measure(loss: LossLike) -> Measure:
    """Return the function (outputs, targets) -> sums of a loss.

    Args:
        loss: ``"cross_entropy"``, ``"mse"`` or ``"next_token"`` (a language model's cross-entropy, outputs
            shifted against labels, -100 ignored), a ``torch.nn`` loss with ``reduction="mean"`` (of
            `KLDivLoss` also ``"batchmean"``, the mean over samples), or a callable that gives the batch's mean or one
            value for each sample.

    Raises:
        ValueError: the name is unknown, the loss is not callable, or its reduction is not the mean.
    """
    if isinstance(loss, str):
        if loss not in _BY_NAME:
            close = "".join(f"; did you mean {name!r}?" for name in difflib.get_close_matches(loss, _BY_NAME, 1))
            raise ValueError(f"unknown loss {loss!r}; known are {', '.join(_BY_NAME)}, or give a callable{close}")
        return _BY_NAME[loss]
    if not callable(loss):
        raise ValueError(f"a loss is a name or a callable on (outputs, targets), not {type(loss).__name__}")  # noqa: TRY004
    if isinstance(loss, type) and issubclass(loss, nn.Module):
        raise ValueError(f"the loss is the class {loss.__name__}; give an object of it: {loss.__name__}()")  # noqa: TRY004
    loss = known_loss(loss) or loss
    kind = known_kind(loss) if isinstance(loss, nn.Module) else None
    _refuse_reduction(loss, kind)
    if isinstance(loss, nn.CrossEntropyLoss) and kind:
        return partial(
            cross_entropy,
            class_weights=loss.weight,
            ignore_index=loss.ignore_index,
            label_smoothing=loss.label_smoothing,
        )
    if isinstance(loss, nn.NLLLoss) and kind:
        return partial(_negative_log_likelihood, class_weights=loss.weight, ignore_index=loss.ignore_index)
    if kind in _ELEMENTWISE:
        each: Any = copy.deepcopy(loss)
        each.reduction = "none"
        return partial(_elementwise, loss=each, by_sample=getattr(loss, "reduction", "") == "batchmean")
    return partial(_from_callable, function=loss)


def _refuse_reduction(loss: Any, kind: type[nn.Module] | None) -> None:
    """Raise for a loss of torch that is not a mean; the mean over samples of a divergence is its ``batchmean``."""
    reduction = getattr(loss, "reduction", "mean")
    is_divergence = kind is nn.KLDivLoss
    if is_divergence and reduction == "mean":
        warnings.warn(
            "KLDivLoss with reduction='mean' is the divergence divided by the number of classes; 'batchmean' is the "
            "divergence",
            stacklevel=4,
        )
    if not isinstance(loss, nn.Module) or not (kind or type(loss).__module__.startswith("torch.")):
        return
    if reduction not in (("mean", "batchmean") if is_divergence else ("mean",)):
        mean = "batchmean" if is_divergence else "mean"
        raise ValueError(
            f"{type(loss).__name__} has reduction={reduction!r}; a split's loss is a mean: use reduction={mean!r}, "
            "or give measure="
        )


def metric_measure(metric: Callable[[Any, Any], Any]) -> Measure:
    """Return the function (outputs, targets) -> sums of a metric: a batch's mean or a value a sample."""
    return partial(_from_callable, function=metric)


def widen(outputs: Tensor, classes: int = 1) -> Tensor:
    """Return outputs in float64, or in at least float32 if there are more than 4096 classes."""
    if classes <= _WIDEST_DOUBLE:
        return outputs.double()
    return outputs.to(torch.promote_types(outputs.dtype, torch.float32))


def cross_entropy(
    outputs: Tensor,
    targets: Tensor,
    *,
    class_weights: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> PerSample:
    """Return the cross-entropy of each sample, as `torch.nn.CrossEntropyLoss` weights them.

    Args:
        outputs: logits, shape (n, C) or (n, C, ...); (n, ..., C) where the targets have shape (n, ...) and torch's
            order does not fit, as for the tokens of a language model.
        targets: class numbers, shape (n,) or (n, ...), or probabilities of the outputs' shape.
        class_weights: shape (C,).
        ignore_index: the class number that does not count.
        label_smoothing: in [0, 1].

    Raises:
        ProblemError: the targets have another type or shape, or numbers of classes that the outputs do not have.
    """
    outputs = classes_second(outputs, targets)
    refuse_targets(outputs, targets)
    logits = widen(outputs, outputs.shape[1])
    weight = None if class_weights is None else class_weights.to(logits)
    soft = targets.is_floating_point()
    targets = targets.to(logits) if soft else targets.long()
    narrow = logits.ndim == 2 and logits.shape[1] <= _NARROW  # noqa: PLR2004  (n, C)
    try:
        each = functional.cross_entropy(
            logits.T.contiguous()[None] if narrow else logits,
            (targets.T if soft else targets)[None] if narrow else targets,
            weight,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            reduction="none",
        )
    except IndexError as error:
        raise out_of_range(outputs, targets, ignore_index) from error
    each = each[0] if narrow else each
    if soft:
        return PerSample(_sums(each), _sums(torch.ones_like(each)))
    return PerSample(_sums(each), _class_weights(targets, weight, ignore_index, each))


def _negative_log_likelihood(
    outputs: Tensor, targets: Tensor, *, class_weights: Tensor | None, ignore_index: int
) -> PerSample:
    logits = widen(outputs, outputs.shape[1])
    weight = None if class_weights is None else class_weights.to(logits)
    each = functional.nll_loss(logits, targets, weight, ignore_index=ignore_index, reduction="none")
    return PerSample(_sums(each), _class_weights(targets, weight, ignore_index, each))


def _class_weights(targets: Tensor, weight: Tensor | None, ignore_index: int, like: Tensor) -> Tensor:
    counted = targets != ignore_index
    if weight is None:
        return _sums(counted.to(like))
    return _sums(torch.where(counted, weight[targets.where(counted, 0).long()], 0.0))


def _elementwise(outputs: Tensor, targets: Tensor, *, loss: nn.Module, by_sample: bool = False) -> PerSample:
    """Return a loss of each element, summed over a sample; the mean is over all elements, or ``by_sample``."""
    if outputs.shape != targets.shape:
        advice = ": targets[:, None]" if outputs.shape == (*targets.shape, 1) else ""
        raise ProblemError(
            f"{type(loss).__name__}: outputs of shape {tuple(outputs.shape)} but targets of shape "
            f"{tuple(targets.shape)}, which would be broadcast; give them one shape{advice}"
        )
    if targets.is_floating_point():
        targets = targets.double()
    each = loss.to(outputs.device)(outputs.double(), targets)  # it may hold weights
    return PerSample(_sums(each), each.new_ones(len(each)) if by_sample else _sums(torch.ones_like(each)))


def _from_callable(outputs: Any, targets: Any, *, function: Callable[[Any, Any], Any]) -> Measured:
    result = function(outputs, targets)
    n = len(leaves(targets)[0])
    if not isinstance(result, Tensor):
        return float(result) * n, float(n)
    if result.ndim == 0:
        return result.double() * n, float(n)
    if result.shape == (n,):
        return PerSample(result.double(), torch.ones_like(result, dtype=torch.float64))
    raise ProblemError(
        f"{getattr(function, '__name__', type(function).__name__)} gave a tensor of shape {tuple(result.shape)} for a "
        f"batch of {n}; expected a scalar (the batch's mean) or shape ({n},)"
    )


def accuracy(outputs: Tensor, targets: Tensor, *, ignore_index: int = -100) -> PerSample:
    """Return the numbers of correct predictions and of all predictions of each sample.

    A prediction from logits with a NaN counts as wrong.
    """
    counted = targets != ignore_index
    if outputs.ndim == 2 and outputs.shape[1] <= _NARROW:  # noqa: PLR2004  (n, C)
        predicted = _first_largest(outputs.T.contiguous())
    else:
        predicted = outputs.argmax(1).where(~outputs.isnan().any(1), -1)
    return PerSample(_sums(((predicted == targets) & counted).double()), _sums(counted.double()))


def _first_largest(logits: Tensor) -> Tensor:
    """Return the argmax over the first axis, 15 times faster than torch's on a CPU; C, at most 255, where it's NaN."""
    count = len(logits)
    from_last = torch.arange(count, 0, -1, dtype=torch.uint8, device=logits.device)[:, None]  # the first is the largest
    return count - ((logits == logits.amax(0)).to(torch.uint8) * from_last).amax(0)


def _next_token(outputs: Tensor, targets: Tensor) -> PerSample:
    return cross_entropy(outputs[:, :-1].transpose(1, 2), targets[:, 1:])


def _sums(each: Tensor) -> Tensor:
    """Return the sum over all but the first axis, shape (n,)."""
    return each.flatten(1).sum(1) if each.ndim > 1 else each


_mse = nn.MSELoss(reduction="none")
_BY_NAME: dict[str, Measure] = {
    "cross_entropy": cross_entropy,
    "mse": partial(_elementwise, loss=_mse),
    "next_token": _next_token,
}
