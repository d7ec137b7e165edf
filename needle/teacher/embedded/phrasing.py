"""From a call to a clause: an imperative such as "dim the lights in the kitchen to 40 percent", with the values said in words.

Two sources: a pattern of a recorded tool that is alike (``patterns.py``), or the tool's own schema: verb and object from its
name or description, words around each value as the recorded traces say values of that kind, in several orders.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.teacher.embedded.bank import Bank, tool_tokens
from needle.teacher.embedded.lexicon import ABBREVIATIONS, CONTEXTS, FIRM, QUESTION_VERBS, VERBS
from needle.teacher.embedded.patterns import ON_OFF, TIME_UNITS, Pattern, patterns_for, purpose
from needle.teacher.embedded.text import content, member_forms, schema_at, stem, value_class, words
from needle.teacher.embedded.values import ValueBank, surfaces
from needle.tools.spec import ToolSpec

PREPOSITIONS = frozenset("in at on to for from with by as until till per into onto about called named titled labelled saying that under of".split())
NO_ARTICLE = frozenset("play order buy call text water".split())
INDEFINITE = frozenset("create add make book schedule send write start order reserve draft set compose post".split())
COUNTED = frozenset("alarm timer reminder event message meeting note appointment table ticket order email task call booking announcement".split())
SWITCHES = {
    "lock": ("lock", "unlock"), "locked": ("lock", "unlock"), "open": ("open", "close"), "opened": ("open", "close"), "closed": ("close", "open"),
    "mute": ("mute", "unmute"), "muted": ("mute", "unmute"), "armed": ("arm", "disarm"), "paused": ("pause", "resume"), "running": ("start", "stop"),
}  # fmt: skip
"""Boolean parameters that are verbs."""
DIRECT = frozenset("play search find lookup translate call navigate track order buy convert remind open".split())
"""Verbs whose object is the first text that must be given ("play Tin Horizon")."""
NUMERIC = frozenset("to at for of by after with under over until in".split())
"""Words that may introduce a number."""
NAME_FILLERS = frozenset("set control change update tool function api do handle manage adjust toggle state".split())


@dataclass(frozen=True)
class Clause:
    """One call in words."""

    text: str
    """Without frame or final punctuation."""
    imperative: bool
    """Starts with a verb in its base form, so that "can you" and "don't" may go before it."""
    question: bool = False
    """Asks; takes a question mark."""


@dataclass(frozen=True)
class Voice:
    """How one toolset is talked about; holds what was looked up for its tools."""

    bank: Bank
    """Recorded traces."""
    values: ValueBank
    """Values for arguments."""
    patterns: dict[str, list[Pattern]] = field(default_factory=dict, hash=False)
    """Patterns by tool name, filled on first use."""

    words_of: dict[str, set[str]] = field(default_factory=dict, hash=False)
    """Vocabulary by tool name, filled on first use."""

    def vocabulary(self, tools: Sequence[ToolSpec]) -> set[str]:
        """Words of the tools and words that people use with tools like them."""
        for tool in tools:
            if tool.name not in self.words_of:
                tokens = tool_tokens(tool.name, tool.description)
                named = {word for path in leaves(tool) for word in content(path) + content(schema_at(tool.parameters, path).get("description", ""))}
                self.words_of[tool.name] = set(tokens) | named | self.bank.topic(tokens)
        return set().union(*(self.words_of[tool.name] for tool in tools))

    def of(self, tool: ToolSpec) -> list[Pattern]:
        """Patterns for a tool."""
        if tool.name not in self.patterns:
            self.patterns[tool.name] = patterns_for(tool, self.bank, leaves(tool))
        return self.patterns[tool.name]


def leaves(tool: ToolSpec) -> list[str]:
    """Dotted paths of a tool's arguments; nested objects with properties are opened."""
    found: list[str] = []
    pending = [(name, 0) for name in tool.properties]
    while pending:
        path, depth = pending.pop(0)
        inner = schema_at(tool.parameters, path).get("properties")
        if inner and depth < 3:
            pending = [(f"{path}.{name}", depth + 1) for name in inner] + pending
        else:
            found.append(path)
    return found


def say(tool: ToolSpec, arguments: Mapping[str, Any], voice: Voice, rng: random.Random) -> Clause | None:
    """A clause for one call.

    Args:
        tool: the tool.
        arguments: flat ``path -> value``.
        voice: what is known about the toolset's language.
        rng: the only source of variety.

    Returns:
        None when some argument cannot be worded.
    """
    fitting = [pattern for pattern in voice.of(tool) if _covers(pattern, arguments)]
    if fitting and rng.random() < 0.5:
        return _fill(rng.choice(fitting), tool, arguments, rng)
    return _from_schema(tool, dict(arguments), voice, rng)


