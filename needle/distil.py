"""Fit a student on traces: read, split, choose the start, train, keep the best. The glue behind ``needle train``."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.models import checkpoint_folder, require_torch
from needle.tools import CallResult, fingerprint
from needle.traces import Trace

LOSSES = ("hard", "soft", "mutual")
"""Labels alone; labels and the probabilities of teachers or the votes of the rows; labels and the probabilities of peers that learn at the same time."""
MANY_TOOLSETS = 50
"""From so many training toolsets on, tools are varied too (names, order, words), not values alone."""
RECORDED = "data/traces/train.jsonl.gz"
"""The recorded traces of the source tree."""
FINE_TUNE_RATE = 0.25
"""Peak rates of a fine-tune as a share of those of a run from random weights."""


VOTE_WEIGHT = 0.5
"""With ``--loss soft``: what the votes of a row count at the tokens where its labels parted, the label itself the rest."""


@dataclass(frozen=True)
class Soft:
    """What a run learns from beside the labels."""

    loss: str = "hard"
    """One of ``LOSSES``."""
    teachers: tuple[str, ...] = ()
    """``CKPT`` or ``CKPT@WEIGHT`` each."""
    cache: Path | None = None
    """Folder of a teacher cache."""
    preferences: Path | None = None
    """File of preference pairs."""


@dataclass(frozen=True)
class Split:
    """Rows to fit and rows to choose the checkpoint by."""

    train: list[Trace]
    validation: list[Trace]
    problems: list[str]
    """Rows that could not be used, in words."""


def read_split(paths: Sequence[Path], seed: int = 0) -> Split:
    """Rows of a folder's train and validation files, or of loose files cut by toolset (by wording if there is one toolset only).

    ``PATH@N`` uses each of its training rows N times an epoch (a fraction: so many of them). A test file of a folder is never read. Raises ``UserError`` when nothing usable is there.
    """
    from needle.traces.read import read_traces
    from needle.traces.split import split_files, split_traces

    train, validation, problems = [], [], []
    for path in paths:
        path, uses = weighed(path)
        files = split_files(path) if path.is_dir() else {}
        if "train" in files:
            rows, bad = read_traces(files["train"])
            train += _used(rows, uses, seed)
            held, bad_held = read_traces(files["validation"]) if "validation" in files else ([], [])
            validation += held
            problems += [*bad, *bad_held]
        else:
            rows, bad = read_traces(path)
            parts = split_traces(rows, seed)
            train += _used(parts["train"] + parts["test"], uses, seed)
            validation += parts["validation"]
            problems += bad
    if not validation and len(train) > 1:
        parts = split_traces(train, seed)
        train, validation = parts["train"] + parts["test"], parts["validation"]
    if not train or not validation:
        raise UserError(f"{paths[0]}: {len(train)} rows to train and {len(validation)} to validate; give more traces")
    return Split(train, validation, [str(problem) for problem in problems])


def weighed(name: Path | str) -> tuple[Path, float]:
    """Path and weight of ``PATH@WEIGHT``; the weight is 1 where none is given, or where that is the name of a file."""
    found = re.fullmatch(r"(.+)@([0-9]*\.?[0-9]+)", str(name))
    return (Path(found[1]), float(found[2])) if found and not Path(name).exists() else (Path(name), 1.0)


def _used(rows: list[Trace], uses: float, seed: int) -> list[Trace]:
    whole, rest = divmod(uses, 1)
    return rows * int(whole) + random.Random(seed).sample(rows, round(len(rows) * rest))


def is_right(trace: Trace, answer: CallResult) -> bool:
    """The verdict ``correct`` of the evaluation: well formed and equal to the gold calls in order."""
    from needle.evals.match import correct

    return answer.error is None and correct(trace, answer)


def train(
    traces: Sequence[Path],
    out: Path,
    *,
    base: str | None = None,
    preset: str = "base",
    loss: str = "hard",
    teachers: Sequence[str] = (),
    teacher_cache: Path | None = None,
    preferences: Path | None = None,
    resume: bool = False,
    settings: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] = lambda _: None,
    piece: float | None = None,
    logs: Sequence[str] = ("tensorboard",),
) -> Any:
    """Train a student on ``traces`` and leave the run in ``out``; returns its ``TrainReport``.

    ``base``: a checkpoint to start from, None for the bundled one, ``"none"`` for random weights of ``preset``. ``loss``: ``"hard"``, or
    ``"soft"`` against the averaged probabilities of the ``teachers`` (checkpoints with the same tokenizer; ``CKPT@WEIGHT`` weighs one), those
    kept in ``teacher_cache`` (``teach`` makes one), and the votes of rows that have any, or
    ``"mutual"``: the ``teachers`` (without any, a second student) learn too, each from the labels and from the others; the best of all is
    kept. ``preferences``: a file of preference pairs to learn from beside. ``settings`` are those of ``TrainConfig``. ``piece``: stop (saved, to be continued) after so many minutes of this process.
    ``logs``: where curves go beside ``log.jsonl`` (``tensorboard``, ``trackio``, ``none``). Raises ``UserError`` for unusable traces, settings or checkpoints.
    """
    require_torch("training")
    import torch

    from needle.train.checkpoint import alone, read_state
    from needle.watch import BUNDLED_NAME, watch_run

    settings = dict(settings or {})
    soft = Soft(loss, tuple(teachers), teacher_cache, preferences)
    _check(preset, soft, settings)
    if loss == "soft":
        settings.setdefault("vote_weight", VOTE_WEIGHT)
    last = _last(out, resume)
    if resume:  # what followed from a budget that was not given then, and may be given now
        begun = read_state(last)["config"]
        settings = {name: begun[name] for name in ("validations", "patience") if name in begun} | settings
    split = read_split(traces, settings.get("seed", 0))
    config = _config(settings, len(split.train), fine_tune=base != "none")
    torch.manual_seed(config.seed)
    start = None if base == "none" else checkpoint_folder(base)
    trainer = _trainer(split, config, out, last if resume else start, preset, soft, resume)
    taught = trainer.students.teachers
    trainer.origin = {
        "loss": loss, "teachers": list(teachers), "weights of the teachers": [] if taught is None else taught.identity(), "teacher cache": str(teacher_cache or ""),
        "preferences": str(preferences or ""), "traces": _digest(split),
    }  # fmt: skip
    if resume:
        trainer.resume()
    report(_begun(trainer, split))
    origin = {
        "start": base or BUNDLED_NAME, "preset": preset, "loss": loss, "teachers": list(teachers), "data": [weighed(path) for path in traces],
        "unusable": len(split.problems), "replayed": len(trainer.examples) + trainer.examples.too_long - len(split.train),
    }  # fmt: skip
    with alone(out) if trainer.world.first else nullcontext():
        return _run(trainer, watch_run(trainer, split.train, origin, logs, report), piece, start)


def _run(trainer: Any, watch: Any, piece: float | None, start: Path | None) -> Any:
    """Train to the end, or of a ``piece``; a finished fine-tune takes over what is fitted to its ``start``."""
    from safetensors import SafetensorError

    from needle.calibrate import take_over

    out = trainer.out
    try:
        done = trainer.run(watch, piece)
        if start is not None and trainer.world.first and done.complete:
            take_over(start, out / "best", trainer.validate.traces)
        return done
    except (SafetensorError, OSError) as error:
        remedy = "continue with --resume" if (out / "last").exists() else "run the same command again"
        raise UserError(f"{out}: cannot be written ({error}); free some space and {remedy}: what was saved before is whole") from error
    finally:
        watch.close()


def _begun(trainer: Any, split: Split) -> dict[str, Any]:
    """What is told of a run before its first step."""
    examples = trainer.examples
    return {
        "rows": len(examples), "toolsets": len(examples.groups), "validation_rows": len(trainer.validate.traces), "unusable": len(split.problems),
        "too_long": examples.too_long, "students": len(trainer.students.models), "parameters": trainer.model.parameter_groups(), "problems": split.problems,
    }  # fmt: skip


def _digest(split: Split) -> str:
    """Short fingerprint of the rows: a continued run must draw from the ones that it began with."""
    lines = (f"{trace.id}\t{trace.query}" for trace in chain(split.train, split.validation))
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=6).hexdigest()


def _check(preset: str, soft: Soft, settings: dict[str, Any]) -> None:
    """Raises ``UserError`` for a preset or loss that is unknown or does not fit the teachers."""
    from needle.student.modeling import PRESETS

    if preset not in PRESETS:
        raise UserError(f"no preset {preset!r}; choose one of {', '.join(PRESETS)}")
    if soft.loss not in LOSSES or (soft.loss == "hard" and soft.teachers):
        raise UserError(
            f"--loss {soft.loss} with {len(soft.teachers)} --teacher: use hard without a teacher, soft with teachers, a cache of their words"
            " or rows with votes, mutual with peers or without"
        )
    if soft.loss != "soft" and soft.cache is not None:
        raise UserError(f"--teacher-cache with --loss {soft.loss}: what teachers said is for --loss soft")
    if settings.get("preference") and soft.preferences is None:
        raise UserError(f"--{settings['preference']} without --preferences: give the file of pairs that it is about")
    if settings.get("on_policy") and (soft.loss != "soft" or not soft.teachers):
        raise UserError("--on-policy: samples of the student are scored by teachers in the loop; give --loss soft with --teacher")


def _config(settings: dict[str, Any], rows: int, fine_tune: bool) -> Any:
    """The run's settings; those of a fine-tune follow from its size and start from lower rates."""
    from needle.train.config import TrainConfig
    from needle.train.tune import tuned_settings

    if not fine_tune:
        return TrainConfig.made(settings)
    config = TrainConfig.made(tuned_settings(rows, settings))
    lower = () if config.lora else ("muon_lr", "adam_lr")  # adapters want some ten times the rate of the weights themselves
    return replace(config, **{key: getattr(config, key) * FINE_TUNE_RATE for key in lower if key not in settings})


