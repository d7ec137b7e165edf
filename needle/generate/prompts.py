"""What teachers are told. Any change of a word here needs a new ``PROMPT_VERSION``: stored answers belong to their
prompt.

The static part comes first and the toolset next, so that endpoints with a prompt cache reuse both from row to row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from needle.teacher.wire import WireNames, tools_to_wire
from needle.tools.spec import ToolSpec

if TYPE_CHECKING:
    from needle.generate.plan import Plan

PROMPT_VERSION = "1"
MAX_TOKENS = {"write": 300, "label": 1000}
"""Output tokens allowed, by stage."""
SKIP = "SKIP"
"""What a teacher answers when a plan makes no sense."""

WRITE = """You write one message that a real person would type or say to an app's assistant.
Below are the app's tools and a plan. Write the message only: no quotation marks around it, no explanation, never the
technical name of a tool or an argument.
- Give every required argument of each planned call, each optional argument listed under "mention", and no other.
- Make up specific, varied, realistic values; those under "values" are given: say them in everyday words.
- Say every value so that it can be read off the message: names and texts word for word, dates with day, month and
  year, times without doubt about morning or evening. Never rely on today's date or on anything outside the message.
- Mention the calls in the order of the plan.
- Follow the style. If the plan makes no sense, answer SKIP."""

KIND_RULES = {
    "single": "The message asks for exactly the planned call.",
    "parallel": "The message asks for all planned calls, in that order, and for nothing else.",
    "irrelevant": (
        "The message asks for something that none of the tools can do, though it may come near to what they do."
    ),
    "missing": (
        'The message asks for the planned call but leaves the argument under "omit" quite open, so that one would '
        "have to ask back."
    ),
    "negated": (
        "The message says that the planned call should NOT be made (a refusal, a change of mind, a warning), so that "
        "nothing is to be done."
    ),
    "chat": "The message is small talk or a remark to the assistant; it asks for nothing.",
}
STYLE_RULES = {
    "command": "an order or a telegraphic phrase",
    "request": "a polite question",
    "need": "a statement of what the person needs or wants",
    "plain": "typed casually",
    "written": "correct capitals and punctuation",
    "lower": "all small letters, no punctuation, as speech recognition writes it",
    "short": "at most 10 words, where the values allow it",
    "medium": "one sentence",
    "long": "one or two sentences with some background",
}
LABEL = """You operate an app through its tools.
Call the tools that the user's message asks for, one call for each thing asked, in order of mention. Copy names and
texts exactly as the user wrote them; write dates, times and numbers as the tool's schema wants them. Give an optional
argument only if the user states it. If no tool does what is asked, if a required value is missing, or if the user says
not to do it, call no tool and say so."""


def write_body(plan: Plan, tools: Sequence[ToolSpec], temperature: float) -> dict[str, Any]:
    """Chat completion parameters that ask for a request."""
    names = WireNames(tools)
    calls = []
    for call in plan.calls:
        item: dict[str, Any] = {"tool": names.out(call.tool)}
        item |= {"mention": list(call.mention)} if call.mention else {}
        item |= {"values": call.values} if call.values else {}
        item |= {"omit": call.omit} if call.omit else {}
        calls.append(item)
    order = {
        "task": "write_request",
        "tools": [wire["function"] for wire in tools_to_wire(tools, names)],
        "kind": plan.kind,
        "calls": calls,
        "style": {"form": plan.form, "case": plan.case, "length": plan.length},
    }
    style = "; ".join(STYLE_RULES[choice] for choice in (plan.form, plan.case, plan.length))
    rules = f"{KIND_RULES[plan.kind]}\nStyle: {style}."
    return {
        "messages": [
            {"role": "system", "content": WRITE},
            {"role": "user", "content": f"{json.dumps(order, ensure_ascii=False)}\n\n{rules}"},
        ],
        "temperature": temperature,
        "seed": plan.seed,
        "max_tokens": MAX_TOKENS["write"],
    }


def label_body(request: str, tools: Sequence[ToolSpec], seed: int) -> dict[str, Any]:
    """Chat completion parameters that ask for the calls, with native tools."""
    return {
        "messages": [{"role": "system", "content": LABEL}, {"role": "user", "content": request}],
        "tools": tools_to_wire(tools, WireNames(tools)),
        "temperature": 0.0,
        "seed": seed,
        "max_tokens": MAX_TOKENS["label"],
    }


def clean_request(text: str) -> str:
    """The request of an answer: without code fence, surrounding quotation marks or a label before it."""
    text = text.strip().removeprefix("```text").removeprefix("```").removesuffix("```").strip()
    for label in ("Message:", "Request:", "User:"):
        text = text.removeprefix(label).strip()
    for left, right in (('"', '"'), ("“", "”"), ("'", "'")):
        if len(text) > 1 and text[0] == left and text[-1] == right and left not in text[1:-1]:
            text = text[1:-1].strip()
    return text
