"""One row of any known format to one ``Trace``: ours, OpenAI fine-tuning, Needle/xLAM, Hermes, BFCL.

trace = trace_from_dict(json.loads(line))
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from needle.errors import UserError
from needle.tools.read import read_tools
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.bfcl import calls_from_ground_truth
from needle.traces.trace import Trace

TAGGED = {tag: re.compile(rf"<{tag}>\s*(.*?)\s*</{tag}>", re.DOTALL) for tag in ("tools", "tool_call")}
ROLES = {"human": "user", "gpt": "assistant", "function_response": "tool", "observation": "tool", "developer": "system"}


def format_of(row: Mapping[str, Any]) -> str | None:
    """The row's format: ``needle`` (ours), ``xlam``, ``openai``, ``hermes``, ``bfcl``, or None if unknown."""
    if "query" in row and "calls" in row:
        return "needle"
    if "query" in row and "answers" in row:
        return "xlam"
    if "conversations" in row:
        return "hermes"
    if "question" in row and "function" in row:
        return "bfcl"
    return "openai" if "messages" in row else None


def trace_from_dict(row: Mapping[str, Any]) -> Trace:
    """The trace that a row describes; tools as ``read_tools`` gives them, calls not yet checked against them.

    Raises UserError with the reason when the row is of no known format or a part of it cannot be read.
    """
    if not isinstance(row, Mapping):
        raise UserError(f"a row is a JSON object, not a {type(row).__name__}")
    name = format_of(row)
    if name is None:
        raise UserError("unknown row format; give query, tools and calls (docs/formats.md lists what else is read)")
    return READERS[name](row)


def default_kind(calls: Sequence[Any]) -> str:
    """The kind of a row that does not say it."""
    return "irrelevant" if not calls else "single" if len(calls) == 1 else "parallel"


def calls_from(raw: Any) -> tuple[ToolCall, ...]:
    """Calls from a list (or JSON text) of ``{"name", "arguments"}`` or OpenAI ``tool_calls``."""
    raw = _decoded(raw, "calls")
    if isinstance(raw, Mapping):
        raw = [raw]
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise UserError("calls are not a list; write [] where no call is due")
    calls = []
    for index, item in enumerate(raw):
        item = _decoded(item, f"call {index}")
        if isinstance(item, Mapping) and isinstance(item.get("function"), Mapping):
            item = item["function"]
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
            raise UserError(f'call {index} has no name; write {{"name": ..., "arguments": {{...}}}}')
        arguments = item.get("arguments", item.get("parameters"))
        arguments = _decoded(arguments, f"the arguments of call {index}") if arguments not in (None, "") else {}
        if not isinstance(arguments, Mapping):
            raise UserError(f"the arguments of call {index} are not an object")
        calls.append(ToolCall(item["name"], dict(arguments)))
    return tuple(calls)


def _tools_from(raw: Any) -> tuple[ToolSpec, ...]:
    if isinstance(raw, tuple) and all(isinstance(item, ToolSpec) for item in raw):
        return raw  # read and checked before, for an earlier row with the same tools
    raw = _decoded(raw, "tools") if raw is not None else []
    raw = [_decoded(item, f"tool {number}") for number, item in enumerate(raw, 1)] if isinstance(raw, Sequence) else raw
    return tuple(read_tools([raw] if isinstance(raw, Mapping) else raw))


