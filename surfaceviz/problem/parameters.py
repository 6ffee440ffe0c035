"""Canonical names, filters and fingerprints of a model's tensors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from surfaceviz.errors import ProblemError
from surfaceviz.pytree import update_digest

WRAPPERS = ("module", "_orig_mod")  # of DataParallel and its kin; of torch.compile

FilterAxes = int | tuple[int, ...] | str  # a user's rule: the filter's axes, or "gain"


def canonical_name(name: str) -> str:
    """Return a tensor's name without the parts that wrappers add at any position.

    >>> canonical_name("module._orig_mod.stage.module.conv.weight")
    'stage.conv.weight'
    """
    *path, last = name.split(".")
    return ".".join([part for part in path if part not in WRAPPERS] + [last])


def unwrap(model: nn.Module) -> nn.Module:
    """Return the user's own module inside `DataParallel`, its distributed twin and `torch.compile`."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]  # noqa: SLF001
        else:
            return model


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTensor:
    """A parameter or buffer: the name we use, the name its model uses, the tensor and its owner."""

    name: str
    own_name: str
    tensor: Tensor
    owner: nn.Module
    is_parameter: bool

    @property
    def moves(self) -> bool:
        """Whether the tensor can lie on a line: real floating point numbers."""
        return self.tensor.is_floating_point()


def named_tensors(model: nn.Module) -> dict[str, NamedTensor]:
    """Return every parameter and buffer of ``model`` under its canonical name, sorted by it.

    A tied tensor appears once, under its lexicographically first name.
    """
    model = unwrap(model)
    found: dict[int, NamedTensor] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for is_parameter, tensors in ((True, module._parameters), (False, module._buffers)):  # noqa: SLF001
            for key, tensor in tensors.items():
                if tensor is None:
                    continue
                own_name = f"{prefix}.{key}" if prefix else key
                new = NamedTensor(
                    name=canonical_name(own_name),
                    own_name=own_name,
                    tensor=tensor,
                    owner=module,
                    is_parameter=is_parameter,
                )
                old = found.get(id(tensor))
                if old is None or new.name < old.name:
                    found[id(tensor)] = new
    _refuse_collisions(found.values())
    return {named.name: named for named in sorted(found.values(), key=lambda named: named.name)}


def _refuse_collisions(tensors: Iterable[NamedTensor]) -> None:
    seen: dict[str, str] = {}
    for named in tensors:
        other = seen.setdefault(named.name, named.own_name)
        if other != named.own_name:
            raise ProblemError(
                f"{other} and {named.own_name} are both called {named.name} once wrappers' names "
                f"({', '.join(WRAPPERS)}) are dropped; rename that attribute"
            )


def aliases(model: nn.Module) -> dict[str, str]:
    """Return a mapping from every canonical name, including names of tied tensors, to the name in `named_tensors`."""
    model = unwrap(model)
    chosen = {id(named.tensor): name for name, named in named_tensors(model).items()}
    everything: Iterator[tuple[str, Tensor]] = (
        (f"{prefix}.{key}" if prefix else key, tensor)
        for prefix, module in model.named_modules(remove_duplicate=False)
        for tensors in (module._parameters, module._buffers)  # noqa: SLF001  the registries themselves
        for key, tensor in tensors.items()
        if tensor is not None
    )
    return {canonical_name(name): chosen[id(tensor)] for name, tensor in everything}


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a tensor: viewed as ``shape``, it has one filter for each index along ``axes``.

    ``axes`` is empty for a gain, which has no filters.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    description: str

    @property
    def is_gain(self) -> bool:
        """Whether the tensor is a bias, a norm's gain or another vector."""
        return not self.axes

    @property
    def count(self) -> int:
        """The number of filters."""
        return math.prod(self.shape[axis] for axis in self.axes)

    def inner(self) -> tuple[int, ...]:
        """Return the axes that run inside one filter."""
        return tuple(axis for axis in range(len(self.shape)) if axis not in self.axes)

    def dot(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the inner product of each filter of ``x`` and ``y``, broadcastable to ``shape``."""
        product = x.reshape(self.shape) * y.reshape(self.shape)
        return product.sum(self.inner(), keepdim=True) if self.inner() else product

    def scaled(self, x: Tensor, factors: Tensor) -> Tensor:
        """Return ``x`` with each filter multiplied by its entry of ``factors``."""
        return (x.reshape(self.shape) * factors).reshape(x.shape)


def filters_of(model: nn.Module, rules: Mapping[str, FilterAxes] | None = None) -> dict[str, Filters]:
    """Return the filters of each floating-point parameter of ``model``, by canonical name.

    ``Linear`` and ``Conv*d``: axis 0; ``ConvTranspose*d``: the output channel, axis 1 times groups;
    ``Embedding``: rows; Hugging Face's ``Conv1D``: axis 1; three-dimensional stacks of experts: the
    first two. Biases, gains of norms, weight-norm magnitudes and whatever else has at most one
    dimension longer than 1 are gains. The weight of a ``Linear``, convolution or ``Embedding`` follows its
    module's rule whatever its shape: otherwise a network with one output would keep its last layer still.

    Args:
        model: the network.
        rules: the user's own: pattern on the canonical name -> filter axes, or ``"gain"``; the
            first that matches wins.

    Source: Li et al., arXiv 1712.09913, section 4; the axis of each module is ours.
    """
    modules = dict(unwrap(model).named_modules(remove_duplicate=False))
    return {
        name: _filters(named, modules, rules or {})
        for name, named in named_tensors(model).items()
        if named.is_parameter and named.moves
    }


def _filters(named: NamedTensor, modules: Mapping[str, nn.Module], rules: Mapping[str, FilterAxes]) -> Filters:
    shape = tuple(named.tensor.shape)
    for pattern, axes in rules.items():
        if fnmatchcase(named.name, pattern):
            return _given(named.name, shape, axes)
    owner, key = _owner(named, modules)
    kind = module_class(owner).__name__
    if key == "weight" and issubclass(module_class(owner), _CONVOLUTION_TRANSPOSED):
        groups: int = getattr(owner, "groups", 1)
        description = f"{kind}: output channels, axis 1" + (f" x {groups} groups" if groups > 1 else "")
        return Filters((groups, shape[0] // groups, *shape[1:]), (0, 2), description)
    axes = _axes(owner, key, named, shape)
    return Filters(shape, axes, f"{kind}: axis {' and '.join(map(str, axes))}" if axes else f"{kind}: {_gain(key)}")


def module_class(module: nn.Module) -> type[nn.Module]:
    """Return the class of a module; of a scripted or traced one the class of torch from which it was made, if any."""
    name = getattr(module, "original_name", "") if isinstance(module, torch.jit.ScriptModule) else ""
    found = getattr(nn, name, None)
    return found if isinstance(found, type) and issubclass(found, nn.Module) else type(module)


def _gain(key: str) -> str:
    return "bias" if "bias" in key else "gain"


def _axes(owner: nn.Module, key: str, named: NamedTensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the filter axes of a parameter; none for a gain."""
    kind = module_class(owner).__name__
    if key == "weight" and issubclass(module_class(owner), _AXIS_0):
        return (0,)
    is_norm = any("Norm" in base.__name__ for base in module_class(owner).__mro__)
    if is_norm or sum(n > 1 for n in shape) <= 1:
        return ()
    if kind == "Conv1D":  # Hugging Face's, a linear layer with its weight transposed
        return (1,)
    return (0, 1) if len(shape) == 3 and "xpert" in named.name + kind else (0,)  # noqa: PLR2004


_CONVOLUTION_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_AXIS_0 = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding, nn.EmbeddingBag)


