"""BFCL's ground truth, where every argument lists its acceptable values, as one call with ``alternatives``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from needle.errors import UserError
from needle.tools.spec import ToolCall

LEFT_OUT = ""
"""Among acceptable values an empty string means: the argument may be left out."""


def calls_from_ground_truth(truth: Any) -> tuple[tuple[ToolCall, ...], dict[str, list[Any]]]:
    """Calls (first acceptable value of each argument) and the other acceptable values by path.

    Source: ``possible_answer`` files of the Berkeley Function Calling Leaderboard; nested objects list acceptable
    values at each key. Raises UserError for another shape.
    """
    if not isinstance(truth, list) or not all(isinstance(call, Mapping) and len(call) == 1 for call in truth):
        raise UserError("ground_truth is not a list of {function: {parameter: [values]}}")
    calls, alternatives = [], {}
    for index, call in enumerate(truth):
        ((name, parameters),) = call.items()
        if not isinstance(parameters, Mapping):
            raise UserError(f"ground_truth of call {index} is not an object of parameters")
        calls.append(ToolCall(name, _first(parameters, f"{index}", alternatives)))
    return tuple(calls), alternatives


def _first(parameters: Mapping[str, Any], path: str, alternatives: dict[str, list[Any]]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, values in parameters.items():
        here = f"{path}.{name}"
        values = values if isinstance(values, list) else [values]
        optional = any(isinstance(value, str) and value == LEFT_OUT for value in values)
        given = [value for value in values if not (isinstance(value, str) and value == LEFT_OUT)]
        if not given:
            continue
        chosen[name] = _plain(given[0], here, alternatives)
        others = [_plain(value, here, {}) for value in given[1:]]
        if others or optional:
            alternatives[here] = others + [None] * optional
    return chosen


def _plain(value: Any, path: str, alternatives: dict[str, list[Any]]) -> Any:
    """A value without its lists of acceptable values: objects have one at each key, also inside lists."""
    if isinstance(value, Mapping):
        return _first(value, path, alternatives)
    if isinstance(value, list):
        return [
            _plain(item, f"{path}.{number}", alternatives) if isinstance(item, Mapping) else item
            for number, item in enumerate(value)
        ]
    return value
