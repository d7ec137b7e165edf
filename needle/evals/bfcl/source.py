"""Tools and ground truth of the Java and JavaScript categories in the form that a model sees: arguments as source text.

The tools say ``HashMap`` or ``Bigint``; a model is told to write a text in that language, and the ground truth, which
the leaderboard keeps as plain values, is written as such text here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from needle.evals.bfcl.check import argument_fits

LANGUAGES = {"simple_java": "Java", "simple_javascript": "JavaScript"}
"""Categories whose arguments are source text."""


def text_tool(tool: Mapping[str, Any], language: str) -> dict[str, Any]:
    """The tool with every parameter a string; its type, item type and fields move into the description."""
    parameters = tool["parameters"]
    properties = {name: _text_parameter(schema, language) for name, schema in parameters["properties"].items()}
    return {**tool, "parameters": {"type": "object", "properties": properties, "required": parameters["required"]}}


def _text_parameter(schema: Mapping[str, Any], language: str) -> dict[str, Any]:
    item = (schema.get("items") or {}).get("type")
    kind = f"{schema['type']} of {item}" if item else schema["type"]
    fields = f" Fields: {json.dumps(schema['properties'])}." if schema.get("properties") else ""
    text = f"{schema.get('description', '')} ({language} {kind}, written as {language} source text.){fields}".strip()
    default = {"default": _plain(schema["default"])} if "default" in schema else {}
    return {"type": "string", "description": text, **default}


def source_texts(accepted: Sequence[Any], kind: Sequence[str | None], category: str) -> list[str]:
    """Source texts that the leaderboard reads as the accepted values, in their order; the omit mark is left out."""
    return [_source_text(value, accepted, kind, category) for value in accepted if value != ""]


def _source_text(value: Any, accepted: Sequence[Any], kind: Sequence[str | None], category: str) -> str:
    texts = list(_spellings(_first_values(value), kind, category))
    return next((text for text in texts if argument_fits(text, accepted, kind, category)), texts[0])


def _first_values(value: Any) -> Any:
    """An accepted object, whose keys list accepted values, with the first of each; keys that may be missing go."""
    if not isinstance(value, Mapping):
        return value
    given = {key: [one for one in values if one != ""] for key, values in value.items() if isinstance(values, list)}
    return {key: values[0] for key, values in given.items() if values}


def _spellings(value: Any, kind: Sequence[str | None], category: str) -> Iterator[str]:
    """Ways to write ``value``, likeliest first."""
    java = category == "simple_java"
    if isinstance(value, list):
        for items in (", ".join(map(_quoted, value)), ", ".join(map(_plain, value))):
            if java:
                listed = kind[0] == "ArrayList"
                yield f"new ArrayList<>(Arrays.asList({items}))" if listed else f"new {_of(kind)}[]{{{items}}}"
            else:
                yield f"[{items}]"
        return
    if isinstance(value, Mapping):
        pairs = [(_quoted(key), _quoted(one)) for key, one in value.items()]
        puts = " ".join(f"put({key}, {one});" for key, one in pairs)
        inside = ", ".join(f"{key}: {one}" for key, one in pairs)
        yield f"new HashMap<String, Object>() {{{{ {puts} }}}}" if java else f"{{{inside}}}"
        return
    suffix = {"long": "L", "float": "f" if java else "", "Bigint": "n"}.get(str(kind[0]), "")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    yield _plain(value) + suffix * number
    yield _quoted(value)


def _of(kind: Sequence[str | None]) -> str:
    return {"integer": "int", "any": "Object", None: "Object"}.get(kind[1], str(kind[1]))


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else _plain(value)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