def _decoded(value: Any, what: str) -> Any:
    """JSON text (or Python's way of writing it, as Hermes rows have) decoded; anything that is no text as it is."""
    if not isinstance(value, str):
        return value
    for decode in (json.loads, ast.literal_eval):
        try:
            return decode(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    raise UserError(f"{what}: text that is no JSON")


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise UserError(f"{key} is not text")
    return str(value)


def _query(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise UserError("the request is empty or no text")
    return text


def _object(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{key} is no object")
    return dict(value)


def _common(row: Mapping[str, Any], calls: Sequence[ToolCall]) -> dict[str, Any]:
    return {
        "id": _text(row, "id"),
        "kind": _text(row, "kind") or default_kind(calls),
        "toolset": _text(row, "toolset"),
        "domain": _text(row, "domain"),
        "meta": _object(_decoded(row.get("meta") or {}, "meta"), "meta"),
    }


def _from_needle(row: Mapping[str, Any]) -> Trace:
    calls = calls_from(row["calls"])
    alternatives = _decoded(row.get("alternatives") or {}, "alternatives")
    if not isinstance(alternatives, Mapping) or not all(
        isinstance(values, list) and re.match(r"\d+\.", path) and int(path.split(".")[0]) < len(calls)
        for path, values in alternatives.items()
    ):
        raise UserError('alternatives must map "call index.argument path" of a call of this row to a list of values')
    messages = _decoded(row.get("messages") or [], "messages")
    if not isinstance(messages, Sequence) or not all(
        isinstance(message, Mapping) and "role" in message for message in messages
    ):
        raise UserError("messages must be a list of objects with a role")
    return Trace(
        query=_query(row["query"]),
        tools=_tools_from(row.get("tools")),
        calls=calls,
        system=_text(row, "system") or None,
        alternatives={path: list(values) for path, values in alternatives.items()},
        messages=tuple(map(dict, messages)),
        **_common(row, calls),
    )


def _from_xlam(row: Mapping[str, Any]) -> Trace:
    calls = calls_from(row["answers"])
    return Trace(
        query=_query(row["query"]),
        tools=_tools_from(row.get("tools")),
        calls=calls,
        system=_text(row, "system") or None,
        **_common(row, calls),
    )


def _from_openai(row: Mapping[str, Any]) -> Trace:
    return _from_messages(row, _messages(row["messages"], "role", "content"), row.get("tools", row.get("functions")))


def _from_hermes(row: Mapping[str, Any]) -> Trace:
    """``conversations`` of from/value turns; tools in a field or between tags of the system turn, calls in tags."""
    messages = _messages(row["conversations"], "from", "value") or _messages(row["conversations"], "role", "content")
    tools = row.get("tools")
    for message in messages:
        if message["role"] == "system":
            inside = TAGGED["tools"].search(message["content"])
            if inside and tools is None:
                tools = inside[1]
            # Around the tags stands the prompt of that format, not a fact about the request.
            message["content"] = "" if inside else message["content"]
        elif message["role"] == "assistant":
            found = TAGGED["tool_call"].findall(message["content"])
            if found:
                message["tool_calls"] = found
    return _from_messages(row, messages, tools)


def _messages(raw: Any, role: str, content: str) -> list[dict[str, Any]]:
    """Turns with roles in OpenAI's words and content as text; [] when the turns do not have these keys."""
    raw = _decoded(raw, "the conversation")
    if not isinstance(raw, Sequence) or not all(isinstance(turn, Mapping) for turn in raw):
        raise UserError("the conversation is not a list of turns")
    if not all(isinstance(turn.get(role), str) for turn in raw):
        return []
    turns = []
    for turn in raw:
        text = turn.get(content)
        if isinstance(text, list):  # OpenAI's content parts
            text = "".join(part.get("text", "") for part in text if isinstance(part, Mapping))
        kept = {key: value for key, value in turn.items() if key not in (role, content)}
        turns.append({"role": ROLES.get(turn[role], turn[role]), "content": text or "", **kept})
    return turns


def _from_messages(row: Mapping[str, Any], messages: list[dict[str, Any]], tools: Any) -> Trace:
    """The example is the last answer that directly follows a user turn: later answers comment on results of calls."""
    system = "\n".join(turn["content"] for turn in messages if turn["role"] == "system" and turn["content"]) or None
    turns = [turn for turn in messages if turn["role"] != "system"]
    answers = [i for i in range(1, len(turns)) if turns[i]["role"] == "assistant" and turns[i - 1]["role"] == "user"]
    if not answers:
        raise UserError("no assistant turn follows a user turn, so there is nothing to learn from")
    answer, request = turns[answers[-1]], turns[answers[-1] - 1]
    legacy = answer.get("function_call")
    calls = calls_from(answer.get("tool_calls") or ([legacy] if legacy else []))
    earlier = tuple(turns[: answers[-1] - 1])
    return Trace(
        query=_query(request["content"]),
        tools=_tools_from(tools),
        calls=calls,
        system=system,
        messages=earlier,
        **_common(row, calls),
    )


def _from_bfcl(row: Mapping[str, Any]) -> Trace:
    """A question row with its ``ground_truth`` joined in; rows of the irrelevance categories need none."""
    question = row["question"]
    while isinstance(question, list) and len(question) == 1 and isinstance(question[0], list):
        question = question[0]
    turns = (
        [{"role": "user", "content": question}] if isinstance(question, str) else _messages(question, "role", "content")
    )
    if not turns or turns[-1]["role"] != "user":
        raise UserError("the question is not one turn that ends with the user (multi-turn rows are not read)")
    name = _text(row, "id")
    if "ground_truth" in row:
        calls, alternatives = calls_from_ground_truth(row["ground_truth"])
    elif "irrelevance" in name:
        calls, alternatives = (), {}
    else:
        raise UserError("no ground_truth; put the possible_answer folder beside the file, or join it into the rows")
    system = "\n".join(turn["content"] for turn in turns if turn["role"] == "system") or None
    earlier = tuple(turn for turn in turns[:-1] if turn["role"] != "system")
    return Trace(
        query=_query(turns[-1]["content"]),
        tools=_tools_from(row["function"]),
        calls=calls,
        system=system,
        alternatives=alternatives,
        messages=earlier,
        **_common(row, calls),
    )


READERS: dict[str, Callable[[Mapping[str, Any]], Trace]] = {
    "needle": _from_needle,
    "xlam": _from_xlam,
    "openai": _from_openai,
    "hermes": _from_hermes,
    "bfcl": _from_bfcl,
}