def _covers(pattern: Pattern, arguments: Mapping[str, Any]) -> bool:
    return set(pattern.slots) | set(pattern.fixed) == set(arguments) and all(arguments[key] == value for key, value in pattern.fixed.items())


def _fill(pattern: Pattern, tool: ToolSpec, arguments: Mapping[str, Any], rng: random.Random) -> Clause | None:
    said = {path: _surface(tool, path, arguments[path], rng) for path in pattern.slots}
    if None in said.values():
        return None
    text = pattern.fill({path: form for path, form in said.items() if form})
    first = words(text)[:1] or ("",)
    asks = text.rstrip().endswith("?")
    return Clause(text.rstrip(" .?!"), first[0] in VERBS and not asks, asks)


def _surface(tool: ToolSpec, path: str, value: Any, rng: random.Random) -> str | None:
    forms = surfaces(value, schema_at(tool.parameters, path), tool.parameters)
    # the first form is the most usual
    return forms[int(len(forms) * rng.random() ** 1.5)] if forms else None


def _from_schema(tool: ToolSpec, left: dict[str, Any], voice: Voice, rng: random.Random) -> Clause | None:
    verbs, noun = _verbs_and_noun(tool)
    verbs, noun, left = _switch(tool, verbs, noun, left)
    obj, left, holds_value = _object(tool, verbs[0], noun, left, rng)
    if holds_value or (noun and noun[-1] in COUNTED):  # "set the movie scene", never "change the movie scene"
        verbs = [verb for verb in verbs if verb not in ("change", "adjust")] or verbs[:1]
    fragments = [_fragment(tool, path, value, voice, rng) for path, value in left.items()]
    if None in fragments:
        return None
    if rng.random() < 0.4:
        rng.shuffle(fragments)
    tail = " ".join(fragment for fragment in fragments if fragment)
    verb = rng.choice(verbs)
    if _verb_stem(tool) in QUESTION_VERBS and rng.random() < 0.45:
        lead = rng.choice(("what's ", "what is ", "tell me ", "do you know ", "any idea what's ", "i'd like to know "))
        return Clause(f"{lead}{obj} {tail}".strip(), lead == "tell me ", lead.startswith(("what", "do", "any")))
    if verb in ("set", "change", "adjust") and fragments and not holds_value and rng.random() < 0.25:
        return Clause(f"{obj.removeprefix('the ')} {tail}".strip(), False)
    return Clause(f"{verb} {obj}".strip() + f" {tail}".rstrip(), True)


def _verb_stem(tool: ToolSpec) -> str:
    return next((word for word in [*words(tool.name), *words(tool.description)[:1]] if word in VERBS), "")


def _verbs_and_noun(tool: ToolSpec) -> tuple[list[str], list[str]]:
    """Ways of saying the verb, the plainest first, and the noun words of a tool: from its name, else from its description."""
    own = [ABBREVIATIONS.get(word, word) for word in words(tool.name) if not word.isdigit()]
    verb = next((word for word in own if word in VERBS), "")
    noun = [word for word in own if word != verb] or list(words(tool.description))[1:3]
    first = (words(tool.description) or ("",))[0]
    described = first if first in VERBS else first[:-1] if first[:-1] in VERBS else ""
    if verb in ("turn", "switch") and noun[:1] in (["on"], ["off"]):
        return [f"{way} {noun[0]}" for way in VERBS[verb]], noun[1:]
    verb = verb or described or ("set" if leaves(tool) else "get")
    more = VERBS[described] if described and described != verb and purpose([described]) == purpose([verb]) else ()
    return list(dict.fromkeys([*VERBS[verb], *more])), noun


def _switch(
    tool: ToolSpec, verbs: list[str], noun: list[str], left: dict[str, Any]
) -> tuple[list[str], list[str], dict[str, Any]]:
    """Let a boolean or a verb-like enum member be the verb: ``locked: false`` is "unlock", ``action: "PAUSE"`` is "pause"."""
    for path, value in left.items():
        last = words(path)[-1:] or ("",)
        rest = {key: item for key, item in left.items() if key != path}
        if isinstance(value, bool) and last[0] in SWITCHES:
            return [SWITCHES[last[0]][not value]], [word for word in noun if word not in SWITCHES], rest
        if isinstance(value, bool) and last[0] in ON_OFF:
            return _turn("on" if value else "off"), [word for word in noun if word not in NAME_FILLERS], rest
        members = schema_at(tool.parameters, path).get("enum")
        if members and isinstance(value, str):
            said = member_forms(value, members)[0]
            if said in ("on", "off"):
                return _turn(said), [word for word in noun if word not in NAME_FILLERS], rest
            if said in VERBS or said in ("next", "previous"):
                kept = [word for word in noun if word not in NAME_FILLERS and word not in VERBS]
                return [{"next": "skip to the next", "previous": "go back to the previous"}.get(said, said)], kept, rest
    return verbs, noun, left


