"""What teachers are told. Any change of a word here needs a new ``PROMPT_VERSION``: stored answers belong to their
prompt.

The static part comes first and the toolset next, so that endpoints with a prompt cache reuse both from row to row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from needle.generate.context import CONTEXT_RULES
from needle.generate.kinds import HIDDEN_RULE, KIND_RULES
from needle.generate.stated import Stated, read_reply, read_stated
from needle.teacher.wire import WireNames, tools_to_wire
from needle.tools.spec import ToolSpec

if TYPE_CHECKING:
    from needle.generate.plan import Plan, PlannedCall

PROMPT_VERSION = "3"
MAX_TOKENS = {"write": 800, "label": 1000}
"""Output tokens allowed, by stage."""
SKIP = "SKIP"
"""What a teacher answers when a plan makes no sense."""

WRITE = """You write one message that a real person would type or say to an app's assistant.
Below are the app's tools and a plan. The message never has the technical name of a tool or an argument.
- Give every required argument of each planned call, each optional argument listed under "mention", and no other.
- Make up specific, varied, realistic values. Those under "values" are given: say them in everyday words. Those under
  "suggest" are suggestions: use them, or others as unusual; a person's own words (titles, messages, searches) you make up.
- Say every value so that it can be read off the message: names and texts word for word, dates with day, month and
  year unless facts say what today is, times without doubt about morning or evening. Never rely on anything outside the
  message, the facts and the earlier turns.
- Mention the calls in the order of the plan.
- Follow the style. If the plan makes no sense, answer SKIP.
Answer with one JSON object and nothing else:
{"message": "...", "values": [{"tool": "...", "arguments": {"...": "..."}}]}
"values" has one item for each call that is right for the message in the end, with what the message states for each of
its arguments, as the schema wants it or in the message's words. It is [] where no call is right."""

LABEL = """You operate an app through its tools.
Call the tools that the user's message asks for, one call for each thing asked, in order of mention. Copy names and
texts exactly as the user wrote them; write dates, times and numbers as the tool's schema wants them, counting from the
facts where the user does. Give an optional argument only if the user states it. Where the user corrects himself, the
last word counts. If a message asks for several things, make the calls that can be made and leave out the others. If no
tool does what is asked, if a required value is missing, or if the user says not to do it, call no tool and say so."""


@dataclass(frozen=True)
class Written:
    """What an author's answer holds."""

    request: str
    """The message."""
    messages: tuple[dict[str, Any], ...] = ()
    """Earlier turns in OpenAI's shape, oldest first."""
    stated: tuple[Stated, ...] | None = field(default=None, hash=False)
    """What the author meant for which argument; None where it does not say."""


def write_body(plan: Plan, tools: Sequence[ToolSpec], temperature: float) -> dict[str, Any]:
    """Chat completion parameters that ask for a request."""
    names = WireNames(tools)
    order: dict[str, Any] = {
        "task": "write_request",
        "tools": [wire["function"] for wire in tools_to_wire(tools, names)],
        "kind": plan.as_written.kind,
        "calls": [_call(call, names) for call in plan.calls],
        "style": plan.style.to_dict(),
    }
    optional = {
        "withheld": [names.out(name) for name in plan.withheld],
        "beside": names.out(plan.beside) if plan.beside else "",
        "distractor": plan.distractor,
        "facts": plan.facts,
        "context": plan.context,
        "differs" if plan.context == "followup" else "asked": plan.ask_back,
    }
    order |= {key: value for key, value in optional.items() if value}
    hidden = bool(plan.withheld and plan.calls)
    rules = [KIND_RULES["single" if plan.cut or (hidden and plan.kind != "half") else plan.kind]]
    rules += [HIDDEN_RULE] if hidden else []
    rules += [CONTEXT_RULES[plan.context]] if plan.context else []
    rules.append(f"Style: {'; '.join(plan.style.rules())}.")
    return {
        "messages": [
            {"role": "system", "content": WRITE},
            {"role": "user", "content": f"{json.dumps(order, ensure_ascii=False)}\n\n" + "\n".join(rules)},
        ],
        "temperature": temperature,
        "seed": plan.seed,
        "max_tokens": MAX_TOKENS["write"],
    }


def _call(call: PlannedCall, names: WireNames) -> dict[str, Any]:
    item: dict[str, Any] = {"tool": names.out(call.tool), "mention": list(call.mention), "values": call.values}
    item |= {"suggest": call.suggest, "omit": call.omit, "first": call.first, "due": "" if call.due else False}
    return {key: value for key, value in item.items() if value not in ("", [], {})}


def label_body(
    request: str,
    tools: Sequence[ToolSpec],
    seed: int,
    *,
    facts: str | None = None,
    messages: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Chat completion parameters that ask for the calls, with native tools.

    Args:
        request: the message to answer.
        tools: the tools on offer.
        seed: of the row.
        facts: what holds for the request, as the trace's ``system`` will say it.
        messages: earlier turns.
    """
    system = LABEL + (f"\nFacts: {facts}" if facts else "")
    return {
        "messages": [
            {"role": "system", "content": system}, *messages, {"role": "user", "content": request},
        ],
        "tools": tools_to_wire(tools, WireNames(tools)),
        "temperature": 0.0,
        "seed": seed,
        "max_tokens": MAX_TOKENS["label"],
    }  # fmt: skip


def read_written(plan: Plan, text: str, tools: Sequence[ToolSpec] = ()) -> Written:
    """The request of an author's answer, the turns before it and the values stated beside it; an answer without the turns
    that were asked for has an empty request. ``tools``: all that the plan speaks of, for their names."""
    message, values = read_reply(text)
    return replace(_read_message(plan, message), stated=read_stated(values, WireNames(tools)))


def _read_message(plan: Plan, text: str) -> Written:
    if plan.context not in ("followup", "answer"):
        return Written(clean_request(text))
    if text.strip(" .`\n") == SKIP:
        return Written(SKIP)
    turns = re.findall(
        r"^\W*(User|Assistant)\W*?:\** *(.+?)(?=\n\W*(?:User|Assistant)\W*:|\Z)", text.strip(), re.S | re.M | re.I
    )
    said = [(role.lower(), clean_request(content)) for role, content in turns]
    if (
        len(said) < 3
        or [role for role, _ in said] != (["user", "assistant"] * len(said))[: len(said)]
        or len(said) % 2 == 0
    ):
        return Written("")
    return Written(said[-1][1], tuple({"role": role, "content": content} for role, content in said[:-1]))


def clean_request(text: str) -> str:
    """The request of an answer: without code fence, surrounding quotation marks or a label before it."""
    text = text.strip().removeprefix("```text").removeprefix("```").removesuffix("```").strip()
    for label in ("Message:", "Request:", "User:"):
        text = text.removeprefix(label).strip()
    for left, right in (('"', '"'), ("“", "”"), ("'", "'")):
        if len(text) > 1 and text[0] == left and text[-1] == right and left not in text[1:-1]:
            text = text[1:-1].strip()
    return text
