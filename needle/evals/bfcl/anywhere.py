"""The leaderboard's matching rules on rows of any suite: ground truth, types and required names from gold and schemas.

Accepted values of an argument are the gold value and its alternatives; it may be left out where the row says so or
where its gold value is the default. What the gold call lacks is wrong unless the row allows it, even at its default:
that is the leaderboard's rule. Alternatives inside objects and arrays are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from needle.evals.bfcl.check import call_fits
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.bfcl import LEFT_OUT
from needle.traces.trace import Trace

_TYPES = {
    "string": "string",
    "integer": "integer",
    "number": "float",
    "boolean": "boolean",
    "array": "array",
    "object": "dict",
}


def fits_anywhere(trace: Trace, calls: Sequence[ToolCall]) -> bool:
    """Whether ``calls`` answer ``trace`` by the leaderboard's rules: as many as due, each by the first left."""
    if len(calls) != len(trace.calls):
        return False
    if {call.name for call in trace.calls} != {call.name for call in calls}:
        return False
    tools = {tool.name: tool for tool in trace.tools}
    left = list(calls)
    for index, due in enumerate(trace.calls):
        tool = tools.get(due.name)
        accepted, spec = _accepted(trace, index, due, tool), _facts(tool) if tool else None
        fit = next((n for n, call in enumerate(left) if call_fits(call, accepted, spec, "multiple")), None)
        if fit is None:
            return False
        del left[fit]
    return True


def _accepted(trace: Trace, index: int, due: ToolCall, tool: ToolSpec | None) -> dict[str, list[Any]]:
    """Accepted values by argument, as a ground truth lists them."""
    found: dict[str, list[Any]] = {name: [_inside(value)] for name, value in due.arguments.items()}
    properties = tool.properties if tool else {}
    for name, values in found.items():
        schema = properties.get(name)
        if isinstance(schema, dict) and "default" in schema and schema["default"] == due.arguments[name]:
            values.append(LEFT_OUT)
    for path, others in trace.alternatives.items():
        place, _, name = path.partition(".")
        if place == str(index) and "." not in name:
            values = found.setdefault(name, [LEFT_OUT])
            values += [LEFT_OUT if other is None else _inside(other) for other in others]
    return found


def _inside(value: Any) -> Any:
    """An object as a ground truth has it: every key lists its accepted values, deeper objects stand as they are."""
    if isinstance(value, dict):
        return {key: [one] for key, one in value.items()}
    return [_inside(item) if isinstance(item, dict) else item for item in value] if isinstance(value, list) else value


@lru_cache(maxsize=16384)
def _facts(tool: ToolSpec) -> dict[str, Any]:
    types = {}
    for name, schema in tool.properties.items():
        kind = _kind(schema)
        items = schema.get("items") if isinstance(schema, dict) else None
        types[name] = [kind, _kind(items) if isinstance(items, dict) and "type" in items else None]
    return {"name": tool.name, "required": list(tool.required), "types": types}


def _kind(schema: Any) -> str:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    return _TYPES.get(str(kind), "any")
