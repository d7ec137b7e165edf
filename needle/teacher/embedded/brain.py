"""``EmbeddedTeacher``: reads a chat completion request, decides whether it is to write or to label, and answers.

Answers are a function of the request body (its ``seed`` included). What the teacher wrote it remembers under
(tools, request, seed), and labels by what it meant; any other request goes to the lexical matcher. Memory can be
rebuilt by asking the same writing requests again, so nothing is lost when a run is resumed in a new process.
"""

from __future__ import annotations

import hashlib
import json
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.teacher.embedded.bank import Bank
from needle.teacher.embedded.compose import compose
from needle.teacher.embedded.data import find_traces, read_rows
from needle.teacher.embedded.matcher import match
from needle.teacher.embedded.phrasing import Voice
from needle.teacher.embedded.values import ValueBank
from needle.teacher.embedded.wish import read_wish
from needle.tools.spec import ToolCall, ToolSpec, fingerprint

MODEL = "embedded-teacher"
TASK = "write_request"
"""Value of ``task`` in a plan that asks for a request to be written."""
UNSAYABLE = "SKIP"
"""What the teacher answers when it cannot put a plan into words."""


class EmbeddedTeacher:
    """A deterministic stand-in for a teacher API; see the package's docstring for what it is and is not."""

    def __init__(self, traces: Path | None = None, *, learn: bool = True) -> None:
        """``traces``: file of recorded traces (None: found by ``find_traces``); ``learn=False`` phrases from
        schemas alone."""
        self._path, self.source = find_traces() if traces is None else (traces, f"phrasing learnt from {traces}")
        if not learn:
            self._path, self.source = None, "phrasing from schemas alone"
        self._bank: Bank | None = None
        self._voices: dict[str, Voice] = {}
        self._memory: dict[tuple[str, str, Any], list[ToolCall]] = {}

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer the body of a chat completion request with the body of its response.

        Raises:
            UserError: when tools or plan are malformed.
        """
        text = _last_user_text(body["messages"])
        plan = _find_plan(text)
        if plan is not None:
            message: dict[str, Any] = {"role": "assistant", "content": self._write(plan, body.get("seed"))}
        else:
            tools = [_spec(item) for item in body.get("tools") or ()]
            calls = self._label(text, tools, body.get("seed"))
            message = {"role": "assistant", "content": None if calls else "None of the tools fits this request."}
            if calls:
                message["tool_calls"] = [_wire(number, call) for number, call in enumerate(calls)]
        return _completion(body, message)

    def voice(self, tools: list[ToolSpec]) -> Voice:
        """How this toolset is talked about; the recorded traces are read on first use."""
        if self._bank is None:
            self._bank = _load_bank(self._path)
        key = fingerprint(tools)
        if key not in self._voices:
            self._voices[key] = Voice(self._bank, ValueBank(self._bank))
        return self._voices[key]

    def _write(self, plan: dict[str, Any], seed: Any) -> str:
        try:
            tools = [_spec(item) for item in plan["tools"]]
            wish = read_wish(plan)
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"plan is malformed: {error!r}") from None
        digest = hashlib.blake2b(json.dumps([plan, seed], sort_keys=True).encode(), digest_size=8).digest()
        made = compose(wish, tools, self.voice(tools), random.Random(int.from_bytes(digest, "big")))
        if made is None:
            return UNSAYABLE
        offered = [tool for tool in tools if tool.name not in wish.withheld]
        self._memory[(fingerprint(offered), made.text, seed)] = made.calls
        turns = [f"{'User' if number % 2 == 0 else 'Assistant'}: {text}" for number, text in enumerate(made.turns)]
        message = "\n".join([*turns, f"User: {made.text}"]) if turns else made.text
        values = [{"tool": call.name, "arguments": call.arguments} for call in made.calls]
        return json.dumps({"message": message, "values": values}, ensure_ascii=False)

    def _label(self, request: str, tools: list[ToolSpec], seed: Any) -> list[ToolCall]:
        remembered = self._memory.get((fingerprint(tools), request, seed)) if seed is not None else None
        return remembered if remembered is not None else match(request, tools, self.voice(tools))


@lru_cache(maxsize=2)
def _load_bank(path: Path | None) -> Bank:
    """The index over a file of traces; it is never changed, so teachers share it."""
    return Bank(read_rows(path) if path else ())


def _spec(item: Any) -> ToolSpec:
    function = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise UserError("every tool needs a function with a name")
    return ToolSpec(
        function["name"],
        function.get("description") or "",
        function.get("parameters") or {"type": "object", "properties": {}},
    )


def _last_user_text(messages: list[Any]) -> str:
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return "".join(part.get("text", "") for part in content if isinstance(part, dict))
            return str(content or "")
    raise UserError("there is no user message")


def _find_plan(text: str) -> dict[str, Any] | None:
    """The JSON plan at the end of a writing prompt, or None when the text is an ordinary request."""
    start = text.find("{")
    if start < 0 or f'"{TASK}"' not in text:
        return None
    try:
        plan, _ = json.JSONDecoder().raw_decode(text[start:])
    except ValueError:
        return None
    return plan if isinstance(plan, dict) and plan.get("task") == TASK else None


def _wire(number: int, call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": f"call_{number}", "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _completion(body: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    asked, said = json.dumps([body["messages"], body.get("tools")]), json.dumps(message)
    usage = {"prompt_tokens": len(asked) // 4, "completion_tokens": len(said) // 4}
    return {
        "id": "chatcmpl-" + hashlib.blake2b((asked + str(body.get("seed"))).encode(), digest_size=12).hexdigest(),
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
                "logprobs": None,
            }
        ],
        "usage": usage | {"total_tokens": sum(usage.values())},
    }
