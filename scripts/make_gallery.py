"""Make the pictures of the gallery, each by the command that its page names.

    python scripts/make_gallery.py [--data FOLDER] [--check] [NAME...]
    python scripts/make_gallery.py --pages
    python scripts/make_gallery.py --studies
    python scripts/make_gallery.py --comparisons [--all]

With ``--check``, pictures are made and compared with those committed, which stay; ``--pages`` writes the pages only.

The HDF5 files stay in ``build/gallery``, so that a picture that is made again needs no new evaluation.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import subprocess
import sys
import time
from pathlib import Path

from comparison_gallery import make_comparisons
from gallery_pictures import PICTURES, Picture
from same_picture import differences
from study_gallery import make_studies

ROOT = Path(__file__).resolve().parent.parent
FILES = ROOT / "build" / "gallery"


_COLUMNS = 3  # thumbnails in a row


def make(picture: Picture, data: str | None) -> Path:
    """Run a picture's commands where the files are kept, and return the path of the picture."""
    for command in picture.commands:
        words = shlex.split(command)
        if data and "cnn-fashion" in words:
            words += ["--data", data]
        words += {"slice": ["--no-plot", "--quiet"], "hessian": ["--quiet"], "compare": ["--quiet"]}.get(words[1], [])
        words = words[1:] if words[0] == "python" else ["-m", *words]
        begun = time.perf_counter()
        subprocess.run([sys.executable, *words], cwd=FILES, check=True)
        print(f"{time.perf_counter() - begun:6.1f} s  {command}", flush=True)
    return FILES / picture.name


def pages() -> dict[str, str]:
    """Return the text of each page of the gallery by its path: that of thumbnails, and one for each picture."""
    found = {f"pages/{picture.page}": _page(picture) for picture in PICTURES}
    rows = [PICTURES[first : first + _COLUMNS] for first in range(0, len(PICTURES), _COLUMNS)]
    lines = [
        "# Gallery\n\nEach picture opens a page with its commands, what is seen, and what it does not show. The",
        "pictures are made by `python scripts/make_gallery.py`. Networks are [compared](comparisons.md): plain",
        "against skip connections, small against large batches. The [studies](studies.md) have a page of their own.\n",
        f"|{' |' * _COLUMNS}\n|{'---|' * _COLUMNS}",
    ]
    for row in rows:
        cells = [f"[![{picture.title}]({picture.name})](pages/{picture.page})" for picture in row]
        titles = [f"[{picture.title}](pages/{picture.page})" for picture in row]
        blank = [""] * (_COLUMNS - len(row))
        lines += [f"| {' | '.join(part + blank)} |" for part in (cells, titles)]
    return {"README.md": "\n".join([*lines, ""]), **found}


def _page(picture: Picture) -> str:
    commands = "\n".join(picture.commands)
    parts = [
        f"# {picture.title}\n\n![{picture.title}](../{picture.name})",
        f"## What is seen\n\n{picture.seen}",
        f"## What it does not show\n\n{picture.hidden}",
        f"## Commands\n\n<!-- run: gallery -->\n```sh\n{commands}\n```",
        *_sources(picture),
        "[All pictures](../README.md)\n",
    ]
    return "\n\n".join(parts)


def _sources(picture: Picture) -> list[str]:
    """Return a line that names the pages whose commands make the files that a picture's commands read."""
    makers = {made: other for other in reversed(PICTURES) for made in _outputs(other)}
    words = {word for command in picture.commands for word in shlex.split(command)[2:]} - _outputs(picture)
    needed = {makers[word].page: makers[word].title for word in sorted(words & makers.keys())}
    links = " and ".join(f"[{title}]({page})" for page, title in needed.items())
    return [f"The other files are made by the commands of {links}."] if links else []


def _outputs(picture: Picture) -> set[str]:
    """Return the files and folders that a picture's commands write by ``-o``."""
    words = [shlex.split(command) for command in picture.commands]
    return {after for line in words for before, after in itertools.pairwise(line) if before == "-o"}


def write_pages() -> None:
    """Write the pages of the gallery."""
    (ROOT / "gallery" / "pages").mkdir(exist_ok=True)
    for name, text in pages().items():
        (ROOT / "gallery" / name).write_text(text)


def main() -> int:
    """Make the pictures that are named, all without any, and the pages; return 1 if ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--data", help="the folder of Fashion-MNIST's IDX files")
    parser.add_argument("--studies", action="store_true", help="make the page of the studies only")
    parser.add_argument("--pages", action="store_true", help="write the pages only")
    parser.add_argument("--check", action="store_true", help="compare the pictures with those committed")
    parser.add_argument("--comparisons", action="store_true", help="make the page of the comparisons only")
    parser.add_argument("--all", action="store_true", help="of the comparisons: train and slice everything again")
    asked = parser.parse_args()
    if asked.comparisons:
        make_comparisons(anew=asked.all, data=asked.data)
        return 0
    if asked.studies:
        make_studies()
        return 0
    if asked.pages:
        write_pages()
        return 0
    unknown = set(asked.names) - {picture.name for picture in PICTURES}
    if unknown:
        parser.error(f"no picture {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PICTURES)}")
    FILES.mkdir(parents=True, exist_ok=True)
    made = [make(picture, asked.data) for picture in PICTURES if not asked.names or picture.name in asked.names]
    if asked.check:
        found = differences(made, ROOT / "gallery")
        print("\n".join(found) or f"{len(made)} pictures are those of the gallery")
        return 1 if found else 0
    for path in made:
        path.replace(ROOT / "gallery" / path.name)
    write_pages()
    return 0


if __name__ == "__main__":
    sys.exit(main())
