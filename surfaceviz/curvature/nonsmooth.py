"""Points where a loss has no derivative: a rectifier's input is exactly 0, or a maximum is attained twice.

A dispatch mode sees every operator that a model runs: from `functional.relu`, a module or a method, in place or not,
with or without gradients. It is below autograd, where ``requires_grad`` is not visible. So dependence on the parameters
is tracked by storages, which views and in-place operations share. An input pixel that is 0 is not a kink of the loss.

The mode sees operators, not formulas. It excludes functions with a first derivative everywhere (smooth L1 and Huber,
whose second derivative jumps, ELU with alpha = 1, softmax, whose maximum is inside its kernel), steps and choices
(round, sort, topk, masks and ``where``), norms at 0, fractional pools, and fused kernels (`multi_margin_loss`, cuDNN's
ReLU RNN).

Source: ours.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count, product
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.backends import mha
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from surfaceviz.pytree import leaves

# Operators with kinks at fixed values of the first argument; operators whose other arguments are the kinks.
_FIXED = {
    **dict.fromkeys(("relu", "abs", "leaky_relu", "_prelu_kernel", "rrelu_with_noise"), (0.0,)),
    **dict.fromkeys(("hardsigmoid", "hardswish"), (-3.0, 3.0)),
}
_GIVEN: dict[str, tuple[float | None, ...]] = {
    **dict.fromkeys(("threshold", "clamp_min", "clamp_max", "maximum", "minimum", "fmax", "fmin"), (None,)),
    "clamp": (None, None),
    "hardtanh": (-1.0, 1.0),
}
_POOLS = ("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d")
_REDUCTIONS = ("max", "min", "amax", "amin")
_ROUNDINGS = 32  # units in the last place by which one function, computed in two places, may differ; ours

_OperatorCall: TypeAlias = tuple[int, str, torch.Size]  # number of the call, short name of the operator, shape
_Axis: TypeAlias = tuple[int, ...]  # a pool's kernel, stride, padding and dilation along one axis


@dataclass(frozen=True, slots=True)
class KinkCounts:
    """The number of values of a model at which it has no derivative.

    Attributes:
        counts: an operator's short name, such as ``relu`` or ``max_pool2d`` -> entries at a kink, or windows that tie.
    """

    counts: dict[str, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The counts as text, '' if there are none.

        >>> KinkCounts({"relu": 3, "max_pool2d": 1}).words
        '3 entries of relu, 1 tie of max_pool2d'
        """
        return ", ".join(f"{number} {_unit(name, number)} of {name}" for name, number in self.counts.items())

    def __str__(self) -> str:
        return self.words


@contextmanager
def recording_kinks(parameters: Iterable[Tensor]) -> Iterator[KinkCounts]:
    """Count the kinks that a model meets in the ``with`` block; the counts are set at its end.

    Only values computed from ``parameters`` count. Maxima that tie at 0 in a tensor without negative entries (dead
    units) do not count. Ties of equal functions (such as a filter over pixels of one colour) count; `count_kinks`
    excludes them.
    """
    kinks = KinkCounts()
    with _run_under(_KinkRecorder(parameters)) as watch:
        yield kinks
    for (_, name, _), places in watch.found.items():
        kinks.counts[name] = kinks.counts.get(name, 0) + len(places)


def count_kinks(parameters: Sequence[Tensor], run: Callable[[Sequence[Tensor]], object]) -> KinkCounts:
    """Return the kinks of the loss itself, those that a small step of the parameters crosses.

    A kink of `recording_kinks` counts if it is on different branches at theta + eps v and theta - eps v, for a random
    v. Dead units, filters over an empty patch and maxima over copies stay on one branch and do not count. Values that
    are equal by chance count; float32 has some in a million windows.

    Args:
        parameters: theta.
        run: runs the model with given parameters, in their dtype; called once, and twice more if a kink was found.
    """
    with _run_under(_KinkRecorder(parameters)) as here:
        run(parameters)
    sides: list[dict[_OperatorCall, Tensor]] = []
    for sign in (1, -1) if here.found else ():
        moved = _moved(parameters, sign)
        with _run_under(_KinkRecorder(moved, here.found)) as side:
            run(moved)
        sides.append(side.found)
    total: Counter[str] = Counter()
    for call, places in here.found.items():
        one, other = (side.get(call, torch.tensor(math.nan)) for side in sides)
        # A call that a moved model did not make, because it took another path, is NaN and counts as crossed.
        crossed = (one != 0) & (other != 0) & (one != other)
        total[call[1]] += int(crossed.expand(places.shape).sum())
    return KinkCounts({name: number for name, number in total.items() if number})


