"""The training loop: one for CPU and GPU, for a base model and for a fine-tune. Run it with ``needle train``."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.grammar import Constraint
from needle.student.modeling import NeedleModel
from needle.student.modeling.quantize import rounded_copy
from needle.train.checkpoint import load_state, read_state, same_settings, save_checkpoint, whole
from needle.train.config import TrainConfig
from needle.train.examples import Example, ExampleSet
from needle.train.feed import batches, workers_for
from needle.train.history import LOG, open_lines
from needle.train.optimizer import current_rates
from needle.train.preferences import Preferences
from needle.train.speed import compiled_graphs, peak_flops
from needle.train.students import Students
from needle.train.teachers import Source
from needle.train.world import World

Validate = Callable[[NeedleModel], dict[str, float]]
"""Scores of the model on held-out rows; ``exact`` decides which checkpoint is best."""
Report = Callable[[dict[str, Any]], None]


VALIDATION_SHARE = 0.25
"""Largest part of a time budget that validations on the way may take."""
SAVE_SECONDS = 180.0
"""Longest stretch of work that a killed process can lose."""


@dataclass(frozen=True)
class TrainReport:
    """What a run did."""

    out: Path
    """Folder of the run: ``best``, ``last``, ``log.jsonl``, ``tensorboard``."""
    steps: int
    """Optimiser steps taken."""
    rows: int
    """Examples seen, repeats included."""
    seconds: float
    """Wall-clock seconds of training, validations included."""
    best: dict[str, float]
    """Scores of the kept checkpoint; empty before the first validation."""
    complete: bool = True
    """False: a piece of the run is done, and the same command with ``--resume`` goes on."""
    tried: float = -1.0
    """Highest held-out exact match after the start; -1 when there was none."""

    @property
    def learnt(self) -> bool:
        """Whether something better than the start was found; the start is kept otherwise."""
        return not self.complete or self.best.get("step") != 0

    @property
    def warning(self) -> str | None:
        """One line for a run that found nothing better than its start."""
        if self.learnt:
            return None
        after = "was never scored after it" if self.tried < 0 else f"{self.tried:.3f} at most after it"
        verdict = "WORSE THAN THE BASE" if -1 < self.tried < self.best["exact"] else "NOTHING LEARNT"
        return (
            f"{verdict}: held-out exact match was {self.best['exact']:.3f} at the start and {after}. The start is kept in "
            f"{self.out / 'best'}; give more traces or a larger budget"
        )


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collects the first Ctrl-C, so that a step is never cut in half; the second one interrupts at once. Main thread only."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def remember(number: int, _: Any) -> None:
        seen.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def compute_type(precision: str) -> torch.dtype:
    """bf16 where the hardware multiplies it natively, unless told otherwise."""
    if precision not in ("auto", "bf16", "fp32"):
        raise UserError(f"precision {precision!r} is unknown; use auto, bf16 or fp32")
    native = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if precision == "bf16" or (precision == "auto" and native) else torch.float32


def rank_of(scores: dict[str, float]) -> tuple[float, float]:
    """What decides which checkpoint is best: exact match, and of equals (a few held-out rows have few values) the lower loss."""
    return scores["exact"], -scores.get("loss", 0.0)


class Trainer:
    """State of one run; ``run`` takes it to its end."""

    def __init__(
        self, models: Sequence[NeedleModel], tokenizer: Tokenizer, examples: ExampleSet, config: TrainConfig, out: Path, validate: Validate,
        teachers: Source | None = None, world: World | None = None, preferences: Preferences | None = None,
    ) -> None:  # fmt: skip
        """``models``: the student, and for co-distillation its peers."""
        self.world = world or World()
        self.tokenizer, self.examples, self.config, self.out, self.validate = tokenizer, examples, config, out, validate
        self.students = Students(models, config, compute_type(config.precision), teachers, self.world, preferences, examples.toolsets_of(config.rows, config.rows_per_toolset))
        if config.on_policy and not config.on_policy_free:
            examples.keeps_tools, self.students.constraint = True, Constraint(tokenizer)
        self.workers = workers_for(self.students.device.type) if config.workers is None else config.workers
        self.step = self.rows = self.epoch = self.batch = self.validated = self.unimproved = 0
        self.seconds = self.peak = 0.0
        self.validation_seconds = 0.0
        self.best: dict[str, float] = {}
        self.best_rounded = False
        self.tried = -1.0
        self.origin: dict[str, Any] = {}
        """What the run is made of beside its settings (data, teachers): a continued run must agree."""

    @property
    def model(self) -> NeedleModel:
        """The student that the run is about."""
        return self.students.models[0]

    @property
    def progress(self) -> float:
        """Share of the run that is done, by steps or by the clock (less the time that the last validation needs)."""
        if self.config.steps is not None:
            return self.step / self.config.steps
        return self.seconds / max(self.config.minutes * 60 - self.validation_seconds, 1e-9)

    def state(self) -> dict[str, Any]:
        """Everything beside weights and optimisers that a continued run needs."""
        names = ("step", "rows", "epoch", "batch", "validated", "unimproved", "seconds", "validation_seconds", "best", "best_rounded", "tried")
        return {name: getattr(self, name) for name in names} | {"config": self.config.to_dict(), "origin": self.origin}

    def resume(self) -> None:
        """Continue from ``last``. Raises ``UserError``, with nothing changed, when it belongs to another configuration."""
        last = whole(self.out / "last")
        state = read_state(last)
        try:
            before = state.pop("config")
            same_settings(before, self.config.to_dict(), ("minutes", "steps", "workers", "shard"))
            same_settings(state.pop("origin", self.origin), self.origin)
        except UserError as error:
            raise UserError(f"{self.out}: {error}") from error
        load_state(last, self.students.optimizers, self.students.extra())
        whole(self.out / "best")
        for name, value in state.items():
            setattr(self, name, value)
        self.students.steps = self.step
        if (before["minutes"], before["steps"]) != (self.config.minutes, self.config.steps):  # what a larger budget adds is validated too
            self.validated = min(self.validated, int(min(self.progress, 1.0) * self.config.validations))

    def run(self, report: Report = lambda _: None, piece: float | None = None) -> TrainReport:
        """Train to the end of the budget, validating on the way, or for a ``piece`` of so many minutes, saved to be continued.

        Ctrl-C ends the current step, saves and raises ``KeyboardInterrupt``. Raises ``UserError`` for a non-finite loss or no step at all.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        began = saved = time.monotonic()
        start = began - self.seconds
        with open_lines(self.out / LOG) as log, _interrupts() as interrupted:

            def note(record: dict[str, Any]) -> None:
                self.seconds = time.monotonic() - start
                if not self.world.first:
                    return
                log.write(json.dumps(record) + "\n")
                log.flush()
                report(record)

            if self.config.keep_base and self.step == 0:
                note({"step": 0} | self._validate(counts=False))
            feed = self._batches()
            while (progress := self._go_on()) is not None:  # asked before a batch is drawn: one that is drawn is trained on
                record = self._step(next(feed), progress)
                self.seconds = time.monotonic() - start
                if self._validation_is_due():
                    record, saved = record | self._validate(), time.monotonic()
                note(record)
                over = piece is not None and time.monotonic() - began >= 60 * piece and self.progress < 1
                stop, over, due = self.world.say((bool(interrupted), over, time.monotonic() - saved > SAVE_SECONDS))
                if stop or over or due:
                    self._save()
                    saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt
                if over:
                    return self._report(complete=False)
            if self.step == 0:
                raise UserError("no step was taken: the budget is too short for this machine; give more --minutes or --steps")
            if self.validated < self.config.validations and not self._stale():
                note({"step": self.step} | self._validate())
        return self._report(complete=True)

    def _report(self, complete: bool) -> TrainReport:
        return TrainReport(self.out, self.step, self.rows, self.seconds, self.best, complete, self.tried)

    def _go_on(self) -> float | None:
        """Share of the run that is done, as the first process has it; None at its end, which is never before the first step."""
        goes_on = self.step == 0 or (self.progress < 1 and not self._stale())
        return self.world.say(min(self.progress, 1.0) if goes_on else None)

    def _stale(self) -> bool:
        """Whether the last validations brought nothing."""
        return self.config.patience is not None and self.unimproved >= self.config.patience

    def _validation_is_due(self) -> bool:
        """Whether the next one is reached and leaves most of a budget in minutes to training; the last one is always made."""
        spent = (self.validated + 1) * self.validation_seconds
        affordable = self.config.minutes is None or spent <= VALIDATION_SHARE * self.seconds
        return self.world.say(affordable and min(self.progress, 1.0) * self.config.validations >= self.validated + 1)

    def _save(self) -> None:
        students = self.students
        model, optimizers = students.whole()  # all processes have a part of what is sharded
        if self.world.first:
            save_checkpoint(self.out / "last", model, self.tokenizer, self.state(), optimizers, students.extra())
        self.world.say(None)  # nobody leaves, and has the first stopped by the launcher, before it is written

    def _batches(self) -> Iterator[list[Example]]:
        while True:
            config, world = self.config, self.world
            rows, share = -(-config.rows // world.size), (world.rank, world.size)
            for batch in batches(self.examples, config.seed, self.epoch, rows, config.rows_per_toolset, self.batch, share, self.workers):
                self.batch += 1  # before the yield: whoever saves while this batch is in hand has done it
                yield world.evened(batch) if self.students.device.type == "cpu" else batch
            self.epoch, self.batch = self.epoch + 1, 0

    def _step(self, examples: list[Example], progress: float) -> dict[str, Any]:
        """One optimiser step, as a line of the log."""
        began, graphs = time.monotonic(), compiled_graphs()
        try:
            parts = self.students.update(examples, progress)
        except UserError as error:
            raise UserError(f"step {self.step + 1}: {error}") from error
        self.step += 1
        rows = int(self.world.total([len(examples)])[0])
        self.rows += rows
        seconds = time.monotonic() - began
        self.peak = self.peak or peak_flops(self.students.device, self.students.dtype)
        speed = {"tokens_per_second": parts["tokens"] / seconds, "rows_per_second": rows / seconds, "recompiles": compiled_graphs() - graphs,
                 "mfu": parts.pop("flops") / seconds / (self.peak * self.world.size)}  # fmt: skip
        return {"step": self.step, "epoch": self.epoch, "rows": self.rows, **parts, **speed, "progress": progress, **current_rates(self.students.optimizers)}  # fmt: skip

    def _validate(self, counts: bool = True) -> dict[str, float]:
        """Score the weights as they would ship (rounded, once quantisation is on), keep the best of all students and the last state.

        The first process does so while the others wait. ``counts``: whether it is one of the run's planned validations.
        """
        judged = self.students.judged
        found = self._judge(judged, counts) if self.world.first else {}
        names = ("validated", "unimproved", "best", "best_rounded", "tried", "validation_seconds")
        found, values = self.world.say((found, [getattr(self, name) for name in names]))
        for name, value in zip(names, values, strict=True):
            setattr(self, name, value)
        self._save()
        return found

    def _judge(self, students: Sequence[NeedleModel], counts: bool) -> dict[str, float]:
        began = time.monotonic()
        self.validated += counts
        self.unimproved += 1
        rounded = self.config.rounds(self.progress) or (not counts and self.config.quantize_bits is not None)
        found: dict[str, float] = {}
        for number, judged in enumerate(students):
            model = rounded_copy(judged, self.config.quantize_bits) if rounded else judged
            model.eval()
            scores = self.validate(model)
            if number == 0:
                found["weight_norm"] = sum(weight.detach().float().square().sum().item() for weight in model.parameters()) ** 0.5
            found |= {f"validation_{name}" + (f"_peer{number}" if number else ""): value for name, value in scores.items()}
            self.tried = max(self.tried, scores["exact"]) if self.step else self.tried
            # weights that will be rounded before they ship are no rival to weights that are
            ties = not self.best or (rank_of(scores) == rank_of(self.best) and self.best.get("step") != 0)  # with the start: nothing learnt
            if ties or rank_of(scores) > rank_of(self.best) or (rounded and not self.best_rounded):
                self.unimproved = 0 if not self.best or rank_of(scores) > rank_of(self.best) else self.unimproved
                self.best, self.best_rounded = {**scores, "step": self.step}, rounded
                save_checkpoint(self.out / "best", model, self.tokenizer, {"scores": self.best, "config": self.config.to_dict()})
                if (calibration := getattr(self.validate, "calibration", None)) is not None:
                    calibration.save(self.out / "best")
        self.validation_seconds = max(self.validation_seconds, time.monotonic() - began)
        return found
