"""Files that a stored slice names: found from another folder than the one that it was computed in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from surfaceviz.errors import ProblemError
from surfaceviz.pipeline.confirm import MODULE_FOLDER, names_in
from surfaceviz.start_folder import anchored, start_folder

FOLDER = "folder"  # root attribute: the folder that a slice was computed in


def with_found_files(attributes: Mapping[str, Any], path: Path, *, problem: bool = True) -> dict[str, Any]:
    """Return the attributes of a slice's file with the paths of the files that they name.

    A relative path counts from the current folder, then from the folder of the run, then from that of the file. A
    module of a problem is found in the same folders.

    Args:
        attributes: the root attributes.
        path: the slice's file.
        problem: whether the problem's file or module must be there.

    Raises:
        ProblemError: the problem's file or module is in none of them.
    """
    names = names_in(str(attributes.get("made_from", "{}")))
    own = anchored(path).absolute().parent
    folders = list(dict.fromkeys((start_folder(), Path(str(attributes.get(FOLDER, ""))), own)))
    names.pop(MODULE_FOLDER, None)
    found: dict[str, Any] = {
        key: _found(names[key], folders) for key in ("weights", "data", "directions") if names.get(key)
    }
    if names.get("toward"):
        found["toward"] = [_found(each, folders) for each in names["toward"]]
    if names.get("training"):
        found["training"] = [
            {**run, "files": [_found(each, folders) for each in run["files"]]} for run in names["training"]
        ]
    if names.get("problem"):
        found |= _problem(names["problem"], folders, path, required=problem)
    return {**attributes, "made_from": json.dumps({**names, **found})}


def _found(given: str, folders: Sequence[Path]) -> str:
    """Return ``PATH[:KEY]`` with the path in the first folder that has it; as it is if none has."""
    for folder in folders:
        for name in (given, given.rsplit(":", 1)[0]):
            if (folder / name).exists():
                return given if folder == start_folder() else f"{folder / given}"
    return given


def _problem(given: str, folders: Sequence[Path], path: Path, *, required: bool) -> dict[str, str]:
    """Return the problem's name, and the folder of its module where that is not the current one."""
    place, colon, factory = given.rpartition(":")
    if not place.endswith(".py"):
        folder = _module_folder(place, folders) if colon else start_folder()
        if folder is not None or not required:
            return {"problem": given} | ({} if folder in (None, start_folder()) else {MODULE_FOLDER: str(folder)})
    elif (found := _found(place, folders)) != place or anchored(place).is_file() or not required:
        return {"problem": f"{found}:{factory}"}
    tried = ", ".join(str(folder.absolute()) for folder in folders)
    raise ProblemError(
        f"{path} was computed from {place}, which is in none of {tried}; name its problem by --problem "
        f"FILE.py:{factory} (problem= in Python)"
    )


def _module_folder(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the first folder that has a module; the current one for an installed module; None if none has it."""
    for folder in folders:
        place = folder.joinpath(*name.split("."))
        if place.with_suffix(".py").is_file() or (place / "__init__.py").is_file():
            return folder
    return start_folder() if find_spec(name.partition(".")[0]) else None
