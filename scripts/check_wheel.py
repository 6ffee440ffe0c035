"""The contents of a wheel and an sdist: only the package in the first, no pictures of the gallery in either.

python scripts/check_wheel.py dist/surfaceviz-0.2.0-py3-none-any.whl dist/surfaceviz-0.2.0.tar.gz
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

_MOST = {"wheel": 5e6, "sdist": 6e6}  # bytes
_ASSETS = (
    "surfaceviz/version.py",
    "surfaceviz/zoo/digits/digits.npz",
    "surfaceviz/zoo/digits/SOURCE.md",
    "surfaceviz/zoo/weights/resnet20-digits.safetensors",
    "surfaceviz/render/report/assets/page.html",
)


def contents(path: Path) -> dict[str, int]:
    """Return the files in an archive and their sizes in bytes; of an sdist without the folder that holds them."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {each.filename: each.file_size for each in wheel.infolist()}
    with tarfile.open(path) as sdist:
        return {each.name.partition("/")[2]: each.size for each in sdist.getmembers() if each.isfile()}


def problems(path: Path) -> list[str]:
    """Return what is wrong with an archive."""
    files = contents(path)
    kind = "wheel" if path.suffix == ".whl" else "sdist"
    found = [f"{name} is missing" for name in _ASSETS if name not in files]
    tops = {name.partition("/")[0] for name in files}
    if kind == "wheel":
        found += [f"{top} is in the wheel" for top in sorted(tops) if top != "surfaceviz" and ".dist-info" not in top]
    elif not {"tests", "scripts", "pyproject.toml", "CITATION.cff", "constraints.txt"} <= tops:
        found.append("the tests, or what they need, are missing")
    found += [f"{name} is in it" for name in files if name.startswith("gallery/") or "__pycache__" in name]
    if path.stat().st_size > _MOST[kind]:
        found.append(f"{path.stat().st_size} bytes, more than {_MOST[kind]:g}")
    largest = sorted(files, key=files.__getitem__, reverse=True)[:3]
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {len(files)} files of {sum(files.values()) / 1e6:.2f} MB")
    print("  the largest: " + ", ".join(f"{name} ({files[name] / 1e6:.2f} MB)" for name in largest))
    return [f"{path.name}: {each}" for each in found]


def main(paths: list[str]) -> int:
    """Print the contents and the problems of archives, and return 1 where there is one."""
    found = [problem for path in paths for problem in problems(Path(path))]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
