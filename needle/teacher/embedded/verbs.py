"""Verb and noun of a tool, read off its name and description: ``lock_door`` with ``locked: false`` is "unlock" and
"door"."""

from __future__ import annotations

import re
from typing import Any

from needle.teacher.embedded.lexicon import ABBREVIATIONS, SWITCHES, VERBS
from needle.teacher.embedded.patterns import ON_OFF, purpose
from needle.teacher.embedded.text import member_forms, words
from needle.tools.arguments import leaves, schema_at
from needle.tools.spec import ToolSpec

NAME_FILLERS = frozenset("set control change update tool function api do handle manage adjust toggle state".split())
ACTIONS = frozenset("action command operation cmd do state op control".split())
"""Parameters whose members are verbs."""
ORDER = re.compile(r"[A-Z]\w+ (?:a|an|the|all|one|what|your|my|this|that|how|whether)\b")
"""A description that starts as an order does."""
PALE = ("give", "take", "make", "put", "set")
"""Verbs of descriptions that say nothing outside of them."""
LINKS = frozenset({"to", "from", "on", "in", "into", "onto", "off"})


def verb_stem(tool: ToolSpec) -> str:
    """The verb that a tool's name or description starts from; empty when there is none."""
    return next((word for word in [*words(tool.name), *words(tool.description)[:1]] if word in VERBS), "")


def verbs_and_noun(tool: ToolSpec) -> tuple[list[str], list[str]]:
    """Ways of saying the verb, the plainest first, and the noun words: from the name, else from the description."""
    own = [ABBREVIATIONS.get(word, word) for word in words(tool.name) if not word.isdigit()]
    verb = next((word for word in own if word in VERBS), "")
    noun = [word for word in own if word != verb] or list(words(tool.description))[1:3]
    first = (words(tool.description) or ("",))[0]
    described = first if first in VERBS else first[:-1] if first[:-1] in VERBS else ""
    if verb in ("turn", "switch") and noun[:1] in (["on"], ["off"]):
        return [f"{way} {noun[0]}" for way in VERBS[verb]], noun[1:]
    if not verb and not described and len(own) > 1 and ORDER.match(tool.description):
        return [own[0]], own[1:]  # an unknown verb, but its description is an order
    verb = verb or described or ("set" if leaves(tool) else "get")
    more = VERBS[described] if described and described not in (verb, *PALE) and purpose([described]) == purpose([verb]) else ()
    return list(dict.fromkeys([*VERBS[verb], *more])), noun


def let_value_be_verb(
    tool: ToolSpec, verbs: list[str], noun: list[str], left: dict[str, Any]
) -> tuple[list[str], list[str], dict[str, Any]]:
    """Let a boolean or a verb-like enum member be the verb: ``locked: false`` is "unlock", ``action: "PAUSE"`` is
    "pause".

    Returns:
        Verbs, noun words and the arguments that are still to be said.
    """
    for path, value in left.items():
        last = words(path)[-1:] or ("",)
        rest = {key: item for key, item in left.items() if key != path}
        plain = [word for word in noun if word not in NAME_FILLERS]
        if isinstance(value, bool) and last[0] in SWITCHES:
            return [SWITCHES[last[0]][not value]], [word for word in noun if word not in SWITCHES], rest
        if isinstance(value, bool) and last[0] in ON_OFF:
            return _turn("on" if value else "off"), plain, rest
        members = schema_at(tool.parameters, path).get("enum")
        if members and isinstance(value, str):
            said = member_forms(value, members)[0]
            if said in ("on", "off") and {"on", "off"} <= {str(member).lower() for member in members}:
                return _turn(said), plain, rest
            if (said in VERBS or said in ("next", "previous")) and last[0] in ACTIONS:
                said = {"next": "skip to the next", "previous": "go back to the previous"}.get(said, said)
                return [said], [word for word in plain if word not in VERBS], rest
    return verbs, noun, left


def split_link(noun: list[str]) -> tuple[list[str], list[str]]:
    """Noun words before and after a link: ``add_to_shopping_list`` adds something "to the shopping list"."""
    place = next((number for number, word in enumerate(noun) if word in LINKS), len(noun))
    return noun[:place], noun[place:] if place + 1 < len(noun) else []


def _turn(particle: str) -> list[str]:
    return [f"turn {particle}", f"switch {particle}"]
