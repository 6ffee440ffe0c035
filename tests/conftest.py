"""What all tests share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import launchers
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

# A gate that runs in the background of a shell inherits that SIGINT is ignored; the tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of engines that compile, and of the transformer's second derivatives, as slow."""
    for item in items:
        parameters = item.name.partition("[")[2]
        if any(word in parameters for word in ("compiled", "vmapped", "transformer")):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Run on one thread, as products do in a run: several collapse where another process is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _jobs_end_with_their_test() -> Iterator[None]:
    yield
    launchers.end_all()


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test where it can write, with a key and a list of trusted files that are not the developer's."""
    monkeypatch.chdir(tmp_path)
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path_factory.getbasetemp() / variable))
