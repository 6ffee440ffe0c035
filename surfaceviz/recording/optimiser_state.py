"""The state of an optimiser as named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

Groups = list[dict[str, Any]]


def packed(optimiser: Any, model: nn.Module) -> tuple[dict[str, Tensor], Groups]:
    """Return the state's tensors by ``name:entry``, and the options of each group of parameters.

    Numbers of the state become tensors in float64. Entries of other kinds, such as the lists of L-BFGS, are left out.
    Parameters that the model does not name are called ``unnamed-0`` and so on, in the order of the optimiser.

    Args:
        optimiser: an optimiser of torch, or a wrapper with ``param_groups`` and ``state_dict()``.
        model: the model that names its parameters.
    """
    names = _names(optimiser, model)
    tensors = {}
    for index, entries in optimiser.state_dict()["state"].items():
        for entry, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{names[index]}:{entry}"] = value
            elif isinstance(value, int | float):
                tensors[f"{names[index]}:{entry}"] = torch.tensor(value, dtype=torch.float64)
    return tensors, _groups(optimiser, names)


def restore(optimiser: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load the state's tensors into an optimiser that has the same parameters; its options stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    indices = {name: index for index, name in enumerate(_names(optimiser, model))}
    for key, tensor in tensors.items():
        name, _, entry = key.rpartition(":")
        state.setdefault(indices[name], {})[entry] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _names(optimiser: Any, model: nn.Module) -> list[str]:
    """Return the names of an optimiser's parameters, in the order of its state dict."""
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    return [named.get(id(parameter), f"unnamed-{i}") for i, parameter in enumerate(parameters)]


def _groups(optimiser: Any, names: list[str]) -> Groups:
    """Return the groups' options that JSON holds, and the names of their parameters."""
    groups, start = [], 0
    for group in optimiser.param_groups:
        count = len(group["params"])
        options = {key: _plain(value) for key, value in group.items() if key != "params"}
        kept = {key: value for key, value in options.items() if value is not None}
        groups.append({"kind": _kind(optimiser), "names": names[start : start + count], **kept})
        start += count
    return groups


def _kind(optimiser: Any) -> str:
    """Return the class name of an optimiser, of a wrapper that of what it wraps."""
    return type(getattr(optimiser, "optimizer", optimiser)).__name__


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.item() if value.numel() == 1 else None
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | int | float | str) else None
