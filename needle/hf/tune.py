"""A run of a causal student: steps by ``trl``, adapters by ``peft``, the best checkpoint by exact match on held-out
rows.

OUT/best           the model as ``AutoModelForCausalLM`` reads it, adapters merged
OUT/adapter        with adapters: those of the best checkpoint
OUT/checkpoints    the last state of the run, to continue from (optimiser and random state are stored by
``transformers``)
OUT/tuning.json    settings and scores so far
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from needle.errors import UserError
from needle.hf.load import Causal
from needle.hf.rows import ChatRow
from needle.hf.trainer import Teaching, answer_logits, collate, trainer_class
from needle.traces.write import atomic
from needle.train.checkpoint import replaced, same_settings
from needle.train.history import LOG, open_lines
from needle.train.loop import TrainReport, rank_of
from needle.train.losses import hard_label_loss

STATE, CHECKPOINTS, ADAPTER, BEST = "tuning.json", "checkpoints", "adapter", "best"
Judge = Callable[[Causal], float]
"""Exact match of the model's own answers on held-out rows, 0 to 1."""


@dataclass(frozen=True)
class TuneConfig:
    """Settings of one run."""

    steps: int
    """Optimiser steps."""
    rows: int = 32
    """Examples a step."""
    micro_rows: int = 4
    """Examples in one forward pass; gradients of several are summed before the step."""
    lora: int = 0
    """Rank of adapters on all linear maps of the layers; 0: all weights are trained."""
    rate: float | None = None
    """Peak rate of AdamW; None: 2e-4 for adapters, 1e-5 for all weights."""
    warmup: float = 0.03
    """Share of the run in which the rate rises; then it falls linearly."""
    validations: int = 4
    """Times that held-out rows are answered; each saves the run."""
    patience: int | None = None
    """Stop when nothing got better over so many of them in a row."""
    soft_weight: float = 0.5
    """With a teacher: share of the soft-label loss."""
    temperature: float = 1.0
    """With teachers: temperature of both distributions."""
    divergence: float = 0.0
    """With teachers: member of the generalised Jensen-Shannon family, see ``needle.train.losses``."""
    skew: float = 0.0
    """With teachers: share of the teacher that is mixed into the student's place."""
    seed: int = 0
    """Of the adapters and the order of rows."""


class _Watch(TrainerCallback):
    """Validates, keeps the best, writes the log."""

    def __init__(
        self,
        student: Causal,
        config: TuneConfig,
        judge: Callable[[], dict[str, float]],
        out: Path,
        report: Callable[[dict[str, Any]], None],
        origin: dict[str, Any],
    ) -> None:
        self.student, self.config, self.judge, self.out, self.report, self.origin = (
            student,
            config,
            judge,
            out,
            report,
            origin,
        )
        self.best: dict[str, float] = {}
        self.tried, self.unimproved, self.since = -1.0, 0, time.monotonic()
        self.found: dict[str, float] = {}
        self.due = {math.ceil(config.steps * (place + 1) / config.validations) for place in range(config.validations)}

    def note(self, record: dict[str, Any]) -> None:
        """A line of the log, and to whoever watches."""
        with open_lines(self.out / LOG) as log:
            log.write(json.dumps(record) + "\n")
        self.report(record)

    def validate(self, model: nn.Module, step: int) -> None:
        """Score the model as it is and keep it if nothing was better."""
        was = model.training
        model.eval()
        scores = self.judge()
        model.train(was)
        self.tried = max(self.tried, scores["exact"]) if step else self.tried
        if not self.best or rank_of(scores) > rank_of(self.best):
            self.best, self.unimproved = {**scores, "step": step}, 0
            if not self.config.lora:
                save_model(model, self.student.tokenizer, self.out / BEST)
            elif step:
                with replaced(self.out / ADAPTER) as fresh:
                    model.save_pretrained(fresh)
        else:
            self.unimproved += 1
        state = {
            "config": asdict(self.config),
            "origin": self.origin,
            "best": self.best,
            "tried": self.tried,
            "unimproved": self.unimproved,
        }
        with atomic(self.out / STATE) as path:
            path.write_text(json.dumps(state, indent=1), encoding="utf-8")
        self.since = time.monotonic()
        self.found = {f"validation_{name}": value for name, value in scores.items()}
        if not step:
            self.note({"step": 0} | self._taken())

    def _taken(self) -> dict[str, float]:
        """What the last validation found, once."""
        found, self.found = self.found, {}
        return found

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            now = time.monotonic()
            speed, self.since = self.config.rows / (now - self.since), now
            done = state.global_step / self.config.steps
            self.note(
                {
                    "step": state.global_step,
                    "loss": logs["loss"],
                    "norm": logs.get("grad_norm"),
                    "rate": logs.get("learning_rate"),
                    "rows_per_second": speed,
                    "progress": done,
                }
                | self._taken()
            )

    def on_step_end(self, args: Any, state: Any, control: Any, model: nn.Module | None = None, **_: Any) -> None:
        control.should_log = True
        if state.global_step in self.due and model is not None:
            self.validate(model, state.global_step)
            control.should_save = True
            control.should_training_stop |= self.config.patience is not None and self.unimproved >= self.config.patience


def save_model(model: nn.Module, tokenizer: Any, folder: Path) -> None:
    """Model and tokenizer as ``from_pretrained`` reads them; an older folder is replaced only when all is written."""
    with replaced(folder) as fresh:
        model.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)


