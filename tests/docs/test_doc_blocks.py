"""Baseline: the documentation itself, whose shell and Python blocks are run, and excerpts compared with the source."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from doc_blocks import (
    EXCERPT,
    GALLERY,
    LONG,
    NOT_RUN,
    PAGES,
    ROOT,
    RUN,
    RUN_BY,
    TEST_COMMAND,
    Block,
    blocks_of,
    run_block,
    write_own_network,
)
from typer.main import get_command

from surfaceviz import cli
from surfaceviz.cli.app import app

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
QUICK = sorted({block.page for block in BLOCKS if block.mark == RUN})
WITH_LONG = sorted({block.page for block in BLOCKS if block.mark == LONG})


def _run_page(page: str, marks: tuple[str, ...]) -> int:
    """Run the blocks of a page, each of which must succeed, and return their number."""
    write_own_network(Path())
    chosen = [block for block in BLOCKS if block.page == page and block.mark in marks]
    for block in chosen:
        run_block(block)
    return len(chosen)


@pytest.mark.slow
@pytest.mark.parametrize("page", QUICK)
def test_the_quick_blocks_of_a_page_run(page: str) -> None:
    assert _run_page(page, (RUN,)) > 0


@pytest.mark.long
@pytest.mark.parametrize("page", WITH_LONG)
def test_all_blocks_of_a_page_run(page: str) -> None:
    assert _run_page(page, (RUN, LONG)) > 0


@pytest.mark.parametrize("block", BLOCKS, ids=[block.place for block in BLOCKS])
def test_a_comment_above_a_block_says_how_it_is_checked(block: Block) -> None:
    whole, started = (RUN, LONG, GALLERY, TEST_COMMAND), (EXCERPT, RUN_BY, NOT_RUN)
    assert block.mark in whole or block.mark.startswith(started), f"{block.place} has no mark"
    if block.mark.startswith((EXCERPT, RUN_BY)):
        assert (ROOT / block.mark.partition(": ")[2]).is_file()


def _squeezed(code: str) -> str:
    """Return code without blanks and commas, ends of docstrings and linters' comments: a formatter changes nothing."""
    return re.sub(r'# noqa: \w+|"""$|[\s,]', "", code, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.mark.startswith(EXCERPT)], ids=lambda block: block.place
)  # fmt: skip
def test_an_excerpt_is_in_its_source(block: Block) -> None:
    source = _squeezed((ROOT / block.mark.removeprefix(EXCERPT)).read_text())
    for part in block.code.split("..."):
        assert _squeezed(part.removeprefix(")")) in source, f"{block.place}: {part}"


SCRIPTS = [b for b in BLOCKS if b.language != "python" and b.mark.startswith(NOT_RUN)]


@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: block.place)
def test_a_script_that_is_not_run_parses_and_its_options_exist(block: Block) -> None:
    assert subprocess.run(["/bin/bash", "-n", "-c", block.code], check=False).returncode == 0
    for command, rest in re.findall(r"surfaceviz ([a-z]+)([^\n]*)", block.code.replace("\\\n", " ")):
        cli._register([command])
        parameters = get_command(app).commands[command].params  # type: ignore[attr-defined]
        known = {name for parameter in parameters for name in parameter.opts + parameter.secondary_opts}
        assert set(re.findall(r"(?<= )--[a-z-]+", rest.split(" #")[0])) <= known, block.place
