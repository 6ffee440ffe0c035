"""Baseline: losses, dense Hessians and lines computed with torch in float64; runs that were not interrupted."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import launchers
import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.comparison.table import interval_rows, notes_of, table_rows
from surfaceviz.errors import ProblemError, StoreError
from surfaceviz.pipeline.compare import measure
from surfaceviz.pipeline.compare.judge import judge
from surfaceviz.pipeline.compare.outputs import comparison_page, write_outputs
from surfaceviz.pipeline.compare.stored import read_verdicts
from surfaceviz.records import ComparedNetwork, Comparison, NetworkGauge, Verdict
from surfaceviz.render.comparison.comparison_figure import draw_comparison
from surfaceviz.store.comparison import read_comparison

_FACTORY = """
import torch
from torch import nn
from torch.nn import functional
import surfaceviz

def data(count=96, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=generator)
    return x, (x[:, 0] + x[:, 1] * x[:, 2] > 0).long()

def network(seed, steps=300):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    x, y = data()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    return model

def problem(model, count=96):
    x, y = data()
    return surfaceviz.Problem(model, {"train": (x[:count], y[:count]), "test": data(64, seed=2)}, "cross_entropy")

def first(): return problem(network(0))
def second(): return problem(network(1, steps=60))
def renamed():
    x, y = data()
    return surfaceviz.Problem(network(1), {"fit": (x, y)}, "cross_entropy")

def three_classes():
    torch.manual_seed(0)
    x, _ = data()
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    return surfaceviz.Problem(model, {"train": (x, torch.arange(96) % 3)}, "cross_entropy")

def fewer(): return problem(network(1), count=80)

def rescaled():
    model = network(0)
    with torch.no_grad():
        factor = torch.logspace(-1, 1, 8)
        model[0].weight.mul_(factor[:, None]); model[0].bias.mul_(factor); model[2].weight.div_(factor)
    return problem(model)
"""
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*lie lower than the centre"),
    pytest.mark.filterwarnings("ignore:.*every verdict on them will be 'not comparable'"),
]

_QUICK: dict[str, Any] = {"directions": 6, "axes": ["-0.5:0.5:7", "-0.5:0.5:5"], "quick": True, "workers": 1}


@pytest.fixture(autouse=True)
def _factory() -> None:
    Path("small.py").write_text(_FACTORY)


@pytest.fixture(scope="module")
def pair_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the file of `pair`."""
    return tmp_path_factory.mktemp("pair") / "c.h5"


@pytest.fixture(scope="module")
def pair(pair_file: Path) -> Comparison:
    """The quick comparison of both networks, which several tests read."""
    folder = pair_file.parent
    (folder / "small.py").write_text(_FACTORY)
    targets = [f"{folder}/small.py:{name}" for name in ("first", "second")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return surfaceviz.compare(*targets, **{**_QUICK, "directions": 100, "output": pair_file})


def _compare(*targets: str, **options: Any) -> Comparison:
    return surfaceviz.compare(*targets, **{**_QUICK, "output": "c.h5", **options})


def _module() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(_FACTORY, "small.py", "exec"), names)  # noqa: S102  our own text
    return names


def _loss(model: nn.Module, state: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(functional_call(model, state, (x,)), y)


def test_function_measures_are_means_in_float64(pair: Comparison) -> None:
    found = pair.networks[0]
    names = _module()
    model = names["network"](0).double()
    x, y = names["data"]()
    logits = model(x.double())
    losses = functional.cross_entropy(logits, y, reduction="none").detach().numpy()
    assert found.measures["loss"] == pytest.approx(losses, rel=1e-9)
    assert found.measures["accuracy"].mean() == float((logits.argmax(1) == y).double().mean())


def _dense_hessian() -> torch.Tensor:
    """Return the Hessian of the first network's loss, in float64."""
    names = _module()
    model = names["network"](0).double()
    x, y = names["data"]()
    shapes = {name: p.shape for name, p in model.named_parameters()}
    theta = torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = vector.split([math.prod(shape) for shape in shapes.values()])
        state = {name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}
        return _loss(model, state, x.double(), y)

    return torch.as_tensor(torch.autograd.functional.hessian(loss, theta))


def test_lambda_max_and_its_parts_are_those_of_the_dense_hessian(pair: Comparison) -> None:
    found = pair.networks[0].measures["lambda_max"]
    dense = _dense_hessian()
    assert len(found) == 48  # pairs of the 96 samples
    assert found.mean() == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-5)


