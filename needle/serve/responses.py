"""OpenAI's Responses API over the same model: its bodies become those of chat completions, its answers function calls.

Nothing is stored: ``previous_response_id`` is refused, ``store`` is ignored.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

from needle.serve.errors import ApiError, refused
from needle.serve.read import Question
from needle.serve.write import Kept, arguments_of, chosen, event, extra, new_call_id
from needle.tools import CallResult, Delta


def to_chat(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a chat completion that asks the same. Raises ``ApiError`` (400) for what cannot be asked of this
    model."""
    for name in ("previous_response_id", "conversation", "prompt"):
        if body.get(name) is not None:
            words = f"{name} is not known here: nothing is stored; send the whole conversation as input"
            raise refused(words, name, "unsupported_parameter")
    if body.get("background"):
        raise refused("background answers are not given; wait for the answer", "background", "unsupported_parameter")
    wanted = (body.get("text") or {}).get("format") if isinstance(body.get("text"), dict | None) else None
    kept = ("model", "stream", "parallel_tool_calls", "needle")
    chat = {name: body[name] for name in kept if name in body}
    chat["messages"] = _messages(body.get("instructions"), body.get("input"))
    if wanted is not None:
        chat["response_format"] = wanted
    if body.get("tools") is not None:
        chat["tools"] = _tools(body["tools"])
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function" and "function" not in choice:
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    return chat | ({"tool_choice": choice} if choice is not None else {})


def _tools(raw: Any) -> Any:
    """Tools lose their envelope's flatness; the shape is checked where chat completions are read."""
    if not isinstance(raw, list):
        return raw
    inner = ("name", "description", "parameters")
    return [
        {"type": "function", "function": {key: tool[key] for key in inner if tool.get(key) is not None}}
        if isinstance(tool, dict) and tool.get("type") == "function" and "function" not in tool
        else tool
        for tool in raw
    ]


def _messages(instructions: Any, given: Any) -> list[Any]:
    if instructions is not None and not isinstance(instructions, str):
        raise refused("instructions must be text", "instructions")
    messages: list[Any] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    if not isinstance(given, list):
        raise refused("input must be text or a list of items", "input")
    for place, item in enumerate(given):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message":
            messages.append({"role": item.get("role"), "content": _content(item.get("content"))})
        elif kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif kind == "function_call_output":
            output = _content(item.get("output"))
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output})
        else:
            words = f"input[{place}] must be a message, a function_call or a function_call_output"
            raise refused(words, f"input[{place}]")
    return messages


def _content(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    texts = ("input_text", "output_text")
    return [
        {"type": "text", "text": part.get("text")} if isinstance(part, dict) and part.get("type") in texts else part
        for part in content
    ]


class ResponseWriter:
    """``response``, or its events. One writer writes one answer."""

    def __init__(self, question: Question, model: str) -> None:
        self._question, self._model = question, model
        self._filter = Kept(question)
        self._id, self._created = f"resp_{secrets.token_hex(12)}", int(time.time())
        self._items: list[dict[str, Any]] = []
        self._count = 0

    def whole(self, result: CallResult) -> dict[str, Any]:
        """The answer as one ``response``; items that were streamed keep their names."""
        calls = chosen(self._question, result)
        names = [(item["id"], item["call_id"]) for item in self._items] or [_names() for _ in calls]
        output = [
            _item(item, call_id, call.name, arguments_of(call), "completed")
            for (item, call_id), call in zip(names, calls, strict=False)
        ]
        read, written = (result.usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens"))
        usage = {
            "input_tokens": read, "output_tokens": written, "total_tokens": read + written,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        return {**self._body("completed", output), "usage": usage, **extra(result)}

    def start(self, calls: bool) -> Iterator[str]:
        """That an answer has begun."""
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=self._body("in_progress", []))

    def piece(self, delta: Delta) -> Iterator[str]:
        """The call when it begins, then the pieces of its arguments; the call before it is done."""
        index = self._filter.place(delta)
        if index is None:
            return
        if delta.name is not None:
            yield from self._done()
            item = _item(*_names(), delta.name, "", "in_progress")
            self._items.append(item)
            yield self._event("response.output_item.added", output_index=index, item=item)
        if delta.arguments:
            item = self._items[index]
            item["arguments"] += delta.arguments
            kind = "response.function_call_arguments.delta"
            yield self._event(kind, output_index=index, item_id=item["id"], delta=delta.arguments)

    def end(self, result: CallResult) -> Iterator[str]:
        """The whole answer."""
        yield from self._done()
        yield self._event("response.completed", response=self.whole(result))

    def failed(self, error: ApiError) -> Iterator[str]:
        """The error, as the SDK raises it."""
        yield event(error.body(), "error")

    def _done(self) -> Iterator[str]:
        if self._items and self._items[-1]["status"] == "in_progress":
            index, item = len(self._items) - 1, self._items[-1]
            item["status"] = "completed"
            same = {"output_index": index, "item_id": item["id"]}
            kind = "response.function_call_arguments.done"
            yield self._event(kind, **same, name=item["name"], arguments=item["arguments"])
            yield self._event("response.output_item.done", output_index=index, item=item)

    def _body(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        head = {"id": self._id, "object": "response", "created_at": self._created, "status": status}
        plain = {"error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "text": None}
        request = self._question.request
        choice = request.choice if request else None
        named = {"type": "function", "name": choice.only} if choice and choice.only else None
        asked = {
            "tool_choice": named or ("required" if choice and choice.required else "auto"),
            "tools": [{"type": "function", "strict": False, **tool.to_dict()} for tool in request.tools] if request else
            [], "parallel_tool_calls": not (choice and choice.most == 1),
        }  # fmt: skip
        return {**head, "model": self._model, "output": output, **plain, **asked}

    def _event(self, kind: str, **fields: Any) -> str:
        self._count += 1
        return event({"type": kind, "sequence_number": self._count - 1, **fields}, kind)


def _names() -> tuple[str, str]:
    return f"fc_{secrets.token_hex(12)}", new_call_id()


def _item(item: str, call: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": item,
        "call_id": call,
        "name": name,
        "arguments": arguments,
        "status": status,
    }
