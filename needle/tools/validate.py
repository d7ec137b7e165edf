"""Calls against the tools that they name: every violation with its place, and a fast yes or no.

    validate_calls([{"name": "set_alarm", "arguments": {"time": "25:00"}}], tools)
    -> [Violation(path="0.time", code="pattern_or_format", message="'25:00' is not a 'time'", call_index=0)]

``jsonschema`` (draft 2020-12, formats on) is the reference and writes the messages; ``jsonschema-rs`` answers
``is_valid``. A property test holds the two equal. One rule is stricter than JSON Schema: a key that the schema does not
name is a violation unless the schema says ``additionalProperties``, because a tool that is sent an argument it does not
have breaks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators
from referencing.exceptions import Unresolvable

from needle.errors import UserError
from needle.tools.close import close_schema, same_place
from needle.tools.formats import FORMATS, UNCHECKED
from needle.tools.spec import ToolCall, ToolSpec

CODES = {
    "required": "missing_required",
    "additionalProperties": "unknown_param",
    "unevaluatedProperties": "unknown_param",
    "type": "wrong_type",
    "enum": "enum_violation",
    "const": "enum_violation",
    "pattern": "pattern_or_format",
    "format": "pattern_or_format",
} | dict.fromkeys(
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
     "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    "out_of_range",
)  # fmt: skip
"""JSON Schema keyword to violation code; any other (``anyOf``, ``not``, ``contains`` ...) is ``nested_schema``."""


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with one call."""

    path: str
    """``call index.argument path``, as in ``alternatives`` of an example row: ``0.location.city``."""
    code: str
    """Stable name of the kind of violation; the list is in ``docs/formats.md``."""
    message: str
    """What is wrong, in words."""
    call_index: int
    """Which call of the list, from 0."""
    keyword: str = field(default="", compare=False)
    """The word of JSON Schema that is not met (``enum``, ``maximum`` ...); empty where no schema is about it."""


def validate_calls(calls: Sequence[ToolCall | Mapping[str, Any]], tools: Iterable[ToolSpec]) -> list[Violation]:
    """Every violation of every call, in call order and then by path; an empty list means that all calls are valid.

    Raises UserError when a tool's schema cannot be used at all (tools that come from ``read_tools`` always can).
    """
    by_name = {tool.name: tool for tool in tools}
    found: list[Violation] = []
    for index, call in enumerate(calls):
        name, arguments = _parts(call)
        tool = by_name.get(name) if isinstance(name, str) else None
        if tool is None:
            message = f"no tool is called {name!r}; there are: {', '.join(by_name) or 'none'}"
            found.append(Violation(str(index), "unknown_tool", message, index))
            continue
        found += _one_call(tool, arguments, index)
    return found


def is_valid(calls: Sequence[ToolCall | Mapping[str, Any]], tools: Iterable[ToolSpec]) -> bool:
    """Whether ``validate_calls`` would find nothing; compiled, for the places that ask millions of times."""
    by_name = {tool.name: tool for tool in tools}
    for call in calls:
        name, arguments = _parts(call)
        tool = by_name.get(name) if isinstance(name, str) else None
        if tool is None or _not_json(arguments) or not checker(tool)(arguments):
            return False
    return True


def checker(tool: ToolSpec) -> Callable[[Any], bool]:
    """The compiled yes-or-no check of one tool's arguments. Raises UserError for a schema that cannot be compiled."""
    try:
        return _fast(_key(tool))
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise _unusable(tool, error) from error


def _one_call(tool: ToolSpec, arguments: Any, index: int) -> list[Violation]:
    problem = _not_json(arguments)
    if problem:
        return [Violation(str(index), "wrong_type", f"the arguments are no JSON: {problem}", index)]
    validator = _reference(_key(tool))
    try:
        errors = list(validator.iter_errors(arguments))
    except Unresolvable as error:
        raise _unusable(tool, error) from error
    except (RecursionError, re.error):
        # Too deep, or a regular expression in another dialect than Python's: the fast validator still has a verdict.
        words = "the arguments do not fit the schema"
        return [] if checker(tool)(arguments) else [Violation(str(index), "nested_schema", words, index)]
    own = {
        violation: None
        for error in errors
        for violation in _violations(error, index)
        if not _consequence(violation, error, errors, validator.schema)
    }
    return sorted(own, key=lambda violation: (violation.path.split("."), violation.code))


_STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _not_json(value: Any) -> str | None:
    """Why a value could not be sent as JSON (not a number, half a character, a set ...), or None."""
    try:
        _STRICT(value).encode()
    except (ValueError, TypeError, RecursionError) as error:
        return str(error)
    return None


def _parts(call: ToolCall | Mapping[str, Any]) -> tuple[Any, Any]:
    return (call.name, call.arguments) if isinstance(call, ToolCall) else (call.get("name"), call.get("arguments", {}))


