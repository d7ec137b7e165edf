"""The body of a chat completion, read into a ``Request`` and the few options that change the answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from needle.errors import UserError
from needle.serve.errors import refused
from needle.serve.limits import Limits
from needle.tools import FREE, Choice, Request, ToolSpec

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_ROLES = ("system", "developer", "user", "assistant", "tool")
_REMEMBERED = 64


@dataclass(frozen=True)
class Question:
    """One chat completion that was asked for."""

    request: Request | None
    """What goes to the caller; None when no call can be due: no tools, ``none``, or the results are in already."""
    stream: bool = False
    """Whether the answer is wanted as server-sent events."""
    include_usage: bool = False
    """Whether a stream ends with a chunk of token counts."""
    explain: bool = False
    """Whether the words of the request behind each argument are wanted; a stream then comes whole."""
    model: str = ""
    """The model that was named; empty when none was."""


class Reader:
    """Reads bodies; toolsets that come again and again (an app has one) are checked once. Safe to share by threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._toolsets: OrderedDict[bytes, tuple[ToolSpec, ...]] = OrderedDict()

    def read(self, raw: bytes, translate: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Question:
        """The question in a body. Raises ``ApiError`` (400) for what cannot be answered as asked.

        ``translate`` makes the body of a chat completion of another one.
        """
        try:
            return self._question(translate(parse_body(raw)))
        except RecursionError:
            raise refused("the body is nested too deeply; send flatter JSON") from None

    def _question(self, body: dict[str, Any]) -> Question:
        _refuse_what_no_caller_does(body)
        options = body.get("stream_options")
        if not isinstance(options, dict | None):
            raise refused("stream_options must be an object", "stream_options")
        flags: dict[str, Any] = {
            "model": body.get("model") or "",
            "explain": _explain(body.get("needle")),
            "stream": _flag(body, "stream", False),
            "include_usage": _flag(options or {}, "include_usage", False, "stream_options."),
        }
        most = None if _flag(body, "parallel_tool_calls", True) else 1
        tools, choice = self._offered(body, most)
        system, messages = _messages(body.get("messages"), self.limits.messages)
        places = [place for place, message in enumerate(messages) if message["role"] == "user"]
        if not places:
            raise refused("no message is from the user; the last one of theirs is the request", "messages")
        last = places[-1]
        query = messages[last]["content"]
        if not query.strip():
            raise refused("the last message of the user is empty; say what should be done", f"messages[{last}].content")
        if not tools or messages[-1]["role"] != "user":
            return Question(None, **flags)
        return Question(Request(query, tools, system, tuple(messages[:last]), choice), **flags)

    def _offered(self, body: dict[str, Any], most: int | None) -> tuple[tuple[ToolSpec, ...], Choice]:
        """The tools on offer (none for ``none``), and what ``tool_choice`` allows of them."""
        tools, choice = self._tools(body.get("tools")), body.get("tool_choice")
        if choice == "none":
            return (), FREE
        if choice is None or choice == "auto":
            return tools, Choice(most=most)
        if not tools:
            raise refused("tool_choice asks for a call, but tools offers none", "tool_choice")
        if choice == "required":
            return tools, Choice(required=True, most=most)
        function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            shape = '{"type": "function", "function": {"name": ...}}'
            raise refused(f"tool_choice must be auto, none, required or {shape}", "tool_choice")
        if all(tool.name != function["name"] for tool in tools):
            raise refused(f"tool_choice names {function['name']!r}, which is not in tools", "tool_choice")
        return tools, Choice(only=function["name"], most=most)

    def _tools(self, raw: Any) -> tuple[ToolSpec, ...]:
        from needle.tools.read import read_tools  # here: the validators load slowly

        if raw is None:
            return ()
        if not isinstance(raw, list) or not all(isinstance(item, dict) for item in raw):
            raise refused("tools must be a list of objects", "tools")
        if len(raw) > self.limits.tools:
            raise refused(f"{len(raw)} tools are more than {self.limits.tools}; offer fewer", "tools")
        for place, item in enumerate(raw):
            if item.get("type") != "function" or not isinstance(item.get("function"), dict):
                shape = '{"type": "function", "function": {"name", "description", "parameters"}}'
                raise refused(f"tool {place + 1} must be {shape}", f"tools[{place}]")
        key = hashlib.blake2b(json.dumps(raw).encode(), digest_size=16).digest()
        tools = self._toolsets.get(key)
        if tools is None:
            try:
                tools = tuple(read_tools(raw))
            except UserError as error:
                raise refused(str(error), "tools") from error
            self._toolsets[key] = tools
            while len(self._toolsets) > _REMEMBERED:
                self._toolsets.popitem(last=False)
        return tools


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body; no NaN, no half characters, which JSON does not have and tokenizers choke on."""
    try:
        body = json.loads(raw, parse_constant=_no_constant)
        if _SURROGATE.search(raw):
            json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise refused("a text holds half of a surrogate pair; send whole characters") from None
    except ValueError as error:
        raise refused(f"the body is not JSON ({error}); send one object in UTF-8", code="invalid_json") from None
    if not isinstance(body, dict):
        raise refused("the body must be a JSON object", code="invalid_json")
    return body


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _refuse_what_no_caller_does(body: dict[str, Any]) -> None:
    """What would change the answer and cannot be done is refused; sampling options are harmless and ignored."""
    if not isinstance(body.get("model", ""), str):
        raise refused("model must be text", "model")
    for old, new in (("functions", "tools"), ("function_call", "tool_choice")):
        if body.get(old) is not None:
            raise refused(f"{old} is outdated; send {new}", old, "unsupported_parameter")
    count = body.get("n")
    if count is not None and (count != 1 or isinstance(count, bool)):
        raise refused("n must be 1: a request has one answer here", "n", "unsupported_parameter")
    wanted = body.get("response_format")
    if wanted is not None and (not isinstance(wanted, dict) or wanted.get("type") != "text"):
        words = "response_format must be text: this model writes calls only; describe the JSON as a tool"
        raise refused(words, "response_format", "unsupported_parameter")


def _explain(own: Any) -> bool:
    """The one option of our own, ``{"needle": {"explain": true}}``; the SDK sends it with ``extra_body``."""
    if not isinstance(own, dict | None) or not set(own or ()) <= {"explain"}:
        raise refused('needle must be an object with "explain" or nothing', "needle")
    return _flag(own or {}, "explain", False, "needle.")


def _flag(body: dict[str, Any], name: str, default: bool, prefix: str = "") -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise refused(f"{prefix}{name} must be true or false", f"{prefix}{name}")
    return value


def _messages(raw: Any, most: int) -> tuple[str | None, list[dict[str, Any]]]:
    """The facts (system and developer messages, joined) and the other turns, reduced to what is checked here."""
    if not isinstance(raw, list) or not raw:
        raise refused("messages must be a list with at least one message", "messages")
    if len(raw) > most:
        raise refused(f"{len(raw)} messages are more than {most}; send fewer turns", "messages")
    facts: list[str] = []
    turns: list[dict[str, Any]] = []
    for place, message in enumerate(raw):
        where = f"messages[{place}]"
        if not isinstance(message, dict):
            raise refused(f"{where} must be an object", where)
        role = message.get("role")
        if role not in _ROLES:
            raise refused(f"{where}.role must be one of {', '.join(_ROLES)}", f"{where}.role")
        text = _text(message.get("content"), f"{where}.content", may_lack=role in ("assistant", "tool"))
        if role in ("system", "developer"):
            facts.append(text)
            continue
        turn: dict[str, Any] = {"role": role, "content": text}
        if role == "assistant" and message.get("tool_calls") is not None:
            turn["tool_calls"] = _past_calls(message["tool_calls"], f"{where}.tool_calls")
        if role == "tool" and isinstance(message.get("tool_call_id"), str):
            turn["tool_call_id"] = message["tool_call_id"]
        turns.append(turn)
    return "\n".join(facts) or None, turns


def _text(content: Any, where: str, may_lack: bool) -> str:
    if content is None and may_lack:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise refused(f"{where} must be text or a list of text parts", where)
    parts: list[str] = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise refused(f'{where} may hold {{"type": "text", "text": ...}} only', where)
        parts.append(part["text"])
    return "\n".join(parts)


def _past_calls(raw: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(raw, list):
        raise refused(f"{where} must be a list", where)
    calls: list[dict[str, Any]] = []
    for place, call in enumerate(raw):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not all(
            isinstance(function.get(key), str) for key in ("name", "arguments")
        ):
            raise refused(f"{where}[{place}] must have a function with name and arguments as text", f"{where}[{place}]")
        named = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
        kept = {key: function[key] for key in ("name", "arguments")}
        calls.append({**named, "type": "function", "function": kept})
    return calls
