"""What the student may write for a toolset, as an ``llguidance`` grammar: names, types, enums, ranges, patterns, required keys, nesting.

``<none>``, or one to ``MAX_CALLS`` times ``<call> name {arguments}``; the arguments follow the tool's JSON Schema, closed against unknown
keys, in the schema's order, without spaces. Keywords that ``llguidance`` cannot express are left to validation afterwards.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import llguidance.numpy as masks
import numpy as np
from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.tokenizer import EOS, SPECIAL_IDS
from needle.tools import FREE, Choice, ToolSpec, fingerprint
from needle.tools.close import close_schema, map_schema

MAX_CALLS, KEPT = 8, 256
"""Most calls in an answer; compiled toolsets that are kept."""
MAX_STRING, MAX_ITEMS, MAX_NUMBER, SMALLEST_STEP = 240, 24, 10**12, 1e-6
"""Bounds put on strings, arrays and numbers that the schema leaves open, so that an unsure model cannot ramble for ever."""
TEXT_ENDINGS = ('"', '"}', '"]')
STRUCTURE_ENDINGS = (EOS, "}", "]", *TEXT_ENDINGS)
"""Tokens that bring an answer nearer to its end, inside a string and outside."""
LETTER = "z"
"""Allowed next only where free text is being written."""

_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_FOURTH = "(0[48]|[2468][048]|[13579][26])"
_DAY = (
    r"((000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
    r"-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    rf"|([0-9]{{2}}{_FOURTH}|{_FOURTH}00)-02-29)"
)
"""A day that exists, leap years included."""
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PATTERNS = {
    "time": rf"^{_CLOCK}(:[0-5][0-9])?$",
    "date": rf"^{_DAY}$",
    "date-time": rf"^{_DAY}T{_CLOCK}(:[0-5][0-9])?Z?$",
    "email": rf"^[A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}}@{_LABEL}(\.{_LABEL}){{0,4}}$",
    "uri": r"^[a-z][a-z0-9+.-]{0,15}:[!#-;=?-Z_a-z~]{1,240}$",
}
_NATIVE = {"uuid", "ipv4", "ipv6", "hostname", "duration"}


def decodable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as the grammar takes it: formats as patterns (seconds and zones optional), open strings and arrays bounded."""
    changed = map_schema(schema, lambda item, _: decodable(item) if isinstance(item, dict) else item)
    kinds, form = changed.get("type", ()), changed.get("format")
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if form in _PATTERNS and "pattern" not in changed:
        changed["pattern"] = _PATTERNS[form]
    if form not in _NATIVE:
        changed.pop("format", None)
    if changed.keys() & {"enum", "const"}:
        return changed
    if "string" in kinds and not changed.keys() & {"pattern", "format"}:
        changed.setdefault("maxLength", max(MAX_STRING, changed.get("minLength", 0)))
    if "array" in kinds:
        changed.setdefault("maxItems", max(MAX_ITEMS, changed.get("minItems", 0)))
    if kinds & {"integer", "number"}:
        low, high = (changed.get(f"{end}imum", changed.get(f"exclusive{end.capitalize()}imum")) for end in ("min", "max"))
        if low is None:
            changed["minimum"] = min(-MAX_NUMBER, -MAX_NUMBER if high is None else 2 * high)
        if high is None:
            changed["maximum"] = max(MAX_NUMBER, MAX_NUMBER if low is None else 2 * low)
    if "number" in kinds and "integer" not in kinds:
        changed.setdefault("multipleOf", SMALLEST_STEP)
    return changed


def toolset_grammar(tools: Sequence[ToolSpec], choice: Choice = FREE) -> str:
    """Lark text of everything that may be answered over ``tools``. Raises ``UserError`` for a choice that they do not have."""
    choice.check(tools)
    tools = [tool for tool in tools if choice.only in (None, tool.name)]
    calls = f"call{{1,{min(choice.most or MAX_CALLS, MAX_CALLS)}}}"
    rules = ["start: " + (calls if choice.forced else f"<none> | {calls}" if tools else "<none>")]
    if tools:
        rules.append("call: <call> (" + " | ".join(f"call_{i}" for i in range(len(tools))) + ")")
    options = {"x-guidance": {"whitespace_flexible": False, "lenient": True}}
    for i, tool in enumerate(tools):
        schema = decodable(close_schema({"type": "object", **tool.parameters})) | options
        rules.append(f"call_{i}: {json.dumps(tool.name, ensure_ascii=False)} args_{i}\nargs_{i}: %json {json.dumps(schema)}")
    return "\n".join(rules)


@lru_cache(maxsize=2)
def _prepared(tokenizer: str) -> LLTokenizer:
    """The vocabulary as ``llguidance`` wants it, from the JSON of a tokenizer: a quarter of a second the first time."""
    return LLTokenizer(tokenizer, eos_token=SPECIAL_IDS[EOS])


class Constraint:
    """Compiles grammars for one tokenizer and hands out matchers; the last toolsets' grammars are kept."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = _prepared(tokenizer.to_str())
        self._letter = tokenizer.token_to_id(LETTER)
        self._text, self._structure = (self._among(tokenizer, endings) for endings in (TEXT_ENDINGS, STRUCTURE_ENDINGS))
        self._telling = np.array([len(tokenizer.id_to_token(place) or "") > 1 for place in range(self.tokenizer.vocab_size)])
        self._compiled: dict[tuple[str, Choice], LLMatcher] = {}
        self._lock = threading.Lock()

    def _compile(self, tools: Sequence[ToolSpec], choice: Choice) -> LLMatcher:
        matcher = LLMatcher(self.tokenizer, LLMatcher.grammar_from_lark(toolset_grammar(tools, choice)), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().splitlines()[0]
            raise UserError(f"the tools cannot be turned into a grammar ({reason}); simplify the schema or decode without constraints")
        return matcher

    def matcher(self, tools: Sequence[ToolSpec], choice: Choice = FREE) -> LLMatcher:
        """A fresh matcher at the start of an answer. Raises ``UserError`` for schemas that no grammar can hold."""
        key = fingerprint(tuple(tools)), choice
        with self._lock:
            if key not in self._compiled:
                if len(self._compiled) >= KEPT:
                    self._compiled.pop(next(iter(self._compiled)))
                self._compiled[key] = self._compile(tools, choice)
            return self._compiled[key].deep_copy()

    def _among(self, tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
        among = np.zeros(self.tokenizer.vocab_size, dtype=bool)
        among[[token for token in map(tokenizer.token_to_id, texts) if token is not None]] = True
        return among

    def tells(self, token: int) -> bool:
        """Whether a token is more than a single character: such a one says where in the request it was copied from."""
        return bool(self._telling[token])

    def closing(self, allowed_V: np.ndarray) -> np.ndarray:
        """Of the allowed tokens those that close what is open; all of them where nothing can be closed."""
        closing = allowed_V & (self._text if allowed_V[self._letter] else self._structure)
        return closing if closing.any() else allowed_V

    def allowed(self, matchers: Sequence[LLMatcher], size: int) -> np.ndarray:
        """``[B, V]`` boolean: tokens that each matcher accepts next."""
        bits = masks.allocate_token_bitmask(len(matchers), self.tokenizer.vocab_size)
        for row, matcher in enumerate(matchers):
            masks.fill_next_token_bitmask(matcher, bits, row)
        return np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little").view(bool)[:, :size]
