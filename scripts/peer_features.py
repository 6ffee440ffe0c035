"""What each library does, found out by running it on a small network. `bench_peers.py` prints the table.

A check returns whether the library does it, and raises where the library does. No check reads a library's code or text:
one that finds no such function fails with the line that Python prints.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peer_slices import Task
from torch import Tensor, nn

import surfaceviz
from surfaceviz.problem.problem import Problem

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
Shape = tuple[int, ...]
_SHAPE = (5, 5)


def cross_entropy(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the mean loss."""
    return nn.functional.cross_entropy(model(x), y)


def cut(library: str, task: Task, loss: Loss, shape: Shape = _SHAPE, **options: Any) -> NDArray[np.float64]:
    """Return a plane of a loss by a library; ``options`` are passed to its function as they are."""
    with torch.no_grad():
        if library == "surfaceviz":
            return np.asarray(_surface(task, loss, shape, **options).values["train_loss"])
        return {"loss-landscapes": _plane, "landscaper": _landscape, "loss-landscape-3d": _grid}[library](
            task, loss, shape, **options
        )


def _surface(task: Task, loss: Loss, shape: Shape, **options: Any) -> Any:
    def measure(model: nn.Module, batch: Any) -> dict[str, Any]:
        return {"loss": (loss(model, *batch) * len(batch[1]), len(batch[1]))}

    problem = Problem(task.model, (task.x, task.y), measure=measure)
    given = {"workers": 1, "device": "cpu", "engine": "eager", "reporter": surfaceviz.QuietReporter(), **options}
    return surfaceviz.slice(problem, [(-1, 1, count) for count in shape], **given)


def _plane(task: Task, loss: Loss, shape: Shape, **options: Any) -> NDArray[np.float64]:
    import loss_landscapes  # noqa: PLC0415  each child imports its own
    from loss_landscapes.metrics import Metric  # noqa: PLC0415

    class Given(Metric):  # type: ignore[misc]
        def __call__(self, wrapper: Any) -> float:
            return float(loss(wrapper.modules[0], task.x, task.y))

    steps = shape[0] if len(set(shape)) == 1 else shape
    return np.asarray(loss_landscapes.random_plane(task.model, Given(), steps=steps, **options))


def _landscape(task: Task, loss: Loss, shape: Shape, **options: Any) -> NDArray[np.float64]:
    from landscaper import LossLandscape  # noqa: PLC0415
    from landscaper.utils import generate_random_orthogonal_directions  # noqa: PLC0415

    steps = shape[0] if len(set(shape)) == 1 else shape
    found = LossLandscape.compute(
        task.model,
        task,
        generate_random_orthogonal_directions(task.model, 2),
        lambda model, data: float(loss(model, data.x, data.y)),
        steps=steps,
        distance=1.0,
        dim=2,
        device="cpu",
        **options,
    )
    return np.asarray(found.loss)


def _grid(task: Task, loss: Loss, shape: Shape, **options: Any) -> NDArray[np.float64]:
    from loss_landscape_3d import LossLandscapeCalculator, generate_random_directions  # noqa: PLC0415

    criterion = lambda _outputs, y: loss(task.model, task.x, y)  # noqa: E731
    calculator = LossLandscapeCalculator(task.model, [(task.x, task.y)], criterion)
    centre = {name: value.clone() for name, value in task.model.state_dict().items()}
    axes = [np.linspace(-1, 1, count) for count in shape]
    return np.asarray(calculator.calculate(*axes, *generate_random_directions(task.model), centre, **options))


def exact_centre(library: str) -> bool:
    """Return whether the middle of the plane is the loss of the network as it was given, to 1e-5."""
    task = Task.of("mlp-digits:100")
    whole = float(cross_entropy(task.model, task.x, task.y).detach())
    return abs(float(cut(library, task, cross_entropy)[2, 2]) / whole - 1) < 1e-5


def filters_normalised(library: str) -> bool:
    """Return whether each filter of a direction is as long as the network's filter, up to one factor for all."""
    task = Task.of("cnn-digits:50")
    weights = dict(task.model.named_parameters())
    rows: dict[str, Tensor]
    if library == "surfaceviz":
        curve = surfaceviz.slice(
            task.problem, [(-1, 1, 3)], workers=1, device="cpu", reporter=surfaceviz.QuietReporter()
        )
        rows = surfaceviz.directions_of(curve, problem=task.problem)[0]
    elif library == "loss-landscapes":
        from loss_landscapes.model_interface.model_parameters import ModelParameters, rand_u_like  # noqa: PLC0415

        centre = ModelParameters(list(weights.values()))
        direction = rand_u_like(centre)
        direction.filter_normalize_(centre)
        rows = {name: direction[k] for k, name in enumerate(weights)}
    elif library == "landscaper":
        from landscaper.compute import normalize_direction  # noqa: PLC0415
        from landscaper.utils import generate_random_orthogonal_directions  # noqa: PLC0415

        random = generate_random_orthogonal_directions(task.model, 1)[0]
        rows = dict(zip(weights, normalize_direction(random, list(weights.values())), strict=True))
    else:
        from loss_landscape_3d import generate_random_directions  # noqa: PLC0415

        rows = generate_random_directions(task.model)[0]
    ratios = torch.cat([
        (rows[name].detach().flatten(1).norm(dim=1) / weights[name].detach().flatten(1).norm(dim=1)).double()
        for name in rows if name in weights and weights[name].ndim > 1
    ])  # fmt: skip
    return bool((ratios / ratios.mean() - 1).abs().max() < 1e-4)