def test_rises_have_the_mean_of_many_draws_of_other_random_numbers(pair: Comparison) -> None:
    found = pair.networks[0].measures["rise_0.1"]
    names = _module()
    model, generator = names["network"](0).double(), torch.Generator().manual_seed(11)
    x, y = names["data"]()
    theta = {name: p.detach() for name, p in model.named_parameters()}
    rises = []
    with torch.no_grad():
        here = float(_loss(model, theta, x.double(), y))
        for _ in range(2000):
            moved = {}
            for name, p in theta.items():  # rows are filters; each bias is one of its own
                rows = p.reshape(len(p), -1)
                z = torch.randn(rows.shape, generator=generator, dtype=torch.float64)
                scale = rows.norm(dim=1, keepdim=True) / math.sqrt(rows.shape[1])
                moved[name] = p + (0.1 * scale * z).reshape(p.shape)
            rises.append(float(_loss(model, moved, x.double(), y)) - here)
    error = math.hypot(np.std(rises) / math.sqrt(len(rises)), found.std(ddof=1) / math.sqrt(len(found)))
    assert abs(found.mean() - np.mean(rises)) < 4 * error
    assert error < 0.15 * found.mean()


@pytest.mark.slow
def test_a_rescaled_copy_is_never_called_flatter() -> None:
    found = _compare("small.py:first", "small.py:rescaled", quick=False, directions=12)
    by_measure = {each.measure: each for each in found.pairs[0].verdicts}
    raw = by_measure["lambda_max"].raw
    assert raw is not None
    assert abs(raw.estimate) > 0.5, "the copy should look different"
    assert all(each.gauge is not None for each in by_measure.values() if each.raw is not None and each.raw.is_known)
    assert not [key for key, each in by_measure.items() if each.kind == "supported"]
    assert by_measure["loss"].kind == "equivalent"
    assert by_measure["lambda_max"].kind == "artefact of scale"


@pytest.mark.slow
def test_without_a_gauge_a_difference_of_scale_is_not_called_supported() -> None:
    found = _compare("small.py:first", "small.py:rescaled")
    by_measure = {each.measure: each for each in found.pairs[0].verdicts}
    assert by_measure["lambda_max"].kind == "undecided"
    assert "scale unchecked" in by_measure["lambda_max"].reasons
    assert not [key for key, each in by_measure.items() if each.kind == "supported"]


