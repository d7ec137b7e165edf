"""Values for arguments: from the schema where it says what is allowed, from recorded requests where people name
things.

``ValueBank.sample`` gives a JSON value; ``surfaces`` gives the ways of saying it. Both are the only place where the
embedded teacher invents anything.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from typing import Any

from needle.teacher.embedded import lexicon
from needle.teacher.embedded.bank import Bank, tool_tokens
from needle.teacher.embedded.lexicon import PERSONS
from needle.teacher.embedded.text import FUNCTION, UNIT, content, kin, locate, member_forms, stem, words
from needle.teacher.embedded.typed import examples, fits, typed_number, typed_string
from needle.tools.arguments import leaves, plain_schema, schema_at, value_class
from needle.tools.grounding.wording import number_words, spoken_date, spoken_time
from needle.tools.spec import ToolSpec

MAX_VALUES = 120
"""Recorded values kept for one parameter, nearest first."""
FEW = 40
"""Below so many near values, farther ones are let in."""


class ValueBank:
    """Samples values for the parameters of one toolset."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._found: dict[tuple[str, str, str], tuple[list[str], list[tuple[str, str]]]] = {}

    def sample(self, tool: ToolSpec, path: str, rng: random.Random) -> Any:
        """A value for the argument at a dotted path; None when nothing fitting is known."""
        return self._sample(tool, path, schema_at(tool.parameters, path), rng)

    def recorded(self, tool: ToolSpec, path: str) -> list[str]:
        """Recorded free-text values of arguments like this one, likeliest first; each once."""
        return self._known(tool, path)[0]

    def contexts(self, tool: ToolSpec, path: str) -> list[tuple[str, str]]:
        """Words before and after recorded values of arguments like this one, as often as they were said."""
        return self._known(tool, path)[1]

    def _known(self, tool: ToolSpec, path: str) -> tuple[list[str], list[tuple[str, str]]]:
        key = (tool.name, tool.description, path)
        if key not in self._found:
            self._found[key] = self._look_up(tool, path)
        return self._found[key]

    def _look_up(self, tool: ToolSpec, path: str) -> tuple[list[str], list[tuple[str, str]]]:
        schema = schema_at(tool.parameters, path)
        own = Counter(content(path) + content(schema.get("description", ""))) + tool_tokens(tool.name, tool.description)
        kind = value_class(schema.get("items") or schema)
        people = bool((kin(path) | set(content(schema.get("description", "")))) & (PERSONS | {"name"}))
        near: dict[tuple[str, str, str], float] = {}
        score: dict[str, float] = {}
        sources: dict[str, set[str]] = defaultdict(set)
        said: list[tuple[float, tuple[str, str]]] = []
        for request, value, source, source_path in self._bank.arguments_named(self._names(tool, path, schema, kind)):
            key = (source.toolset, source.name, source_path)
            theirs = schema_at(source.parameters, source_path)
            if key not in near:
                near[key] = self._bank.overlap(
                    own, source.tokens + Counter(content(source_path) + content(theirs.get("description", "")))
                )
            if value_class(theirs.get("items") or theirs, value) != kind:
                continue
            for item in value if isinstance(value, list) else [value]:
                span = locate(item, theirs, request)
                if span is None:
                    continue
                if around := context_of(request, span):
                    said.append((near[key], around))
                if _speakable(item, request[slice(*span)]) and (people or item not in self._bank.people):
                    score[item] = max(score.get(item, 0.0), near[key])
                    sources[item].add(source.toolset)
        ranked = sorted(score, key=lambda item: (-score[item] - 0.1 * len(sources[item]), item))
        best = max(score.values(), default=0.0)
        near_enough = [item for item in ranked if score[item] >= 0.5 * best]
        if len(near_enough) < FEW:
            near_enough = [item for item in ranked if score[item] >= 0.25 * best][:FEW]
        contexts = [around for _, around in sorted(said, key=lambda pair: -pair[0])[:MAX_VALUES]]
        return near_enough[:MAX_VALUES], contexts

    def _names(self, tool: ToolSpec, path: str, schema: dict[str, Any], kind: str) -> set[str]:
        """Words under which the traces may hold such values: the parameter's own, or those of a description that
        names them."""
        own = set(kin(path))
        if kind != "text":
            return own
        if set(words(path)) <= lexicon.GENERIC:
            # "play a song, artist or playlist" says under which names the values of ``query`` go
            others = {stem(word) for other in leaves(tool) if other != path for word in words(other)}
            described = (
                set(content(f"{schema.get('description', '')} {tool.description}")) - lexicon.GENERIC - others - PERSONS
            )
            if sum(len(self._bank.arguments.get(name, ())) for name in described) >= FEW:
                return described
        return own

    def _sample(self, tool: ToolSpec, path: str, schema: dict[str, Any], rng: random.Random) -> Any:
        schema = plain_schema(schema, tool.parameters)
        if "const" in schema:
            return schema["const"]
        if members := [member for member in schema.get("enum") or () if member is not None]:
            return rng.choice(members)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if kind == "boolean":
            return rng.random() < 0.6
        if kind in ("integer", "number"):
            return typed_number(schema, words(path), kind, rng)
        if kind == "array":
            items = schema.get("items") if isinstance(schema.get("items"), dict) else {}
            low, high = schema.get("minItems", 1), min(schema.get("maxItems", 3), 3)
            drawn = [self._sample(tool, path, items, rng) for _ in range(rng.randint(max(low, 1), max(high, low, 1)))]
            if not all(isinstance(item, (str, int, float)) for item in drawn):
                return None
            members = plain_schema(items, tool.parameters).get("enum")
            kept = list(dict.fromkeys(drawn))
            return sorted(kept, key=members.index) if members else kept
        return self._string(tool, path, schema, rng) if kind == "string" else None

    def _string(self, tool: ToolSpec, path: str, schema: dict[str, Any], rng: random.Random) -> str | None:
        made = typed_string(schema, words(path), rng)
        if made is not None:
            return made
        described = examples(schema)
        recorded = self.recorded(tool, path)
        # the nearest values are the likeliest
        choices = [*described, *described] + recorded if described else recorded
        if not choices:
            choices = _fallback(path, schema)
        fitting = [value for value in choices if fits(value, schema)]
        if not fitting:
            return None
        return fitting[int(len(fitting) * rng.random() ** 1.4)]


