"""Whether an answer becomes a row: schema, groundedness, nothing dropped or swapped, agreement with the plan.

    verdict = verify_calls(plan, request, calls, problem, tools)
    verdict.refusals            # empty: accepted; else reasons, see ``needle.generate.refusal``

What each check catches is measured on seeded corruptions by ``benchmarks/verifier.py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from needle.generate.dropped import dropped
from needle.generate.intent import intent_refusals
from needle.generate.plan import Plan
from needle.generate.prompts import SKIP
from needle.generate.refusal import Refusal
from needle.generate.stated import Stated, witness
from needle.generate.swapped import swapped
from needle.tools.grounding.ground import Grounding, ground_calls
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import validate_calls

MAX_REQUEST = 2000
"""Characters."""
BESIDE = frozenset({"extraction", "corrected", "half"})
"""Kinds whose requests hold values that no argument is to take."""


@dataclass(frozen=True)
class Verdict:
    """Outcome of the checks of one row."""

    refusals: tuple[Refusal, ...] = ()
    """Empty: accepted."""
    spans: dict[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    """``call index.argument path`` to the span of the request that states it."""
    origins: dict[str, str] = field(default_factory=dict, hash=False)
    """``call index.argument path`` to where its value comes from: ``said``, ``normalised``, ``schema``, ``implied``, ``facts``."""


def verify_request(text: str, tools: Sequence[ToolSpec]) -> list[Refusal]:
    """Checks of the written request alone, before its label is paid for."""
    if text.strip(" .") == SKIP:
        return [Refusal("plan_skipped")]
    if not text:
        return [Refusal("request_empty")]
    if len(text) > MAX_REQUEST:
        return [Refusal("request_long", f"{len(text)} characters")]
    for tool in tools:
        # a technical name has a joint in it; a plain word such as "timer" is anybody's
        if re.search(r"[a-z][A-Z]|[_.]", tool.name) and tool.name in text:
            return [Refusal("request_names_tool", tool.name)]
    return []


def verify_calls(
    plan: Plan | None,
    request: str,
    calls: Sequence[ToolCall],
    problem: str | None,
    tools: Sequence[ToolSpec],
    facts: str | None = None,
    stated: Sequence[Stated] = (),
) -> Verdict:
    """Checks of a label against schemas, request and plan; ``facts``: system text and earlier turns. No plan: no such check.
    ``stated``: the author's values; they speak last, so that a repair in words never gives them away."""
    if problem:
        code = problem.partition(":")[0]
        return Verdict((Refusal(f"label_{code}", problem.partition(": ")[2]),))
    violations = validate_calls(calls, tools)
    if violations:
        return Verdict(tuple(Refusal(f"schema:{item.code}", f"{item.path}: {item.message}") for item in violations))
    groundings = ground_calls(calls, tools, request, facts)
    author = witness(stated, calls, tools, request, groundings, facts)
    found = content_refusals(calls, tools, request, groundings, author.agreed)
    if plan is not None:
        found = [refusal for refusal in found if not _meant(refusal, plan)]
        found = intent_refusals(plan, calls, tools, groundings) or found
    found = found or list(author.refusals)
    spans = {item.path: item.span for item in groundings if item.span}
    return Verdict(tuple(found), spans, {item.path: item.how for item in groundings if item.how})


def _meant(refusal: Refusal, plan: Plan) -> bool:
    """Whether a value is left out because the plan has it so: said in passing, taken back, or part of what no tool does."""
    beside = plan.kind in BESIDE or (plan.distractor and plan.distractor in refusal.detail)
    return refusal.code == "dropped" and bool(beside)


def content_refusals(
    calls: Sequence[ToolCall],
    tools: Sequence[ToolSpec],
    request: str,
    groundings: Sequence[Grounding],
    settled: frozenset[str] = frozenset(),
) -> list[Refusal]:
    """What the request itself says against valid calls: values from nowhere, values left out, exchanged, said twice.
    ``settled``: paths whose place is beyond doubt."""
    found = [Refusal("ungrounded", f"{item.path}: {item.value!r}") for item in groundings if not item.grounded]
    found += [Refusal("repeated", path) for path in _repeated(calls, groundings)]
    found += [Refusal("dropped", f"{item.path}: {item.text!r}") for item in dropped(calls, tools, request, groundings)]
    if not found:
        found += [Refusal("swapped", f"{item.one} and {item.two}") for item in swapped(calls, tools, request, groundings, settled)]
    return found


def _repeated(calls: Sequence[ToolCall], groundings: Sequence[Grounding]) -> list[str]:
    """Calls made twice, and list items that come twice from one stretch of the request."""
    twice = [str(number) for number, call in enumerate(calls) if call in calls[:number]]
    seen: set[tuple[str, object, object]] = set()
    for item in groundings:
        parent, _, last = item.path.rpartition(".")
        key = (parent, repr(item.value), item.span)
        if last.isdigit() and item.span and isinstance(item.value, str) and "." in parent:
            if key in seen:
                twice.append(item.path)
            seen.add(key)
    return twice