@pytest.mark.slow
def test_an_interrupted_comparison_resumes_to_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _compare("small.py:first", "small.py:second", output="whole.h5")
    calls: list[int] = []
    measured = measure.measures_at

    def stop_at_second(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measured(*arguments)

    monkeypatch.setattr("surfaceviz.pipeline.compare.measuring.measures_at", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        _compare("small.py:first", "small.py:second")
    assert [network.name for network in read_comparison("c-parts/0-measured.h5").networks] == ["small.py:first"]
    resumed = _compare("small.py:first", "small.py:second")
    assert len(calls) == 3, "the first network was measured again"
    for ours, theirs in zip(resumed.networks, whole.networks, strict=True):
        assert set(ours.measures) == set(theirs.measures)
        assert all(np.array_equal(ours.measures[key], theirs.measures[key]) for key in ours.measures)
    assert not Path("c-parts").exists()
    read = read_verdicts(Path("c.h5").absolute())
    assert [each.kind for each in read.pairs[0].verdicts] == [each.kind for each in whole.pairs[0].verdicts]
    for ours, theirs in zip(read.networks, whole.networks, strict=True):
        assert ours.plane is not None
        assert theirs.plane is not None
        assert np.array_equal(ours.plane.values["train_loss"], theirs.plane.values["train_loss"])


@pytest.mark.slow
def test_under_mpi_the_result_is_the_same() -> None:
    alone = _compare("small.py:first", "small.py:second", output="alone.h5")
    options = [
        "--quick",
        "--directions",
        "6",
        "--axis",
        "-0.5:0.5:7",
        "--axis",
        "-0.5:0.5:5",
        "-o",
        "c.h5",
        "--no-plot",
    ]
    command = ["-m", "surfaceviz", "compare", "small.py:first", "small.py:second", *options]
    code, out, errors = launchers.finish(launchers.start("openmpi", 2, command))
    assert code == 0, errors
    assert "expected rise, radius 0.1" in out
    together = read_comparison("c.h5")
    for ours, theirs in zip(together.networks, alone.networks, strict=True):
        assert ours.measures["rise_0.1"] == pytest.approx(theirs.measures["rise_0.1"], rel=1e-4)
        assert ours.measures["lambda_max"] == pytest.approx(theirs.measures["lambda_max"], rel=1e-6)


def test_slices_with_equal_axes_are_taken_as_they_are() -> None:
    for name in ("first", "second"):
        surfaceviz.slice(
            f"small.py:{name}", axes=["-0.4:0.4:5", "-0.4:0.4:7"], output=f"{name}.h5", splits="train", workers=1
        )
    found = _compare("first.h5", "second.h5", axes=None)
    kept = surfaceviz.read("first.h5")
    assert found.networks[0].plane is not None
    assert np.array_equal(found.networks[0].plane.values["train_loss"], kept.values["train_loss"])
    assert str(found.provenance["axis"]) == "-0.4:0.4:5"


@pytest.mark.slow
def test_several_checkpoints_of_one_problem_are_compared() -> None:
    names = _module()
    for seed in (0, 1):
        torch.save(names["network"](seed).state_dict(), f"{seed}.pt")
    found = _compare("small.py:first", weights=["0.pt", "1.pt"])
    assert [network.name for network in found.networks] == ["0", "1"]
    assert found.networks[0].weights_sha256 != found.networks[1].weights_sha256


@pytest.mark.slow
def test_groups_of_trainings_are_compared_by_welch() -> None:
    names = _module()
    for group, steps in (("long", 300), ("short", 40)):
        for seed in range(3):
            torch.save(names["network"](seed, steps).state_dict(), f"{group}-{seed}.pt")
    found = _compare(groups=["long=long-*.pt", "short=short-*.pt"], problem="small.py:first")
    loss = next(each for each in found.pairs[0].verdicts if each.measure == "loss").raw
    assert loss is not None
    x, y = names["data"]()
    models = [[names["network"](seed, steps).double() for seed in range(3)] for steps in (300, 40)]
    with torch.no_grad():
        means = [[math.log(float(functional.cross_entropy(m(x.double()), y))) for m in group] for group in models]
    assert loss.units == ("trainings",)
    assert loss.estimate == pytest.approx(np.mean(means[0]) - np.mean(means[1]), rel=1e-6)


def test_what_has_no_interval_and_what_was_left_out_is_said(pair: Comparison) -> None:
    notes = notes_of(pair)
    words = "no interval between two single trainings, as it is of one plane, and no other planes are cut"
    assert f"share of the plane that is not convex: {words}" in notes
    assert (
        "spectra and maps of |lambda_min / lambda_max| were left out, as --quick does; --map 5 computes them" in notes
    )


def test_a_measure_from_a_search_has_no_interval_and_says_why() -> None:
    network = ComparedNetwork(
        name="a", group="a", problem="p", weights_sha256="1", data_sha256="d", split="train", samples=10,
        measures={"m_sharpness": np.array(0.2), "phi": np.array(3.0)},
    )  # fmt: skip
    other = replace(network, name="b", group="b", measures={"m_sharpness": np.array(0.4), "phi": np.array(4.0)})
    found = Comparison(networks=(network, other), pairs=judge([network, other], gauge=False))
    assert all(each.raw is not None and not each.raw.is_known for each in found.pairs[0].verdicts)
    notes = [note for note in notes_of(found) if "no interval" in note]
    assert [note.partition(":")[0] for note in notes] == ["SAM's m-sharpness, rho 0.05", "Keskar's phi in %, eps 1e-3"]
    assert all("each a lower bound of a maximum" in note for note in notes)


def test_figure_page_and_table_show_every_verdict(pair: Comparison) -> None:
    paths = dict(write_outputs(pair, Path("c.h5").absolute(), warn=pytest.fail))
    assert {path.suffix for path in paths.values()} == {".h5", ".csv", ".pdf", ".html"}
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    table, text = Path("c.csv").read_text(), comparison_page(pair)
    for row in table_rows(pair.pairs[0]):
        assert row[0] in table
        assert row[0] in text


@pytest.mark.slow
def test_networks_on_other_samples_are_not_comparable() -> None:
    found = _compare("small.py:first", "small.py:fewer")
    assert {each.kind for each in found.pairs[0].verdicts} == {"not comparable"}
    assert found.pairs[0].verdicts[0].reasons[0] == "other samples"


def test_networks_with_other_losses_are_not_comparable() -> None:
    network = ComparedNetwork(
        name="a", group="a", problem="p", weights_sha256="1", data_sha256="d", split="train", samples=10,
        loss="cross_entropy", measures={"loss": np.array(1.0)},
    )  # fmt: skip
    other = replace(network, name="b", group="b", loss="mse")
    (verdict,) = judge([network, other], gauge=False)[0].verdicts
    assert (verdict.kind, verdict.reasons[0]) == ("not comparable", "other loss")


def test_a_centre_from_which_the_loss_falls_is_no_minimum() -> None:
    network = ComparedNetwork(
        name="a", group="a", problem="p", weights_sha256="1", data_sha256="d", split="train", samples=10,
        measures={"loss": np.array(1.0), "rise_0.05": np.array([-0.1, -0.11, -0.09])},
    )  # fmt: skip
    other = replace(network, name="b", group="b", measures={**network.measures, "rise_0.05": np.array([0.1, 0.2, 0.1])})
    verdicts: tuple[Verdict, ...] = judge([network, other], gauge=False)[0].verdicts
    assert {each.kind for each in verdicts} == {"not comparable"}
    assert all("no minimum" in each.reasons for each in verdicts)


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (["small.py:first"], {}, "got 1 to compare; give two or more"),
        (["small.py:first", "small.py:first"], {}, "got 'small.py:first' 2 times"),
        ([], {"groups": ["a=none-*.pt", "b=none-*.pt"]}, "group a: none-.* matches 0 trainings"),
        ([], {"groups": ["plain"]}, "group: got 'plain'; expected NAME=PATTERN"),
        (["small.py:first", "small.py:second"], {"weights": "a.pt"}, "weights belong to one problem; got 2 targets"),
        (["small.py:first", "small.py:second"], {"axes": ["-1:1:5"]}, "planes have 2 axes, got 1"),
        (["small.py:first", "small.py:second"], {"directions": 1}, "directions must be at least 2, got 1"),
    ],
)
def test_bad_options_get_one_line(targets: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _compare(*targets, **options)


def test_other_commands_know_the_file(pair_file: Path, pair: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["info", str(pair_file)]) == 0
    printed = capsys.readouterr().out
    assert all(row[0] in printed for row in table_rows(pair.pairs[0]))
    assert cli.run(["plot", str(pair_file)]) == 1
    assert "holds a comparison, expected a slice; surfaceviz info prints it" in capsys.readouterr().err


@pytest.mark.slow
def test_other_weights_of_the_same_name_are_measured_again() -> None:
    names = _module()
    for name, seed in (("a", 0), ("b", 1)):
        torch.save(names["network"](seed).state_dict(), f"{name}.pt")
    before = _compare("small.py:first", weights=["a.pt", "b.pt"])
    torch.save(names["network"](2).state_dict(), "b.pt")
    after = _compare("small.py:first", weights=["a.pt", "b.pt"])
    assert np.array_equal(after.networks[0].measures["loss"], before.networks[0].measures["loss"])
    assert not np.array_equal(after.networks[1].measures["loss"], before.networks[1].measures["loss"])


def test_a_temperature_of_one_network_alone_is_no_common_gauge() -> None:
    measures = {"loss": np.full(4, 1.0), "rise_0.1": np.array([0.1, 0.11, 0.1, 0.12])}
    one = ComparedNetwork(
        name="a", group="a", problem="p", weights_sha256="1", data_sha256="d", split="train", samples=4,
        measures=measures, in_gauge=measures, gauge=NetworkGauge(temperature=2.0),
    )  # fmt: skip
    other = replace(one, name="b", group="b", gauge=NetworkGauge(reason="no held-out split"))
    verdicts = judge([one, other], gauge=True)[0].verdicts
    assert all("no gauge" in each.reasons for each in verdicts)
    assert all(each.gauge is None for each in verdicts)


def test_a_wrong_name_is_refused_before_the_work() -> None:
    with pytest.raises(ProblemError, match=r"small\.py has no function 'third'"):
        _compare("small.py:first", "small.py:third")
    assert not Path("c-parts").exists()


def test_a_file_of_something_else_and_one_of_other_options_are_kept() -> None:
    surfaceviz.slice("small.py:first", axes=["-1:1:3"], output="slice.h5", workers=1)
    before = Path("slice.h5").read_bytes()
    with pytest.raises(StoreError, match=r"slice\.h5 holds no comparison, and is kept"):
        _compare("small.py:first", "small.py:second", output="slice.h5")
    assert Path("slice.h5").read_bytes() == before
    _compare("small.py:first", "small.py:second")
    with pytest.raises(StoreError, match="holds a comparison with other options, which is kept"):
        _compare("small.py:first", "small.py:second", seed=3)


def test_spectra_and_maps_are_computed_drawn_and_resumed() -> None:
    found = _compare("small.py:first", "small.py:second", grid=3)
    dense = torch.linalg.eigvalsh(_dense_hessian()).numpy()
    plane = found.networks[0].plane
    assert plane is not None
    (spectrum,) = plane.spectra
    assert (spectrum.lambda_max, spectrum.lambda_min) == pytest.approx((dense[-1], dense[0]), rel=1e-3, abs=1e-4)
    assert spectrum.density is not None
    assert plane.hessian_map is not None
    assert plane.hessian_map.axes[0].tolist() == [-0.5, 0.0, 0.5]
    read = read_comparison("c.h5").networks[1].plane
    assert read is not None
    assert read.hessian_map is not None
    text = comparison_page(found)
    assert "lambda_min" in text
    assert "spectra, for the picture: on 96 samples" in notes_of(found)
    figure = draw_comparison(found, interval_rows(found.pairs[0]))
    labels = " ".join(ax.get_xlabel() + ax.get_ylabel() for ax in figure.get_axes() if ax.get_visible())
    assert "eigenvalue of H" in labels
    assert r"\lambda_{\min}" in labels


def test_a_users_plane_stays_as_it_is_where_its_curvature_is_computed() -> None:
    for name in ("first", "second"):
        surfaceviz.slice(
            f"small.py:{name}", axes=["-0.4:0.4:5", "-0.4:0.4:7"], output=f"{name}.h5", splits="train", workers=1
        )
    before = Path("first.h5").read_bytes()
    found = _compare("first.h5", "second.h5", axes=None, grid=3)
    assert Path("first.h5").read_bytes() == before
    assert found.networks[0].plane is not None
    assert found.networks[0].plane.hessian_map is not None


def test_splits_of_other_names_are_refused_before_the_work() -> None:
    with pytest.raises(ProblemError, match=r"first is of the split train, that of small.py:renamed of fit; name one"):
        _compare("small.py:first", "small.py:renamed")
    with pytest.raises(ProblemError, match=r"small.py:first has no split 'fit'; it has train, test. Name one of these"):
        _compare("small.py:first", "small.py:renamed", split="fit")
    assert not Path("c-parts").exists()


def test_other_classes_are_other_data_which_is_said_first() -> None:
    with pytest.warns(UserWarning, match="small.py:three_classes is on other data, samples or splits than small.py:fi"):
        found = _compare("small.py:first", "small.py:three_classes")
    assert {each.kind for each in found.pairs[0].verdicts} == {"not comparable"}
    assert {each.reasons[0] for each in found.pairs[0].verdicts} == {"other data"}


def test_a_metric_of_one_network_alone_has_no_row() -> None:
    network = ComparedNetwork(
        name="a", group="a", problem="p", weights_sha256="1", data_sha256="d", split="train", samples=10,
        measures={"loss": np.full(4, 1.0), "accuracy": np.ones(4)},
    )  # fmt: skip
    other = replace(network, name="b", group="b", measures={"loss": np.full(4, 1.0)})
    assert [each.measure for each in judge([network, other], gauge=False)[0].verdicts] == ["loss"]


def test_a_file_half_done_is_refused() -> None:
    for name in ("first", "second"):
        surfaceviz.slice(f"small.py:{name}", axes=["-0.4:0.4:5"] * 2, output=f"{name}.h5", splits="train", workers=1)
    whole = surfaceviz.read("first.h5")
    origin, values = whole.origin.copy(), whole.values["train_loss"].copy()
    origin[3:], values[3:] = 0, np.nan
    store.write(Path("half.h5"), replace(whole, origin=origin, values={**whole.values, "train_loss": values}))
    with pytest.raises(StoreError, match=r"half.h5 is not finished \(15 of 25 points\); run its command again"):
        _compare("half.h5", "second.h5")


def test_a_group_of_one_is_refused() -> None:
    names = _module()
    for seed in range(3):
        torch.save(names["network"](seed, 1).state_dict(), f"{seed}.pt")
    with pytest.raises(ValueError, match=r"group a: 0.pt matches 1 training; a group has two or more"):
        _compare(groups=["a=0.pt", "b=[12].pt"], problem="small.py:first")
    with pytest.raises(ValueError, match=r"small.py:first is one training, b a group of 2; trainings are the unit"):
        _compare("small.py:first", groups=["b=[12].pt"], problem="small.py:first")
