"""The names of a checkpoint against those of a model: prefixes, tied weights, tensors that only one of them has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from surfaceviz.errors import CheckpointError
from surfaceviz.problem.parameters import WRAPPERS, NamedTensor, aliases, as_real, canonical_name, named_tensors

Say = Callable[[str], None]

_SHOWN = 4  # differences and names that a message shows
_COUNTERS = ("total_ops", "total_params")  # of thop, which counts operations


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """The names that a model has, and those that a checkpoint must have."""

    known: Mapping[str, str]  # every name, also of tied tensors -> the name in `own`
    own: Mapping[str, NamedTensor]
    required: frozenset[str]
    modules: frozenset[str]

    @classmethod
    def of(cls, model: nn.Module) -> _Names:
        own, saved = named_tensors(model), {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
        return cls(
            known=aliases(model),
            own=own,
            required=frozenset(name for name, each in own.items() if each.moves and id(each.tensor) in saved),
            modules=frozenset(canonical_name(f"{name}.x")[:-2] for name, _ in model.named_modules()),
        )

    def covered_by(self, tensors: Mapping[str, Tensor]) -> bool:
        """Return whether tensors have every name that is required, in the model's shapes."""
        same = {
            target
            for name, tensor in tensors.items()
            if (target := self.known.get(name)) and tensor.shape == self.own[target].tensor.shape
        }
        return self.required <= same

    def unknown(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """Return the names of numbers that the model does not have; a profiler's counters are not among them."""
        extra = [name for name, each in tensors.items() if name not in self.known and _moves(each)]
        counters = self._counters({name: tensors[name] for name in extra})
        return [name for name in extra if name not in counters]

    def _counters(self, extra: Mapping[str, Tensor]) -> set[str]:
        """Return the names of single numbers that a profiler left at the model and at its modules."""
        places: dict[str, set[str]] = {}
        for name, tensor in extra.items():
            place, _, last = name.rpartition(".")
            if tensor.numel() == 1 and place in self.modules:
                places.setdefault(last, set()).add(place)
        kinds = [last for last, at in places.items() if last in _COUNTERS or ("" in at and len(at) > 1)]
        return {name for name in extra if name.rpartition(".")[2] in kinds}


def match_names(found: Mapping[str, Tensor], model: nn.Module, path: Path, say: Say) -> dict[str, Tensor]:
    """Return the model's weights and buffers by canonical name, from the tensors of a checkpoint.

    The names in the file may have the parts of wrappers, stand under one prefix, or lack one of the model's. Integer
    and non-persistent buffers that the file lacks come from the model.

    Raises:
        CheckpointError: names or shapes do not match the model, or several prefixes do.
    """
    names = _Names.of(model)
    stripped = sorted({part for name in found for part in name.split(".")[:-1] if part in WRAPPERS})
    if stripped:
        say(f"{path.name}: stripped {', '.join(part + '.' for part in stripped)} from the names")
    named = _canonical(found, path)
    under = _by_prefix(named)
    prefix = _prefix(under, names, path)
    chosen = under[prefix]
    left = [name for name in named if not name.startswith(prefix)]
    if prefix:
        say(
            f"{path.name}: took the weights under {prefix.removesuffix('.')}, left out {_listed(left)}"
            if left
            else f"{path.name}: stripped {prefix} from the names"
        )
    elif not names.covered_by(chosen):
        chosen = _with_prefix(chosen, names, path, say)
    return _fitted(chosen, names, path, say)


def _canonical(found: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for own_name, tensor in found.items():
        other = named.setdefault(name := canonical_name(own_name), tensor)
        if other is not tensor and not _equal(other, tensor):
            raise CheckpointError(
                f"{path} holds two different {name}, once the names of wrappers ({', '.join(WRAPPERS)}) are dropped; "
                f"name one by {path}:KEY, where KEY begins their names"
            )
    return named


def _by_prefix(named: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return prefix -> the tensors under it, by the rest of their names, for every dotted prefix; ``""`` has all."""
    under: dict[str, dict[str, Tensor]] = {"": dict(named)}
    for name, tensor in named.items():
        for i, letter in enumerate(name):
            if letter == ".":
                under.setdefault(name[: i + 1], {})[name[i + 1 :]] = tensor
    return under


def _prefix(under: Mapping[str, Mapping[str, Tensor]], names: _Names, path: Path) -> str:
    """Return the prefix of the model's names in the file; that with the most known names if none has all."""
    whole = under[""]
    if names.covered_by(whole):
        return ""
    fitting = [
        prefix
        for prefix, tensors in under.items()
        if (len(tensors) == len(whole) or not _is_numbered(prefix))  # a layer of the right shape is not a model
        and names.covered_by(tensors)
        and not names.unknown(tensors)
    ]
    if any(not _same(under[fitting[0]], under[other]) for other in fitting[1:]):
        keys = " or ".join(f"{path}:{prefix.removesuffix('.')}" for prefix in fitting[:_SHOWN])
        raise CheckpointError(f"{path} holds several sets of weights that fit the model; name one, as {keys}")
    if fitting:
        return fitting[0]
    shared = [prefix for prefix, tensors in under.items() if len(tensors) == len(whole)]
    return max(shared, key=lambda prefix: (sum(name in names.known for name in under[prefix]), -len(prefix)))


def _is_numbered(prefix: str) -> bool:
    return prefix.removesuffix(".").rpartition(".")[2].isdecimal()


def _with_prefix(tensors: dict[str, Tensor], names: _Names, path: Path, say: Say) -> dict[str, Tensor]:
    """Return the tensors under a prefix that all names of the model share, if the file lacks only this."""
    for prefix in _shared_prefixes(names.required):
        longer = {prefix + name: tensor for name, tensor in tensors.items()}
        if names.covered_by(longer) and not names.unknown(longer):
            say(f"{path.name}: put {prefix} before the names")
            return longer
    return tensors


def _shared_prefixes(names: Iterable[str]) -> list[str]:
    first, *others = names or [""]
    ends = [i + 1 for i, letter in enumerate(first) if letter == "."]
    return [first[:end] for end in ends if all(other.startswith(first[:end]) for other in others)]


def _fitted(named: Mapping[str, Tensor], names: _Names, path: Path, say: Say) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    unknown = names.unknown(named)
    wrong = [f"{name} is not in the model" for name in unknown]
    counters = [name for name, tensor in named.items() if _moves(tensor) and name not in {*unknown, *names.known}]
    if counters:
        say(f"{path.name}: left out {_listed(counters)}, the counters of a profiler")
    for name, tensor in named.items():
        target = names.known.get(name)
        if target is None:
            continue
        if tensor.shape != names.own[target].tensor.shape:
            shape = tuple(names.own[target].tensor.shape)
            wrong.append(f"{name} has shape {tuple(tensor.shape)}, the model {shape}")
        elif target in state and not torch.equal(state[target], tensor):
            wrong.append(f"{name} is tied to {target} in the model, but differs from it")
        else:
            state[target] = tensor
    only_extra = bool(unknown) and len(wrong) == len(unknown)
    wrong += [f"{name} is missing" for name in names.own if name in names.required and name not in state]
    if wrong:
        raise CheckpointError(_misfit(wrong, path, only_extra=only_extra and names.covered_by(named)))
    state = {name: each.tensor.detach() for name, each in names.own.items()} | state
    return {name: as_real(state[name]) for name in sorted(state)}


def _misfit(wrong: Sequence[str], path: Path, *, only_extra: bool) -> str:
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    advice = (
        "everything else fits. Build the model that the file was saved from, or load it in the factory by "
        "load_state_dict(..., strict=False)"
        if only_extra
        else "build the model that the file was saved from, or name the entry of its weights as FILE:KEY"
    )
    return f"{path} doesn't fit the model: {'; '.join(wrong[:_SHOWN])}{more}; {advice}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def _moves(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
