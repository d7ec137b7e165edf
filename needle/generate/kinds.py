"""The kinds of request: what each asks of an author, and which toolsets can give it.

What the right answer is to a ``half`` request (one part can be done, another cannot): the calls that can be done, and
nothing for the rest. A request is answered part by part, so the answer to a part does not depend on its neighbours, and
an app can tell from the missing call that something was left undone. Parts that depend on each other are not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from needle.generate.siblings import siblings, twins
from needle.teacher.embedded.fragments import SPEECH
from needle.teacher.embedded.text import words
from needle.tools.arguments import leaves, schema_at, value_class
from needle.tools.spec import ToolSpec

KIND_RULES = {
    "single": "The message asks for exactly the planned call.",
    "sibling": (
        'The message asks for exactly the planned call. The tool under "beside" is easily mistaken for it: the message '
        "must leave no doubt which of the two is meant, without naming either."
    ),
    "parallel": "The message asks for all planned calls of the one tool, in that order, and for nothing else.",
    "several": "The message asks for all planned calls, in that order, and for nothing else.",
    "extraction": (
        "The message holds a text of 40 to 120 words, such as a pasted e-mail, note, form or receipt, from which the "
        "planned call's values are to be taken; say shortly what to do with it. The text holds other details too, none "
        "of which fits an argument."
    ),
    "corrected": (
        'The person corrects themselves: the message first gives the value under "first", then takes it back and gives '
        "the final one. A call marked as not due is asked for and then withdrawn."
    ),
    "half": (
        "The message asks for the planned calls that are due and, in the same breath, for one more thing that none of "
        "the tools can do; neither depends on the other."
    ),
    "irrelevant": "The message asks for something that none of the tools can do, about something else altogether.",
    "near_miss": (
        "The message asks for something that comes near to what the tools do, with their words and objects, but that "
        "none of them can do (another action, a question about it, an object that they do not cover)."
    ),
    "missing": (
        'The message asks for the planned call but leaves the argument under "omit" quite open, so that one would '
        "have to ask back."
    ),
    "negated": (
        "The message says that the planned call should NOT be made (a refusal, a change of mind, a warning), so that "
        "nothing is to be done."
    ),
    "chat": "The message is small talk or a remark to the assistant; it asks for nothing.",
}
"""What an author is told of each kind."""
HIDDEN_RULE = (
    'The tool under "withheld" will not be there when the message is answered: ask for it all the same, as planned.'
)


@dataclass(frozen=True)
class Abilities:
    """What the tools of a toolset can be used for."""

    omittable: tuple[ToolSpec, ...]
    """Tools with a required argument that a request could leave out."""
    with_arguments: tuple[ToolSpec, ...]
    """Tools that take arguments at all."""
    correctable: tuple[ToolSpec, ...]
    """Tools with an argument that a person may say wrong first."""
    extractable: tuple[ToolSpec, ...]
    """Tools that take enough values that a text could hold."""
    siblings: dict[str, tuple[str, ...]]
    """Tool to its look-alikes, nearest first; without those that have none."""
    near: tuple[tuple[ToolSpec, tuple[str, ...]], ...]
    """Tools that can be withheld, with the names that go, such that a look-alike stays."""
    far: tuple[tuple[ToolSpec, tuple[str, ...]], ...]
    """Such that none stays, but some tool."""


@lru_cache(maxsize=16)
def abilities(tools: tuple[ToolSpec, ...]) -> Abilities:
    """Everything that planning asks of a toolset, worked out once."""
    alike = {tool.name: tuple(other.name for other in siblings(tool, tools)) for tool in tools}
    return Abilities(
        omittable=tuple(tool for tool in tools if omittable(tool)),
        with_arguments=tuple(tool for tool in tools if leaves(tool)),
        correctable=tuple(tool for tool in tools if correctable(tool)),
        extractable=tuple(tool for tool in tools if extractable(tool)),
        siblings={name: others for name, others in alike.items() if others},
        near=tuple(withholdable(tools, near=True)),
        far=tuple(withholdable(tools, near=False)),
    )


def impossible_kinds(tools: Sequence[ToolSpec]) -> dict[str, str]:
    """Kinds that a toolset cannot give, each with the reason."""
    found: dict[str, str] = {}
    able = abilities(tuple(tools))
    if not able.omittable:
        found["missing"] = "no tool has a required argument that a request could leave out"
    if not able.with_arguments:
        found["parallel"] = "a tool without arguments cannot be called twice to different ends"
    if not able.correctable:
        found["corrected"] = "no tool has an argument that could be corrected"
    if len(tools) < 2:
        found["several"] = "there is one tool only"
    if not able.siblings:
        found["sibling"] = "no two tools are alike"
    if not able.extractable:
        found["extraction"] = "no tool takes enough values that a text could hold"
    return found


def omittable(tool: ToolSpec) -> list[str]:
    """Required arguments whose absence shows: not booleans, which a verb carries; required at every level."""
    found = []
    for path in leaves(tool):
        parts = path.split(".")
        parents = [
            schema_at(tool.parameters, ".".join(parts[:depth])) if depth else tool.parameters
            for depth in range(len(parts))
        ]
        needed = all(part in (parent.get("required") or ()) for part, parent in zip(parts, parents, strict=True))
        schema = schema_at(tool.parameters, path)
        if needed and schema.get("type") != "boolean" and "const" not in schema and "default" not in schema:
            found.append(path)
    return found


def correctable(tool: ToolSpec) -> list[str]:
    """Arguments that a person may say wrong first: one value, no switch, and not somebody's words."""
    paths = [path for path in leaves(tool) if not SPEECH & set(words(path)[-1:])]
    kinds = {path: value_class(schema_at(tool.parameters, path)) for path in paths}
    return [path for path, kind in kinds.items() if kind in ("time", "date", "number", "enum", "text")]


def extractable(tool: ToolSpec) -> bool:
    """Whether a tool takes several values such as a letter or a receipt holds: three at least of text, number or day."""
    kinds = [value_class(schema_at(tool.parameters, path)) for path in leaves(tool)]
    return sum(kind in ("text", "number", "date", "email", "uri") for kind in kinds) >= 3 and len(kinds) >= 4


def withholdable(tools: Sequence[ToolSpec], *, near: bool) -> list[tuple[ToolSpec, tuple[str, ...]]]:
    """Tools that can be kept from the answer, each with all the names that go (its twins too).

    ``near``: only those of which a look-alike stays. No tool of which nothing would stay.
    """
    found = []
    for tool in tools:
        gone = (tool.name, *twins(tool, tools))
        stays = [other for other in tools if other.name not in gone]
        if stays and bool(siblings(tool, stays)) == near:
            found.append((tool, gone))
    return found
