"""The live panel of a training run: it shows what the records say, as text, and only on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from needle import terminal
from needle.commands.panel import TrainingPanel, sparkline


def _record(step: int, **more: object) -> dict:
    return {"step": step, "loss": 9.0 - step, "progress": (step - 1) / 4, "rows_per_second": 12.0, **more}


def _drawn(panel: TrainingPanel) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    console.print(panel.panel())
    return console.file.getvalue()


def test_the_panel_shows_loss_pace_time_left_held_out_score_and_answers() -> None:
    now = iter([100.0, 130.0, 130.0, 130.0])
    panel = TrainingPanel(clock=lambda: next(now))
    answers = [
        {
            "request": "[bold]dim[/bold] the hall",
            "predicted": [{"name": "dim", "arguments": {"room": "hall"}}],
            "right": True,
        },
        {"request": "sing", "predicted": [], "right": False},
    ]
    panel.take(_record(1))
    panel.take(_record(4, validation_exact=0.25, samples=answers))
    text = _drawn(panel)
    assert "75 %  step 4" in text and "12 rows/s" in text and "10 s left" in text and "5.000" in text
    assert "25.0 %" in text and "best 25.0 % at step 4" in text
    assert (
        "✓" in text
        and "✗" in text
        and "[bold]dim[/bold] the hall" in text
        and 'dim(room="hall")' in text
        and "no call" in text
    )


def test_a_curve_falls_from_the_highest_block_to_the_lowest_and_fits_its_columns() -> None:
    assert sparkline([3.0, 2.0, 1.0]) == "█▄▁" and sparkline([]) == "" and sparkline([1.0]) == "▁"
    assert len(sparkline(list(range(1000)), 40)) == 40


@pytest.mark.parametrize("live", [True, False])
def test_a_terminal_gets_the_panel_and_a_file_gets_plain_lines(live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=live, color_system=None)
    monkeypatch.setattr(terminal, "_err", console)
    with terminal.training_tracker() as report:
        report(_record(1, validation_exact=0.5, validation_loss=2.0))
    text = console.file.getvalue()
    assert ("needle train" in text) == live and ("\x1b" in text) == live
    assert "held-out exact" in text and "50.0 %" in text
