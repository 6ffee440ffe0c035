"""Baseline: the captured function called without torch.compile; what torch passes over is set by hand."""

from __future__ import annotations

from types import CodeType
from typing import Any

import pytest
import torch
from torch._dynamo import convert_frame, eval_frame

from surfaceviz.evaluate.captured_graph import capture_graph


def _line(state: Any, batch: Any) -> Any:
    return {"loss": (state["w"] * batch[0]).sum()}


@pytest.mark.parametrize("times", [0, 1])
def test_code_that_torch_takes_for_generated_code_is_captured_by_another_object(
    times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address in `output_codes` may be that of code that was freed; torch then runs the function as it is."""
    seen: list[int] = []

    class Stale:
        def __contains__(self, code: CodeType) -> bool:
            if code.co_name == "one" and id(code) not in seen and len(seen) < times:
                seen.append(id(code))
            return id(code) in seen

        def add(self, code: CodeType) -> None: ...

    monkeypatch.setattr(convert_frame, "output_codes", Stale())
    state, batch = {"w": torch.tensor([2.0, 3.0])}, (torch.tensor([4.0, 5.0]),)
    captured = capture_graph(_line, lambda module, _examples: module.forward, state, batch)
    assert len(seen) == times
    assert float(captured.result["loss"]) == float(_line(state, batch)["loss"])
    assert captured.sources is not None
    assert sorted(map(str, captured.sources)) == ["0", "w"]


def test_a_stance_that_was_left_behind_does_not_keep_a_function_from_being_captured() -> None:
    """`torch.compiler.set_stance` sets its stance when it is made, so that an exception before `with` leaves it."""
    state, batch = {"w": torch.tensor([2.0, 3.0])}, (torch.tensor([4.0, 5.0]),)
    left = torch.compiler.set_stance("force_eager")
    try:
        captured = capture_graph(_line, lambda module, _examples: module.forward, state, batch)
        assert eval_frame._stance.stance == "force_eager"  # given back
    finally:
        left.__exit__(None, None, None)
    assert captured.outputs
    assert float(captured.result["loss"]) == float(_line(state, batch)["loss"])
