"""An optional judge: separate yes-or-no questions about a row that passed every other check, put to another teacher.

One question a fault, so that a refusal says what is wrong, and a judge that is poor at one question can be told from
one that is poor at all. ``calibrate`` puts the questions of a hand-labelled set (``judge_cases.json``) to the judge of a
run and reports agreement and Cohen's kappa for each; a question that the judge answers no better than chance is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from needle.errors import UserError
from needle.generate.desk import Desk
from needle.generate.refusal import Refusal
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.wire import Answer, WireNames, tools_to_wire
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.formats import trace_from_dict

QUESTIONS: Mapping[str, str] = {
    "served": "Do the calls do everything that the message asks for and that the tools can do?",
    "stated": "Does every argument value follow from the message (or the facts), none of it invented?",
    "placed": "Does every value stand in the right argument, in the right form and unit?",
    "nothing_more": "Is every call asked for, none of them beyond the message?",
    "no_tool": "Is it right that no tool is called?",
}
"""What is asked; the last one of rows without calls, the others of rows with calls. Yes is always good."""
JUDGE = """You check the answers of an assistant that operates an app through tools. You get the tools, the user's message and the
assistant's calls. Answer each question with true for yes or false for no, strictly: if in doubt, false. Reply with one
JSON object, the names of the questions as keys, and nothing else."""
MAX_TOKENS = 200
LEAST_KAPPA = 0.2
"""A question with less agreement than this beyond chance refuses nothing."""


@dataclass(frozen=True)
class Agreement:
    """How a judge answers a question of the hand-labelled set."""

    cases: int
    """Cases that it answered."""
    agreed: float
    """Share that it answered as the person did."""
    kappa: float
    """Agreement beyond chance (Cohen 1960): 1 is perfect, 0 is chance."""

    @property
    def usable(self) -> bool:
        """Whether its verdicts count."""
        return self.kappa >= LEAST_KAPPA

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"cases": self.cases, "agreed": round(self.agreed, 4), "kappa": round(self.kappa, 4), "used": self.usable}


def questions_for(calls: Sequence[ToolCall]) -> dict[str, str]:
    """The questions that concern a row with or without calls."""
    return {name: text for name, text in QUESTIONS.items() if (name == "no_tool") == (not calls)}


def judge_body(
    request: str, calls: Sequence[ToolCall], tools: Sequence[ToolSpec], seed: int, facts: str | None = None
) -> dict[str, Any]:
    """Chat completion parameters that ask for a verdict."""
    names = WireNames(tools)
    case = {
        "tools": [wire["function"] for wire in tools_to_wire(tools, names)],
        "facts": facts or "",
        "message": request,
        "calls": [call.to_dict() for call in calls],
        "questions": questions_for(calls),
    }
    return {
        "messages": [{"role": "system", "content": JUDGE}, {"role": "user", "content": json.dumps(case, ensure_ascii=False)}],
        "temperature": 0.0,
        "seed": seed,
        "max_tokens": MAX_TOKENS,
    }


def read_verdict(text: str, names: Sequence[str]) -> dict[str, bool] | None:
    """Answers of a judge by question; None when they cannot be read."""
    match = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        given = json.loads(match[0]) if match else None
    except ValueError:
        return None
    words = {"true": True, "yes": True, "false": False, "no": False}
    if not isinstance(given, dict):
        return None
    found = {name: given[name] if isinstance(given.get(name), bool) else words.get(str(given.get(name)).lower()) for name in names}
    return {name: value for name, value in found.items() if value is not None} if None not in found.values() else None


class Judge:
    """Asks the questions of one row; calibrated before its first verdict counts."""

    def __init__(self, desk: Desk) -> None:
        """Raises UserError when no teacher may judge."""
        if not desk.teachers("judge"):
            raise UserError("no teacher has the role of judge; give one, or leave the judge out")
        self._desk = desk
        self._lock = asyncio.Lock()
        self.agreement: dict[str, Agreement] | None = None
        """By question; None before the calibration."""

    async def refusals(
        self, request: str, calls: Sequence[ToolCall], tools: Sequence[ToolSpec], seed: int, facts: str | None = None
    ) -> tuple[list[Refusal], dict[str, Any], Answer]:
        """Reasons against a row (``judge:<question>``, ``judge:unreadable``), what to note of it, and the answer.

        Raises:
            UserError: none of the trial cases was answered readably.
            As ``Desk.ask``.
        """
        async with self._lock:
            if self.agreement is None:  # in a context of its own: it belongs to no row's bill
                task = asyncio.get_running_loop().create_task(self.calibrate(), context=contextvars.Context())
                self.agreement = await task
        if not any(item.cases for item in self.agreement.values()):
            raise UserError(
                f"the judge gave no readable answer to any of its {len(judge_cases())} trial cases, so it would refuse every row; "
                "give the role of judge to another teacher, or leave the judge out"
            )
        body = judge_body(request, calls, tools, seed, facts)
        teacher = self._desk.pick("judge", body)
        answer = await self._desk.ask("judge", body, teacher=teacher)
        verdict = read_verdict(answer.text, list(questions_for(calls)))
        if verdict is None:
            return [Refusal("judge:unreadable")], {"teacher": teacher}, answer
        against = [name for name, good in verdict.items() if not good and self.agreement[name].usable]
        return [Refusal(f"judge:{name}", QUESTIONS[name]) for name in against], {"teacher": teacher, **verdict}, answer

    async def calibrate(self) -> dict[str, Agreement]:
        """Agreement with the hand-labelled set by question. Endpoint failures leave a case out."""
        pairs: dict[str, list[tuple[bool, bool]]] = {name: [] for name in QUESTIONS}
        for number, case in enumerate(judge_cases()):
            trace = trace_from_dict({key: value for key, value in case.items() if key != "verdict"})
            body = judge_body(trace.query, trace.calls, trace.tools, number, trace.system)
            try:
                answer = await self._desk.ask("judge:calibration", body)
            except (TransientError, PermanentError) as error:
                if isinstance(error, PermanentError) and error.stops_job:
                    raise
                continue
            verdict = read_verdict(answer.text, list(questions_for(trace.calls))) or {}
            for name, good in verdict.items():
                pairs[name].append((good, case["verdict"][name]))
        return {name: _agreement(answers) for name, answers in pairs.items()}


def judge_cases() -> list[dict[str, Any]]:
    """The hand-labelled set: example rows with a ``verdict`` by question."""
    text = (resources.files("needle.generate") / "judge_cases.json").read_text(encoding="utf-8")
    return json.loads(text)


def _agreement(pairs: Sequence[tuple[bool, bool]]) -> Agreement:
    if not pairs:
        return Agreement(0, 0.0, 0.0)
    n = len(pairs)
    agreed = sum(one == two for one, two in pairs) / n
    yes_one, yes_two = (sum(pair[side] for pair in pairs) / n for side in (0, 1))
    chance = yes_one * yes_two + (1 - yes_one) * (1 - yes_two)
    return Agreement(n, agreed, 1.0 if chance == 1 else (agreed - chance) / (1 - chance))
