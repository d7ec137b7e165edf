"""The one place where tools, requests and answers become token ids, and where output text becomes calls again.

Source of one row:  ``<tool> name description <param> key:type words <optional> ... <system> facts <request> words``
Answer of one row:  ``<call> name {"key":value,...} <call> ... <eos>``, or ``<none> <eos>`` when no call is due.
Types are written as short as a person would (``int 0-100``, ``"A|B|C"``, ``date``); a plain string needs no type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student import tokenizer as vocabulary
from needle.student.tokenizer import SPECIAL_IDS, encode
from needle.tools import Request, ToolCall, ToolSpec
from needle.tools.close import resolve
from needle.tools.strict_json import STRICT, DuplicateKey

STRUCTURE, DECISION, NAME, KEY, VALUE = range(5)
"""Classes of answer tokens; the loss weighs them apart."""

_SHORT_TYPES = {"integer": "int", "number": "num", "boolean": "bool", "string": "", "null": "null", "object": "{}", "array": "[]"}


def compact(value: Any) -> str:
    """JSON without spaces, non-ASCII kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def describe_schema(schema: Any, root: dict[str, Any] | None = None, depth: int = 0) -> str:
    """Type of one argument in the shortest words that keep what a caller must know.

    ``root`` resolves ``$ref``; recursion stops at depth 4, where the bare type is written.
    """
    if not isinstance(schema, dict) or depth > 4:
        return ""
    root = schema if root is None else root
    if "$ref" in schema:
        return describe_schema(resolve(schema["$ref"], root) or {}, root, depth + 1)
    if "enum" in schema:
        return "|".join(item if isinstance(item, str) else compact(item) for item in schema["enum"])
    if "const" in schema:
        return compact(schema["const"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return "/".join(filter(None, (describe_schema(part, root, depth + 1) for part in schema[key])))
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        return "/".join(describe_schema({**schema, "type": one}, root, depth + 1) or "str" for one in kind)
    if kind == "array" and "items" in schema:
        return f"[{describe_schema(schema['items'], root, depth + 1)}]"
    if kind == "object" and schema.get("properties"):
        return "{" + ",".join(_describe_property(key, value, schema, root, depth + 1) for key, value in schema["properties"].items()) + "}"
    words = _SHORT_TYPES.get(str(kind), str(kind))
    if kind == "string" and schema.get("format"):
        words = str(schema["format"])
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None or high is not None:
        words += f" {'' if low is None else compact(low)}..{'' if high is None else compact(high)}"
    if "pattern" in schema:
        words += f" /{schema['pattern']}/"
    return words


def _describe_property(key: str, schema: Any, parent: dict[str, Any], root: dict[str, Any], depth: int) -> str:
    optional = "" if key in (parent.get("required") or ()) else "?"
    kind = describe_schema(schema, root, depth)
    text = f"{key}{optional}" + (f":{kind}" if kind else "")
    if isinstance(schema, dict):
        if "default" in schema:
            text += f"={schema['default'] if isinstance(schema['default'], str) else compact(schema['default'])}"
        if schema.get("description"):
            text += f" {schema['description']}"
    return text


def tool_segments(tool: ToolSpec) -> list[tuple[str, str]]:
    """The tool as (mark, text) pairs: its head, then one pair for each argument."""
    segments = [(vocabulary.TOOL, f"{tool.name} {tool.description}".strip())]
    for key, schema in tool.properties.items():
        mark = vocabulary.PARAM if key in tool.required else vocabulary.OPTIONAL
        segments.append((mark, _describe_property(key, schema, {"required": [key]}, tool.parameters, 0)))
    return segments


def render_tools(tokenizer: Tokenizer, tools: Sequence[ToolSpec]) -> list[int]:
    """Token ids of a toolset; ``<tool>`` alone when the set is empty, so that there is always something to attend to."""
    ids: list[int] = [] if tools else [SPECIAL_IDS[vocabulary.TOOL]]
    for mark, text in (segment for tool in tools for segment in tool_segments(tool)):
        ids += [SPECIAL_IDS[mark], *encode(tokenizer, text)]
    return ids


def render_request(tokenizer: Tokenizer, request: Request) -> list[int]:
    """Token ids of the facts, the earlier turns and the request itself."""
    ids: list[int] = []
    if request.system:
        ids += [SPECIAL_IDS[vocabulary.SYSTEM], *encode(tokenizer, request.system)]
    for message in request.messages:
        ids += _render_message(tokenizer, message)
    return [*ids, SPECIAL_IDS[vocabulary.REQUEST], *encode(tokenizer, request.query)]


def _render_message(tokenizer: Tokenizer, message: dict[str, Any]) -> list[int]:
    marks = {"user": vocabulary.USER, "assistant": vocabulary.ASSISTANT, "tool": vocabulary.RESULT}
    mark = marks.get(message.get("role", "user"), vocabulary.SYSTEM)
    content = message.get("content") or ""
    text = content if isinstance(content, str) else compact(content)
    calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
    text += "".join(f"{call.get('name', '')}{call.get('arguments', '')}" for call in calls)
    return [SPECIAL_IDS[mark], *encode(tokenizer, text)]


def answer_pieces(call: ToolCall, tool: ToolSpec | None) -> list[tuple[str, int]]:
    """The call as text pieces with their token class; arguments follow the order of the schema."""
    order = {key: place for place, key in enumerate(tool.properties)} if tool else {}
    arguments = dict(sorted(call.arguments.items(), key=lambda item: order.get(item[0], len(order))))
    return [(call.name, NAME), *_value_pieces(arguments, tool.parameters if tool else {})]


def _value_pieces(value: Any, schema: dict[str, Any]) -> Iterable[tuple[str, int]]:
    """JSON of ``value`` cut where the token class changes; nested objects follow their schema's order too."""
    if isinstance(value, dict) and value:
        properties = schema.get("properties") or {}
        keys = sorted(value, key=lambda key: list(properties).index(key) if key in properties else len(properties))
        yield "{", STRUCTURE
        for place, key in enumerate(keys):
            yield ("," if place else "") + '"', STRUCTURE
            yield compact(key)[1:-1], KEY
            yield '":', STRUCTURE
            yield from _value_pieces(value[key], properties.get(key) if isinstance(properties.get(key), dict) else {})
        yield "}", STRUCTURE
    elif isinstance(value, list) and value:
        items = schema.get("items")
        for place, item in enumerate(value):
            yield "," if place else "[", STRUCTURE
            yield from _value_pieces(item, items if isinstance(items, dict) else {})
        yield "]", STRUCTURE
    elif isinstance(value, str):
        yield '"', STRUCTURE
        yield compact(value)[1:-1], VALUE
        yield '"', STRUCTURE
    else:
        yield compact(value), VALUE


def render_answer(tokenizer: Tokenizer, calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> tuple[list[int], list[int]]:
    """Target ids (ending in ``<eos>``) and the class of each.

    A token takes the most telling class among its characters, so ``"kitchen`` written as one token would count as a value.
    """
    if not calls:
        return [SPECIAL_IDS[vocabulary.NONE], SPECIAL_IDS[vocabulary.EOS]], [DECISION, DECISION]
    by_name = {tool.name: tool for tool in tools}
    ids: list[int] = []
    classes: list[int] = []
    for call in calls:
        pieces = answer_pieces(call, by_name.get(call.name))
        text = "".join(piece for piece, _ in pieces)
        kinds = [kind for piece, kind in pieces for _ in piece]
        encoding = tokenizer.encode(text, add_special_tokens=False)
        ids += [SPECIAL_IDS[vocabulary.CALL], *encoding.ids]
        classes += [DECISION, *(max(kinds[start:end], default=VALUE) for start, end in encoding.offsets)]
    return [*ids, SPECIAL_IDS[vocabulary.EOS]], [*classes, DECISION]


def parse_answer(tokenizer: Tokenizer, ids: Sequence[int], tools: Sequence[ToolSpec]) -> list[ToolCall]:
    """Calls from generated ids (``<bos>`` excluded). Raises ``ValueError`` with the reason when they are not well formed."""
    ids = list(ids)
    if not ids or ids[-1] != SPECIAL_IDS[vocabulary.EOS]:
        raise ValueError("truncated: the answer does not end")
    body = ids[:-1]
    if body == [SPECIAL_IDS[vocabulary.NONE]]:
        return []
    if not body or body[0] != SPECIAL_IDS[vocabulary.CALL]:
        raise ValueError("wrong_envelope: the answer starts with neither <call> nor <none>")
    calls: list[ToolCall] = []
    start = 1
    for end in [*(i for i, token in enumerate(body) if token == SPECIAL_IDS[vocabulary.CALL] and i > 0), len(body)]:
        calls.append(_parse_call(tokenizer.decode(body[start:end], skip_special_tokens=False), tools))
        start = end + 1
    return calls


def _parse_call(text: str, tools: Sequence[ToolSpec]) -> ToolCall:
    names = [tool.name for tool in tools if text.startswith(tool.name + "{")]
    name = max(names, key=len) if names else text.split("{", 1)[0]
    try:
        arguments = STRICT.decode(text[len(name) :])
    except DuplicateKey as error:
        raise ValueError(f"malformed_json: key {error} twice in {text!r}") from error
    except ValueError as error:
        raise ValueError(f"malformed_json: {getattr(error, 'msg', error)} in {text!r}") from error
    if not isinstance(arguments, dict):
        raise ValueError(f"wrong_envelope: arguments are no object in {text!r}")
    return ToolCall(name, arguments)


def check_length(ids: Sequence[int], limit: int, what: str, remedy: str) -> None:
    """Refuse what does not fit rather than cut it silently. Raises ``UserError``."""
    if len(ids) > limit:
        raise UserError(f"{what} takes {len(ids)} tokens, the limit is {limit}; {remedy}")
