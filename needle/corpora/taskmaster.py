"""Taskmaster: ordering coffee (TM-4) and movie tickets (TM-3), each with the first API call that a turn leads to.

Files: ``tm4.jsonl`` (dialogues with calls and their JSON arguments), ``tm3_reward.jsonl`` (contexts with calls). Only calls whose
values the request or the dialogue before it says are used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import load_functions
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

MOST_COFFEE = 900
"""Coffee orders: beyond these they only repeat each other."""


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of both parts over one set of functions."""
    functions = load_functions("taskmaster")
    items: dict[str, Item] = {}
    for item in [*_coffee(root, options), *_movies(root, options)]:
        key = item.text.lower() + "".join(str(message["content"]) for message in item.messages)
        items.setdefault(key, item)
    yield from Assembler("taskmaster", functions, list(items.values()), options.mix, options.seed, options.dropped).rows()


def _coffee(root: Path, options: Options) -> Iterator[Item]:
    made = 0
    for line in (root / "tm4.jsonl").read_text(encoding="utf-8").strip().split("\n"):
        dialogue = json.loads(line)
        turn = dialogue["turns"][0]
        calls = turn.get("calls") or []
        options.read += 1
        if turn["s"] != "user" or not calls or made >= MOST_COFFEE or calls[0]["name"] != "get_menu_items":
            options.dropped["no first look-up, or enough of these"] += 1
            continue
        query = _json(calls[0]["args"]).get("query")
        match = re.search(rf"\b{re.escape(str(query).strip())}\b", turn["u"], re.IGNORECASE)
        if not match:
            options.dropped["value not in the request"] += 1
            continue
        made += 1
        yield Item(dialogue["id"], turn["u"], (("get_menu_items", {"query": match[0]}),))


def _movies(root: Path, options: Options) -> Iterator[Item]:
    for line in (root / "tm3_reward.jsonl").read_text(encoding="utf-8").strip().split("\n"):
        row = json.loads(line)
        before: list[dict[str, Any]] = []
        for number, turn in enumerate(row["context"]):
            if turn.get("api") and before and before[-1]["role"] == "user":
                options.read += 1
                item = _movie(f"{row['id']}/{number}", turn["api"], before)
                if isinstance(item, str):
                    options.dropped[item] += 1
                else:
                    yield item
                break
            if turn.get("text") and turn["role"] in ("user", "agent"):
                before.append({"role": "user" if turn["role"] == "user" else "assistant", "content": turn["text"]})


def _movie(item_id: str, api: Mapping[str, Mapping[str, Any]], before: list[dict[str, Any]]) -> Item | str:
    name, arguments = next(iter(api.items()))
    text, earlier = before[-1]["content"], before[:-1][-4:]
    said = " ".join([*(message["content"] for message in earlier), text])
    values = {}
    for slot, value in arguments.items():
        match = re.search(rf"(?<!\w){re.escape(str(value).strip())}(?!\w)", said, re.IGNORECASE)
        if not match:
            return "value not in the dialogue"
        values[slot] = match[0]
    whole = all(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) for value in values.values())
    return Item(item_id, text, ((name, values),), messages=() if whole and len(text.split()) > 5 else tuple(earlier))


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
