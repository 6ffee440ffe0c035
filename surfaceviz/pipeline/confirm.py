"""Names in a file of the code that made it and of other files: followed only where this user gave or confirmed them.

A run marks the names that it writes with the user's key, together with the places that they mean (`names_mark`). So a
file that a user made is followed by the same user in the same place, and a file of somebody else is not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from surfaceviz.errors import ProblemError
from surfaceviz.start_folder import anchored
from surfaceviz.store.verify import user_key
from surfaceviz.zoo import catalogue

MARK = "made_from_mark"  # the attribute next to `made_from`
_PURPOSE = "names in a file"
_TRAINING = "training"
MODULE_FOLDER = "module_folder"  # among found names: the folder of the problem's module, where it is another one
_LISTS, _TEXTS = ("toward",), ("problem", "weights", "data", "directions", MODULE_FOLDER)


def names_mark(made_from: str) -> str:
    """Return this user's mark of the names in ``made_from`` and of the places that they mean here."""
    return user_key.sign(_PURPOSE, _with_places(made_from, made_from))


def is_own(attributes: Mapping[str, Any], found: Mapping[str, Any] | None = None) -> bool:
    """Return whether this user wrote the names in a file's attributes, and where they mean the same places as now.

    ``found`` are the attributes with the places where the names were found; by default they count from here.
    """
    try:
        text = _with_places(_made_from(attributes), _made_from(found or attributes))
    except (ProblemError, ValueError):
        return False
    return user_key.is_signed(_PURPOSE, text, str(attributes.get(MARK, "")))


def confirm_names(
    path: Path,
    attributes: Mapping[str, Any],
    *,
    found: Mapping[str, Any],
    given: set[str],
    trust: bool,
    say: Callable[[str], None],
) -> None:
    """Refuse names in a file that this user neither wrote nor confirmed; names of the catalogue are free.

    Args:
        path: the file.
        attributes: its root attributes.
        found: these with the places where the names were found.
        given: which of ``problem`` and ``data`` this call names itself.
        trust: whether the user confirms the rest, which is then remembered.
        say: receives a line about what is used by the user's confirmation.

    Raises:
        ProblemError: there are such names; the message tells them.
    """
    used = [line for key, line in _used(names_in(_made_from(found))) if key not in given]
    if not used or is_own(attributes, found):
        return
    text = f"{_with_places(_made_from(attributes), _made_from(found))} in {os.path.realpath(anchored(path))}"
    if trust and not user_key.is_trusted(text) and not user_key.trust(text):
        say(f"{path}: that it is trusted can't be remembered: the configuration folder is not writable")
    if trust or user_key.is_trusted(text):
        say(f"trusting {path}, which names {', '.join(used)}")
        return
    alone = len(used) == 1 and used[0].startswith("problem ")
    own = "name the problem yourself by --problem (problem= in Python), or, if you trust the file," * alone
    raise ProblemError(
        f"{path} names {', '.join(used)}, and nothing shows that you made it from here; "
        f"{own or 'if you trust the file,'} confirm that by --trust (trust=True in Python)"
    )


def names_in(made_from: str) -> dict[str, Any]:
    """Return the names in the attribute ``made_from``.

    Raises:
        ProblemError: it is not what a run writes there.
    """
    try:
        names = json.loads(made_from)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, dict) or not all(_is_expected(key, value) for key, value in names.items()):
        raise ProblemError(
            f"the attribute made_from is {made_from[:60]!r}; expected the names of problem, weights and files as a run "
            "writes them; compute the slice again"
        )
    return names


def _is_expected(key: str, value: Any) -> bool:
    if key == _TRAINING:
        return isinstance(value, list) and all(isinstance(run, dict) and _are_texts(run.get("files")) for run in value)
    if key in _LISTS:
        return _are_texts(value)
    return key not in _TEXTS or value is None or (isinstance(value, str) and "\0" not in value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and "\0" not in each for each in value)


def _checkpoints(names: Mapping[str, Any]) -> list[str]:
    return [file for run in names.get(_TRAINING, ()) for file in run["files"]]


def _used(names: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (key, words) of the names that lead out of the file and the catalogue."""
    problem = names.get("problem")
    found = (
        [] if problem is None or problem in catalogue.CATALOGUE else [("problem", f"problem {problem}, code to run")]
    )
    found += [(key, f"{key} {names[key]}") for key in ("weights", "data", "directions") if names.get(key)]
    found += [("toward", f"weights {each}") for each in names.get("toward", ())]
    files = _checkpoints(names)
    return found + ([(_TRAINING, f"{len(files)} checkpoints, such as {files[0]}")] if files else [])


def _made_from(attributes: Mapping[str, Any]) -> str:
    return str(attributes.get("made_from", "{}"))


def _with_places(made_from: str, found: str) -> str:
    """Return the names together with the absolute places that the found names mean in the current folder."""
    names = names_in(found)
    problem = str(names.get("problem") or "")
    files = [problem.rpartition(":")[0]] if problem.rpartition(":")[0].endswith(".py") else []
    files += [str(names.get(MODULE_FOLDER) or ".")] * (":" in problem and not files)
    files += [str(names[key]) for key in ("weights", "data", "directions") if names.get(key)]
    files += [*names.get("toward", ()), *_checkpoints(names)]
    return json.dumps([made_from, [os.path.realpath(anchored(each)) for each in files]])
