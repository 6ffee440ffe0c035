"""Resolution of the names of problems, weights, devices and files."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from surfaceviz.errors import CheckpointError, ProblemError, user_code_location
from surfaceviz.evaluate.engine import EAGER_BATCH
from surfaceviz.evaluate.forward_history import find_history
from surfaceviz.evaluate.precision import to_master_dtype
from surfaceviz.evaluate.reached_weights import refuse_unreached
from surfaceviz.execute.resources import available_memory
from surfaceviz.inputs import recorded
from surfaceviz.options import AUTO
from surfaceviz.pipeline.train.trained_folder import problem_of
from surfaceviz.problem import checkpoints
from surfaceviz.problem.coupling import as_one_batch_where_coupled
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.problem.problem import Problem
from surfaceviz.start_folder import anchored, start_folder
from surfaceviz.zoo import catalogue

_SHOWN = 8  # functions that a message names


def resolve(spec: str, folder: str | None = None) -> Problem:
    """Build and return the problem that ``spec`` names.

    Args:
        spec: a catalogue name, a folder of `surfaceviz train`, ``path/file.py:factory`` or
            ``package.module:factory``.
        folder: value of ``--data``; a factory receives it as ``data``.

    Raises:
        ProblemError: the problem is not found, or the factory raises or does not return a `Problem`.
        CheckpointError: the folder is not one of a training, or its last checkpoint is torn.
    """
    if spec in catalogue.CATALOGUE:
        if folder is not None and not catalogue.CATALOGUE[spec].takes_folder:
            raise ProblemError(f"{spec} brings its data along; leave out --data")
        return catalogue.problem(spec, folder)
    if anchored(spec).is_dir():
        return problem_of(anchored(spec), folder)
    place, colon, attribute = spec.rpartition(":")
    if not colon or not place or not attribute:
        raise ProblemError(_unknown(spec))
    module = _load_file(anchored(place)) if place.endswith(".py") else _import(place)
    factory = getattr(module, attribute, None)
    if not callable(factory):
        names = _functions(module)
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise ProblemError(f"{place} has no function {attribute!r}; it has {', '.join(names[:_SHOWN]) or 'none'}{more}")
    problem = _run_user_code(lambda: factory(**_arguments(factory, folder, spec)), spec)
    if not isinstance(problem, Problem):
        raise ProblemError(
            f"{spec} returned {type(problem).__name__}; expected a surfaceviz.Problem: return "
            "surfaceviz.Problem(model, data, loss)"
        )
    problem.name = problem.name or f"{Path(place).stem if place.endswith('.py') else place}-{attribute}"
    return problem


def _unknown(spec: str) -> str:
    """Return the message for a name that is neither in the catalogue nor FILE:FACTORY."""
    path = Path(spec.rstrip(":"))
    if path.suffix == ".py" and path.is_file():
        return f"{path} is a file; name the function in it that returns the problem: {_choices(path)}"
    close = difflib.get_close_matches(spec, catalogue.CATALOGUE, 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return (
        f"unknown problem {spec!r}; give one of {', '.join(catalogue.CATALOGUE)}, or a folder of surfaceviz train, or "
        f"FILE.py:FACTORY, or PACKAGE.MODULE:FACTORY{meant}"
    )


def _choices(path: Path) -> str:
    """Return ``FILE.py:FUNCTION`` for the functions of a file, read without running it."""
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        body = []
    names = [each.name for each in body if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")]
    return " or ".join(f"{path}:{name}" for name in names[:4]) or f"{path}:FUNCTION"


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ProblemError(f"{path}: no such file")
    name = f"surfaceviz_problem_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look up the module here
    add_to_path(path.resolve().parent)
    loader = spec.loader
    _run_user_code(lambda: loader.exec_module(module), str(path))
    return module


def _import(name: str) -> ModuleType:
    add_to_path(start_folder())  # a console script has its own folder in sys.path instead
    module = _run_user_code(lambda: importlib.import_module(name), name)
    assert isinstance(module, ModuleType)
    return module


def add_to_path(folder: Path) -> None:
    """Let modules in a folder be imported."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _run_user_code(call: Callable[[], Any], what: str) -> Any:
    """Return the result of the user's code; an exception becomes a `ProblemError` with its line."""
    try:
        with recorded():
            return call()
    except ProblemError:
        raise
    except (Exception, SystemExit) as error:
        raise ProblemError(f"{what} raised {type(error).__name__}: {error}{user_code_location(error)}") from error


