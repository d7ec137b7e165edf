"""Training rows varied as they are drawn: one ``Transform`` of the trainer over rows that share a toolset.

    examples = ExampleSet(traces, tokenizer, config, Augment(traces))

The toolset is changed once for all rows of a draw, so that they still share it: other names, no names, fewer descriptions,
another order, tools taken away or put beside. Then each row for itself: values and numbers swapped in request and calls, two
requests joined, noise. Labels stay certain, and a row whose calls do not fit its tools afterwards is drawn as it was.
Masking after Hammer (arXiv 2410.04587), noise that keeps the label after COVERT (arXiv 2604.09813).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from needle.corpora.augment import ValueSwap
from needle.corpora.toolsets import NO_JOIN, chain_texts, join_texts
from needle.corpora.wording import identified, quoted, spread, spread_values, whole
from needle.tools import ToolCall, ToolSpec, fingerprint, is_valid
from needle.tools.likeness import TWIN, alike, telling_words, tool_words
from needle.traces import Trace
from needle.traces.evolve import drop_descriptions, shuffle_parameters
from needle.traces.noise import NOISES, noise_trace
from needle.traces.renaming import Renaming, masks, rename, rename_specs, synonyms


@dataclass(frozen=True)
class AugmentConfig:
    """How often each variation is drawn; 0 switches it off."""

    rename: float = 0.3
    """Share of draws in which tools and parameters get other names of the same meaning."""
    mask: float = 0.08
    """Share of draws in which names say nothing, so that only descriptions tell what is what."""
    undescribed: float = 0.15
    """Share of draws in which some descriptions are left out or cut."""
    order: float = 0.7
    """Share of draws with tools in another order (of parameters: half as often)."""
    fewer: float = 0.15
    """Share of draws without one of the tools that no row calls."""
    withhold: float = 0.08
    """Share of draws without a tool that some rows call: those rows then have no call."""
    narrow: float = 0.08
    """Share of draws with one or two tools that some rows call, and no other: all other rows have no call."""
    beside: float = 0.25
    """Share of draws with one to three tools of other toolsets beside."""
    swap: float = 0.5
    """Share of rows whose copied texts are swapped for others of their kind."""
    numbers: float = 0.4
    """Share of rows whose numbers are swapped."""
    spread: float = 0.06
    """Share of rows whose one call becomes several that differ in one argument: "a timer for 5 and 9 minutes"."""
    identified: float = 0.05
    """Share of rows in which an identifier (``orderTotal``) takes the place of a copied text."""
    quoted: float = 0.1
    """Share of rows whose copied texts stand in quotes."""
    join: float = 0.08
    """Share of rows that are joined with another row of the draw."""
    chain: float = 0.06
    """Share of rows that become the first step of two to four, a sentence each: "First, ... After that, ... Finally, ..."."""
    negate: float = 0.015
    """Share of rows that become their opposite: "don't ...", which calls nothing."""
    noise: float = 0.15
    """Share of rows with slips, hearing mistakes, shorthand, another case or no punctuation."""
    most_tools: int = 12
    """Most tools after some were put beside."""


STAYING = AugmentConfig(rename=0, mask=0, undescribed=0, order=0, fewer=0, withhold=0, narrow=0, beside=0)
"""For one toolset that is learnt as it is: only requests and values vary."""
NEGATIONS = ("don't {}", "do not {}", "please don't {}", "no need to {}", "you don't have to {}", "never mind, don't {}", "wait, don't {}", "i changed my mind, do not {}", "whatever you do, don't {}")
IMPERATIVES = frozenset("add archive arm ask bookmark book bring buy call cancel change check clear close convert create deactivate delete dim disable download email enable export find flag forward get give increase invite lock lower make mark message move mute open order pause pay play post preheat print put raise record remind remove rename reserve restart save schedule send set share show shuffle skip snooze start stop switch tag take text transfer translate turn tweet unlock unmute update upload vacuum wake water".split())
"""Verbs with which a command begins that can be taken back."""


class Augment:
    """Callable ``(rows of one toolset, rng) -> as many rows of one toolset``; value banks and spare tools come from ``traces``."""

    def __init__(self, traces: Sequence[Trace], config: AugmentConfig = AugmentConfig()) -> None:
        self.config = config
        self.swap = ValueSwap(traces, config.swap)
        toolsets = {id(trace.tools): trace.tools for trace in traces}
        self.pool = [tool for tools in {fingerprint(tools): tools for tools in toolsets.values()}.values() for tool in tools]

    def __call__(self, traces: Sequence[Trace], rng: random.Random) -> list[Trace]:
        """Varied rows, in order. The result depends on ``rng`` alone."""
        rows = [_swap_numbers(self.swap(trace, rng), rng, self.config.numbers) for trace in traces]
        rows = [identified(row, rng) if rng.random() < self.config.identified else row for row in self._spread(rows, rng)]
        rows = [quoted(row, rng) if rng.random() < self.config.quoted else row for row in rows]
        rows = [_negated(row, rng) if rng.random() < self.config.negate else row for row in self._join(rows, rng)]
        rows = [noise_trace(row, rng.choice(list(NOISES)), rng) if rng.random() < self.config.noise else row for row in rows]
        rows = [row if is_valid(row.calls, row.tools) else trace for row, trace in zip(rows, traces, strict=True)]
        varied = self._toolset(rows, rng)
        if all(is_valid(row.calls, row.tools) for row in varied):
            return varied
        return list(traces)

    def _spread(self, rows: list[Trace], rng: random.Random) -> list[Trace]:
        """Some rows as one command over several values."""
        drawn = [rng.random() < self.config.spread for _ in rows]
        values = spread_values(rows) if any(drawn) else {}
        return [spread(row, values, rng) if is_drawn else row for row, is_drawn in zip(rows, drawn, strict=True)]

    def _join(self, rows: list[Trace], rng: random.Random) -> list[Trace]:
        """Some rows with the requests and the calls of other ones added."""
        able = [row for row in rows if len(row.calls) in (1, 2) and not (row.system or row.messages or row.alternatives) and len(row.query) < 120]
        able = [row for row in able if not NO_JOIN.search(row.query.rstrip(".?! "))]
        out = []
        for row in rows:
            draw = rng.random() if any(row is one for one in able) else 1.0
            if draw < self.config.join + self.config.chain:
                chained = draw >= self.config.join
                parts = _different([row, *rng.sample(able, min(rng.randint(1, 3) if chained else 1, len(able)))])
                if len(parts) > 1:
                    text = (chain_texts if chained else join_texts)([part.query for part in parts], rng)
                    if not _cut(text, parts):
                        row = replace(row, query=text, calls=tuple(call for part in parts for call in part.calls), kind="parallel")
            out.append(row)
        return out

    def _toolset(self, rows: list[Trace], rng: random.Random) -> list[Trace]:
        """The rows over a changed toolset; all share one new tuple of tools."""
        config, tools = self.config, list(rows[0].tools)
        called = {call.name for row in rows for call in row.calls}
        idle = [tool for tool in tools if tool.name not in called]
        if idle and len(tools) > 1 and rng.random() < config.fewer:
            tools.remove(rng.choice(idle))
        if len(tools) > 2 and rng.random() < config.withhold:
            rows, tools = _withhold(rows, tools, rng)
        if len(tools) > 2 and rng.random() < config.narrow:
            rows, tools = _narrowed(rows, tools, rng)
        elif rng.random() < config.beside:
            tools += self._others(rows, tools, rng)
        holder = Trace("", "", tuple(tools), ())
        draw = rng.random()
        if draw < config.mask:
            holder, rows = _renamed(holder, rows, masks(holder.tools, rng))
        elif draw < config.mask + config.rename:
            holder, rows = _renamed(holder, rows, synonyms(holder.tools, rng))
        if draw >= config.mask and rng.random() < config.undescribed:
            holder = drop_descriptions(holder, rng)
        if rng.random() < config.order / 2:
            holder = shuffle_parameters(holder, rng)
        made = tuple(rng.sample(holder.tools, len(holder.tools))) if rng.random() < config.order else holder.tools
        return [replace(row, tools=made) for row in rows]

    def _others(self, rows: Sequence[Trace], tools: Sequence[ToolSpec], rng: random.Random) -> list[ToolSpec]:
        """Tools of other toolsets that could serve none of the requests."""
        wanted = min(rng.randint(1, 3), self.config.most_tools - len(tools))
        names = {tool.name for tool in tools}
        asked = frozenset().union(*(telling_words(row.query) for row in rows if not row.calls))
        found: list[ToolSpec] = []
        for tool in rng.sample(self.pool, min(len(self.pool), 4 * max(wanted, 0))):
            if len(found) < wanted and tool.name not in names and not asked & tool_words(tool) and all(alike(tool, one) < TWIN for one in tools):
                names.add(tool.name)
                found.append(tool)
        return found


def _renamed(holder: Trace, rows: Sequence[Trace], renaming: Renaming) -> tuple[Trace, list[Trace]]:
    """Tools and rows under new names; the tools are renamed once."""
    return replace(holder, tools=rename_specs(holder.tools, renaming)), [rename(replace(row, tools=()), renaming) for row in rows]


def _withhold(rows: list[Trace], tools: list[ToolSpec], rng: random.Random) -> tuple[list[Trace], list[ToolSpec]]:
    """Without one called tool: rows that call nothing else get no call. Only where no other tool might do what it does,
    where it serves at most a third of the rows, and where no row calls it together with others."""
    for gold in rng.sample(tools, len(tools)):
        users = [row for row in rows if any(call.name == gold.name for call in row.calls)]
        alone = all(call.name == gold.name for row in users for call in row.calls)
        if users and alone and 3 * len(users) <= len(rows) and all(alike(gold, other) < TWIN for other in tools if other is not gold):
            fresh = [replace(row, calls=(), alternatives={}, kind="irrelevant") if any(row is user for user in users) else row for row in rows]
            return fresh, [tool for tool in tools if tool is not gold]
    return rows, tools


def _narrowed(rows: list[Trace], tools: list[ToolSpec], rng: random.Random) -> tuple[list[Trace], list[ToolSpec]]:
    """With one or two called tools alone. Few recorded toolsets are that small, and a lone tool is seldom offered for something else; in use it is.

    Unchanged where another called tool might do what a kept one does. Rows that call kept and other tools, and those without a call beyond one half of all,
    are replaced by rows beside them: with a lone tool it would otherwise be a good guess to call nothing.
    """
    called = {call.name for row in rows for call in row.calls}
    users = [tool for tool in tools if tool.name in called]
    kept = rng.sample(users, min(rng.randint(1, 2), len(users)))
    names = {tool.name for tool in kept}
    if not kept or any(alike(one, tool) >= TWIN for one in kept for tool in users if tool not in kept):
        return rows, tools
    out: list[Trace | None] = []
    for row in rows:
        inside = [call.name in names for call in row.calls]
        out.append(row if all(inside) else None if any(inside) else replace(row, calls=(), alternatives={}, kind="irrelevant"))
    due = [row for row in out if row is not None and row.calls]
    none = [row for row in out if row is not None and not row.calls]
    spare = {id(row) for row in rng.sample(none, max(0, len(none) - len(out) // 2))} if due else set()
    sure = due or none
    return ([row if row is not None and id(row) not in spare else rng.choice(sure) for row in out], kept) if sure else (rows, tools)


def _negated(trace: Trace, rng: random.Random) -> Trace:
    """A command taken back; the row itself when it is none (a question, several calls, another beginning)."""
    first = trace.query.split()[0] if trace.query.split() else ""
    if len(trace.calls) != 1 or trace.system or trace.messages or first.lower() not in IMPERATIVES or re.search(r"[?!]|\b(don't|not|please|instead)\b", trace.query):
        return trace
    text = rng.choice(NEGATIONS).format(first.lower() + trace.query[len(first) :])
    return replace(trace, query=text[:1].upper() + text[1:] if first[:1].isupper() else text, calls=(), alternatives={}, kind="negated")


def _swap_numbers(trace: Trace, rng: random.Random, share: float) -> Trace:
    """Whole numbers that stand once in the request as digits, and once in the calls, replaced in both by others as long."""
    if trace.alternatives or not trace.calls or rng.random() >= share:
        return trace
    query, calls = trace.query, [dict(call.arguments) for call in trace.calls]
    schemas = {tool.name: tool.properties for tool in trace.tools}
    leaves = [str(value) for call in trace.calls for value in call.arguments.values()]
    for place, call in enumerate(trace.calls):
        for key, value in call.arguments.items():
            schema = schemas[call.name].get(key) or {}
            fresh = _other_number(value, schema, rng)
            if fresh is None or fresh == value or len(re.findall(whole(value), query)) != 1:
                continue
            if sum(str(value) in leaf for leaf in leaves) != 1 or str(fresh) in query:
                continue
            query = re.sub(whole(value), str(fresh), query)
            calls[place][key] = fresh
    made = replace(trace, query=query, calls=tuple(ToolCall(call.name, values) for call, values in zip(trace.calls, calls, strict=True)))
    return made if is_valid(made.calls, made.tools) else trace


def _other_number(value: Any, schema: dict[str, Any], rng: random.Random) -> int | None:
    """Another whole number of as many digits inside the schema's limits; years and small counts stay near."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 2 or schema.get("type") not in ("integer", "number") or schema.keys() & {"enum", "const", "multipleOf"}:
        return None
    digits = len(str(value))
    low, high = (1900, 2030) if 1900 <= value <= 2100 else (max(2, 10 ** (digits - 1)), 10**digits - 1)
    low, high = max(low, int(schema.get("minimum", low))), min(high, int(schema.get("maximum", high)))
    return rng.randint(low, high) if low < high else None


def _different(rows: Sequence[Trace]) -> list[Trace]:
    """Those that make none of the calls of the ones before them."""
    kept: list[Trace] = []
    for row in rows:
        if not any(call in one.calls for one in kept for call in row.calls):
            kept.append(row)
    return kept


def _cut(text: str, parts: Sequence[Trace]) -> bool:
    """Whether joining changed a copied text (its first letter, a final full stop)."""
    before = "\n".join(part.query for part in parts)
    values = [value for part in parts for call in part.calls for value in call.arguments.values() if isinstance(value, str)]
    return any(value in before and value not in text for value in values) or any(value.casefold() in before.casefold() and value.casefold() not in text.casefold() for value in values)
