"""Baseline: the state dict that was saved."""

from __future__ import annotations

import argparse
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from surfaceviz.errors import CheckpointError
from surfaceviz.problem.checkpoints import read_weights

STATE = oracles.net(7).state_dict()


def _assert_read(given: str, *, said: list[str] | None = None) -> None:
    lines: list[str] = []
    model = oracles.net(0)
    got = read_weights(given, model, lines.append)
    assert sorted(got) == sorted(STATE)
    for name, tensor in STATE.items():
        assert torch.equal(got[name], tensor)
    assert lines == (said or [])
    assert not torch.equal(model.state_dict()["fc.weight"], STATE["fc.weight"])


def _prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in STATE.items()}


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        (STATE, ""),
        ({"state_dict": STATE, "epoch": 3}, ""),
        ({"model": {"state_dict": STATE}, "optimizer": {}}, ""),
        ({"ema": STATE, "state_dict": oracles.net(1).state_dict()}, ":ema"),
        ({"runs": {"best": {"state_dict": STATE}}}, ":runs.best"),
    ],
)
def test_plain_and_nested_state_dicts_are_found(tree: Any, key: str) -> None:
    torch.save(tree, "w.pt")
    _assert_read(f"w.pt{key}")


def test_safetensors_and_colons_in_paths() -> None:
    save_file(STATE, "w.safetensors")
    _assert_read("w.safetensors")
    Path("a:b").mkdir()
    torch.save(STATE, "a:b/w.pt")
    _assert_read("a:b/w.pt")


@pytest.mark.parametrize(
    ("prefix", "stripped"),
    [
        ("module.", "module."),
        ("_orig_mod.", "_orig_mod."),
        ("module._orig_mod.", "_orig_mod., module."),
        ("model.", "model."),
    ],
)
def test_wrappers_names_are_stripped_and_said(prefix: str, stripped: str) -> None:
    torch.save(_prefixed(prefix), "w.pt")
    _assert_read("w.pt", said=[f"w.pt: stripped {stripped} from the names"])


def test_what_no_checkpoint_has_comes_from_the_model() -> None:
    torch.save({k: v for k, v in STATE.items() if k != "bn.num_batches_tracked"}, "w.pt")
    got = read_weights("w.pt", oracles.net(0), lambda _line: None)
    assert int(got["bn.num_batches_tracked"]) == 3


def test_tied_weights_may_come_once_or_twice() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

    torch.save({"b.weight": torch.ones(2, 2)}, "once.pt")
    torch.save({"a.weight": torch.ones(2, 2), "b.weight": torch.zeros(2, 2)}, "torn.pt")
    assert torch.equal(read_weights("once.pt", Tied(), print)["a.weight"], torch.ones(2, 2))
    with pytest.raises(CheckpointError, match="b.weight is tied to a.weight in the model, but differs from it"):
        read_weights("torn.pt", Tied(), print)


def test_names_and_shapes_that_do_not_fit_are_named() -> None:
    torch.save({**STATE, "fc.weight": torch.ones(3, 2), "extra.weight": torch.ones(2)}, "w.pt")
    with pytest.raises(CheckpointError) as caught:
        read_weights("w.pt", oracles.net(0), print)
    assert "fc.weight has shape (3, 2), the model (3, 144)" in str(caught.value)
    assert "extra.weight is not in the model" in str(caught.value)
    torch.save({"a": torch.ones(2), "b": torch.ones(2)}, "w.pt")
    with pytest.raises(CheckpointError, match=r"a is not in the model; b is not in the model; .* and 6 more"):
        read_weights("w.pt", oracles.net(0), print)


class Hostile:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (subprocess.call, (["touch", "executed"],))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_hostile_pickle_is_never_executed(legacy: bool) -> None:
    if legacy:
        Path("w.pt").write_bytes(pickle.dumps({"state_dict": Hostile()}))
    else:
        torch.save({"state_dict": Hostile()}, "w.pt")
    with pytest.raises(CheckpointError, match=r"w.pt holds a \w+.call" if not legacy else "w.pt"):
        read_weights("w.pt", oracles.net(0), print)
    assert not Path("executed").exists()


def _conversion(message: str) -> str:
    """Return the code of the command that a message ends with, as a shell takes it apart."""
    python, option, code = shlex.split(message[message.index("python -c ") :])
    assert (python, option) == ("python", "-c")
    return code


@pytest.mark.parametrize("name", ["$(touch executed).pt", "`touch executed`'.pt", 'a b".pt', "';touch executed;'.pt"])
def test_the_conversion_of_a_hostile_name_runs_nothing_of_it(name: str) -> None:
    torch.save({"state_dict": STATE, "path": Path("x")}, name)
    with pytest.raises(CheckpointError, match="If you trust it, convert it") as caught:
        read_weights(name, oracles.net(0), print)
    message = str(caught.value)
    command = message[message.index("python -c ") :].replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(command, shell=True, check=True)  # noqa: S602  pasted as a user would
    assert not Path("executed").exists()
    _assert_read(f"{Path(name).stem}-weights.pt")


@pytest.mark.parametrize(
    ("extra", "kind"),
    [
        ({"args": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
        ({"best": np.float64(0.9)}, "numpy"),
        ({"path": Path("x")}, "pathlib"),
    ],
)
def test_what_can_not_be_read_safely_names_its_type_and_a_conversion_that_works(extra: Any, kind: str) -> None:
    torch.save({"state_dict": STATE, **extra}, "w.pt")
    with pytest.raises(CheckpointError, match=f"w.pt holds a {kind}.*If you trust it, convert it") as caught:
        read_weights("w.pt", oracles.net(0), print)
    subprocess.run([sys.executable, "-c", _conversion(str(caught.value))], check=True)
    _assert_read("w-weights.pt")


def test_a_whole_model_names_its_conversion() -> None:
    torch.save(oracles.net(7), "w.pt")
    with pytest.raises(CheckpointError, match="w.pt holds a oracles.Net") as caught:
        read_weights("w.pt", oracles.net(0), print)
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); {_conversion(str(caught.value))}"
    subprocess.run([sys.executable, "-c", script], check=True)
    _assert_read("w-weights.pt")


def test_files_that_are_no_weights_are_refused() -> None:
    with pytest.raises(CheckpointError, match="no.pt: no such file of weights"):
        read_weights("no.pt", oracles.net(0), print)
    Path("text.pt").write_text("hello")
    with pytest.raises(CheckpointError, match="text.pt: not readable as weights"):
        read_weights("text.pt", oracles.net(0), print)
    Path("text.safetensors").write_text("hello")
    with pytest.raises(CheckpointError, match="text.safetensors: no whole safetensors file"):
        read_weights("text.safetensors", oracles.net(0), print)
    torch.save({"epoch": 3, "stats": {"a": 1}}, "w.pt")
    with pytest.raises(CheckpointError, match="no state dict found; it has epoch, stats; name the entry as w.pt:KEY"):
        read_weights("w.pt", oracles.net(0), print)
    with pytest.raises(CheckpointError, match="no entry 'emma'; there is epoch, stats"):
        read_weights("w.pt:emma", oracles.net(0), print)