def _arguments(factory: Callable[..., Any], folder: str | None, spec: str) -> dict[str, str]:
    if folder is None:
        return {}
    if "data" not in inspect.signature(factory).parameters:
        raise ProblemError(f"{spec} takes no argument named data, so it can't use --data {folder}; leave out --data")
    return {"data": folder}


def _functions(module: ModuleType) -> list[str]:
    own = vars(module).items()
    return [k for k, v in own if inspect.isfunction(v) and v.__module__ == module.__name__ and not k.startswith("_")]


def file_name(name: str) -> str:
    """Return a problem's name without characters that are unsafe in file names."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "slice"


def device_of(given: str, place: int) -> torch.device:
    """Return the device of process number ``place`` of its node.

    Raises:
        ProblemError: it is not available.
    """
    if given == AUTO:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return torch.device("cuda", place % count) if count else torch.device("cpu")
    devices = [_available(name) for name in given.split(",")]
    if len({device.type for device in devices}) > 1:
        raise ProblemError(
            f"devices {given}: values have the same bits only on devices of one kind; name devices of one kind"
        )
    return devices[place % len(devices)]


def _available(name: str) -> torch.device:
    try:
        device = torch.device(name.strip())
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ProblemError(f"device {name!r} is not available: {str(error).splitlines()[0]}") from error
    return device


def load_splits(
    problem: Problem, names: Sequence[str], theta: Mapping[str, Tensor], say: Callable[[str], None], *,
    samples: int | None = None, draws: int = 1, noise_seed: int = 0, batch_size: int | None = None,
) -> list[DataSplit]:  # fmt: skip
    """Return the data of splits, as one batch each where the loss or a metric is no mean over samples.

    Where the model draws random numbers, which depend on the batches, these have a fixed size.

    Args:
        problem: the problem; its draws of random numbers are set.
        names: of the splits.
        theta: canonical name -> weights and buffers.
        say: receives lines of information.
        samples: size of a seeded subset.
        draws: number of draws of random numbers.
        noise_seed: seed of the first of them.
        batch_size: samples in a batch where the size is fixed; by default 128.

    Raises:
        ProblemError: see `Problem.load`, `refuse_unreached` and `as_one_batch_where_coupled`.
    """
    problem.draws.count, problem.draws.seed = draws, noise_seed
    with recorded():
        splits = [problem.load(name, samples=samples) for name in dict.fromkeys(names)]
    own = {name: named.own_name for name, named in named_tensors(problem.model).items()}
    state = {own[name]: tensor for name, tensor in theta.items()}
    if not problem.forward_pass.is_probed:
        find_history(problem, splits[0], state)
        refuse_unreached(problem, splits[0])
        problem.forward_pass.is_probed = True
    splits, lines = as_one_batch_where_coupled(problem, splits, state, memory=available_memory())
    for line in lines:
        say(line)
    if not problem.draws.are_taken:
        if draws > 1:
            say(f"draws: the model draws no random numbers, so that {draws} draws are one")
        return splits
    return [split if split.given else replace(split, batch=batch_size or EAGER_BATCH) for split in splits]


def read_theta(problem: Problem, weights: str | None, dtype: str, say: Callable[[str], None]) -> dict[str, Tensor]:
    """Return the weights and buffers of ``FILE[:KEY]``, or the problem's own, floating ones in the master dtype.

    Raises:
        CheckpointError: they can't be read, don't fit, or hold NaN, inf or nothing.
        ProblemError: the model has no floating-point parameters.
    """
    model = problem.model
    state = checkpoints.read_state(model) if weights is None else checkpoints.read_weights(weights, model, say)
    checkpoints.refuse_without_values(model, state, weights)
    theta = to_master_dtype(state, dtype)
    broken = [name for name, tensor in theta.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"the weights hold NaN or inf in {', '.join(broken[:4])}; give other weights")
    return theta
