"""Checkpoint files: safetensors, or `.pt` files of plain or nested state dicts."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from surfaceviz.errors import CheckpointError, ProblemError
from surfaceviz.problem.parameters import WRAPPERS, aliases, as_real, canonical_name, named_tensors

Say = Callable[[str], None]

# Keys under which training scripts store the weights in a checkpoint, the most common first.
_NESTS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "module",
    "weights",
    "params",
    "ema",
    "model_ema",
    "ema_state_dict",
)
_SHOWN = 4  # differences that a message names


def read_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's own parameters and buffers by canonical name, not copied; complex ones as pairs of reals."""
    return {name: named.real for name, named in named_tensors(model).items()}


def read_weights(given: str, model: nn.Module, say: Say, *, lazily: bool = False) -> dict[str, Tensor]:
    """Return the weights and buffers in ``FILE[:KEY]`` by the canonical names of ``model``.

    Integer and non-persistent buffers that the file lacks come from the model.

    Args:
        given: the path; ``:KEY`` names a nested entry, dots leading deeper.
        model: the model whose names and shapes the weights must match; it is not changed.
        say: receives a line about each prefix that was removed from the names.
        lazily: whether the tensors are mapped into memory, so that only the parts that are used are read; the file
            must not change meanwhile.

    Raises:
        CheckpointError: the file is missing or not safely readable, or names or shapes do not match the model.
    """
    path, key = _split(given)
    tree = _safetensors(path) if path.suffix == ".safetensors" else _unpickled(path, lazily=lazily)
    found = _state_dict(tree, key, path, say)
    named = _renamed(found, model, path, say)
    return _fitted(named, model, path)


def refuse_without_values(model: nn.Module, state: Mapping[str, Tensor], given: str | None) -> None:
    """Raise for weights on the meta device, and for a model whose weights are no parameters.

    Raises:
        CheckpointError: a tensor lies on the meta device, and ``given``, the file of weights, does not have it.
        ProblemError: no parameter is a floating-point number.
    """
    own = named_tensors(model)
    if not any(named.is_parameter and named.moves for named in own.values()):
        quantised = [
            name
            for name, module in model.named_modules()
            if "quantized" in type(module).__module__ and not name.endswith("_packed_params")
        ]
        quantised = quantised or [name for name, named in own.items() if named.is_parameter]
        why = f"; {', '.join(quantised[:_SHOWN])} are quantised: give the model that they were made from" * bool(
            quantised
        )
        raise ProblemError(f"the model has no floating-point parameters that could move{why}")
    empty = [name for name, tensor in state.items() if tensor.is_meta]
    if empty and given is None:
        raise CheckpointError(
            f"{', '.join(empty[:_SHOWN])} lie on the meta device, without values; give weights (--weights FILE), or a "
            "model that holds some"
        )
    if empty:
        raise CheckpointError(
            f"{', '.join(empty[:_SHOWN])} lie on the meta device, without values, and {given} lacks them; build them "
            "on a device"
        )


def _split(given: str) -> tuple[Path, str]:
    for path, key in ((given, ""), given.rsplit(":", 1) if ":" in given else (given, "")):
        if Path(path).is_file():
            return Path(path), key
    raise CheckpointError(f"{given}: no such file of weights")


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: no whole safetensors file ({error})") from error


def _unpickled(path: Path, *, lazily: bool = False) -> Any:
    try:
        mapped = lazily and zipfile.is_zipfile(path)  # files of torch before 1.6 can't be mapped
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_unsafe(path, str(error))) from None
    except Exception as error:
        # torch passes on errors of any type from the zip reader, the unpickler and truncated streams
        why = str(error).splitlines()[0] if str(error) else "it ends too soon"
        raise CheckpointError(f"{path}: not readable as weights ({type(error).__name__}: {why})") from error


