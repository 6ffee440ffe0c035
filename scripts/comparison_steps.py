"""Steps of the gallery's comparisons: commands whose results are kept for as long as their inputs stay the same.

Small results are committed in gallery/comparisons; trained weights and directions stay in build/comparisons.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py

from surfaceviz.store.files import new_file, write_bytes

ROOT = Path(__file__).resolve().parent.parent
WORK, KEPT = ROOT / "build" / "comparisons", ROOT / "gallery" / "comparisons"
_KEYS = KEPT / "steps.json"
MARK = "<!-- run by: scripts/comparison_gallery.py -->\n"  # read by the tests of the docs
_LOCAL = ("folder", "made_from_mark")  # attributes that hold only on the machine of the run
_QUIET = {"slice": ["--no-plot", "--quiet"], "compare": ["--quiet"], "train": ["--quiet"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command and what it makes.

    Attributes:
        command: as the page shows it; ``surfaceviz train``, ``slice`` or ``compare``.
        makes: a folder of a training, or an HDF5 file, relative to the folder of the work.
        needs: what other steps make and this one reads.
    """

    command: str
    makes: str
    needs: tuple[str, ...] = ()

    @property
    def kept(self) -> Path:
        """The committed result: the log of a training, or a file without its directions."""
        return KEPT / (self.makes if self.makes.endswith(".h5") else f"{self.makes.replace('/', '-')}.csv")


def keys_of(steps: tuple[Step, ...]) -> dict[str, str]:
    """Return the key of each result: a hash of its command and of the keys of what it reads."""
    keys: dict[str, str] = {}
    for step in steps:
        words = "\n".join([step.command, *(keys[need] for need in step.needs)])
        keys[step.makes] = hashlib.sha256(words.encode()).hexdigest()[:16]
    return keys


def run_steps(steps: tuple[Step, ...], *, anew: bool) -> None:
    """Run the steps whose result is missing or of other inputs; with ``anew`` all of them.

    A step that reads a training also needs its weights, which are not committed: the training is then run first.
    """
    keys, known = keys_of(steps), _known()
    stale = {
        step.makes for step in steps if anew or known.get(step.makes) != keys[step.makes] or not step.kept.exists()
    }
    wanted = _with_trainings(steps, stale)
    WORK.mkdir(parents=True, exist_ok=True)
    for step in steps:
        if step.makes in wanted:
            _run(step)
            known[step.makes] = keys[step.makes]
            _KEYS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def _with_trainings(steps: tuple[Step, ...], stale: set[str]) -> set[str]:
    by_name = {step.makes: step for step in steps}
    missing = {need for name in stale for need in by_name[name].needs if not (WORK / need).exists()}
    return stale | missing


def _known() -> dict[str, str]:
    found: dict[str, str] = json.loads(_KEYS.read_text()) if _KEYS.exists() else {}
    return found


def _run(step: Step) -> None:
    words = shlex.split(step.command)
    begun = time.perf_counter()
    command = [sys.executable, "-m", *words, *_QUIET[words[1]]]
    subprocess.run(command, cwd=WORK, check=True)
    keep(step)
    print(f"{time.perf_counter() - begun:6.1f} s  {step.command}", flush=True)


def keep(step: Step) -> None:
    """Copy a result into the gallery: a training's log, or a file without tensors and local attributes."""
    KEPT.mkdir(parents=True, exist_ok=True)
    if not step.makes.endswith(".h5"):
        shutil.copyfile(WORK / step.makes / "log.csv", step.kept)
        return
    with h5py.File(WORK / step.makes) as source, new_file() as made:
        _copy(source, made.root)
    write_bytes(step.kept, made.image)


def _copy(source: h5py.Group, target: h5py.Group) -> None:
    """Copy a group without the tensors of directions, which their seeds give again."""
    for name, value in source.attrs.items():
        if name not in _LOCAL:
            target.attrs[name] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name))
        elif "/directions/" not in f"{source.name}/":
            source.copy(name, target)


def seconds_of(steps: tuple[Step, ...]) -> Mapping[str, float]:
    """Return how long each step took, as its own result records it."""
    return {step.makes: _seconds(step.kept) for step in steps}


def _seconds(path: Path) -> float:
    if path.suffix == ".csv":
        return float(path.read_text().splitlines()[-1].split(",")[-1])
    with h5py.File(path) as file:
        return float(file.attrs.get("seconds", 0.0))
