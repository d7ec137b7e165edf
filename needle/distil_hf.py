"""Fit a causal model of Hugging Face on traces: the glue behind ``needle train --base hf:...``.

The same rows, the same losses and the same verdict on held-out rows as for the small student; steps by ``trl``,
adapters by ``peft``.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from needle.distil import is_right, read_split, weighed
from needle.errors import UserError
from needle.models import require_torch
from needle.tools import fingerprint
from needle.traces import Trace

if TYPE_CHECKING:
    from needle.hf.load import Causal
    from needle.hf.rows import ChatRow
    from needle.hf.trainer import Teaching
    from needle.hf.tune import TuneConfig

TOP_K = 20
"""Tokens a place that an endpoint is asked for: vLLM's default limit."""
PASSES = 3
"""Passes over the rows without a budget: large models know most of it, and more passes teach them rows by heart."""
HELD_OUT = 100
"""Most held-out rows that a validation answers."""
KNOWN = (
    "steps",
    "rows",
    "micro_rows",
    "lora",
    "rate",
    "warmup",
    "validations",
    "patience",
    "soft_weight",
    "temperature",
    "divergence",
    "skew",
    "seed",
)
"""Settings that such a run has."""


def train_causal(
    traces: Sequence[Path],
    out: Path,
    base: str,
    *,
    loss: str = "hard",
    teachers: Sequence[str] = (),
    other: Sequence[str] = (),
    resume: bool = False,
    settings: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Any:
    """Train the model ``base`` (``hf:PATH_OR_ID``) on ``traces``; returns a ``TrainReport``. The result is in
    ``out / "best"``.

    ``loss``: ``"hard"``, or ``"soft"`` against the ``teachers``: models with the same tokenizer
    (``hf:PATH_OR_ID``, weighed by ``@WEIGHT``),
    or one vLLM endpoint (``URL#model``), asked once. ``settings``: those of ``TuneConfig``;
    ``other``: options given that such a run does not have. Raises ``UserError`` for what does not fit.
    """
    require_torch("training")
    settings = dict(settings or {})
    _check(out, loss, teachers, resume, [*settings.keys() - set(KNOWN), *other])
    from needle.hf.load import load_causal
    from needle.hf.rows import Renderer
    from needle.hf.trainer import trainer_class
    from needle.hf.tune import TuneConfig, tune
    from needle.train.checkpoint import alone
    from needle.train.tune import tuned_settings

    trainer_class()  # what is missing is told before the model is loaded
    split = read_split(traces, settings.get("seed", 0))
    student = load_causal(base, exact=not settings.get("lora"))
    renderer = Renderer(student.tokenizer, student.context, student.ends)
    rows = renderer.rows(split.train)
    plan = tuned_settings(len(rows), {"validations": 4} | settings)
    if "steps" not in settings:
        plan["steps"] = max(20, -(-len(rows) * PASSES // plan["rows"]))
    config = TuneConfig(**{name: plan[name] for name in KNOWN if name in plan})
    held = random.Random(config.seed).sample(split.validation, min(len(split.validation), HELD_OUT))
    held_rows = renderer.rows(held)
    teaching = _teaching(teachers, student, rows, out, config)
    toolsets = {fingerprint(tools) for tools in {id(trace.tools): trace.tools for trace in split.train}.values()}
    report(
        {
            "rows": len(rows),
            "toolsets": len(toolsets),
            "validation_rows": len(held),
            "unusable": len(split.problems),
            "too_long": renderer.too_long,
            "parameters": {"total": sum(weight.numel() for weight in student.model.parameters())},
            "problems": split.problems,
        }
    )
    judge = _judge(held, max(len(row.answer) for row in (*rows, *held_rows)))
    origin = {
        "base": base,
        "loss": loss,
        "teachers": list(teachers),
        "rows of --traces": rows_digest(row.key for row in rows),
    }
    with alone(out):
        return tune(student, rows, held_rows, config, teaching, out, judge, report, resume, origin)


def _check(out: Path, loss: str, teachers: Sequence[str], resume: bool, foreign: Sequence[str]) -> None:
    """Raises ``UserError`` for options that such a run does not have, and for a folder with another run."""
    if foreign or loss not in ("hard", "soft"):
        raise UserError(
            f"--base hf: has no {', '.join(sorted(foreign)) or '--loss ' + loss}; it takes --steps, --rows, "
            "--lora, --seed and --loss hard or soft"
        )
    if (loss == "soft") != bool(teachers):
        raise UserError(
            f"--loss {loss} with {len(teachers)} --teacher: use hard without a teacher, soft with one or more"
        )
    endpoints = [name for name in teachers if not name.startswith("hf:")]
    if endpoints and (
        len(teachers) > 1 or not endpoints[0].startswith(("http://", "https://")) or not endpoints[0].partition("#")[2]
    ):
        raise UserError(
            f"--teacher {endpoints[0]}: give hf:PATH_OR_ID (several are averaged), or one endpoint as URL#model"
        )
    if (out / "last").exists():
        raise UserError(f"{out}: a run of the small student is there; give another --out")
    if (out / "tuning.json").exists() != resume:
        words = (
            "no run to continue there; leave --resume out"
            if resume
            else "a run is there already; give --resume to continue it, or another --out"
        )
        raise UserError(f"{out}: {words}")


def rows_digest(keys: Iterable[str]) -> str:
    """Short name of the rows."""
    return hashlib.blake2b("".join(keys).encode(), digest_size=6).hexdigest()


def _judge(held: Sequence[Trace], longest: int) -> Callable[[Causal], float]:
    """Exact match of a model's own answers, by the adapter and the matcher of the evaluation."""

    def judge(student: Causal) -> float:
        from needle.evals.adapters.huggingface import HuggingFaceCaller

        caller = HuggingFaceCaller(student.model, student.tokenizer, name=student.name, max_new_tokens=longest + 16)
        answers = caller.answer([trace.request for trace in held])
        return sum(is_right(trace, answer) for trace, answer in zip(held, answers, strict=True)) / len(held)

    return judge


def _teaching(
    names: Sequence[str], student: Causal, rows: Sequence[ChatRow], out: Path, config: TuneConfig
) -> Teaching:
    """Who teaches: models in the loop, or what an endpoint says, asked now."""
    from needle.hf.load import check_same_vocabulary, load_causal
    from needle.hf.targets import EndpointTargets
    from needle.hf.trainer import CausalScorer, Teaching
    from needle.train.teachers import Teachers

    mix = {
        "weight": config.soft_weight,
        "temperature": config.temperature,
        "divergence": config.divergence,
        "skew": config.skew,
    }
    if names and not names[0].startswith("hf:"):
        if config.temperature != 1:
            raise UserError(
                f"--set temperature={config.temperature}: what an endpoint says has temperature 1; leave it out, "
                "or take the model as hf:..."
            )
        said = EndpointTargets(out / "teacher.jsonl", names[0], TOP_K, student.tokenizer)
        said.complete(rows, lambda texts, keep: _ask(names[0], student.tokenizer, texts, keep))
        return Teaching(said=said, **mix)
    scorers, shares = [], []
    for name, share in map(weighed, names):
        teacher = load_causal(str(name), exact=False)
        check_same_vocabulary(student.tokenizer, teacher.tokenizer, str(name))
        scorers.append(CausalScorer(teacher.model, str(name), len(student.tokenizer)))
        shares.append(share)
    return Teaching(Teachers(scorers, shares) if scorers else None, **mix)


def _ask(endpoint: str, tokenizer: Any, texts: Sequence[Sequence[int]], keep: Callable[[int, Any], None]) -> None:
    """One endpoint about all texts, several at a time."""
    from needle.teacher import Teacher, resolve_teacher
    from needle.teacher.scoring import score_texts

    async def ask() -> None:
        async with Teacher(resolve_teacher(endpoint)) as teacher:
            await score_texts(teacher, texts, TOP_K, keep, lambda token: tokenizer.decode([token]))

    asyncio.run(ask())
