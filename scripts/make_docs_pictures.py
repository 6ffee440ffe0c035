"""Make the pictures of docs/learn/reading.md, by the commands of that page.

    python scripts/make_docs_pictures.py [--check]

With ``--check``, compare the pictures with those in docs/pictures instead of replacing them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from same_picture import differences

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURES = ROOT / "docs" / "learn" / "reading.md", ROOT / "docs" / "pictures"
_BLOCK = re.compile(
    r"<!-- run by: scripts/make_docs_pictures\.py -->\n```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


def make(folder: Path) -> list[Path]:
    """Run the blocks of the page in a folder and return the pictures that the page shows."""
    for language, code in _BLOCK.findall(PAGE.read_text()):
        if language == "python":
            (folder / code.split("\n", 1)[0].removeprefix("# ")).write_text(code)
            continue
        for line in code.splitlines():
            words = line.replace("surfaceviz ", "-m surfaceviz ", 1).split()
            quiet = ["--no-plot", "--quiet"] if " slice " in line else []
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run([sys.executable, *words, *quiet], cwd=folder, env=environment, check=True)
    return [folder / name for name in re.findall(r"\.\./pictures/([\w-]+\.png)", PAGE.read_text())]


def main() -> int:
    """Make the pictures; return 1 if ``--check`` finds one that differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder))
        if check:
            found = differences(made, PICTURES)
            print("\n".join(found) or f"{len(made)} pictures are those of docs/pictures")
            return 1 if found else 0
        PICTURES.mkdir(exist_ok=True)
        for path in made:
            shutil.copy(path, PICTURES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