def _owner(named: NamedTensor, modules: Mapping[str, nn.Module]) -> tuple[nn.Module, str]:
    """Return the module whose weight this is and the weight's name there, seen through weight norm."""
    path, _, key = named.own_name.rpartition(".")
    outer, found, attribute = path.partition("parametrizations.")
    if found and key != "original0":  # original0 is weight norm's magnitude: a gain by its shape
        return modules[outer.rstrip(".")], attribute
    return named.owner, "weight" if key == "weight_v" else key


def _given(name: str, shape: tuple[int, ...], axes: FilterAxes) -> Filters:
    if axes == "gain":
        return Filters(shape, (), "gain, as given")
    chosen = (axes,) if isinstance(axes, int) else axes
    if isinstance(chosen, str) or not all(isinstance(a, int) and 0 <= a < len(shape) for a in chosen):
        raise ValueError(f"rule for {name}: expected 'gain' or axes below {len(shape)}, got {axes!r}")
    return Filters(shape, chosen, f"axes {', '.join(map(str, chosen))}, as given")


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a shell-style pattern fits the name, or one of the modules that it lies in.

    >>> matches("stage.0.conv.weight", ["stage.0"]), matches("fc.weight", ["*.bias"])
    (True, False)
    """
    return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*") for pattern in patterns)


def moving_parameters(model: nn.Module, *, only: Sequence[str] = (), freeze: Sequence[str] = ()) -> list[str]:
    """Return the canonical names of the parameters that a random direction moves.

    Those with ``requires_grad``; with ``only``, those that match, whatever their flag; without
    those that match ``freeze``.

    Raises:
        ValueError: a pattern matches no parameter, or no parameter is left.
    """
    parameters = {k: v for k, v in named_tensors(model).items() if v.is_parameter and v.moves}
    for pattern in (*only, *freeze):
        if not any(matches(name, [pattern]) for name in parameters):
            some = ", ".join(list(parameters)[:5])
            raise ValueError(f"no parameter fits {pattern!r}; the names are {some}, ...")
    chosen = [
        name
        for name, named in parameters.items()
        if (matches(name, only) if only else named.tensor.requires_grad) and not matches(name, freeze)
    ]
    if not chosen:
        raise ValueError(
            f"none of the {len(parameters)} parameters is left to move (all have requires_grad=False, or are "
            "frozen by a pattern); name those to move by --only PATTERN, '*' for all"
        )
    return chosen


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over the sorted (name, dtype, shape, bytes) of ``tensors``.

    >>> import torch
    >>> fingerprint({"w": torch.zeros(2)}) == fingerprint({"w": torch.zeros(2, 1)})
    False
    """
    return fingerprint_of((name, tensors[name]) for name in sorted(tensors))


def fingerprint_of(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the fingerprint of a stream of (name, tensor) pairs that is sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name}\0".encode())
        update_digest(digest, tensor)
    return digest.hexdigest()
