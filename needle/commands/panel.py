"""The live panel of a training run on a terminal: progress, loss and held-out curves, pace, time left, the last sample
answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 40
"""Columns of a curve."""
SHOWN = 4
"""Sample answers in the panel."""
REDRAW_SECONDS = 0.25


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve in block characters, lowest to highest value; more values than columns are averaged in groups."""
    if not values:
        return ""
    size = -(-len(values) // width)
    means = [sum(part) / len(part) for part in (values[at : at + size] for at in range(0, len(values), size))]
    low, high = min(means), max(means)
    return "".join(BLOCKS[int((mean - low) / ((high - low) or 1.0) * (len(BLOCKS) - 1))] for mean in means)


def time_left(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class TrainingPanel:
    """What the records of a run amount to so far; ``panel()`` draws it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.losses: list[float] = []
        self.exact: list[tuple[int, float]] = []
        self.last: dict[str, Any] = {}
        self.samples: list[dict[str, Any]] = []
        self.begun: tuple[float, float] | None = None

    def take(self, record: dict[str, Any]) -> None:
        """Take one record of the run."""
        if "loss" in record:
            self.begun = self.begun or (self.clock(), record["progress"])
            self.losses.append(record["loss"])
            self.last = record
        if "validation_exact" in record:
            self.exact.append((record["step"], record["validation_exact"]))
            self.samples = record.get("samples") or self.samples

    def remaining(self) -> float | None:
        """Seconds to the end at the pace of this process so far; None while that cannot be told."""
        if self.begun is None:
            return None
        began, from_progress = self.begun
        done = min(self.last["progress"], 1.0) - from_progress
        return (self.clock() - began) / done * (1 - min(self.last["progress"], 1.0)) if done > 0 else None

    def panel(self) -> Panel:
        """The panel as it is now."""
        parts: list[Any] = []
        if self.last:
            done = min(self.last["progress"], 1.0)
            left = self.remaining()
            words = f"{100 * done:.0f} %  step {self.last['step']:,}  {self.last['rows_per_second']:.0f} rows/s"
            parts += [
                ProgressBar(total=1.0, completed=done, width=WIDTH + 20),
                Text(words + (f"  {time_left(left)} left" if left is not None else "")),
            ]
            parts.append(Text(f"loss            {self.last['loss']:8.3f}  {sparkline(self.losses)}"))
        if self.exact:
            step, best = max(self.exact, key=lambda found: (found[1], found[0]))
            curve = sparkline([share for _, share in self.exact])
            parts.append(
                Text(
                    f"held-out exact  {100 * self.exact[-1][1]:6.1f} %  {curve}  best {100 * best:.1f} % at step {step:,}"
                )
            )
        if self.samples:
            parts.append(self._answers())
        return Panel(
            Group(*parts) if parts else Text("waiting for the first step"), title="needle train", title_align="left"
        )

    def _answers(self) -> Table:
        from needle.runs import calls_line

        table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
        for row in self.samples[:SHOWN]:
            mark = Text("✓", style="green") if row.get("right") else Text("✗", style="red")
            said = row.get("error") or calls_line(row.get("predicted", []))
            table.add_row(
                mark,
                Text(str(row.get("request", "")), overflow="ellipsis", no_wrap=True),
                Text(said, overflow="ellipsis", no_wrap=True),
            )
        return table


@contextmanager
def training_panel(console: Console) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A progress function for the records of a run, drawn live on ``console``."""
    panel, drawn = TrainingPanel(), [0.0]
    with Live(panel.panel(), console=console, auto_refresh=False) as live:

        def take(record: dict[str, Any]) -> None:
            panel.take(record)
            if "validation_exact" in record or time.monotonic() - drawn[0] >= REDRAW_SECONDS:
                drawn[0] = time.monotonic()
                live.update(panel.panel(), refresh=True)

        yield take
        live.update(panel.panel(), refresh=True)