def with_replay(train: list[Trace], share: float, seed: int) -> list[Trace]:
    """The rows with a ``share`` of the recorded traces of other toolsets among them, against forgetting (rehearsal, Robins 1995).

    The same list where the recorded traces are not beside the package, or the rows are them.
    """
    from needle.traces.formats import trace_from_dict

    source = Path(__file__).parents[1] / RECORDED
    count = round(len(train) * share / (1 - share))
    if not count or not source.is_file():
        return train
    mine = {trace.toolset for trace in train}
    with gzip.open(source, "rt", encoding="utf-8") as file:
        lines = file.readlines()
    random.Random(seed).shuffle(lines)
    # only what is taken is parsed: the whole file takes seconds
    others = (row for row in map(json.loads, lines) if row["toolset"] not in mine)
    return train + [trace_from_dict(row) for row in islice(others, count)]


def _last(out: Path, resume: bool) -> Path:
    """Where the run's state is or will be. Raises ``UserError`` when there is a run and none was to be continued, or the reverse, or a
    checkpoint of something else."""
    from needle.train.checkpoint import whole
    from needle.train.history import FACTS

    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: a file; --out is the folder of the run")
    last = whole(out / "last")
    if (out / "best").exists() and not last.exists() and not (out / FACTS).exists():  # with it, a run killed before its first state
        raise UserError(f"{out}: a checkpoint is there already (best), of no run that can be continued; give another --out")
    if last.exists() and not resume:
        raise UserError(f"{out}: a run is there already; give --resume to continue it, or another --out")
    if resume and not last.exists():
        raise UserError(f"{out}: no run to continue there; leave --resume out to start one")
    return last


