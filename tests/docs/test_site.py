"""Baseline: Sphinx with warnings as errors, the program's own help and docstrings, and the pictures committed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT

import surfaceviz
from surfaceviz import cli


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_links_to_its_own_pages(tmp_path: Path) -> None:
    site, trees = tmp_path / "site", tmp_path / "trees"
    done = _run("-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(trees), "-c", "docs", ".", str(site))
    assert (done.returncode, done.stderr) == (0, "")
    assert "docs/index.html" in (site / "index.html").read_text()
    python = (site / "docs" / "reference" / "python.html").read_text()
    missing = [name for name in surfaceviz.__all__ if f'id="surfaceviz.{name}"' not in python]
    assert not missing
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#?:]+)(?:[#?][^":]*)?"', page.read_text()):
            assert (page.parent / link).exists(), f"{page.relative_to(site)}: {link}"


@pytest.mark.slow
def test_the_reference_is_that_of_the_program() -> None:
    done = _run("scripts/make_reference.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == sorted(cli.COMMANDS)


@pytest.mark.long
def test_the_pictures_of_the_documentation_are_those_that_its_commands_draw() -> None:
    done = _run("scripts/make_docs_pictures.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.browser
def test_the_pictures_of_the_gallery_are_those_that_its_commands_draw() -> None:
    done = _run("scripts/make_gallery.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pages_of_the_gallery_are_those_of_its_pictures() -> None:
    code = "import json, make_gallery; print(json.dumps(make_gallery.pages()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "scripts", check=True, capture_output=True, text=True
    )  # fmt: skip
    for name, text in json.loads(done.stdout).items():
        assert (ROOT / "gallery" / name).read_text() == text, f"{name}: run scripts/make_gallery.py --pages"


def test_readme_has_at_most_900_words() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900
