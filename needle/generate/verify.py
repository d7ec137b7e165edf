"""Whether an answer becomes a row: schema, groundedness, agreement with the plan. Each refusal has a reason code.

Codes: ``request_empty``, ``request_long``, ``request_names_tool``, ``plan_skipped``, ``label_malformed``,
``label_truncated``, ``label_filtered``, ``schema:<code of needle.tools>``, ``ungrounded``, ``expected_no_call``,
``expected_call``, ``plan_disagrees``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from needle.generate.ground import ground_calls
from needle.generate.plan import Plan
from needle.generate.prompts import SKIP
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import validate_calls
from needle.traces.trace import NO_CALL

MAX_REQUEST = 2000
"""Characters."""


@dataclass(frozen=True)
class Refusal:
    """Why a row was not accepted."""

    code: str
    """Stable name, as listed in the module's docstring."""
    detail: str = ""
    """What exactly, in words."""


@dataclass(frozen=True)
class Verdict:
    """Outcome of the checks of one row."""

    refusals: tuple[Refusal, ...] = ()
    """Empty: accepted."""
    spans: dict[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    """``call index.argument path`` to the span of the request that states it."""


def verify_request(text: str, tools: list[ToolSpec]) -> list[Refusal]:
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
    plan: Plan, request: str, calls: list[ToolCall], problem: str | None, tools: list[ToolSpec]
) -> Verdict:
    """Checks of the label against schemas, request and plan."""
    if problem:
        code = problem.partition(":")[0]
        return Verdict((Refusal(f"label_{code}", problem.partition(": ")[2]),))
    violations = validate_calls(calls, tools)
    if violations:
        return Verdict(tuple(Refusal(f"schema:{item.code}", f"{item.path}: {item.message}") for item in violations))
    if plan.kind in NO_CALL:
        called = ", ".join(call.name for call in calls)
        return Verdict((Refusal("expected_no_call", f"label calls {called}"),) if calls else ())
    wanted, got = [call.tool for call in plan.calls], [call.name for call in calls]
    if not calls:
        return Verdict((Refusal("expected_call", f"plan has {', '.join(wanted)}"),))
    if wanted != got:
        return Verdict((Refusal("plan_disagrees", f"plan has {', '.join(wanted)}; label has {', '.join(got)}"),))
    groundings = ground_calls(calls, tools, request)
    lost = tuple(Refusal("ungrounded", item.path) for item in groundings if not item.grounded)
    return Verdict(lost, {item.path: item.span for item in groundings if item.span})
