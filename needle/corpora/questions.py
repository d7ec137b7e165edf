"""Query-wellformedness: questions as people type them into a search engine; a web search where there is one, else no tool fits.

Files: ``{train,dev,test}.tsv`` (question, rating). The tools beside are those of ``specs/hwu64.json`` that act rather than know.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import Function, Slot, draw_style, load_functions, word_function
from needle.tools import ToolCall, ToolSpec
from needle.tools.likeness import telling_words, tool_words
from needle.traces import Trace

SEARCH = Function(
    "web_search", "web", ("search web", "web search", "google", "search internet", "look up online"), ("Search the web.", "Look something up on the internet.", "Answer a question by searching the web."),
    (Slot("query", ("query", "q", "search query", "question"), ("What to search for, in the person's words.", "Search query."), required=True),),
)  # fmt: skip
SERVICES = ("alarm", "audio", "calendar", "email", "home", "lists", "takeaway", "media")
"""Services whose functions answer no question of general knowledge."""


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Toolsets with a web search and without, in equal numbers."""
    rng = random.Random(options.seed)
    beside = [function for function in load_functions("hwu64").values() if function.service in SERVICES]
    every = list(dict.fromkeys(_questions(root, options)))
    questions = rng.sample(every, min(len(every), options.mix.most or 3000))
    number = 0
    while questions:
        number += 1
        style, name = draw_style(rng), f"questions-{number:05}"
        chosen = [word_function(function, style, rng).spec for function in rng.sample(beside, rng.randint(1, 6))]
        searching = rng.random() < 0.5
        search: ToolSpec | None = word_function(SEARCH, style, rng, required=["query"]).spec if searching else None
        tools = tuple({tool.name: tool for tool in rng.sample([*chosen, *([search] if search else [])], len(chosen) + searching)}.values())
        for place in range(rng.randint(*options.mix.rows)):
            if not questions:
                break
            question = questions.pop()
            if telling_words(question) & frozenset().union(*(tool_words(tool) for tool in chosen)):
                options.dropped["shares a word with a tool"] += 1
                continue
            asked = question if rng.random() < 0.5 else f"{question[:1].upper()}{question[1:]}?"
            calls: tuple[ToolCall, ...] = ()
            if search:
                argument: dict[str, Any] = {next(iter(search.properties)): asked.rstrip("?") if rng.random() < 0.7 else asked}
                calls = (ToolCall(search.name, {key: str(value).strip() for key, value in argument.items()}),)
            yield Trace(f"{name}-{place:03}", asked, tools, calls, "single" if calls else "irrelevant", name, "questions", meta={"source": "questions"})


def _questions(root: Path, options: Options) -> Iterator[str]:
    for part in ("train", "dev", "test"):
        for line in (root / f"{part}.tsv").read_text(encoding="utf-8").strip().split("\n"):
            options.read += 1
            text, _, rating = line.partition("\t")
            text = re.sub(r"\s+('s|'m|'re|n't)\b", r"\1", " ".join(text.replace(" ,", ",").rstrip("? ").split()))
            if float(rating or 0) < 0.6:
                options.dropped["not well formed"] += 1
            elif 4 <= len(text.split()) <= 14:
                yield text