def _trainer(split: Split, config: Any, out: Path, start: Path | None, preset: str, soft: Soft, resume: bool) -> Any:
    """Models, examples and validation of a run that starts from the checkpoint ``start`` (None: random weights)."""
    from needle.corpora.vary import STAYING, Augment
    from needle.student.modeling import PRESETS, NeedleConfig, NeedleModel
    from needle.student.modeling.storage import load_model
    from needle.student.tokenizer import load_tokenizer
    from needle.train.cached_teachers import soft_source
    from needle.train.examples import ExampleSet
    from needle.train.loop import Trainer, compute_type
    from needle.train.students import apart
    from needle.train.validate import Validator
    from needle.train.world import World

    model = NeedleModel(NeedleConfig(**PRESETS[preset])) if start is None else load_model(start)
    world = World()
    model.to(world.device)
    tokenizer = load_tokenizer(start)
    plain = soft.cache is not None and not soft.teachers  # a cache alone knows its own rows, as they are
    rows = split.train if plain else with_replay(split.train, config.replay, config.seed)
    # a toolset that stays is learnt as it is, whatever is replayed beside it; many toolsets are there to teach how to read any
    toolsets = {id(trace.tools): trace.tools for trace in split.train}.values()  # rows of a file share theirs: hashed once, not once a row
    vary = None if plain else Augment(rows) if len(set(map(fingerprint, toolsets))) >= MANY_TOOLSETS else Augment(rows, STAYING)
    examples = ExampleSet(rows, tokenizer, model.config, vary)
    held = random.Random(config.seed).sample(split.validation, min(len(split.validation), config.validation_rows))
    held_examples = ExampleSet(held, tokenizer, model.config)
    validator = Validator(held, held_examples, tokenizer, config.token_weights, compute_type(config.precision), is_right)
    scorers, shares = _scorers(soft.teachers, tokenizer, model.device)
    source = soft_source(scorers, shares, soft.cache, tokenizer, config, examples) if soft.loss == "soft" else None
    peers: list[Any] = []
    if soft.loss == "mutual":
        peers = _peers(scorers) or [apart(model, config.seed + 1) if start else NeedleModel(model.config).to(model.device)]
    pairs = None if soft.preferences is None else _preferences(soft.preferences, tokenizer, model, config, out, resume)
    return Trainer([model, *peers], tokenizer, examples, config, out, validator, source, world, pairs)


