"""How alike two tools are, by the words of their names and descriptions, and whether they do opposite things.

alike(set_lights, dim_lights)        # 0 to 1
opposed(lock_door, unlock_door)      # True
"""

from __future__ import annotations

import re
from functools import lru_cache

from needle.tools.spec import ToolSpec

TWIN = 0.6
"""Likeness from which one tool might do what the other does."""
NEAR = 0.22
"""Likeness from which two tools are easily mistaken for each other."""
OPPOSITES = (
    ("on", "off"), ("open", "close"), ("lock", "unlock"), ("start", "stop"), ("up", "down"),
    ("enable", "disable"), ("raise", "lower"), ("arm", "disarm"), ("pause", "resume"),
    ("mute", "unmute"), ("buy", "sell"), ("in", "out"), ("before", "after"),
)  # fmt: skip
"""Words of which one may not stand where the other is meant."""
CONTRARY = (
    *OPPOSITES, ("add", "remove"), ("create", "delete"), ("add", "delete"), ("create", "remove"), ("set", "get"),
    ("make", "cancel"), ("book", "cancel"), ("send", "read"), ("increase", "decrease"), ("block", "unblock"),
    ("set", "cancel"), ("create", "cancel"), ("set", "delete"), ("create", "list"), ("add", "list"), ("create", "get"),
    ("follow", "unfollow"), ("connect", "disconnect"), ("begin", "end"), ("encode", "decode"), ("deposit", "withdraw"),
    ("get", "delete"), ("list", "delete"), ("show", "hide"), ("upload", "download"), ("import", "export"),
)  # fmt: skip
"""First words of tools that do not do the same, however alike the rest is."""
LISTLESS = frozenset(
    "the for with from and are its this that your our use uses returns return given one all any new has have been can "
    "which when per not given using about into".split()
)


@lru_cache(maxsize=65536)
def telling_words(text: str) -> frozenset[str]:
    """Words of three letters and more that say something, in lower case, without plural ending; identifiers are split."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", text)
    return frozenset(
        word.removesuffix("s") for word in re.findall(r"[a-z]{3,}", spaced.lower()) if word not in LISTLESS
    )


def tool_words(tool: ToolSpec) -> frozenset[str]:
    """Telling words of a tool's name and description."""
    return telling_words(f"{tool.name} {tool.description}")


def alike(one: ToolSpec, other: ToolSpec) -> float:
    """Likeness, 0 to 1: the share of common words (those of names count twice), or of the shorter description where it
    nearly lies within the other. Contrary tools are never twins."""
    a, b = tool_words(one), tool_words(other)
    names = telling_words(one.name), telling_words(other.name)
    total = len(a | b) + len(names[0] | names[1])
    share = (len(a & b) + len(names[0] & names[1])) / total if total else 0.0
    said = sorted((telling_words(one.description), telling_words(other.description)), key=len)
    if len(said[0]) >= 3:
        share = max(share, 0.8 * len(said[0] & said[1]) / len(said[0]))
    return min(share, TWIN - 0.01) if opposed(one, other) else share


def opposed(one: ToolSpec, other: ToolSpec) -> bool:
    """Whether the names hold contrary words, such as ``add_note`` and ``remove_note``."""
    mine, theirs = _parts(one.name), _parts(other.name)
    return any(
        (x in mine and y in theirs and x not in theirs and y not in mine)
        or (y in mine and x in theirs and y not in theirs and x not in mine)
        for x, y in CONTRARY
    )


@lru_cache(maxsize=65536)
def _parts(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", name).lower()))