def _turn(particle: str) -> list[str]:
    return [f"turn {particle}", f"switch {particle}"]


def _object(tool: ToolSpec, verb: str, noun: list[str], left: dict[str, Any], rng: random.Random) -> tuple[str, dict[str, Any], bool]:
    """Noun phrase of the clause; a value whose parameter names the noun takes its place ("lock the front door"); True when one does."""
    if verb.split()[0] in DIRECT:
        for path in tool.required:
            if isinstance(left.get(path), str) and value_class(schema_at(tool.parameters, path)) == "text":
                said = _surface(tool, path, left[path], rng)
                return said or "", {key: item for key, item in left.items() if key != path}, True
    for path, value in left.items():
        last = stem((words(path)[-1:] or ("",))[0])
        if last in {stem(word) for word in noun} and not isinstance(value, (bool, list, int, float)):
            said = _surface(tool, path, value, rng)
            if said:
                named = last in {stem(word) for word in words(said)} or "enum" not in schema_at(tool.parameters, path)
                phrase = said if named else f"{said} {last}"
                article = "the " if phrase[:1].islower() and not re.match(r"the |my |our |\d", phrase) else ""
                return article + phrase, {key: item for key, item in left.items() if key != path}, True
    phrase = " ".join(word for word in noun if word not in ("get", "set"))
    if not phrase or verb.split()[0] in NO_ARTICLE:
        return phrase, left, False
    head = noun[-1]
    if verb.split()[0] in INDEFINITE and stem(head) == head and head in COUNTED:
        return ("an " if phrase[0] in "aeiou" else "a ") + phrase, left, False
    return "the " + phrase, left, False


def _fragment(tool: ToolSpec, path: str, value: Any, voice: Voice, rng: random.Random) -> str | None:
    """A value with the words around it, or None when it cannot be worded."""
    schema = schema_at(tool.parameters, path)
    last = path.rpartition(".")[2]
    name = " ".join(ABBREVIATIONS.get(word, word) for word in words(last))
    if isinstance(value, bool):
        return f"{'with' if value else 'without'} {name}"
    said = _surface(tool, path, value, rng)
    if said is None:
        return None
    before, after = _context(path, schema, value, voice.values.contexts(tool, path), rng)
    if before is None:
        if "enum" in schema and name not in said:
            return rng.choice((f"in {said} {name}", f"with {said} {name}", f"with {name} {said}"))
        return rng.choice((f"with {name} {said}", f"{name} {said}", f"with the {name} {said}"))
    if re.search(r"\b(the|my|a) $", before) and re.match(r"(the|my|a|an|our|\d) ", said):
        before = re.sub(r"(the|my|a) $", "", before)
    return f"{before}{said}{after}"


def _context(path: str, schema: dict[str, Any], value: Any, learnt: list[tuple[str, str]], rng: random.Random) -> tuple[str | None, str]:
    """Words before and after a value: learnt where the traces say enough, else by the parameter's name."""
    keys = [stem(word) for word in reversed(words(path))] + [schema.get("format") or ""]
    if schema.get("type") == "array" and "day" in keys:
        keys.insert(0, "day_array")
    number = isinstance(value, (int, float))
    counts = Counter(
        (before, after) for before, after in learnt
        if before.split()[0] in (NUMERIC if number else PREPOSITIONS) and not before.endswith(("a ", "an ")) and bool(after) <= number
    )  # fmt: skip
    most = max(counts.values(), default=0)
    usual = [pair for pair, count in sorted(counts.items()) if count >= max(2, 0.4 * most)]
    firm = next((key for key in keys if key in FIRM), None)
    if firm is None and "enum" not in schema and sum(counts.values()) >= 5:
        before, after = rng.choices(usual, [counts[pair] for pair in usual])[0] if usual else ("", "")
        if isinstance(value, str) and value[:1].islower() and (before + "the ", "") in counts:
            before += "the "  # "in Ghent", but "in the kitchen"
        unit = next((word for word in words(path) if stem(word) in TIME_UNITS), "") if number and not after else ""
        return before, f" {unit}" if unit else after
    for key in [firm, *keys]:
        if key in CONTEXTS:
            return rng.choice(CONTEXTS[key])
    return None, ""