def _scorers(names: Sequence[str], tokenizer: Any, device: Any) -> tuple[list[Any], list[float]]:
    """Teachers of ``--teacher CKPT`` or ``CKPT@WEIGHT``, and their weights (1 where none is given)."""
    from needle.train.teachers import load_teacher

    scorers, weights = [], []
    for name in names:
        path, weight = weighed(name)
        scorers.append(load_teacher(checkpoint_folder(str(path)), str(path), tokenizer))
        scorers[-1].weights.to(device)
        weights.append(weight)
    return scorers, weights


def _peers(scorers: Sequence[Any]) -> list[Any]:
    """The models of ``scorers`` as students that learn too. Raises ``UserError`` for a model of another kind."""
    from needle.train.teachers import Checkpoint

    for scorer in scorers:
        if not isinstance(scorer, Checkpoint):
            raise UserError(f"{scorer.name}: with --loss mutual all students are of this project; use it with --loss soft")
    return [scorer.weights for scorer in scorers]


def _preferences(path: Path, tokenizer: Any, model: Any, config: Any, out: Path, resume: bool) -> Any:
    from needle.train.loop import compute_type
    from needle.train.preferences import Preferences, read_pairs

    return Preferences.begin(read_pairs(path, tokenizer, model.config), config, model, out, resume, compute_type(config.precision))


def teach(
    traces: Sequence[Path], out: Path, teachers: Sequence[str], *, k: int = 32, draws: bool = False, temperature: float = 1.0,
    seed: int = 0, report: Callable[[int, int], None] = lambda done, of: None,
) -> int:  # fmt: skip
    """Ask ``teachers`` about every training row once and keep what they say in the cache ``out``; returns how many rows were new.

    A stopped call goes on where it was. Raises ``UserError`` when the cache there belongs to other teachers, columns or tokenizer.
    """
    require_torch("teaching")
    from needle.student.modeling import NeedleConfig
    from needle.student.tokenizer import load_tokenizer
    from needle.train.cached_teachers import fill, open_cache
    from needle.train.examples import ExampleSet
    from needle.train.teachers import Teachers
    from needle.train.world import World

    if not teachers:
        raise UserError("nobody to ask: give --teacher CKPT (several are averaged)")
    device, tokenizer = World().device, load_tokenizer(checkpoint_folder(str(weighed(teachers[0])[0])))
    scorers, shares = _scorers(teachers, tokenizer, device)
    ensemble = Teachers(scorers, shares)
    cache = open_cache(out, ensemble, tokenizer, k, draws, temperature)
    examples = ExampleSet(read_split(traces, seed).train, tokenizer, NeedleConfig()).rendered()
    return fill(cache, ensemble, examples, device, report=lambda done: report(done, len(examples)))