def _key(tool: ToolSpec) -> str:
    # The text, not the object: True == 1 in Python, so equal dictionaries may be different schemas.
    return json.dumps(tool.parameters)


def _unusable(tool: ToolSpec, error: Exception) -> UserError:
    return UserError(f"tool {tool.name!r}: its schema cannot be used ({str(error).splitlines()[0]}); mend the schema")


def _no_network(uri: str) -> Any:
    raise ValueError(f"$ref to {uri} leaves the schema")


@lru_cache(maxsize=8192)
def _fast(parameters: str, closed: bool = True) -> Callable[[Any], bool]:
    formats: dict[str, Callable[[str], bool]] = dict.fromkeys(UNCHECKED, lambda text: True) | FORMATS
    schema = close_schema(json.loads(parameters)) if closed else json.loads(parameters)
    return jsonschema_rs.Draft202012Validator(
        schema, formats=formats, validate_formats=True, retriever=_no_network
    ).is_valid


@lru_cache(maxsize=2048)
def _reference(parameters: str) -> Draft202012Validator:
    return _Validator(close_schema(json.loads(parameters)), format_checker=_format_checker)


def _properties(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """The standard keyword, with errors about a null in a required place marked as such."""
    for error in Draft202012Validator.VALIDATORS["properties"](validator, properties, instance, schema):
        if (
            error.instance is None
            and len(error.relative_path) == 1
            and error.relative_path[0] in schema.get("required", ())
        ):
            error.cause_code = "null_for_required"
        yield error


def _delegated(keyword: str, words: str) -> Callable[..., Iterator[ValidationError]]:
    """A keyword judged by the fast validator here too: its regular expressions are ECMA's, as the specification asks,
    and its arithmetic is decimal (0.3 is a multiple of 0.1), while Python's ``re`` and floats differ.
    """

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        if not _fast(json.dumps({keyword: value}), closed=False)(instance):
            yield ValidationError(f"{instance!r} {words} {value!r}")

    return check


_Validator = validators.extend(
    Draft202012Validator,
    {
        "properties": _properties,
        "pattern": _delegated("pattern", "does not match"),
        "multipleOf": _delegated("multipleOf", "is not a multiple of"),
    },
)
_format_checker = FormatChecker(formats=())
for _name, _check in FORMATS.items():
    _format_checker.checkers[_name] = (lambda value, check=_check: not isinstance(value, str) or check(value), ())


def _violations(error: ValidationError, index: int) -> Iterator[Violation]:
    """The violations of one error: one, or one for each unknown key, or those inside of ``X or null``."""
    inner = _non_null_branch(error)
    if inner:
        for suberror in inner:
            yield from _violations(suberror, index)
        return
    code = getattr(error, "cause_code", None) or CODES.get(error.validator, "nested_schema")
    where = [index, *error.absolute_path]
    message = error.message if len(error.message) <= 300 else error.message[:297] + "..."
    if code == "missing_required":
        # jsonschema gives one error for each missing key, and names it only in the message.
        for key in error.validator_value:
            if key not in error.instance and error.message.startswith(repr(key)):
                yield Violation(_path([*where, key]), code, f"{key!r} is required", index, error.validator)
    elif code == "unknown_param" and isinstance(error.instance, dict):
        for key in _unknown_keys(error):
            yield Violation(_path([*where, key]), code, f"the schema names no {key!r}", index, error.validator)
    else:
        yield Violation(_path(where), code, message, index, str(error.validator))


def _consequence(violation: Violation, error: ValidationError, errors: list[ValidationError], root: Any) -> bool:
    """Whether a key only counts as unknown because the branch that names it has failed, which is reported by itself."""
    if error.validator != "unevaluatedProperties":
        return False
    place = list(error.absolute_path)
    if not any(other is not error and list(other.absolute_path)[: len(place)] == place for other in errors):
        return False
    named = {key for part in same_place(error.schema, root) for key in part.get("properties", ())}
    return violation.path.removeprefix(_path([violation.call_index, *place]) + ".") in named


def _unknown_keys(error: ValidationError) -> list[str]:
    """The keys that an ``additionalProperties: false`` or ``unevaluatedProperties: false`` error is about."""
    return [key for key in error.instance if repr(key) in error.message]


def _non_null_branch(error: ValidationError) -> list[ValidationError]:
    """For ``anyOf`` or ``oneOf`` of one schema and null: that schema's errors, which say more."""
    branches = error.validator_value if error.validator in ("anyOf", "oneOf") else ()
    real = [number for number, branch in enumerate(branches) if branch != {"type": "null"}]
    if len(real) != 1 or len(branches) != 2:
        return []
    return [suberror for suberror in error.context if suberror.schema_path[0] == real[0]]


def _path(parts: Iterable[Any]) -> str:
    return ".".join(map(str, parts))
