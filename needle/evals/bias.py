"""Counterfactual pairs: the same request with another name, place, gendered word, spelling or currency.

Right calls differ in the swapped value alone, so a model that answers one right and the other wrong depends on what
must not matter. Names, places, gendered words and spellings are swapped in rows of the test part of ``data/traces``,
only where the word stands in the request once and in the arguments as a whole word (or not at all), and where no other
argument could follow from it; currencies come from templates. ``evals/suites/bias/swaps.toml`` has the words.

What this shows: differences between the listed groups on these requests. What it does not: how people of a group write,
harm, or fairness in any wider sense; a small model often fails on names that its tokenizer cuts into many pieces.
After the counterfactual tests of Kusner et al. 2017 (arXiv 1703.06856) and CheckList (arXiv 2005.04118).
"""

from __future__ import annotations

import hashlib
import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.datafiles import DataFiles
from needle.evals.grounding import locate
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import is_valid
from needle.traces.read import read_traces
from needle.traces.trace import Trace

AXES = ("names", "places", "gender", "spelling", "currency")
"""What is swapped; each is a part of the suite."""
REPOSITORY = Path(__file__).resolve().parents[2]
ROWS = REPOSITORY / "data" / "traces" / "test.jsonl.gz"
SWAPS = "swaps.toml"


def find_bias(folder: str | Path | None = None) -> DataFiles | None:
    """The folder with the words to swap, if it and the rows are here."""
    place = Path(folder) if folder else REPOSITORY / "evals" / "suites" / "bias"
    return DataFiles(place) if (place / SWAPS).is_file() and ROWS.is_file() else None


def load_bias(data: DataFiles, part: str | None = None, seed: int = 0) -> tuple[list[Trace], list[str]]:
    """Rows of one axis or of all; ``seed`` draws the requests and which name of a group stands in which."""
    try:
        swaps = tomllib.loads(data.read([SWAPS])[SWAPS])
        traces = _rows() if part != "currency" else ()
        if traces:
            data.hashes[ROWS.name] = hashlib.sha256(ROWS.read_bytes()).hexdigest()
        makers = {
            "names": _by_group,
            "places": _by_group,
            "gender": _by_pair,
            "spelling": _by_pair,
            "currency": _templates,
        }
        made = [row for axis in ([part] if part else AXES) for row in makers[axis](axis, swaps[axis], traces, seed)]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{data.where}/{SWAPS}: not in the form that evals/README.md shows ({error}); mend it"
        ) from error
    return made, []


@lru_cache(maxsize=1)
def _rows() -> tuple[Trace, ...]:
    return tuple(read_traces(ROWS)[0])


def _by_group(axis: str, words: Mapping[str, Any], traces: Sequence[Trace], seed: int) -> Iterator[Trace]:
    """Every group has its own name (or place) in the stead of the one that was there."""
    groups: dict[str, list[str]] = words["groups"]
    used = {word for members in groups.values() for word in members}
    able = []
    for trace in traces:
        old = next((word for word in words["found"] if _swappable(trace, word)), None)
        if old and not any(_stands(word, trace.query) for word in used):
            able.append((trace, old))
    for number, (trace, old) in enumerate(_drawn(able, words["sets"], f"{seed}\0{axis}")):
        row = [
            _marked(swapped(trace, {old: members[number % len(members)]}), axis, trace.id, group)
            for group, members in groups.items()
        ]
        if all(is_valid(one.calls, one.tools) for one in row):
            yield from row


def _by_pair(axis: str, words: Mapping[str, Any], traces: Sequence[Trace], seed: int) -> Iterator[Trace]:
    """Two rows: every listed word as the first, and as the second of its pair. One kind of word in a request."""
    first, second = words["groups"]
    forward = {one: other for one, other in reversed(words["pairs"])}
    backward = {other: one for one, other in reversed(words["pairs"])}
    able = []
    for trace in traces:
        found = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", trace.query)
        said = {*found, *(word.lower() for word in found)}
        here, there = said & forward.keys(), said & backward.keys()
        if bool(here) == bool(there) or said & set(words.get("refuse", ())) or not trace.calls or _asks_sex(trace):
            continue
        able.append((trace, forward if here else backward, first if here else second))
    for trace, mapping, group in _drawn(able, words["sets"], f"{seed}\0{axis}"):
        other = swapped(trace, mapping)
        if other.query != trace.query and is_valid(other.calls, other.tools):
            pair = {group: trace, (second if group == first else first): other}
            yield from (_marked(pair[name], axis, trace.id, name) for name in (first, second))


def _asks_sex(trace: Trace) -> bool:
    """Whether a called tool has a parameter that a gendered word answers."""
    called = {call.name for call in trace.calls}
    names = [name for tool in trace.tools if tool.name in called for name in tool.properties]
    return any(re.search(r"sex|gender|salutation", name, re.IGNORECASE) for name in names)


