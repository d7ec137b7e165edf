"""The same row under disturbance: other order, more tools, other names, fewer or other words, typos, a value left out.

    --suite robustness                     a sample of needle-unseen, each row followed by its disturbed copies
    --suite robustness:bfcl/live_simple    of another suite

A disturbance leaves the right answer as it was (but for names, which gold calls follow) or makes it certain: without a
required value there is nothing to call. What it costs a model is the difference to the undisturbed rows, paired row by
row (``needle.evals.pairs``). Noise and renaming come from ``needle.traces``; where one cannot change a row, the row has
no such copy. After BFCL's format sensitivity, Hammer's masking (arXiv 2410.04587) and SGD-X (arXiv 2110.06800).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from needle.evals.grounding import COPIED, locate
from needle.evals.match import local_schema, scoring_of
from needle.tools.close import map_schema
from needle.tools.spec import ToolSpec
from needle.tools.validate import is_valid
from needle.traces.evolve import resample_distractors, shuffle_tools
from needle.traces.noise import noise_trace
from needle.traces.renaming import WORDS, Renaming, masks, rename, synonyms
from needle.traces.trace import Trace

BASE = "needle-unseen"
"""Suite that is disturbed without a word about it."""
SAMPLE = 150
"""Rows of it that are disturbed without ``--limit``."""
PLAIN = "plain"
"""Variant of the undisturbed rows."""
NOUNS = frozenset(WORDS) - frozenset(
    "get fetch set update create add delete remove send list search find start stop play calculate book convert check "
    "schedule".split()
)
"""Words that have others of their meaning and do not say what to do."""


@dataclass(frozen=True)
class Variant:
    """One disturbance."""

    says: str
    """What it does, in words."""
    change: Callable[[Trace, random.Random, Sequence[ToolSpec]], Trace | None]
    """The disturbed row, given a source of chance and all tools of the suite; None or the row itself: not possible."""
    same_answer: bool = True
    """The right answer is what it was, names aside."""


def disturb(traces: Sequence[Trace], seed: int = 0) -> list[Trace]:
    """Each row, then every copy of it that differs; ``meta["scoring"]["pair"]`` names set and variant."""
    pool = list(dict.fromkeys(tool for trace in traces for tool in trace.tools))
    rows = []
    for trace in traces:
        plain = _marked(trace, trace.id, PLAIN)
        rows.append(plain)
        for name, variant in VARIANTS.items():
            made = variant.change(plain, random.Random(f"{seed}\0{trace.id}\0{name}"), pool)
            if made is None or (made.query == plain.query and made.tools == plain.tools):
                continue
            if is_valid(made.calls, made.tools) or not is_valid(plain.calls, plain.tools):
                rows.append(_marked(made, trace.id, name))
    return rows


def _marked(trace: Trace, of: str, variant: str) -> Trace:
    """The row with its place among its like; ground truth of the leaderboard, which names tools, does not survive."""
    scoring = {key: value for key, value in trace.meta.get("scoring", {}).items() if key != "bfcl"}
    scoring["pair"] = {"set": of, "variant": variant}
    name = of if variant == PLAIN else f"{of}~{variant.replace(' ', '-')}"
    return replace(trace, id=name, meta={"scoring": scoring})


def _noise(kind: str) -> Callable[..., Trace | None]:
    return lambda trace, chance, pool: noise_trace(trace, kind, chance)


def _distractors(count: int) -> Callable[..., Trace | None]:
    def change(trace: Trace, chance: random.Random, pool: Sequence[ToolSpec]) -> Trace | None:
        if not trace.tools:
            return None
        made = resample_distractors(trace, pool, count, chance)
        return made if set(made.tools) != set(trace.tools) else None

    return change


def _renamed(choose: Callable[..., Renaming], **options: bool) -> Callable[..., Trace | None]:
    def change(trace: Trace, chance: random.Random, pool: Sequence[ToolSpec]) -> Trace | None:
        renaming = choose(trace.tools, chance, **options)
        made = rename(trace, renaming)
        rules = scoring_of(trace).get("scoring", {}).get("comparators")
        if rules:
            meta = {**made.meta, "scoring": {**made.meta["scoring"], "comparators": _rules(rules, trace, renaming)}}
            made = replace(made, meta=meta)
        return made

    return change


def _rules(rules: Mapping[str, str], trace: Trace, renaming: Renaming) -> dict[str, str]:
    """Comparators under the new names."""
    moved = {}
    for key, rule in rules.items():
        tool, _, path = key.rpartition(".") if key.startswith("*.") else _split(key, trace)
        for old in {call.name for call in trace.calls} if tool == "*" else {tool}:
            names = renaming.parameters.get(old, {})
            parts = path.split(".")
            new = ".".join(names.get(".".join(parts[: n + 1]), part) for n, part in enumerate(parts))
            moved[f"{renaming.tools.get(old, old)}.{new}"] = rule
    return moved


def _split(key: str, trace: Trace) -> tuple[str, str, str]:
    """Tool and path of a rule; names of tools may hold dots."""
    name = next((tool.name for tool in trace.tools if key.startswith(f"{tool.name}.")), key.partition(".")[0])
    return name, ".", key[len(name) + 1 :]


def _reworded(trace: Trace, chance: random.Random, pool: Sequence[ToolSpec]) -> Trace:
    """Every description of a tool in another frame, its first word (if it says what to do) by one of its meaning."""
    style = chance.randrange(3)

    def words(text: str) -> str:
        first, blank, rest = text.partition(" ")
        if not blank or not first.isalpha() or not first[0].isupper():
            return text
        stem = first.lower().removesuffix("s")
        likes = [one for one in WORDS.get(stem, ()) if "_" not in one and WORDS.get(one)] or [stem]
        if stem not in WORDS or stem in NOUNS:
            return f"{('Function', 'Purpose', 'What it is for')[style]}: {first.lower()} {rest}"
        verb = chance.choice(likes)
        if first.lower() != stem:
            frame = ("This tool", "It", "This function")[style]
            return f"{frame} {verb}{'es' if verb.endswith(('ch', 'sh', 's')) else 's'} {rest}"
        return f"{('Use this to', 'This tool is there to', 'Call it when the user wants to')[style]} {verb} {rest}"

    tools = [ToolSpec(tool.name, words(tool.description), tool.parameters) for tool in trace.tools]
    return replace(trace, tools=tuple(tools))


def _undescribed(trace: Trace, chance: random.Random, pool: Sequence[ToolSpec]) -> Trace:
    return replace(trace, tools=tuple(ToolSpec(tool.name, "", _bare(tool.parameters)) for tool in trace.tools))


def _bare(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if not (key == "description" and isinstance(value, str))}
    return map_schema(kept, lambda inner, _: _bare(inner))


def _value_dropped(trace: Trace, chance: random.Random, pool: Sequence[ToolSpec]) -> Trace | None:
    """One call's required value taken out of the request, with the small word before it: now there is nothing to call.

    Only values without listed values or a default that stand in the request once, as written, between blanks or marks,
    numbers without a unit; and only where at least three words stay.
    """
    call = trace.calls[0] if len(trace.calls) == 1 else None
    spec = next((tool for tool in trace.tools if call and tool.name == call.name), None)
    for name in spec.required if spec and call else ():
        schema = local_schema(spec.properties.get(name), spec.parameters)
        value = call.arguments.get(name)
        if "enum" not in schema and "default" not in schema and isinstance(value, (str, int, float)):
            left = _without(trace.query, value)
            if left and len(re.findall(r"[^\W\d_]+", left)) >= 3:
                scoring = {key: one for key, one in trace.meta["scoring"].items() if key != "any_call"} | {"due": "ask"}
                return replace(trace, query=left, calls=(), alternatives={}, kind="missing", meta={"scoring": scoring})
    return None


def _without(text: str, value: Any) -> str | None:
    """The text without the one place where ``value`` stands as written, or None where that cannot be done cleanly."""
    place = locate(value, text)
    if place is None or place.how != COPIED:
        return None
    before, after = text[: place.start], text[place.end :]
    if locate(value, f"{before}\0{after}") or re.match(r"['’\-_/@.]?[^\W_]", after) or re.search(r"[\-_/@]$", before):
        return None
    if not isinstance(value, str) and re.match(r"\s*[°%$€£]|\s+[A-Za-z]{1,5}\b", after):
        return None
    if before[-1:] in "\"'“‘«" and after[:1] in "\"'”’»" and before and after:
        before, after = before[:-1], after[1:]
    small = r"(?:^|\s+)(?:to|at|for|in|on|from|by|of|with|as|called|named|titled|about|the|a|an)?\s*$"
    left = " ".join(f"{re.sub(small, '', before)} {after}".split())
    return re.sub(r"\s+([,.;:!?])", r"\1", left).lstrip(" ,.;:!?")


VARIANTS: dict[str, Variant] = {
    "tool order": Variant("the tools in another order", lambda trace, chance, pool: shuffle_tools(trace, chance)),
    "no distractors": Variant("only the tools that are called", _distractors(0)),
    "8 distractors": Variant("eight tools of other rows in place of those on offer", _distractors(8)),
    "16 distractors": Variant("sixteen tools of other rows in place of those on offer", _distractors(16)),
    "renamed tools": Variant("tools under names of the same meaning", _renamed(synonyms, of_parameters=False)),
    "renamed parameters": Variant("parameters under names of the same meaning", _renamed(synonyms, of_tools=False)),
    "masked names": Variant("names without a meaning where a description explains them", _renamed(masks)),
    "reworded descriptions": Variant("descriptions of tools in other words", _reworded),
    "no descriptions": Variant("no descriptions of tools and parameters", _undescribed),
    "typos": Variant("slips of the keyboard", _noise("typos")),
    "asr noise": Variant("as heard by a speech recogniser", _noise("asr")),
    "hesitation": Variant("hesitation and repeated words", _noise("disfluent")),
    "shorthand": Variant("abbreviations of text messages", _noise("shorthand")),
    "casing": Variant("other letter case", _noise("casing")),
    "punctuation": Variant("punctuation left out or overdone", _noise("punctuation")),
    "dropped value": Variant("a required value taken out: no call is right", _value_dropped, False),
}
"""Disturbances by name, in the order of the table."""
