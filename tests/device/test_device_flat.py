"""Rows over one toolset or two run as one row: each gets what it gets alone, whoever comes and goes beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from device_helpers import lively, stored

from needle.device.engine import OnnxEngine, make_graph
from needle.device.flat import FlatStepper
from needle.device.graphs import DECODER
from needle.device.onnx_file import GraphWriter
from needle.device.stepper import OnnxStepper

TOOLS, OTHERS = list(range(100, 140)), list(range(300, 317))
REQUESTS = [list(range(500 + 20 * row, 503 + 21 * row)) for row in range(5)]
STEPS = ([[2]] * 5, [[11, 40, 41], [11], [11, 50], [12], [13, 14, 15, 16]], [[60], [61], [62], [63, 64], [65]])
LATER = ([3, 1, 0, 4], [1], [0])
"""Rows that stay (places among those before): nearly all, in another order; then one; and on."""


def _run(engine: OnnxEngine, rows: list[int], kind: type, toolset_of: list[int]) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Logits and attention of each step for these of the five rows; the rows that stay are followed as in the batch of all."""
    used = sorted({toolset_of[row] for row in rows})
    places = [used.index(toolset_of[row]) for row in rows]
    stepper = engine.stepper([(TOOLS, OTHERS)[number] for number in used], [REQUESTS[row] for row in rows], places, True)
    assert type(stepper) is kind
    found = []
    for tokens in STEPS:
        logits = stepper.step([tokens[row] for row in rows])
        found.append((logits, stepper.alignment))
    live = list(range(5))
    for number, stay in enumerate(LATER):
        live = [live[place] for place in stay]
        if len(rows) > 1:
            stepper.keep(stay)
        mine = [row for row in live if row in rows]
        if mine:
            logits = stepper.step([[70 + row, 80 + number] for row in mine])
            found.append((logits, stepper.alignment))
    return found


@pytest.mark.parametrize("bits", [4, 32])
@pytest.mark.parametrize("toolset_of", [[0] * 5, [0, 1, 1, 0, 1]])
def test_rows_side_by_side_get_the_logits_and_the_attention_that_they_get_alone(folders, bits: int, toolset_of: list[int]) -> None:
    engine = OnnxEngine(folders[bits])
    together = _run(engine, list(range(5)), FlatStepper, toolset_of)
    live = list(range(5))
    orders = [live] * len(STEPS) + [live := [live[place] for place in stay] for stay in LATER]
    for row in range(5):
        mine = [(logits[order.index(row)], means[order.index(row)]) for order, (logits, means) in zip(orders, together, strict=True) if row in order]
        for (logits, mean), (single, (alone,)) in zip(mine, _run(engine, [row], OnnxStepper, toolset_of), strict=True):
            np.testing.assert_allclose(logits, single[0], atol=1e-4)
            np.testing.assert_allclose(mean, alone, atol=1e-5)


def test_a_row_can_be_repeated_and_the_copies_go_on_apart(folders) -> None:
    engine = OnnxEngine(folders[4], fast=False)
    stepper = engine.stepper([TOOLS], REQUESTS[:2], [0, 0])
    stepper.step([[2], [2, 3]])
    stepper.keep([1, 1])
    twice = stepper.step([[20], [30]])
    for place, token in enumerate((20, 30)):
        alone = engine.stepper([TOOLS], REQUESTS[1:2], [0])
        alone.step([[2, 3]])
        np.testing.assert_allclose(twice[place], alone.step([[token]])[0], atol=1e-4)


def test_neighbours_stay_hidden_however_large_the_scores_are(tmp_path: Path) -> None:
    model = lively()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("q_norm.gain", "k_norm.gain")):
                parameter += 6
    engine = OnnxEngine(stored(model, tmp_path / "steep", 32))
    assert engine._hidden < -500
    together = engine.stepper([TOOLS], REQUESTS, [0] * 5).step(STEPS[1])
    for row, request in enumerate(REQUESTS):
        np.testing.assert_allclose(together[row], engine.stepper([TOOLS], [request], [0]).step([STEPS[1][row]])[0], atol=1e-3)


def test_an_export_from_before_flat_batches_still_runs_in_batches(folders, tmp_path: Path, monkeypatch) -> None:
    new = OnnxEngine(folders[4])
    assert new._flat
    folder = Path(shutil.copytree(folders[4], tmp_path / "old"))
    declare = GraphWriter.input
    monkeypatch.setattr(GraphWriter, "input", lambda self, name, kind, shape: declare(
        self, name, kind, ("batch", 1, 1, "source") if name == "source_bias" else shape))  # fmt: skip
    (folder / DECODER).write_bytes(make_graph(DECODER, new.config, new.weights))
    old = OnnxEngine(folder)
    steppers = [engine.stepper([TOOLS], REQUESTS, [0] * 5) for engine in (old, new)]
    assert [type(stepper) for stepper in steppers] == [OnnxStepper, FlatStepper]
    for tokens in STEPS:
        one, other = (stepper.step(tokens) for stepper in steppers)
        np.testing.assert_allclose(one, other, atol=1e-4)
