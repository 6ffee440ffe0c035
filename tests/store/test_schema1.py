"""Baseline: files that version 0.1.0 wrote, and values that h5py printed of them then, typed in here by hand.

``schema1.h5`` is a surface with random directions, two spectra and a Hessian map; ``schema1-path.h5`` a curve between
two models with a mark, an audit and a trajectory; ``schema1-curvature.h5`` the curvature of one checkpoint.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from surfaceviz import store
from surfaceviz.errors import SchemaError, UnverifiedFileWarning
from surfaceviz.records import Audit, TensorEntry

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*nothing vouches for its values:surfaceviz.errors.UnverifiedFileWarning"
)

DATA = Path(__file__).parents[1] / "data"
SURFACE, CURVE, TRAINING = (DATA / f"schema1{end}.h5" for end in ("", "-path", "-curvature"))


@pytest.mark.parametrize("path", [SURFACE, CURVE])
def test_a_file_without_a_checksum_is_read_with_a_word(path: Path) -> None:
    with pytest.warns(
        UnverifiedFileWarning, match=f"{path.name}: nothing vouches .* has no checksum, as it is of an ea"
    ):
        store.read(path)


def test_the_surface_of_schema_1_is_read() -> None:
    surface = store.read(SURFACE)
    assert [axis.tolist() for axis in surface.axes] == [[-1.0, 0.0, 1.0], [-0.5, 0.0, 0.5]]
    assert list(surface.values) == ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    assert list(surface.stderr) == sorted(surface.values)
    assert surface.values["train_loss"][1, 1] == 0.005622483423729088
    assert surface.values["train_loss"].dtype == np.float64
    assert surface.centre == {
        "train_loss": 0.005622483423729088, "train_accuracy": 1.0, "test_loss": 0.03551402773276768,
        "test_accuracy": 1.0,
    }  # fmt: skip
    assert (str(surface.origin.dtype), surface.origin.tolist()) == ("uint8", [[1, 1, 1]] * 3)
    assert surface.audit == Audit(tolerance=0.05, count=0, over=0, share_upper95=0.0, worst=0.0, confidence=0.975)
    noted = [surface.provenance[key] for key in ("problem", "samples", "tolerance", "cosine", "surfaceviz")]
    assert noted == ["mlp-digits", 50, 0.05, 0.04396474208498328, "0.1.0"]
    assert [type(value) for value in noted] == [str, int, float, float, str]


def test_the_directions_of_schema_1_are_read() -> None:
    first, second = store.read(SURFACE).directions
    assert (first.kind, first.seed, first.normalise, first.ignore, first.source) == (
        "random", 0, "filter", "biasbn", None,
    )  # fmt: skip
    assert first.sha256 == "020bff6b9e4ce3501e9811b1f93b929475d079c6c47934c8f0c029bc9fdc8693"
    assert second.sha256 == "9ea1ec6e1eb6a99b7f3844073c78de311d18979a35f389c74130d9315a36d0f0"
    assert first.rule["1.weight"] == "Linear: axis 0; stays"
    assert first.layout[:2] == (TensorEntry("1.weight", (32, 64), False), TensorEntry("1.bias", (32,), False))
    tensors = store.read_directions(SURFACE)
    assert [{name: (array.shape, str(array.dtype)) for name, array in each.items()} for each in tensors] == [
        {"5.weight": ((10, 32), "float32")}
    ] * 2


def test_the_spectra_of_schema_1_are_read() -> None:
    theta, other = store.read(SURFACE).spectra
    assert (theta.place, other.place) == ((0.0, 0.0), (0.5, 0.25))
    assert (theta.trace, theta.trace_stderr, theta.probes) == (2.662259145038386, 0.055052423880921304, 3)
    assert (theta.kind, theta.operator, theta.parameters) == ("not a critical point", "hessian", "5.*")
    assert (theta.dimension, theta.bottom, theta.products, theta.normalised) == (330, 2, 81, False)
    assert (theta.negative_share, theta.expected, theta.step, theta.notes) == (0.0, None, None, ())
    assert theta.lambda_max == theta.norm == 0.8928391062270505
    assert theta.converged.tolist() == [True] * 5
    assert theta.density is not None
    assert theta.density.nodes.shape == theta.density.weights.shape == (3, 8)
    assert theta.layers is not None
    assert (theta.layers.names, theta.layers.sizes.tolist()) == (("5.bias", "5.weight"), [10, 320])
    assert theta.layers.sizes.dtype == np.int64
    assert theta.along is not None
    assert theta.along.shape == (2, 2)


def test_the_hessian_map_of_schema_1_is_read() -> None:
    found = store.read(SURFACE).hessian_map
    assert found is not None
    assert [axis.tolist() for axis in found.axes] == [[-1.0, 0.0, 1.0], [-0.5, 0.0, 0.5]]
    assert found.lambda_max.shape == found.residual_min.shape == (3, 3)
    assert (str(found.products.dtype), int(found.products.sum())) == ("int64", 270)
    assert found.provenance == {
        "batch": 50, "block": 1, "dtype": "float32", "normalised": 0, "operator": "hessian", "parameters": "5.*",
        "rtol": 0.01, "samples": 50, "seed": 0, "split": "train", "start": "neighbour",
    }  # fmt: skip


def test_the_curve_of_schema_1_is_read() -> None:
    curve = store.read(CURVE)
    assert (curve.shape, curve.evaluated) == ((401,), 89)
    (direction,) = curve.directions
    assert (direction.kind, direction.source, direction.seed) == ("difference", "moved.safetensors", None)
    assert store.read_directions(CURVE) == [{}]
    (mark,) = curve.marks
    assert (mark.name, mark.coordinates) == ("moved.safetensors", (1.0,))
    assert sorted(mark.values) == ["test_accuracy", "test_loss", "train_accuracy", "train_loss"]
    assert curve.audit == Audit(
        tolerance=0.05, count=56, over=0, share_upper95=0.0673076923076923, worst=0.017129953051881953, confidence=0.975
    )
    path = curve.trajectory
    assert path is not None
    assert path.coordinates.tolist() == [[1.0], [0.5], [0.125]]
    assert path.step.tolist() == [0.0, 10.0, 25.0]
    assert path.distance[:2].tolist() == [0.0, 0.25]
    assert math.isnan(path.distance[2])
    assert path.values["train_loss"].tolist() == [3.0, 2.0, 1.5]
    assert path.provenance == {"centred": "theta", "explained_variance": 0.75, "random_walk": 1}


def test_the_curvature_of_schema_1_is_read() -> None:
    curvature = store.read_curvature(TRAINING)
    assert (curvature.title, curvature.provenance["learning_rate"]) == ("mlp-digits", 0.05)
    (spectrum,) = curvature.spectra
    assert (spectrum.source, spectrum.step, spectrum.place) == ("moved.safetensors", 0.0, ())
    assert (spectrum.trace, spectrum.norm, spectrum.samples) == (6.74561184941862, 4.035385687952088, 50)
    assert spectrum.weights_sha256.startswith("8b9ddc5592bd")
    assert len(spectrum.eigenvalues) == 3
    assert (spectrum.density, spectrum.layers, spectrum.along, spectrum.weight_decay) == (None,) * 4


def _contents(path: Path) -> dict[str, Any]:
    """Return names, shapes, types and bytes of all that a file holds, but HDF5's own references between data sets."""
    found: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        found[name] = None if isinstance(item, h5py.Group) else (item.dtype, np.asarray(item[()]).tolist())
        for key in item.attrs:
            if key not in ("REFERENCE_LIST", "DIMENSION_LIST"):
                value = item.attrs[key]
                found[f"{name}@{key}"] = (type(value), item.attrs.get_id(key).dtype, value)

    with h5py.File(path) as file:
        note("/", file)
        file.visititems(note)
    return found


@pytest.mark.parametrize("path", [SURFACE, CURVE], ids=["surface", "curve"])
def test_a_slice_of_schema_1_is_written_again_as_it_was(path: Path) -> None:
    store.write(Path("again.h5"), store.read(path), store.read_directions(path))
    np.testing.assert_equal(_contents(Path("again.h5")), _contents(path))


def test_curvature_of_schema_1_is_written_again_as_it_was() -> None:
    store.write_curvature(Path("again.h5"), store.read_curvature(TRAINING))
    np.testing.assert_equal(_contents(Path("again.h5")), _contents(TRAINING))


def test_a_field_that_a_file_lacks_has_its_default_unless_it_has_none() -> None:
    Path("old.h5").write_bytes(SURFACE.read_bytes())
    with h5py.File("old.h5", "a") as file:
        del file["spectra/0"].attrs["beyond"]
        del file["directions/0"].attrs["seed"]
    surface = store.read("old.h5")
    assert (surface.spectra[0].beyond, surface.directions[0].seed) == (0.0, None)
    with h5py.File("old.h5", "a") as file:
        del file["spectra/0"].attrs["norm"]
    with pytest.raises(SchemaError, match="old.h5: no whole surfaceviz file .KeyError: .*norm"):
        store.read("old.h5")
