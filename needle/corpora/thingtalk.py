"""ThingTalk as far as it names functions and gives them values: class manifests, and programs that are plain calls.

``parse_manifest`` reads queries and actions with their input and output parameters. ``parse_program`` reads
``@device.function(param=value)``, several joined by ``;``, projections, and filters that are a conjunction of comparisons with
constants: ``rating >= 4`` becomes the slot ``min rating``, ``contains(hashtags, X)`` the slot ``hashtags``. Everything else
(monitors, timers, sorting, aggregation, negation, values passed from one call to the next) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Parameter:
    """One parameter of a manifest."""

    name: str
    """Name in the manifest."""
    type: str
    """``String``, ``Number``, ``Enum(a,b)``, ``Entity(tt:hashtag)`` ..."""
    required: bool
    """``in req``."""
    output: bool
    """``out``: only usable in filters."""
    words: tuple[str, ...] = ()
    """How the manifest calls it in words."""
    prompt: str = ""
    """The question for it."""


@dataclass(frozen=True)
class Callable:
    """One query or action of a manifest."""

    device: str
    """Class name: ``com.twitter``."""
    name: str
    """Function name."""
    query: bool
    """Query (reads) or action (does)."""
    parameters: dict[str, Parameter] = field(default_factory=dict)
    """By name."""
    canonical: tuple[str, ...] = ()
    """Phrases for the function."""
    texts: tuple[str, ...] = ()
    """``doc`` and ``confirmation``."""


@dataclass(frozen=True)
class Invocation:
    """One call of a program."""

    device: str
    """Class name."""
    name: str
    """Function name."""
    values: dict[str, str]
    """Slot to token: a placeholder, a quoted string, a number, ``enum x``, ``true``, ``$location.home``; a unit follows after a space."""


_HEAD = re.compile(r"\b(query|action)\s+(\w+)\s*\(")
_PARAMETER = re.compile(r"\b(in req|in opt|out)\s+(\w+)\s*:\s*((?:Array\()?\w+(?:\([^()]*\))?\)?)")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|GENERIC_ENTITY_[\w.:-]+|@[\w.-]+|\$[\w.?]+|null\^\^[\w.:-]+|-?\d+(?:\.\d+)?[a-zA-Z]*|[A-Za-z_][\w:]*|=>|==|=~|~=|>=|<=|&&|\|\||[-+*/()\[\]{},;.=!<>#^%$?:]')


def parse_manifest(text: str) -> Iterator[Callable]:
    """Every function of a manifest."""
    text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    device = re.search(r"class @([\w.-]+)", text)
    if not device:
        return
    for head in _HEAD.finditer(text):
        end = _closing(text, head.end() - 1)
        tail = text[end : _end_of_statement(text, end)]
        parameters = {parameter.name: parameter for parameter in _parameters(text[head.end() : end])}
        texts = [string for key in ("doc", "confirmation") for string in _annotation(tail, key)]
        yield Callable(device[1], head[2], head[1] == "query", parameters, tuple(_annotation(tail, "canonical")), tuple(texts))


def _parameters(text: str) -> Iterator[Parameter]:
    marks = list(_PARAMETER.finditer(text))
    for place, mark in enumerate(marks):
        rest = text[mark.end() : marks[place + 1].start() if place + 1 < len(marks) else len(text)]
        words = _annotation(rest, "canonical")
        yield Parameter(mark[2], mark[3].replace(" ", ""), mark[1] == "in req", mark[1] == "out", tuple(words), next(iter(_annotation(rest, "prompt")), ""))


def _annotation(text: str, key: str) -> list[str]:
    """Strings of ``#_[key=...]``; of a dictionary those of ``base``."""
    match = re.search(rf"#_?\[{key}\s*=\s*", text)
    if not match:
        return []
    rest = text[match.end() :]
    if rest.startswith("{"):
        base = re.search(r"base\s*=\s*(\[[^\]]*\]|\"[^\"]*\")", rest[: _closing(rest, 0)])
        rest = base[1] if base else ""
    if rest.startswith("["):
        return _STRING.findall(rest[: _closing(rest, 0)])
    found = _STRING.match(rest)
    return [found[1]] if found else []


def _closing(text: str, start: int) -> int:
    """Index of the bracket that closes the one at ``start``, brackets in strings aside."""
    depth = 0
    place = start
    while place < len(text):
        if text[place] == '"':
            string = _STRING.match(text, place)
            place = string.end() if string else place + 1
            continue
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth == 0:
            return place
        place += 1
    return len(text)


def _end_of_statement(text: str, start: int) -> int:
    place = start + 1
    while place < len(text) and text[place] != ";":
        place = _closing(text, place) + 1 if text[place] in "([{" else _STRING.match(text, place).end() if text[place] == '"' and _STRING.match(text, place) else place + 1
    return place


class Refused(Exception):
    """The program is more than plain calls; the message is the reason."""