@torch.no_grad()
def held_out_loss(model: nn.Module, rows: Sequence[ChatRow], pad: int, micro_rows: int) -> float:
    """Mean loss an answer token under teacher forcing."""
    total, count = 0.0, 0
    device = next(model.parameters()).device
    for start in range(0, len(rows), micro_rows):
        batch = {name: value.to(device) for name, value in collate(rows[start : start + micro_rows], [], pad).items()}
        logits, targets = answer_logits(model, batch)
        total += hard_label_loss(logits, targets, torch.ones(len(targets), device=device)).item()
        count += len(targets)
    return total / count


def tune(
    student: Causal,
    rows: Sequence[ChatRow],
    held: Sequence[ChatRow],
    config: TuneConfig,
    teaching: Teaching,
    out: Path,
    judge: Judge,
    report: Callable[[dict[str, Any]], None] = lambda _: None,
    resume: bool = False,
    origin: dict[str, Any] | None = None,
) -> TrainReport:
    """Train ``student`` on ``rows`` and leave the best checkpoint in ``out / "best"``; the start is kept when
    nothing is better.

    ``origin``: what the run is made of beside its settings; a continued run must agree. Raises ``UserError`` when
    a library is missing, the loss is not finite, or the run in ``out`` has other settings.
    """
    began, pad = time.monotonic(), student.tokenizer.pad_token_id
    trainer = _trainer(student, rows, config, teaching, out)
    model = trainer.model

    def scores() -> dict[str, float]:
        exact = judge(Causal(model, student.tokenizer, student.name))
        return {"exact": exact, "loss": held_out_loss(model, held, pad, config.micro_rows)}

    watch = _Watch(student, config, scores, out, report, origin or {})
    last = get_last_checkpoint(str(out / CHECKPOINTS)) if resume else None
    if resume:
        state = json.loads((out / STATE).read_text(encoding="utf-8"))
        same_settings(state["config"] | state["origin"], asdict(config) | watch.origin, ("steps",))
        watch.best, watch.tried, watch.unimproved = state["best"], state["tried"], state["unimproved"]
    else:
        out.mkdir(parents=True, exist_ok=True)
        watch.validate(model, 0)
    trainer.add_callback(watch)
    try:
        trainer.train(resume_from_checkpoint=last)
    except UserError:  # of a teacher, say; without a step that was saved, the folder is free for another try
        if not (out / CHECKPOINTS).is_dir() or get_last_checkpoint(str(out / CHECKPOINTS)) is None:
            (out / STATE).unlink(missing_ok=True)
        raise
    if config.lora:
        save_model(_merged(model, watch.best["step"], out / ADAPTER), student.tokenizer, out / BEST)
    steps = trainer.state.global_step
    return TrainReport(out, steps, steps * config.rows, time.monotonic() - began, watch.best, tried=watch.tried)


def _merged(model: Any, step: float, adapter: Path) -> nn.Module:
    """The base with the adapters of the best step added in; the base alone where that is the start."""
    from peft import load_peft_weights, set_peft_model_state_dict

    if not step:
        return model.unload()
    set_peft_model_state_dict(model, load_peft_weights(str(adapter), device=str(model.device)))
    return model.merge_and_unload()


def _trainer(student: Causal, rows: Sequence[ChatRow], config: TuneConfig, teaching: Teaching, out: Path) -> Any:
    kind = trainer_class()
    from datasets import Dataset
    from trl import SFTConfig

    card = student.model.device.type == "cuda"
    micro = pass_rows(config.rows, config.micro_rows)
    settings = SFTConfig(
        output_dir=str(out / CHECKPOINTS),
        max_steps=config.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=config.rows // micro,
        learning_rate=config.rate or (2e-4 if config.lora else 1e-5),
        warmup_steps=math.ceil(config.warmup * config.steps),
        lr_scheduler_type="linear",
        weight_decay=0.0,
        seed=config.seed,
        data_seed=config.seed,
        bf16=card,
        use_cpu=not card,
        report_to=[],
        logging_steps=1,
        save_strategy="no",
        save_total_limit=1,
        remove_unused_columns=False,
        max_length=None,
        disable_tqdm=True,
        dataloader_pin_memory=card,
        dataset_kwargs={"skip_prepare_dataset": True},
        **({"gradient_checkpointing": True} if card else {}),  # named on a CPU too, newer versions warn of its name
    )
    data = Dataset.from_dict(
        {"row": list(range(len(rows))), "input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows]}
    )
    pad = student.tokenizer.pad_token_id
    trainer = kind(
        model=student.model,
        args=settings,
        train_dataset=data,
        processing_class=student.tokenizer,
        peft_config=_adapters(config.lora),
        data_collator=lambda batch: collate(
            [rows[item["row"]] for item in batch], [item["row"] for item in batch], pad
        ),
    )
    trainer.rows, trainer.teaching, trainer.vocabulary = rows, teaching, len(student.tokenizer)
    return trainer


def pass_rows(rows: int, most: int) -> int:
    """Examples in one forward pass: the most, up to ``most``, of which some passes make exactly a step of ``rows``."""
    return max(size for size in range(1, min(rows, most) + 1) if rows % size == 0)


def _adapters(rank: int) -> Any:
    """Settings of ``peft`` for adapters of this rank on every linear map of the layers; None for none."""
    if not rank:
        return None
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise UserError(f'--lora needs {error.name}: pip install "needle-distill[hf]"') from error
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