def _unsafe(path: Path, error: str) -> str:
    match = re.search(r"GLOBAL ([\w.]+)", error)
    if match is None:
        return f"{path}: not readable as weights: neither safetensors nor what torch.save writes"
    kept = "c.state_dict() if hasattr(c, 'state_dict') else {k: v for k, v in c.items() if hasattr(v, 'keys')}"
    converted = path.with_name(f"{path.stem}-weights.pt")
    return (
        f"{path} holds a {match.group(1)}, which can't be read without running code from the file. If you trust it, "
        f"convert it: python -c \"import torch; c = torch.load('{path}', weights_only=False); "
        f"torch.save({kept}, '{converted}')\""
    )


def _is_state_dict(tree: Any) -> bool:
    return (
        isinstance(tree, Mapping)
        and bool(tree)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in tree.items() if k != "_metadata")
    )


def _state_dict(tree: Any, key: str, path: Path, say: Say) -> dict[str, Tensor]:
    for part in key.split(".") if key else ():
        if not isinstance(tree, Mapping) or part not in tree:
            has = ", ".join(map(str, list(tree)[:8])) if isinstance(tree, Mapping) else type(tree).__name__
            of = "" if part == key else f" of {key!r}"
            raise CheckpointError(f"{path}: no entry {part!r}{of}; there is {has}")
        tree = tree[part]
    while not _is_state_dict(tree):
        nest = next((n for n in _NESTS if isinstance(tree, Mapping) and isinstance(tree.get(n), Mapping)), None)
        if nest is None:
            has = ", ".join(map(str, list(tree)[:8])) if isinstance(tree, Mapping) else type(tree).__name__
            raise CheckpointError(f"{path}: no state dict found; it has {has}; name the entry as {path}:KEY")
        others = [other for other in _NESTS if other != nest and _is_state_dict(tree.get(other))]
        if others:
            say(f"{path.name}: took the weights in {nest!r}; {', '.join(others)} would go by {path}:{others[0]}")
        tree = tree[nest]
    return {name: tensor for name, tensor in tree.items() if isinstance(tensor, Tensor)}


def _renamed(found: Mapping[str, Tensor], model: nn.Module, path: Path, say: Say) -> dict[str, Tensor]:
    """Return the weights under canonical names, without a prefix that all of them share."""
    named = {canonical_name(name): tensor for name, tensor in found.items()}
    stripped = sorted({part for name in found for part in name.split(".")[:-1] if part in WRAPPERS})
    if stripped:
        say(f"{path.name}: stripped {', '.join(part + '.' for part in stripped)} from the names")
    known = aliases(model)
    first = next(iter(named)).split(".")[0] + "."
    if not any(name in known for name in named) and all(name.startswith(first) for name in named):
        shorter = {name.removeprefix(first): tensor for name, tensor in named.items()}
        if any(name in known for name in shorter):
            say(f"{path.name}: stripped {first} from the names")
            return shorter
    return named


def _fitted(named: Mapping[str, Tensor], model: nn.Module, path: Path) -> dict[str, Tensor]:
    known, own = aliases(model), named_tensors(model)
    state: dict[str, Tensor] = {}
    wrong: list[str] = []
    for name, tensor in named.items():
        target = known.get(name)
        if target is None:
            wrong += [f"{name} is not in the model"] if tensor.is_floating_point() or tensor.is_complex() else []
        elif tensor.shape != own[target].tensor.shape:
            wrong.append(f"{name} has shape {tuple(tensor.shape)}, the model {tuple(own[target].tensor.shape)}")
        elif target in state and not torch.equal(state[target], tensor):
            wrong.append(f"{name} is tied to {target} in the model, but differs from it")
        else:
            state[target] = tensor
    optional = _not_saved(model)
    for name, mine in own.items():
        if name not in state:
            if mine.moves and name not in optional:
                wrong.append(f"{name} is missing")
            state[name] = mine.tensor.detach()
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise CheckpointError(f"{path} doesn't fit the model: {'; '.join(wrong[:_SHOWN])}{more}")
    return {name: as_real(state[name]) for name in sorted(state)}


def _not_saved(model: nn.Module) -> set[str]:
    """Return the canonical names of non-persistent buffers, which no checkpoint has."""
    saved = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    return {name for name, named in named_tensors(model).items() if id(named.tensor) not in saved}