def parse_program(text: str) -> list[Invocation]:
    """The calls of a program in order. Raises ``Refused`` with the reason."""
    for word, reason in (("monitor", "monitor"), ("timer", "timer"), ("sort", "sorting"), ("edge", "monitor"), ("$?", "value missing"), ("||", "disjunction"), ("!", "negation"), ("$context", "context"), ("any(", "subquery")):
        if word in text:
            raise Refused(reason)
    if re.search(r"\b(max|min|avg|sum|count|aggregate|distance|compute)\b", text):
        raise Refused("aggregation")
    body = re.sub(r"^\$dialogue\s*@[\w.-]+\s*(?:\.\s*\w+)?\s*;", "", text.strip()).strip()
    tokens = _TOKEN.findall(body)
    if tokens[:2] == ["now", "=>"]:
        tokens = tokens[2:]
    if tokens[-2:] == ["=>", "notify"] or tokens[-3:] == ["=>", "notify", ";"]:
        tokens = tokens[: len(tokens) - 2 - (tokens[-1] == ";")]
    statements: list[list[str]] = [[]]
    for token in tokens:
        if token == ";":
            statements.append([])
        else:
            statements[-1].append(token)
    return [call for statement in statements if statement for call in _statement(statement)]


def _statement(tokens: list[str]) -> list[Invocation]:
    if "=>" in tokens:
        where = tokens.index("=>")
        source, sink = _query(tokens[:where]), tokens[where + 1 :]
        if "".join(sink).endswith("media-player.play(playable=id)"):
            return [Invocation("org.thingpedia.media-player", "play", source.values)]
        second = _query(sink)
        if any(re.fullmatch(r"[a-z_]\w*", value) and value not in ("true", "false") for value in second.values.values()):
            raise Refused("value passed between calls")
        return [source, second]
    return [_query(tokens)]


def _query(tokens: list[str]) -> Invocation:
    """``[ projection ] of @device ( name = X ) . function ( args ) filter ...``"""
    tokens = list(tokens)
    while tokens and tokens[0] in ("[", "("):
        if tokens[0] == "[":
            end = tokens.index("]")
            if tokens[end + 1 : end + 2] != ["of"]:
                raise Refused("another form of program")
            tokens = tokens[end + 2 :]
        elif tokens[-1] == ")":
            tokens = tokens[1:-1]
        else:
            raise Refused("another form of program")
    if not tokens or not tokens[0].startswith("@"):
        raise Refused("another form of program")
    device, rest = tokens[0][1:], tokens[1:]
    values: dict[str, str] = {}
    if rest[:1] == ["("]:
        if _find(rest) + 1 >= len(rest) or rest[_find(rest) + 1] != ".":
            device, _, name = device.rpartition(".")
            rest = [".", name, *rest]
        else:
            values = {key: value for key, value in _arguments(rest[1 : _find(rest)]).items() if key != "all"}
            rest = rest[_find(rest) + 1 :]
    if len(rest) < 4 or rest[0] != "." or rest[2] != "(":
        raise Refused("another form of program")
    name, end = rest[1], _find(rest[2:]) + 2
    values |= _arguments(rest[3:end])
    tail = rest[end + 1 :]
    if tail[:1] == ["filter"]:
        values |= _filters(tail[1:])
    elif tail and tail[0] == "[" and re.fullmatch(r"-?\d+", tail[1]):
        raise Refused("index")
    elif tail:
        raise Refused("another form of program")
    return Invocation(device, name, values)


def _find(tokens: list[str]) -> int:
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token == "(") - (token == ")")
        if depth == 0:
            return place
    raise Refused("another form of program")


def _arguments(tokens: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in _split(tokens, ","):
        if len(part) < 3 or part[1] != "=":
            raise Refused("another form of program")
        values[part[0]] = _value(part[2:])
    return values


def _filters(tokens: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in _split(tokens, "&&"):
        if part[:2] == ["contains", "("] and part[-1] == ")":
            left, right = _split(part[2:-1], ",")
            key, value = left[0], _value(right)
        elif len(part) >= 3 and part[1] in ("==", "=~", ">=", "<="):
            key = {">=": f"min {part[0]}", "<=": f"max {part[0]}"}.get(part[1], part[0])
            value = _value(part[2:])
        else:
            raise Refused("another kind of filter")
        if key in values:
            raise Refused("two filters on one field")
        values[key] = value
    return values


def _split(tokens: list[str], mark: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == mark and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _value(tokens: list[str]) -> str:
    """A constant as one text. Raises ``Refused`` for anything computed."""
    if tokens[0].startswith("null^^") and len(tokens) == 4:
        return tokens[2]
    if tokens[0] == "new" and tokens[1:3] == ["Location", "("] and len(tokens) == 5 and tokens[3].startswith('"'):
        return tokens[3]
    if tokens[0] == "$location" and len(tokens) == 3:
        return "".join(tokens)
    if tokens[0] == "enum" and len(tokens) == 2:
        return " ".join(tokens)
    if len(tokens) == 2 and re.match(r"NUMBER_\d|-?\d", tokens[0]) and re.fullmatch(r"\w+", tokens[1]):
        return " ".join(tokens)
    if len(tokens) == 1 and not tokens[0].startswith("$") or (len(tokens) == 1 and tokens[0].startswith("$location")):
        return tokens[0]
    raise Refused("computed value")
