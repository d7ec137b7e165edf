"""Requests that no tool of a toolset serves: far from it, or near by (another action on the same thing)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from needle.teacher.embedded.frames import CHAT, OFF_TOPIC
from needle.teacher.embedded.lexicon import CONTRARY_VERBS, VERBS
from needle.teacher.embedded.phrasing import Clause, Voice
from needle.teacher.embedded.text import content, stem, words
from needle.teacher.embedded.verbs import split_link, verb_stem, verbs_and_noun
from needle.tools.arguments import leaves, schema_at
from needle.tools.spec import ToolSpec

QUESTIONS = (
    "how much does a new {} cost", "who invented the {}", "why is my {} so slow", "what's the warranty on the {}",
    "is the {} safe for children", "how do i clean the {}", "where can i buy a {} like mine", "what is the best {} these days",
    "tell me a joke about a {}", "how long does a {} last", "can i sell my old {}", "what does the {} weigh",
)  # fmt: skip
"""Questions about a thing that no tool answers."""


def foreign(kind: str, tools: Sequence[ToolSpec], voice: Voice, rng: random.Random) -> str:
    """A request far from these tools, from recorded requests to other toolsets, or small talk (``chat``); for ``order``
    a short imperative one."""
    own = voice.vocabulary(tools)
    source = "chat" if kind == "chat" else "single" if kind == "order" else rng.choice(("irrelevant", "single"))
    pool = voice.bank.by_kind.get(source, [])
    for _ in range(60 if pool else 0):
        text, called = rng.choice(pool)
        about = content(text)
        if not 2 <= len(text.split()) <= (9 if kind == "order" else 22) or not about or "\n" in text:
            continue
        if kind == "order" and words(text)[:1] and words(text)[0] not in VERBS:
            continue
        near = called is not None and voice.bank.overlap(called.tokens, own) > 0.35
        if not near and voice.bank.overlap(about, own) < (0.34 if kind == "chat" else 0.05):
            return text
    return rng.choice(CHAT if kind == "chat" else OFF_TOPIC)


def near_by(name: str, tools: Sequence[ToolSpec], voice: Voice, rng: random.Random) -> Clause | None:
    """A wish about a tool's own object that neither it nor another tool serves: a contrary verb, or a question about
    the thing. None where the tool's name shows no object."""
    tool = next((tool for tool in tools if tool.name == name), tools[0])
    noun = _thing(tool)
    if not noun:
        return None
    served = {stem(word) for other in tools for word in words(f"{other.name} {other.description}")}
    served |= {
        stem(word)
        for other in tools
        for path in leaves(other)
        for word in words(f"{path} {' '.join(map(str, schema_at(other.parameters, path).get('enum') or ()))}")
    }
    verbs = [
        verb for verb in CONTRARY_VERBS.get(verb_stem(tool), ()) if not {stem(word) for word in words(verb)} & served
    ]
    if verbs and rng.random() < 0.6:
        verb = rng.choice(verbs)
        detail = _detail(tool, voice, rng)
        return Clause(f"{verb} the {noun}{detail}", True)
    return Clause(rng.choice(QUESTIONS).format(noun), False, question=True)


def _thing(tool: ToolSpec) -> str:
    head, linked = split_link(verbs_and_noun(tool)[1])
    noun = " ".join(linked[1:] or head)
    return noun if noun and noun not in ("me", "nearby") and len(noun) > 2 else ""


def _detail(tool: ToolSpec, voice: Voice, rng: random.Random) -> str:
    """ " in the kitchen", " for 7 pm": one argument of the tool said in passing, or nothing."""
    from needle.teacher.embedded.fragments import fragment

    paths = [path for path in leaves(tool) if not isinstance(schema_at(tool.parameters, path).get("type"), list)]
    rng.shuffle(paths)
    for path in paths[: rng.randrange(3)]:
        schema = schema_at(tool.parameters, path)
        if schema.get("type") in ("boolean", "array") or path.endswith("unit"):
            continue
        value = voice.values.sample(tool, path, rng)
        part = fragment(tool, path, value, "", voice.values, rng) if value not in (None, "off", "all") else None
        if part and not part.speech:
            return f" {part.text}"
    return ""
