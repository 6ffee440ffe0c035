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
    torch.save(_under(prefix, STATE), "w.pt")
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


OTHER = oracles.net(8).state_dict()


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("rest", "left_out"),
    [
        ({"criterion.weight": torch.ones(2)}, "criterion.weight"),
        ({"head.weight": torch.ones(2, 2), "head.bias": torch.ones(2)}, "head.weight, head.bias"),
        ({"queue": torch.zeros(3, 3), "temperature": torch.zeros(())}, "queue, temperature"),
    ],
)
@pytest.mark.parametrize("prefix", ["model.", "encoder_q.", "student.backbone."])
def test_the_models_names_are_found_under_one_prefix_among_others(prefix: str, rest: Any, left_out: str) -> None:
    torch.save({"state_dict": {**rest, **_under(prefix, STATE)}}, "w.pt")
    _assert_read("w.pt", said=[f"w.pt: took the weights under {prefix[:-1]}, left out {left_out}"])


@pytest.mark.parametrize(
    "key", ["encoder_q", "module.encoder_q", "state_dict.module.encoder_q", "state_dict.encoder_q"]
)
def test_a_key_may_be_a_prefix_of_names(key: str) -> None:
    weights = {
        **_under("module.encoder_k.", OTHER),
        **_under("module.encoder_q.", STATE),
        "module.queue": torch.ones(2),
    }
    torch.save({"epoch": 3, "state_dict": weights}, "w.pt")
    _assert_read(f"w.pt:{key}")


def test_two_sets_of_weights_that_fit_are_refused_unless_they_are_equal() -> None:
    torch.save({**_under("a.", STATE), **_under("b.", OTHER)}, "w.pt")
    with pytest.raises(
        CheckpointError, match="w.pt holds several sets of weights that fit the model; name one, as w.pt:a or w.pt:b"
    ):
        read_weights("w.pt", oracles.net(0), print)
    _assert_read("w.pt:a")
    torch.save({**_under("a.", STATE), **_under("b.", STATE)}, "w.pt")
    got = read_weights("w.pt", oracles.net(0), lambda _line: None)
    assert torch.equal(got["fc.weight"], STATE["fc.weight"])


def test_a_layer_of_the_right_shape_is_not_taken_for_the_model() -> None:
    torch.save(nn.Sequential(nn.Linear(3, 4), nn.Linear(3, 2)).state_dict(), "w.pt")
    with pytest.raises(
        CheckpointError, match=r"0.weight is not in the model.*name the entry of its weights as FILE:KEY"
    ):
        read_weights("w.pt", nn.Linear(3, 2), print)
    assert sorted(read_weights("w.pt:1", nn.Linear(3, 2), print)) == ["bias", "weight"]


def test_a_wrapper_around_the_saved_network_gets_its_prefix() -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = oracles.net(0)

    torch.save(STATE, "w.pt")
    lines: list[str] = []
    got = read_weights("w.pt", Wrapper(), lines.append)
    assert torch.equal(got["net.fc.weight"], STATE["fc.weight"])
    assert lines == ["w.pt: put net. before the names"]


@pytest.mark.parametrize("names", [("total_ops", "total_params"), ("flops",)])
def test_counters_of_a_profiler_are_left_out(names: tuple[str, ...]) -> None:
    counters = {f"{at}{name}": torch.zeros(1, dtype=torch.float64) for at in ("", "bn.", "fc.") for name in names}
    torch.save({**STATE, **counters}, "w.pt")
    more = f" and {len(counters) - 4} more" if len(counters) > 4 else ""
    _assert_read("w.pt", said=[f"w.pt: left out {', '.join(list(counters)[:4])}{more}, the counters of a profiler"])


def test_single_numbers_of_layers_are_not_counters() -> None:
    """ReZero's gains are single numbers of modules too, and change what the network computes."""
    torch.save({**STATE, "bn.gain": torch.ones(1), "fc.gain": torch.ones(1)}, "w.pt")
    with pytest.raises(
        CheckpointError, match=r"bn.gain is not in the model; fc.gain .*; everything else fits.*strict=False"
    ):
        read_weights("w.pt", oracles.net(0), print)


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        (lambda model: {"model": model, "epoch": 7}, ""),
        (lambda model: {"state": {"nets": {"best": model}}, "args": argparse.Namespace(lr=1)}, ":state.nets.best"),
        (lambda model: [oracles.net(1), model], ":1"),
        (lambda model: {"generator": model, "note": "x"}, ""),
    ],
)
def test_a_conversion_keeps_the_modules_at_any_depth(tree: Any, key: str) -> None:
    torch.save(tree(oracles.net(7)), "w.pt")
    with pytest.raises(CheckpointError, match="w.pt holds a") as caught:
        read_weights("w.pt", oracles.net(0), print)
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); {_conversion(str(caught.value))}"
    subprocess.run([sys.executable, "-c", script], check=True)
    _assert_read(f"w-weights.pt{key}")


def test_wrappers_names_that_hide_a_difference_are_refused() -> None:
    torch.save({**STATE, "module.fc.weight": torch.ones(3, 144)}, "w.pt")
    with pytest.raises(CheckpointError, match=r"two different fc.weight, once the names of wrappers .* are dropped"):
        read_weights("w.pt", oracles.net(0), print)


def test_a_folder_names_the_file_in_it() -> None:
    Path("run").mkdir()
    with pytest.raises(CheckpointError, match="run is a folder; it holds no file of weights"):
        read_weights("run", oracles.net(0), print)
    save_file(STATE, "run/model.safetensors")
    with pytest.raises(CheckpointError, match="run is a folder; name a file in it: run/model.safetensors"):
        read_weights("run", oracles.net(0), print)
