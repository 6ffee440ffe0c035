"""Weights read from files, without running code from them."""

from __future__ import annotations

import pickle
import re
import shlex
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from surfaceviz.errors import CheckpointError, ProblemError
from surfaceviz.problem.checkpoints.entries import state_dict_in
from surfaceviz.problem.checkpoints.match_names import match_names
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.problem.pickle_budget import refuse_bomb
from surfaceviz.start_folder import anchored

Say = Callable[[str], None]

_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
_SHOWN = 4  # names that a message shows
# The function of a conversion: tensors at any depth, modules as their state dicts, lists by number, nothing else.
_KEPT = (
    "f = lambda v: v if torch.is_tensor(v) else f(v.state_dict()) if hasattr(v, 'state_dict') else "
    "{str(k): w for k, x in (v.items() if hasattr(v, 'items') else enumerate(v)) if (w := f(x)) is not None} "
    "if hasattr(v, 'items') or isinstance(v, (list, tuple)) else None"
)


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
    return match_names(state_dict_in(tree, key, path, say), model, path, say)


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
        if path and anchored(path).is_file():
            return anchored(path), key
    if anchored(given).is_dir():
        inside = sorted(p.name for p in anchored(given).iterdir() if p.suffix in _SUFFIXES)
        advice = f"name a file in it: {Path(given) / inside[0]}" if inside else "it holds no file of weights"
        raise CheckpointError(f"{given} is a folder; {advice}")
    raise CheckpointError(f"{given}: no such file of weights")


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: no whole safetensors file ({error})") from error


def _unpickled(path: Path, *, lazily: bool = False) -> Any:
    refuse_bomb(path)
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
    converted = path.with_name(f"{path.stem}-weights.pt")
    code = f"import torch; {_KEPT}; torch.save(f(torch.load({str(path)!r}, weights_only=False)), {str(converted)!r})"
    return (
        f"{path} holds a {match.group(1)}, which can't be read without running code from the file. If you trust it, "
        f"convert it: python -c {shlex.quote(code)}"
    )