def surfaces(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> list[str]:
    """Ways of saying a value, most usual first; empty for booleans and objects, which a clause must word itself."""
    schema = plain_schema(schema, root)
    if isinstance(value, bool) or value is None or isinstance(value, dict):
        return []
    if "enum" in schema:
        return member_forms(value, schema["enum"])
    if isinstance(value, (int, float)):
        plain = str(value)
        return [plain, plain, plain, number_words(value)] if isinstance(value, int) and 0 <= value <= 100 else [plain]
    if isinstance(value, list):
        items = schema.get("items") if isinstance(schema.get("items"), dict) else {}
        said = [surfaces(item, items, root)[:1] for item in value]
        return [join_words([form[0] for form in said])] if all(said) else []
    if re.fullmatch(r"\d\d:\d\d(:\d\d)?", value):
        return spoken_time(value) or [value]
    if match := re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?", value):
        return [f"{date} at {time}" for date in spoken_date(match[1])[:3] for time in spoken_time(match[2])[:3]]
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return spoken_date(value) or [value]
    return [value]


def sayable(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value from elsewhere may stand for an argument: a text that fits, or a number of the right kind."""
    if isinstance(value, str):
        return "enum" not in schema and fits(value, schema)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def join_words(items: list[str]) -> str:
    """``a, b and c``."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def context_of(request: str, span: tuple[int, int]) -> tuple[str, str] | None:
    """The introducing words before a value and the unit after it, or None where nothing introduces it."""
    before = re.search(r"((?:[a-z]+ ){1,2})$", request[: span[0]].lower())
    after = re.match(r" ?(%|[a-z]+)", request[span[1] :].lower())
    unit = request[span[1] :][: after.end()].lower() if after and after[1] in UNIT else ""
    taken = before[1].split() if before else []
    if not taken or taken[-1] not in FUNCTION:
        return None
    kept = taken if taken[0] in FUNCTION and taken[0] not in ("and", "or") else taken[-1:]
    return None if kept == ["and"] else (" ".join(kept) + " ", unit)


def _speakable(item: Any, said: str) -> bool:
    """Free text that a person would say again: as it was said, short, and no code-like capitals or brackets."""
    if not isinstance(item, str) or item != said or not 1 < len(item) <= 50 or item.lower() in ("yes", "no"):
        return False
    if re.fullmatch(r"[\d:.\-T+ ]+", item) or (item.isupper() and len(item) > 3):
        return False
    return re.fullmatch(r"[ -~\u00a0-\u024f’€–]+", item) is not None and not re.search(r'[\\{}<>|"]', item)


def _fallback(path: str, schema: dict[str, Any]) -> list[str]:
    """A plain list for a parameter that nothing recorded resembles."""
    about = set(content(path)) | set(content(schema.get("description", "")))
    for keys, values in (
        ({"room", "zone", "area"}, lexicon.ROOMS),
        ({"city", "place", "location", "destination", "origin", "country", "address"}, lexicon.CITIES),
        ({"message", "text", "body", "note", "comment", "announcement", "content"}, lexicon.MESSAGES),
        (
            {"contact", "person", "recipient", "guest", "customer", "user", "attendee", "who", "patient", "owner"},
            lexicon.NAMES,
        ),
        ({"title", "task", "item", "subject", "label", "event", "reminder", "topic", "product"}, lexicon.THINGS),
    ):
        if about & keys:
            return list(values)
    return list(lexicon.WORDS)
