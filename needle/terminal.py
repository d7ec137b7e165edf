"""What a person sees in the terminal: lines, progress bars (plain lines when the output is no terminal), stages."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from needle.tools import CallResult

_out, _err = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
QUIET_SECONDS = 15.0
"""Seconds between plain progress lines when the output is no terminal."""


def first_process() -> bool:
    """Whether this is the process that speaks: the only one, or the first of those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str, error: bool = False) -> None:
    """One message; never read as markup. Results are said by the first process only, mistakes by all."""
    if error or first_process():
        (_err if error else _out).print(text, markup=False)


def answer_line(answer: CallResult) -> str:
    """The calls as JSON, or why there are none."""
    return answer.error or json.dumps([call.to_dict() for call in answer], ensure_ascii=False)


class _Bar:
    """A progress function ``(done, total)``, drawn on a terminal and printed now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self.title, self.note, self.last = title, "", time.monotonic()
        columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), TimeElapsedColumn()]
        self.live = Progress(*columns, console=_err, transient=False) if _err.is_terminal else None
        self.task = self.live.add_task(title, total=None, words="") if self.live else None

    def __call__(self, done: float, total: float) -> None:
        words = self.note or (f"{done:,.0f} of {total:,.0f}" if total != 1 else f"{100 * done:.0f} %")
        if self.live is not None:
            self.live.update(self.task, completed=done, total=total, words=words)
        elif time.monotonic() - self.last >= QUIET_SECONDS:
            self.last = time.monotonic()
            say(f"{self.title}: {words}", error=True)


@contextmanager
def tracker(title: str) -> Iterator[_Bar]:
    """A progress bar for one piece of work."""
    bar = _Bar(title)
    if bar.live is None:
        yield bar
        return
    with bar.live:
        yield bar


@contextmanager
def training_tracker() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A progress function for the records of a training run: a live panel on a terminal, plain lines elsewhere."""
    if not first_process():
        yield lambda _: None
        return
    if _err.is_terminal:
        from needle.commands.panel import training_panel

        with training_panel(_err) as draw:
            yield lambda record: (_show_start(record), draw(record))
        return
    with tracker("training") as bar:
        yield lambda record: _show_record(bar, record)


def _show_start(record: dict[str, Any]) -> None:
    if "parameters" in record:
        say("{rows:,} rows over {toolsets:,} toolsets, {validation_rows:,} held out, {unusable:,} unusable, {too_long:,} too long".format(**record), error=True)
        say("parameters: " + ", ".join(f"{part} {count:,}" for part, count in record["parameters"].items()), error=True)
        for problem in record["problems"][:3]:
            say(f"left out: {problem}", error=True)


def _show_record(bar: _Bar, record: dict[str, Any]) -> None:
    _show_start(record)
    if "loss" in record:
        bar.note = f"{100 * min(record['progress'], 1):.0f} %  step {record['step']:,}  loss {record['loss']:.3f}  {record['rows_per_second']:.0f} rows/s"
        bar(min(record["progress"], 1.0), 1.0)
    if "validation_exact" in record:
        say(f"step {record['step']:,}: held-out exact match {100 * record['validation_exact']:.1f} %, loss {record['validation_loss']:.3f}", error=True)


@contextmanager
def stages(count: int) -> Iterator[Callable[[str, str], Callable[..., None]]]:
    """Numbered stages, each with its own progress bar; records of training are understood too."""
    state: dict[str, Any] = {"number": 0, "bar": None}

    def close() -> None:
        if state["bar"] is not None and state["bar"].live is not None:
            state["bar"].live.stop()

    def begin(name: str, words: str) -> Callable[..., None]:
        close()
        state["number"] += 1
        say(f"[{state['number']}/{count}] {name}: {words}", error=True)
        bar = state["bar"] = _Bar(f"  {name}")
        if bar.live is not None:
            bar.live.start()
        return lambda *values: _show_record(bar, values[0]) if isinstance(values[0], dict) else bar(*values)

    try:
        yield begin
    finally:
        close()


@contextmanager
def generation_panel() -> Iterator[Callable[[Any], None]]:
    """A progress function for the snapshots of a generation: a live table by kind, or plain lines elsewhere."""
    from rich.live import Live

    if not _err.is_terminal:
        bar = _Bar("traces")

        def plain(snapshot: Any) -> None:
            bar.note = generation_line(snapshot)
            bar(snapshot.accepted, snapshot.total)

        yield plain
        return
    with Live(console=_err, auto_refresh=False) as live:
        last = [0.0]

        def draw(snapshot: Any) -> None:
            if time.monotonic() - last[0] >= 0.25 or snapshot.accepted >= snapshot.total:
                last[0] = time.monotonic()
                live.update(_generation_table(snapshot), refresh=True)

        yield draw


def generation_line(snapshot: Any) -> str:
    """A ``Snapshot`` of ``needle.generate`` in one line: rows, money, pace."""
    parts = [f"{snapshot.accepted:,} of {snapshot.total:,} accepted, {snapshot.refused:,} refused"]
    cap = f" of {snapshot.usd_cap:g}" if snapshot.usd_cap is not None else ""
    foreseen = snapshot.projected_usd
    parts.append(f"${snapshot.usd:.4f}{cap}" + (f" (at the end about ${foreseen:.2f})" if foreseen else ""))
    used = f"{snapshot.tokens:,} tokens" + (f" of {snapshot.token_cap:,}" if snapshot.token_cap else "")
    parts.append(used)
    if snapshot.seconds > 0:
        parts.append(f"{snapshot.answered / snapshot.seconds:.1f} rows/s")
    if snapshot.eta_s is not None:
        parts.append(f"{snapshot.eta_s / 60:.0f} min left" if snapshot.eta_s >= 90 else f"{snapshot.eta_s:.0f} s left")
    if snapshot.hits:
        parts.append(f"{100 * snapshot.hit_rate:.0f} % from the store")
    return "; ".join(parts)


def _generation_table(snapshot: Any) -> Any:
    from rich.table import Table

    table = Table(caption=generation_line(snapshot), caption_justify="left")
    for name in ("kind", "accepted", "wanted", "asked", "passed", "US dollars", "a row"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind, wanted in snapshot.wanted.items():
        tally = snapshot.tally
        asked, accepted, usd = tally.asked.get(kind, 0), tally.accepted.get(kind, 0), tally.usd.get(kind, 0.0)
        passed = f"{100 * accepted / asked:.0f} %" if asked else "-"
        each = f"{usd / accepted:.5f}" if accepted else "-"
        table.add_row(kind, f"{accepted:,}", f"{wanted:,}", f"{asked:,}", passed, f"{usd:.4f}", each)
    return table