def _moved(parameters: Sequence[Tensor], sign: int) -> list[Tensor]:
    """Return theta +- eps v, eps the square root of the rounding times the size of the weights."""
    generator = torch.Generator().manual_seed(0)
    moved = []
    for tensor in parameters:
        theta = tensor.detach()
        v = torch.randn(theta.shape, generator=generator, dtype=theta.dtype).to(theta.device)
        size = float(theta.abs().square().mean().sqrt()) or 1.0  # zeros also move
        step = sign * math.sqrt(torch.finfo(theta.dtype).eps) * size
        moved.append((theta + step * v).requires_grad_(tensor.requires_grad))
    return moved


@contextmanager
def _run_under(recorder: _KinkRecorder) -> Iterator[_KinkRecorder]:
    """Enter the mode with torch's fused transformer layer disabled, because it hides its operators."""
    fused = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        with recorder:
            yield recorder
    finally:
        mha.set_fastpath_enabled(fused)


class _KinkRecorder(TorchDispatchMode):
    """Records the positions of kinks; or, for given positions, the branch of each.

    Attributes:
        found: call -> flat positions (n,), or branch labels (n,), where 0 means on both branches.
    """

    def __init__(self, parameters: Iterable[Tensor], places: Mapping[_OperatorCall, Tensor] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: dict[_OperatorCall, Tensor] = {}
        self._places = places
        self._numbers = count()
        # A weak reference keeps the address of a storage from being given to another, not its memory.
        self._dependent: dict[int, StorageWeakRef] = {}
        self._mark(parameters)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():  # composite operators are not decomposed there
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if not any(map(self._depends, leaves((args, kwargs)))):
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        checked = func.namespace == "aten" and args and isinstance(args[0], Tensor) and args[0].is_floating_point()
        if checked:  # before it runs, because it may overwrite its input
            self._check_entries(name.removesuffix("_"), args)
        result = func(*args, **kwargs)
        # Operators in place on lists return nothing.
        self._mark(leaves((result, args[:1])) if name.endswith("_") else leaves(result))
        if checked and (name in _POOLS or name in _REDUCTIONS):
            self._check_windows(name, args, result)
        return result

    def _mark(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            if tensor.layout is torch.strided:
                reference = StorageWeakRef(tensor.untyped_storage())
                self._dependent[reference.cdata] = reference

    def _depends(self, value: Any) -> bool:
        strided = isinstance(value, Tensor) and value.layout is torch.strided
        return strided and value.untyped_storage()._cdata in self._dependent  # noqa: SLF001  its address

    def _check_entries(self, name: str, args: Sequence[Any]) -> None:
        for kink in _kinks(name, args[1:]):
            if kink is not None and (self._depends(args[0]) or self._depends(kink)):
                tied = args[0] == kink
                if isinstance(kink, Tensor):
                    tied &= args[0].isfinite()  # infinite entries are masks, not ties
                self._note(name, tied, partial(_side, args[0], kink))

    def _check_windows(self, name: str, args: Sequence[Any], result: Any) -> None:
        x = args[0] if name in _POOLS else _rows(*args[:2])
        x = x.neg() if "min" in name else x
        most, winner = result if name in _POOLS else x.max(-1)
        # In a moved model, two ways of computing one function may differ by rounding.
        least = most if self._places is None else most - _rounding(most)
        times = _times_attained(name, args, least) if name in _POOLS else (x >= least.unsqueeze(-1)).sum(-1)
        tied = (times > 1) & most.isfinite()
        if bool(tied.any()) and bool((args[0] >= 0).all()):
            tied &= most != 0
        self._note(name, tied, lambda: torch.where(times > 1, 0, winner + 1))

    def _note(self, name: str, tied: Tensor, label: Callable[[], Tensor]) -> None:
        call = (next(self._numbers), _short(name), tied.shape)
        if self._places is None:
            places = tied.flatten().nonzero().squeeze(-1)
            if len(places):
                self.found[call] = places
        elif call in self._places:
            self.found[call] = label().flatten()[self._places[call]]


def _side(x: Tensor, kink: float | Tensor) -> Tensor:
    gap = x - kink
    return gap.sign().mul(gap.abs() > _rounding(x.to(gap.dtype)))


def _rounding(x: Tensor) -> Tensor:
    """Return the largest rounding difference of two ways of computing x; far less than the effect of a step."""
    return x.abs() * (_ROUNDINGS * torch.finfo(x.dtype).eps)


def _kinks(name: str, rest: Sequence[Any]) -> Sequence[Any]:
    """Return the kinks of an elementwise operator in its first argument, from its other arguments."""
    if name in _GIVEN:
        return [*rest, *_GIVEN[name][len(rest) :]][: len(_GIVEN[name])]
    if name in ("softshrink", "hardshrink"):
        bound = rest[0] if rest else 0.5
        return (-bound, bound) if bound else (0.0,)
    if name == "elu":
        alpha, _, input_scale = [*rest, 1, 1, 1][:3]
        return () if alpha * input_scale == 1 else (0.0,)
    return _FIXED.get(name, ())


def _rows(x: Tensor, axes: int | Sequence[int] = ()) -> Tensor:
    """Return x with the reduced axes (all by default) flattened into the last one."""
    x = torch.atleast_1d(x)
    axes = [axes] if isinstance(axes, int) else list(axes) or list(range(x.ndim))
    return x.movedim(axes, list(range(-len(axes), 0))).flatten(-len(axes))


def _times_attained(name: str, args: Sequence[Any], least: Tensor) -> Tensor:
    """Return the number of entries in each window of a pool that are at least ``least``."""
    sizes = least.shape[-2 if "2d" in name else -3 :]
    x, axes = _spread(args[0], sizes) if "adaptive" in name else (args[0], _axes(args[1:5], len(sizes)))
    edges: list[int] = []
    offsets: list[list[Any]] = []  # the k-th entries of all windows, for each k
    for (kernel, stride, padding, dilation), size, span in zip(axes, sizes, x.shape[-len(sizes) :], strict=True):
        last = (size - 1) * stride + 1
        starts = range(0, kernel * dilation, dilation)
        # Pad or crop to the pool's number of windows: ceil_mode adds windows, otherwise a remainder is cropped.
        edges = [padding, starts[-1] + last - padding - span, *edges]
        offsets.append([slice(start, start + last, stride) for start in starts])
    x = functional.pad(x, edges, value=-math.inf)
    times = torch.zeros_like(least, dtype=torch.int32)
    for at in product(*offsets):
        times += x[(..., *at)] >= least
    return times


def _axes(given: Sequence[Any], number: int) -> list[_Axis]:
    """Return the options of a pool for each axis; a single option applies to all axes."""
    kernel, *rest = given
    stride, padding, dilation = rest + [[], [0], [1]][len(rest) :]
    return [tuple(of[i % len(of)] for of in (kernel, stride or kernel, padding, dilation)) for i in range(number)]


def _spread(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, list[_Axis]]:
    """Return an adaptive pool as a plain one, whose adjacent windows are padded with -inf."""
    axes: list[_Axis] = []
    for axis, size in zip(range(-len(sizes), 0), sizes, strict=True):
        span, number = x.shape[axis], torch.arange(size)
        first, end = number * span // size, -(-(number + 1) * span // size)
        k = int((end - first).max())
        at = first[:, None] + torch.arange(k)
        at = torch.where(at < end[:, None], at, span).flatten().to(x.device)
        x = functional.pad(x, [0, 0] * (-axis - 1) + [0, 1], value=-math.inf).index_select(axis, at)
        axes.append((k, k, 0, 1))
    return x, axes


def _short(name: str) -> str:
    """Return the public name of an operator."""
    return name.removesuffix("_with_indices").removesuffix("_with_noise").removesuffix("_kernel").lstrip("_")


def _unit(name: str, number: int) -> str:
    ties = name in _REDUCTIONS or "pool" in name
    return ("tie" if number == 1 else "ties") if ties else ("entry" if number == 1 else "entries")
