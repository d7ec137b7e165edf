"""Variations of a trace whose label stays certain: other names, other order, fewer words, other tools beside the gold.

    other = evolve(trace, ("resample_distractors", "mask_names", "shuffle_tools"), seed=1, pool=many_tools)
    back = restore(other)                                  # the old names again

Every operation returns a trace that still validates, with gold calls and alternatives carried over, and takes its chance
from ``rng`` alone. ``evolve`` checks the result again and writes the lineage into ``meta``: the parent's id, what was
done, and the names to take back. After Hammer (arXiv 2410.04587: masking, the gold tool withheld), ToolACE (2409.00920:
tools that evolve) and When2Call (2504.18851: near tools as distractors).
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from needle.errors import UserError
from needle.tools.likeness import NEAR, TWIN, alike, telling_words, tool_words
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import is_valid
from needle.traces.renaming import Renaming, masks, rename, synonyms
from needle.traces.trace import Trace
from needle.traces.write import dump_json

OF_LABEL = ("votes", "topk", "rejected", "repaired")
"""Entries of ``meta`` that belong to a label, and go with it."""
TRIES = 12
"""Tools of the pool that are looked at for each one that is wanted."""


def rename_tools(trace: Trace, rng: random.Random, names: Mapping[str, str] | None = None) -> Trace:
    """Other names for the tools: ``names`` (old to new), or words of the same meaning in another style."""
    return rename(trace, Renaming(names) if names is not None else synonyms(trace.tools, rng, of_parameters=False))


def rename_parameters(trace: Trace, rng: random.Random, names: Mapping[str, Mapping[str, str]] | None = None) -> Trace:
    """Other names for the parameters, nested ones included: ``names`` (tool to old path to new last part), or words of
    the same meaning."""
    chosen = Renaming({}, names) if names is not None else synonyms(trace.tools, rng, of_tools=False)
    return rename(trace, chosen)


def mask_names(trace: Trace, rng: random.Random, *, parameters: bool = True) -> Trace:
    """Names without a meaning for every tool and parameter that a description explains."""
    return rename(trace, masks(trace.tools, rng, of_parameters=parameters))


def shuffle_tools(trace: Trace, rng: random.Random) -> Trace:
    """The tools in another order."""
    return replace(trace, tools=tuple(rng.sample(trace.tools, len(trace.tools))))


def shuffle_parameters(trace: Trace, rng: random.Random) -> Trace:
    """The parameters of each tool (nested ones too) in another order; calls that followed the old order follow the new."""
    tools = tuple(ToolSpec(tool.name, tool.description, _shuffled(tool.parameters, rng)) for tool in trace.tools)
    old = {tool.name: tool.parameters for tool in trace.tools}
    new = {tool.name: tool.parameters for tool in tools}
    calls = tuple(
        ToolCall(call.name, _ordered(call.arguments, old.get(call.name, {}), new.get(call.name, {})))
        for call in trace.calls
    )
    return replace(trace, tools=tools, calls=calls)


def drop_descriptions(trace: Trace, rng: random.Random, share: float = 0.5) -> Trace:
    """Without the descriptions of a share of tools and parameters, where the name still says what it is; the rest of
    some long ones is cut after the first sentence."""
    masked = set(trace.meta.get("masked", ()))
    tools = []
    for tool in trace.tools:
        text, parameters = tool.description, tool.parameters
        if tool.name not in masked:
            if rng.random() < share * 0.6 and re.search(r"[A-Za-z]{3}", tool.name):
                text = ""
            elif rng.random() < share:
                text = re.split(r"(?<=[.;:]) ", text, maxsplit=1)[0]
            parameters = _bare(parameters, rng, share)
        tools.append(ToolSpec(tool.name, text, parameters))
    return replace(trace, tools=tuple(tools))


def resample_distractors(trace: Trace, pool: Sequence[ToolSpec], k: int, rng: random.Random | None = None) -> Trace:
    """The called tools with ``k`` others from ``pool`` in place of those that were beside them, in random order.

    Left out of the choice: names that are taken, tools that might do what a called one does, and for a row without calls
    every tool that shares a telling word with the request (it might serve it after all). A row without calls keeps the
    tool that is nearest to its request, so that it stays as hard as it was. Fewer than ``k`` where the pool gives no more.
    """
    rng = rng or random.Random(trace.id)
    called = {call.name for call in trace.calls}
    asked = telling_words(trace.query)
    kept = [tool for tool in trace.tools if tool.name in called]
    if not called and trace.tools:
        kept = [max(trace.tools, key=lambda tool: len(asked & tool_words(tool)))]
    taken, added = {tool.name for tool in kept}, []
    for tool in rng.sample(pool, min(len(pool), TRIES * (k + 1))):
        if len(added) == k:
            break
        risky = any(alike(tool, gold) >= TWIN for gold in kept) if called else bool(asked & tool_words(tool))
        if tool.name not in taken and not risky:
            taken.add(tool.name)
            added.append(tool)
    tools = [*kept, *added]
    return replace(trace, tools=tuple(rng.sample(tools, len(tools))))


def withhold_gold(trace: Trace, rng: random.Random | None = None) -> Trace:
    """The same request without the tools that it calls (nor their twins): no call is right now.

    The kind becomes ``near_miss`` where a tool like the missing one stays, else ``irrelevant``. A trace without calls
    comes back as it is.
    """
    called = {call.name for call in trace.calls}
    gold = [tool for tool in trace.tools if tool.name in called]
    if not gold:
        return trace
    rest = [tool for tool in trace.tools if all(alike(tool, other) < TWIN for other in gold)]
    near = any(alike(tool, other) >= NEAR for tool in rest for other in gold)
    meta = {key: value for key, value in trace.meta.items() if key not in ("spans", *OF_LABEL)} | {"withheld": sorted(called)}
    return replace(
        trace, tools=tuple(rest), calls=(), alternatives={}, kind="near_miss" if near else "irrelevant", meta=meta
    )


def evolve(trace: Trace, ops: Sequence[str], seed: int, pool: Sequence[ToolSpec] = (), k: int = 4) -> Trace:
    """A descendant of a trace: the operations in order, each checked again; the id tells it from its parent.

    Args:
        trace: the parent.
        ops: names of operations, of ``OPS``.
        seed: with the parent's id the only source of chance.
        pool: tools for ``resample_distractors``, which does nothing without.
        k: how many of them a row gets.

    Returns:
        The descendant, ``meta["evolved"]`` with ``parent``, ``ops``, ``seed``, where names changed ``names`` (see
        ``restore``), and ``dropped``: what ``meta`` said of the old label and cannot say of the new one. The last operations are left out until the calls fit the tools.

    Raises:
        UserError: an unknown operation.
    """
    unknown = sorted(set(ops) - OPS.keys())
    if unknown:
        raise UserError(f"no operation is called {unknown[0]!r}; there are {', '.join(OPS)}")
    parent, made, steps = trace.id, trace, []
    for op in ops:
        rng = random.Random(f"{seed}/{parent}/{op}")
        if op in RENAMERS:
            renaming = RENAMERS[op](made.tools, rng)
            made = rename(made, renaming)
            steps += [renaming.to_dict()] if renaming.to_dict() else []
        elif op == "resample_distractors":
            made = resample_distractors(made, pool, k, rng) if pool else made
        else:
            made = OPS[op](made, rng)
        if op == "mask_names":
            made = replace(made, meta=made.meta | {"masked": sorted(renaming.tools.values())})
    if ops and not is_valid(made.calls, made.tools):
        return evolve(trace, ops[:-1], seed, pool, k)
    line: dict[str, Any] = {"parent": parent, "ops": list(ops), "seed": seed} | ({"names": steps} if steps else {})
    mark = hashlib.blake2b(f"{parent}/{seed}/{'/'.join(ops)}".encode(), digest_size=4).hexdigest()
    meta = dict(made.meta)
    if "topk" in trace.meta and dump_json([call.to_dict() for call in made.calls]) != dump_json([call.to_dict() for call in trace.calls]):
        meta.pop("topk", None)  # the probabilities are of tokens that the label no longer has
    gone = [key for key in OF_LABEL if key in trace.meta and key not in meta]
    return replace(made, id=f"{parent}~{mark}", meta=meta | {"evolved": line | ({"dropped": gone} if gone else {})})


def restore(trace: Trace) -> Trace:
    """An evolved trace with its old names of tools and parameters (order, words and tools stay as they are)."""
    for step in reversed((trace.meta.get("evolved") or {}).get("names", [])):
        trace = rename(trace, Renaming(step.get("tools", {}), step.get("parameters", {})).inverse())
    return trace


def _shuffled(schema: Any, rng: random.Random) -> Any:
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if isinstance(schema.get("properties"), dict):
        items = rng.sample(list(schema["properties"].items()), len(schema["properties"]))
        made["properties"] = {key: _shuffled(value, rng) for key, value in items}
        if isinstance(schema.get("required"), list):
            listed = [key for key in made["properties"] if key in schema["required"]]
            made["required"] = listed + [key for key in schema["required"] if key not in listed]
    if isinstance(schema.get("items"), dict):
        made["items"] = _shuffled(schema["items"], rng)
    return made


def _ordered(value: Any, old: Any, new: Any) -> Any:
    """Arguments in the new order of their schema, where they were in the old one."""
    if isinstance(value, list) and isinstance(new, dict):
        return [_ordered(item, (old or {}).get("items") or {}, new.get("items") or {}) for item in value]
    if not isinstance(value, dict) or not isinstance(new, dict):
        return value
    before, after = list(old.get("properties") or {}), list(new.get("properties") or {})
    known = [key for key in value if key in before]
    keys = list(value)
    if known == keys and known == sorted(known, key=before.index):
        keys = sorted(keys, key=after.index)
    inside = [(old.get("properties") or {}), (new.get("properties") or {})]
    return {key: _ordered(value[key], inside[0].get(key) or {}, inside[1].get(key) or {}) for key in keys}


def _bare(schema: Any, rng: random.Random, share: float) -> Any:
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {
            key: _bare(
                {name: item for name, item in value.items() if name != "description"}
                if isinstance(value, dict) and len(key) > 2 and rng.random() < share and not _needed(value)
                else value,
                rng,
                share,
            )
            for key, value in schema["properties"].items()
        }
    return made


def _needed(schema: Mapping[str, Any]) -> bool:
    """Whether a description fixes the form of the value (a unit, a code, a pattern of digits), so that it must stay."""
    text = str(schema.get("description", ""))
    return (
        bool(re.search(r"\b(in|as|iso|code|format|e\.g|unit|percent|degrees?|[A-Z]{2,}|\d+)\b", text))
        and "enum" not in schema
    )


RENAMERS: dict[str, Callable[[Sequence[ToolSpec], random.Random], Renaming]] = {
    "rename_tools": lambda tools, rng: synonyms(tools, rng, of_parameters=False),
    "rename_parameters": lambda tools, rng: synonyms(tools, rng, of_tools=False),
    "mask_names": masks,
}
OPS: dict[str, Callable[..., Trace]] = {
    "rename_tools": rename_tools,
    "rename_parameters": rename_parameters,
    "mask_names": mask_names,
    "shuffle_tools": shuffle_tools,
    "shuffle_parameters": shuffle_parameters,
    "drop_descriptions": drop_descriptions,
    "resample_distractors": resample_distractors,
    "withhold_gold": withhold_gold,
}
"""Operations by name."""