def _templates(axis: str, words: Mapping[str, Any], traces: Sequence[Trace], seed: int) -> Iterator[Trace]:
    codes = {code: word for code, word in words["groups"].items()}
    tools = _money_tools([*codes, "CHF"])
    for place, template in enumerate(words["templates"]):
        chance = random.Random(f"{seed}\0{axis}\0{place}")
        offered = tuple(chance.sample(tools, len(tools)))
        amount = words["amounts"][place % len(words["amounts"])]
        for code, word in codes.items():
            facts = {"amount": amount, "word": word, "code": code}
            arguments = {
                name: amount if value == "{amount}" else str(value).format(**facts)
                for name, value in template["arguments"].items()
            }
            row = Trace(
                id="", query=template["query"].format(**facts), tools=offered,
                calls=(ToolCall(template["tool"], arguments),), kind="single", toolset="bias-money", domain="money",
            )  # fmt: skip
            yield _marked(row, axis, f"money-{place}", code)


def _money_tools(codes: Sequence[str]) -> list[ToolSpec]:
    """The tools of the templates."""
    currency = {"type": "string", "enum": list(codes), "description": "ISO 4217 code."}
    amount, text = {"type": "number", "exclusiveMinimum": 0}, {"type": "string"}

    def tool(name: str, description: str, **properties: Any) -> ToolSpec:
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        return ToolSpec(name, description, schema)

    listed = {"type": "string", "enum": ["food", "travel", "home", "other"]}
    period = {"type": "string", "enum": ["day", "week", "month"]}
    return [
        tool("transfer_money", "Send money to a person.", to=text, amount=amount, currency=currency),
        tool("request_money", "Ask a person for money.", **{"from": text}, amount=amount, currency=currency),
        tool("log_expense", "Write down what was spent.", category=listed, amount=amount, currency=currency),
        tool("set_price_alert", "Say when something gets cheaper.", item=text, below=amount, currency=currency),
        tool("convert_currency", "Convert an amount.", amount=amount, **{"from": currency}, to=currency),
        tool(
            "set_spending_limit", "Limit what may be spent in a period.", period=period, limit=amount, currency=currency
        ),
    ]


def _drawn(able: Sequence[Any], count: int, seed: str) -> list[Any]:
    """A seeded sample, one of each toolset before a second of any."""
    shuffled = random.Random(seed).sample(able, len(able))
    turns: dict[str, int] = {}
    ranked = []
    for place, one in enumerate(shuffled):
        turn = turns[one[0].toolset] = turns.get(one[0].toolset, -1) + 1
        ranked.append((turn, place, one))
    return [one for _, _, one in sorted(ranked, key=lambda entry: entry[:2])[:count]]


def _stands(word: str, text: str) -> int:
    return len(re.findall(rf"(?<![\w@.-]){re.escape(word)}(?![\w@-])", text))


def _swappable(trace: Trace, word: str) -> bool:
    """Whether ``word`` is a whole argument, stands in the request once, and nothing else can follow from it."""
    if (
        word not in trace.query
        or not trace.calls
        or _stands(word, trace.query) != 1
        or word.lower() not in trace.query.lower()
    ):
        return False
    if trace.query.lower().count(word.lower()) != 1 or any(word in str(tool.to_dict()) for tool in trace.tools):
        return False
    values = [value for call in trace.calls for value in call.arguments.values()]
    others = [value for value in values if value != word]
    return word in values and all(isinstance(value, bool) or locate(value, trace.query) for value in others)


def swapped(trace: Trace, mapping: Mapping[str, str]) -> Trace:
    """The row with words replaced, whole words only and in the letter case that they have, in request and arguments.

    Words of the mapping with a capital are found as they are, others in any letter case.
    """
    words = sorted(mapping, key=len, reverse=True)
    ways = "|".join(re.escape(word) if word != word.lower() else f"(?i:{re.escape(word)})" for word in words)
    pattern = re.compile(rf"(?<![\w@.'-])({ways})(?![\w@-])")

    def text(value: str) -> str:
        return pattern.sub(lambda match: _cased(mapping.get(match[1]) or mapping[match[1].lower()], match[1]), value)

    def inside(value: Any) -> Any:
        if isinstance(value, str):
            return text(value)
        if isinstance(value, dict):
            return {key: inside(one) for key, one in value.items()}
        return [inside(one) for one in value] if isinstance(value, list) else value

    return replace(
        trace,
        query=text(trace.query),
        calls=tuple(ToolCall(call.name, inside(call.arguments)) for call in trace.calls),
        alternatives={path: inside(values) for path, values in trace.alternatives.items()},
    )


def _cased(new: str, old: str) -> str:
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[0].isupper() else new


def _marked(trace: Trace, axis: str, of: str, group: str) -> Trace:
    pair = {"set": f"{axis}:{of}", "axis": axis, "group": group, "variant": group}
    return replace(trace, id=f"{axis}:{of}:{group.replace(' ', '-')}", kind=axis, meta={"scoring": {"pair": pair}})
