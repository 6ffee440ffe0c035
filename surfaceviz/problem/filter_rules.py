"""Rules of modules: which axes of a parameter count its filters, and which entries never move.

The module that a parameter belongs to decides, seen through weight norm, spectral norm and pruning, which store a
weight under another name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

Modules = Mapping[str, nn.Module]

_CONVOLUTION_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_ONE_WEIGHT = (nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding, nn.EmbeddingBag)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_NORMS = (nn.LayerNorm, nn.RMSNorm)  # whose gains may have several dimensions
_GAINS = ("bias", "gamma", "gain", "scale")  # in the names of bare parameters that broadcast along one dimension


def stored_for(own_name: str, modules: Modules) -> tuple[nn.Module, str, bool]:
    """Return the module that uses a parameter, the name of the weight there, and whether it is a norm's magnitude.

    ``parametrizations.weight.original``, ``weight_orig`` (old spectral norm, pruning) and ``weight_v`` (old weight
    norm) stand for ``weight``.
    """
    path, _, key = own_name.rpartition(".")
    outer, found, attribute = path.rpartition("parametrizations.")
    if found and "." not in attribute:
        by_weight_norm = any(type(module).__name__ == "_WeightNorm" for module in modules[path].children())
        return modules[outer.rstrip(".")], attribute, key == "original0" and by_weight_norm
    owner = modules[path]
    known = owner._parameters  # noqa: SLF001  the register itself
    if key[-2:] in ("_g", "_v") and {f"{key[:-2]}_g", f"{key[:-2]}_v"} <= known.keys():
        return owner, key[:-2], key.endswith("_g")
    if key.endswith("_orig") and key.removesuffix("_orig") not in known:
        return owner, key.removesuffix("_orig"), False
    return owner, key, False


def module_class(module: nn.Module) -> type[nn.Module]:
    """Return the class of a module; of a scripted or traced one the class of torch from which it was made, if any."""
    name = getattr(module, "original_name", "") if isinstance(module, torch.jit.ScriptModule) else ""
    found = getattr(nn, name, None)
    return found if isinstance(found, type) and issubclass(found, nn.Module) else type(module)


def filter_view(
    name: str, own_name: str, tensor: Tensor, modules: Modules
) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    """Return the shape in which a parameter is viewed, the axes that count its filters, and the rule in words.

    No axes mean a gain.
    """
    shape = tuple(tensor.shape)
    owner, key, magnitude = stored_for(own_name, modules)
    kind = module_class(owner).__name__
    if magnitude:
        return shape, (), f"{kind}: gain"
    if key == "weight" and issubclass(module_class(owner), _CONVOLUTION_TRANSPOSED):
        groups: int = owner.groups  # type: ignore[assignment]
        description = f"{kind}: output channels, axis 1" + (f" x {groups} groups" if groups > 1 else "")
        return (groups, shape[0] // groups, *shape[1:]), (0, 2), description
    axes = _axes(owner, key, name, shape)
    words = f"axis {' and '.join(map(str, axes))}" if axes else "bias" if "bias" in key else "gain"
    return shape, axes, f"{kind}: {words}"


def _axes(owner: nn.Module, key: str, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the filter axes of a parameter; none for a gain."""
    kind = module_class(owner).__name__
    if len(shape) <= 1:
        return ()
    if kind == "Conv1D" and key == "weight":  # Hugging Face's, a linear layer with its weight transposed
        return (1,)
    if _has_rule(owner, key):
        return (0,)
    vector = sum(n > 1 for n in shape) <= 1
    named_norm = any("Norm" in base.__name__ for base in module_class(owner).__mro__)
    if issubclass(module_class(owner), _NORMS) or (vector and (named_norm or any(word in key for word in _GAINS))):
        return ()
    return (0, 1) if len(shape) == 3 and "xpert" in name + kind else (0,)  # noqa: PLR2004


def _has_rule(owner: nn.Module, key: str) -> bool:
    """Return whether a parameter is a weight of a layer of torch, whose filters lie along axis 0 whatever its shape."""
    if issubclass(module_class(owner), nn.RNNBase | nn.RNNCellBase):
        return key.startswith("weight")
    if issubclass(module_class(owner), nn.MultiheadAttention):
        return key.endswith("proj_weight")
    return key == "weight" and issubclass(module_class(owner), _ONE_WEIGHT)


def moving_mask(
    tensor: Tensor,
    own_name: str,
    modules: Modules,
    tensors: Mapping[str, Tensor] | None = None,
    *,
    row: int | None = None,
) -> Tensor | None:
    """Return which entries of a parameter affect the loss and are trained, bool of its shape; None for all.

    The row ``padding_idx`` of an embedding has no gradient, by torch's definition, unless another module uses the
    tensor too; pruned entries are multiplied by 0.

    Args:
        tensor: the parameter in the model.
        own_name: its name there.
        modules: the model's modules by name.
        tensors: weights and buffers by their names in the model, from which masks of pruning are read; by default the
            model's own.
        row: a row that never has a gradient, as it was found in a pass; by default the one that modules tell.
    """
    users = list(_users(tensor, modules))
    rows = {owner.padding_idx if isinstance(owner, _EMBEDDINGS) else None for owner in users}
    row = rows.pop() if row is None and len(rows) == 1 else row
    mask = torch.ones(tensor.shape, dtype=torch.bool)
    if isinstance(row, int):
        mask[row] = False
    path, _, key = own_name.rpartition(".")
    if key.endswith("_orig"):
        kept = f"{key.removesuffix('_orig')}_mask"
        found = modules[path]._buffers.get(kept)  # noqa: SLF001  the register itself
        found = (tensors or {}).get(f"{path}.{kept}" if path else kept, found)
        if found is not None and found.shape == mask.shape:
            mask &= found.detach().cpu() != 0
    return None if bool(mask.all()) else mask


def _users(tensor: Tensor, modules: Modules) -> Iterator[nn.Module]:
    """Yield the modules that hold a parameter."""
    return (
        module
        for module in {id(module): module for module in modules.values()}.values()
        if any(held is tensor for held in module._parameters.values())  # noqa: SLF001  the register itself
    )