def statistics_kept(library: str) -> bool:
    """Return whether batch norms have their trained statistics at every point."""
    task = Task.of("cnn-digits:50")
    norms = [m for m in task.model.modules() if isinstance(m, nn.BatchNorm2d)]
    trained = [m.running_mean.clone() for m in norms if m.running_mean is not None]
    seen: list[bool] = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        means = [
            m.running_mean for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.running_mean is not None
        ]
        seen.append(all(torch.allclose(a, b.to(a.dtype)) for a, b in zip(means, trained, strict=True)))
        return cross_entropy(model, x, y)

    cut(library, task, loss)
    return len(seen) >= 25 and all(seen)


def model_kept(library: str) -> bool:
    """Return whether the network is as before afterwards: weights, buffers, and training mode."""
    task = Task.of("cnn-digits:50")
    task.model.train()
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    cut(library, task, cross_entropy)
    after = task.model.state_dict()
    return task.model.training and all(torch.equal(value, after[name]) for name, value in before.items())


def repeated(library: str) -> bool:
    """Return whether a second call after the same `torch.manual_seed` gives the same plane bit for bit."""

    def plane() -> NDArray[np.float64]:
        torch.manual_seed(3)
        return cut(library, Task.of("mlp-digits:100"), cross_entropy)

    return bool(np.array_equal(plane(), plane()))


def not_finite_told(library: str) -> bool:
    """Return whether points at which the loss is NaN are NaN in the plane."""
    task = Task.of("mlp-digits:100")
    centre = next(task.model.parameters()).detach().clone()

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        far = (next(model.parameters()).detach() - centre).norm() > 0.5 * centre.norm()
        return cross_entropy(model, x, y) * (torch.nan if far else 1.0)

    return 0 < int(np.isnan(cut(library, task, loss)).sum()) < 25


def values_kept(library: str) -> bool:
    """Return whether every value of the plane is one that the loss returned."""
    returned = []

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        returned.append(float(cross_entropy(model, x, y)))
        return torch.as_tensor(returned[-1], dtype=torch.float64)

    plane = cut(library, Task.of("mlp-digits:100"), loss)
    return all(np.isclose(returned, value, rtol=1e-9).any() for value in plane.flat)


def oblong(library: str) -> bool:
    """Return whether a grid may have 5 x 3 points."""
    return cut(library, Task.of("mlp-digits:100"), cross_entropy, (5, 3)).shape == (5, 3)


def two_processes(library: str) -> bool:
    """Return whether a second process may help, with the same result."""
    task = Task.of("mlp-digits:100")
    torch.manual_seed(3)
    alone = cut(library, task, cross_entropy)
    torch.manual_seed(3)
    return bool(np.array_equal(alone, cut(library, task, cross_entropy, workers=2)))


def resumed(library: str) -> bool:
    """Return whether the same call, after SIGINT at 180 of 225 points, evaluates less than 120 points."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in a job of a shell
    counts = [0]

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        counts[-1] += 1
        if len(counts) == 1 and counts[0] == 180:
            signal.raise_signal(signal.SIGINT)
        return cross_entropy(model, x, y)

    with TemporaryDirectory() as folder:
        options = {"output": Path(folder) / "s.h5"} if library == "surfaceviz" else {}
        try:
            cut(library, Task.of("mlp-digits:100"), loss, (15, 15), **options)
        except KeyboardInterrupt:
            counts.append(0)
        cut(library, Task.of("mlp-digits:100"), loss, (15, 15), **options)
    return len(counts) == 2 and counts[1] < 120


def page(library: str) -> bool:
    """Return whether there is a page to turn the surface on, which asks for nothing from the network."""
    task = Task.of("mlp-digits:100")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        if library == "surfaceviz":
            surfaceviz.report(_surface(task, cross_entropy, _SHAPE), output=path)
        elif library == "loss-landscape-3d":
            from loss_landscape_3d import LossLandscapeVisualizer  # noqa: PLC0415

            axis = np.linspace(-1, 1, 5)
            LossLandscapeVisualizer(axis, axis, cut(library, task, cross_entropy)).plot_3d_plotly(save_path=str(path))
        elif library == "landscaper":
            import landscaper.plots as module  # noqa: PLC0415

            module.write_html(cut(library, task, cross_entropy), path)
        else:
            import loss_landscapes as module  # noqa: PLC0415

            module.write_html(cut(library, task, cross_entropy), path)
        text = path.read_text()
    return "<script" in text and 'src="http' not in text


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a user may want, and a check of each library."""

    title: str
    check: Callable[[str], bool]


FEATURES = (
    Feature("the middle is the network's own loss, to 1e-5", exact_centre),
    Feature("random directions normalised by filters", filters_normalised),
    Feature("batch norms keep their statistics at every point", statistics_kept),
    Feature("the network is as before afterwards, its mode too", model_kept),
    Feature("the same seed gives the same plane", repeated),
    Feature("NaN stays NaN", not_finite_told),
    Feature("every value is one that the loss returned", values_kept),
    Feature("5 x 3 points", oblong),
    Feature("two processes, same values", two_processes),
    Feature("a run that stopped half-way is resumed", resumed),
    Feature("a page to turn the surface, without network", page),
)
