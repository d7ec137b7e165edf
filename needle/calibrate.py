"""What is fitted to a trained student afterwards: what words count when it names a tool, its confidence, how it finds tools in large sets. The glue behind ``needle calibrate``."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from needle.distil import is_right
from needle.errors import UserError
from needle.models import BUNDLED, checkpoint_folder, load, open_engine, require_torch
from needle.student.confidence import FILE, features, fit
from needle.student.leaning import Priors
from needle.student.prior import FILE as PRIOR
from needle.student.prior import KINDS, Judging, Prior
from needle.student.prior_fit import Chosen, choices, fit_kind, judged, open_choices
from needle.student.reranking import Candidates, doubtful
from needle.student.shape import CONFIG, Shape
from needle.tools import CallResult, ToolSpec, fingerprint
from needle.traces import Trace
from needle.traces.standard import standard

if TYPE_CHECKING:
    import numpy as np

    from needle.student.retrieval import Source

BATCH = 32
"""Texts read between two reports of progress."""
JUDGED = "answers"
"""The kind of choices that is made when the others have been."""
SHIFTS = tuple(step / 4 for step in range(-4, 5))
"""What the fitted weight of no call may be changed by."""
REQUESTS, HELD_OUT, HELD_TOOLSETS = 3000, 600, 100
"""Training requests that a retrieval head is fitted on; validation requests that its weight is chosen and measured on, and toolsets of these."""


@dataclass(frozen=True)
class CalibrationReport:
    """What was fitted and what it is worth."""

    file: Path
    """The ``calibration.json`` that was written."""
    features: tuple[str, ...]
    """What the confidence is computed from."""
    rows: int
    """Rows it was fitted on."""
    right: int
    """How many of them the student gets right."""
    before: dict[str, Any]
    """``needle.evals.calibration`` of the raw probability."""
    after: dict[str, Any]
    """The same of the fitted confidence, each row by a model that saw no row of its toolset."""
    prior: Prior | None
    """What the words of tools count where one is named, for the answers above; None where that makes no name right more often."""


def calibrate(
    model: str | None,
    traces: Sequence[Path],
    *,
    out: Path | None = None,
    limit: int = 600,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CalibrationReport:
    """Fit the prior and then the confidence on up to ``limit`` rows; writes ``prior.json`` and ``calibration.json`` beside the
    weights (or into ``out``).

    Raises ``UserError`` for unusable rows, a model that is no student, and fewer than 20 rows or all of them right or wrong.
    """
    from needle.evals.calibration import calibration as measure
    from needle.traces.read import read_traces

    target = _target(model, out)
    rows = [standard(trace) for trace in read_traces(list(traces))[0]]
    chosen = sorted(random.Random(seed).sample(rows, min(limit, len(rows))), key=lambda trace: (trace.toolset, len(trace.query)))
    caller, source = load(model, calibration=None, prior=None), ", ".join(path.name for path in traces)
    prior, answered = _prior(caller, chosen, source, progress)
    signals, right = [row[1] for row in answered], [row[2] for row in answered]
    made, held = fit(signals, right, [row[0].toolset for row in answered])
    before, after = measure([one["probability"] for one in signals], right), measure(held, right)
    assert before is not None and after is not None
    figures = {name: {"raw": before[name], "held_out": after[name]} for name in ("ece", "brier", "auroc")}
    made = replace(made, fitted_on={**made.fitted_on, "source": source, "toolsets": len({row[0].toolset for row in answered}), "seed": seed, **figures})
    target.mkdir(parents=True, exist_ok=True)
    made.save(target)
    if prior is None:
        (target / PRIOR).unlink(missing_ok=True)
    else:
        prior.save(target)
    return CalibrationReport(target / FILE, made.features, len(answered), sum(right), before, after, prior)


Answered = tuple[Trace, dict[str, float], bool]
"""A row, what its confidence is computed from, and whether its answer is right."""


def _prior(caller: Any, traces: Sequence[Trace], source: str, progress: Callable[[int, int], None]) -> tuple[Prior | None, list[Answered]]:
    """The prior (None where it does not help left-out toolsets), and the answers of the student with it.

    What counts while an answer is written is fitted first, then what counts among whole answers that were written so.
    """
    found: dict[str, list[Chosen]] = {kind: [] for kind in KINDS if kind != JUDGED}
    for trace in traces:
        request = caller.shown(trace.request)
        if trace.calls and {call.name for call in trace.calls} <= {tool.name for tool in request.tools}:
            about = request, trace.calls, trace.toolset, partial(caller.stepper, request), caller.tokenizer
            for kind, choice in chain(choices(*about), open_choices(*about, caller.constraint)):
                found[kind].append(choice)
    made = Prior(fitted_on={"source": source})
    for kind, rows in found.items():
        made = fit_kind(made, kind, rows)
    caller.priors = Priors(made, caller.tokenizer)
    considered = _considered(caller, traces, progress)
    judgements = (judged(those, right, trace.toolset) for trace, those, right in considered)
    made = fit_kind(made, JUDGED, [row for row in judgements if row is not None])
    made = replace(made, answers=most_right(made.answers, [(those, right) for _, those, right in considered]))
    answered = []
    for trace, those, right in considered:
        place, share = _taken(those, made.answers)
        answered.append((trace, features(those.answers[place], caller.tokenizer, share), right[place]))
    return (None if made == Prior(fitted_on=made.fitted_on) else made), answered


def most_right(answers: Judging, considered: Sequence[tuple[Candidates, Sequence[bool]]]) -> Judging:
    """The same with another weight of no call, by at most one, where more answers are right with it.

    The likeliest weights count a row by how unsure it is; who asks counts right answers. ``considered``: candidates, and which are right.
    """
    if answers == Judging():
        return answers

    def right(shift: float) -> tuple[int, float]:
        moved = answers._replace(none=answers.none + shift)
        return sum(rights[_taken(those, moved)[0]] for those, rights in considered), -abs(shift)

    return answers._replace(none=round(answers.none + max(SHIFTS, key=right), 4))


def _taken(those: Candidates, answers: Judging) -> tuple[int, float | None]:
    """Place of the answer that is given, and its share among all where there was a second look."""
    return those.best(answers) if doubtful(those.answers[0]) and answers != Judging() else (0, None)


def _considered(caller: Any, traces: Sequence[Trace], progress: Callable[[int, int], None]) -> list[tuple[Trace, Candidates, list[bool]]]:
    """Of each row that could be asked the answers that might be given, and which are right."""
    found = []
    for done, trace in enumerate(traces, 1):
        try:
            those = caller.considered(trace.request)
        except UserError:
            continue
        if those.answers:
            found.append((trace, those, [is_right(trace, CallResult(calls)) for calls in those.calls]))
        progress(done, len(traces))
    return found


def take_over(start: Path, checkpoint: Path, rows: Sequence[Trace]) -> None:
    """Give a fine-tuned ``checkpoint`` the second look of its ``start``, and fit its confidence with it on held-out ``rows``.

    How an answer should agree with its request is the same for all tools. What words count while an answer is written is not taken over: a student of
    few tools knows better. Nothing happens where the start has no second look, or its tools see the request (which is slow to answer one by one).
    """
    from needle.train.validate import calibration_of  # here: torch is needed to train, not to calibrate

    before = Prior.load(start)
    if before is None or before.answers == Judging() or not (checkpoint / CONFIG).is_file() or not Shape.read(checkpoint).shares_toolsets:
        return
    Prior(answers=before.answers, fitted_on={"source": "taken over from the start", JUDGED: before.fitted_on.get(JUDGED, {})}).save(checkpoint)
    answers = load(checkpoint, calibration=None).answer([row.request for row in rows])
    made = calibration_of(rows, answers, [is_right(row, answer) for row, answer in zip(rows, answers, strict=True)])
    if made is not None:
        made.save(checkpoint)


def _target(model: str | None, out: Path | None) -> Path:
    """Where the file goes. Raises ``UserError`` for no checkpoint, and for the bundled base without another folder."""
    folder = checkpoint_folder(model)
    if out is None and folder == BUNDLED and model is None:
        raise UserError("calibrate: the bundled base comes with what is fitted to it; name a checkpoint with --model, or a folder with --out")
    return out or folder


@dataclass(frozen=True)
class RetrievalReport:
    """What was fitted and what it is worth."""

    file: Path
    """The ``retrieval.safetensors`` that was written."""
    requests: int
    """Training requests."""
    tools: int
    """Tools that they call."""
    weight: float
    """Lexical score that a cosine of 1 is worth."""
    recall: Mapping[int, Mapping[int, Mapping[str, float]]]
    """Tools to find them among, k, then share of held-out requests whose called tools are among the first k: by ``words``, by ``both``."""


def fit_retrieval(
    model: str | None,
    traces: Sequence[Path],
    *,
    out: Path | None = None,
    limit: int = REQUESTS,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> RetrievalReport:
    """Fit the head that finds tools by meaning, and write ``retrieval.safetensors`` beside the weights (or into ``out``).

    It is fitted on ``limit`` requests of the training part of the folders ``traces``; how much it counts is chosen on one half of the validation
    part's toolsets, and what it is worth is measured on the other half.

    Raises ``UserError`` for folders without both parts, a model that is no student, no torch, and a head that finds no more than words do.
    """
    require_torch("fitting a retrieval head")
    from needle.student.retrieval import FILE as HEAD
    from needle.student.retrieval import RetrievalHead
    from needle.train.retrieval import choose_weight, fit_head, trials

    target, chance = _target(model, out), random.Random(seed)
    train, held = (_with_calls(traces, part) for part in ("train", "validation"))
    train = chance.sample(train, min(limit, len(train)))
    names = sorted({row.toolset for row in held})
    kept = set(chance.sample(names, min(HELD_TOOLSETS, len(names))))
    held = [row for row in held if row.toolset in kept]
    held = chance.sample(held, min(HELD_OUT, len(held)))
    place: dict[str, int] = {}
    right = [[place.setdefault(_key(tool), len(place)) for tool in _called(row)] for row in train]
    called = list({_key(tool): tool for row in train for tool in _called(row)}.values())
    known = list({_key(tool): tool for row in held for tool in row.tools}.values())
    asked_ND, tools_MD, held_ND, known_MD = _pooled(model, (train, called, held, known), progress)
    heads = fit_head(asked_ND, tools_MD, right, seed=seed)
    head = RetrievalHead(*heads, 1.0)
    weight, found = choose_weight(trials(held, known, head.requests(held_ND) @ head.tools(known_MD).T, _key, seed))
    if not weight:
        raise UserError("calibrate: the head finds no more than the words of the tools do, and was not written; give more training rows or toolsets")
    source = ", ".join(path.name for path in traces)
    facts = {"requests": len(train), "tools": len(called), "source": source, "seed": seed, "held_out": len(held), "recall": found}
    RetrievalHead(*heads, weight, facts).save(target)
    return RetrievalReport(target / HEAD, len(train), len(called), weight, found)


def _with_calls(folders: Sequence[Path], part: str) -> list[Trace]:
    """Rows with a call of one part of trace folders."""
    from needle.traces.read import read_traces
    from needle.traces.split import split_files

    files = [split_files(folder).get(part, folder / part) for folder in folders]
    missing = [folder for folder, file in zip(folders, files, strict=True) if not file.is_file()]
    if missing:
        raise UserError(f"{missing[0]}: no folder with a {part} file; a retrieval head is fitted on the training part and chosen on the validation part")
    rows = [row for row in read_traces(files)[0] if row.calls and _called(row)]
    if len(rows) < 20:
        raise UserError(f"{len(rows)} rows of the {part} part have a call; a retrieval head needs at least 20 of each part")
    return rows


def _called(row: Trace) -> list[ToolSpec]:
    names = {call.name for call in row.calls}
    return [tool for tool in row.tools if tool.name in names]


def _key(tool: ToolSpec) -> str:
    return fingerprint([tool])


def _pooled(model: str | None, parts: Sequence[Sequence[Trace | ToolSpec]], progress: Callable[[int, int], None]) -> list[np.ndarray]:
    """``[N, D]`` of each list of rows or tools, by the engine that answers."""
    import numpy as np

    from needle.student.retrieval import request_source, tool_source
    from needle.student.tokenizer import load_tokenizer
    from needle.tools.retrieval import searched

    folder = checkpoint_folder(model)
    engine, tokenizer = open_engine(folder), load_tokenizer(folder)

    def source(one: Trace | ToolSpec) -> Source:
        if isinstance(one, ToolSpec):
            return tool_source(tokenizer, one, engine.config.max_source_tokens)
        return request_source(tokenizer, searched(one.query, one.messages), engine.config.max_request_tokens)

    done, found = 0, []
    for part in parts:
        some = []
        for start in range(0, len(part), BATCH):
            some.append(engine.pooled([source(one) for one in part[start : start + BATCH]]))
            done += len(some[-1])
            progress(done, sum(map(len, parts)))
        found.append(np.concatenate(some))
    return found
