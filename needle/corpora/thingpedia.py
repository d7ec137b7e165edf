"""Thingpedia: crowd paraphrases and real user turns with ThingTalk calls, for 145 devices and services.

Files: ``*/DEVICE/manifest.tt`` (functions), ``*/DEVICE/eval/paraphrase.tsv`` (paraphrases with placeholders such as
``QUOTED_STRING_0``), ``*/DEVICE/eval/train/annotated.txt`` (user turns). Placeholders are filled from value lists, anew
for each use. Only programs that are plain calls are used (``needle/corpora/thingtalk.py``).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable as Function_
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from needle.corpora import thingtalk
from needle.corpora.catalogue import Options
from needle.corpora.functions import Function, Slot
from needle.corpora.thingtalk import Invocation, Parameter, Refused
from needle.corpora.toolsets import Assembler, Item
from needle.corpora.values import drawer
from needle.traces import Trace

FILLS = {
    "HASHTAG": "hashtag", "USERNAME": "username", "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "URL": "url", "PATH_NAME": "path", "DATE": "date",
    "TIME": "time", "DURATION": "duration", "CURRENCY": "money", "LOCATION": "location", "restaurant_cuisine": "cuisine", "iso_lang_code": "language",
    "country": "country", "meme_id": "meme", "artist": "artist", "song": "song", "stock_id": "company", "category": "category",
}  # fmt: skip
"""Kind of placeholder to the bank that fills it."""
_PLACEHOLDER = re.compile(r"GENERIC_ENTITY_[\w.:-]+_\d+|\b[A-Z]+(?:_[A-Z]+)*_\d+\b")
_VERB = re.compile(r"(get|list|read|check|search|find|show)\b")
_HERE = {"current_location": ("current location", "my location", "this location", "here"), "home": ("home",), "work": ("work", "my office")}


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows over the functions that the requests use."""
    invocables = load_manifests(root)
    draw = drawer(root.parent)
    rng = random.Random(options.seed)
    items: list[Item] = []
    used: dict[str, Counter[str]] = {}
    for source, text, program in _labelled(root):
        options.read += 1
        try:
            calls = [_resolve(call, invocables) for call in thingtalk.parse_program(program)]
            item = _item(source, text, calls, invocables, draw, rng)
        except Refused as refused:
            options.dropped[str(refused)] += 1
            continue
        for key, values in item.calls:
            used.setdefault(key, Counter()).update(values.keys())
        items.append(item)
    functions = {key: _function(key, invocables[key], {slot for slot, count in slots.items() if count >= 6}) for key, slots in used.items()}
    unique = {item.text.lower(): item for item in items}
    options.dropped["same text as another request"] += len(items) - len(unique)
    yield from Assembler("thingpedia", functions, list(unique.values()), options.mix, options.seed, options.dropped).rows()


def load_manifests(root: Path) -> dict[str, thingtalk.Callable]:
    """Every function by ``device.function``."""
    found: dict[str, thingtalk.Callable] = {}
    for path in sorted(root.glob("*/*/manifest.tt")):
        for one in thingtalk.parse_manifest(path.read_text(encoding="utf-8")):
            found.setdefault(f"{one.device}.{one.name}", one)
    player = found.get("org.thingpedia.media-player.play")
    if player:  # what is played is asked for by the fields of what is found: artist, title ...
        fields = {name: one for key in ("song", "playable", "album", "playlist") if (source := found.get(f"org.thingpedia.media-source.{key}")) for name, one in source.parameters.items()}
        found["org.thingpedia.media-player.play"] = thingtalk.Callable(player.device, "play", False, fields, ("play music", "play songs"), ("play music by title, artist or genre",))
    return found


def _labelled(root: Path) -> Iterator[tuple[str, str, str]]:
    """(where, request, program) of paraphrases and of first user turns."""
    for path in sorted([*root.glob("*/*/eval/paraphrase.tsv"), *root.glob("eval/*/paraphrase.tsv")]):
        for line in path.read_text(encoding="utf-8").splitlines():
            cells = line.split("\t")
            if len(cells) == 4:
                yield cells[0], cells[2], cells[3].split("execute ;", 1)[-1]
    for path in sorted([*root.glob("*/*/eval/train/annotated.txt"), *root.glob("eval/*/train/annotated.txt")]):
        for block in path.read_text(encoding="utf-8").split("===="):
            name = re.search(r"^# (\S+)", block, re.MULTILINE)
            turn = re.search(r"^U: (.+)\nUT: \$dialogue @org\.thingpedia\.dialogue\.transaction\.execute;\n((?:UT: .+\n?)+)", block, re.MULTILINE)
            if turn and not re.search(r"^[AC]:", block[: turn.start()], re.MULTILINE):
                yield name[1] if name else path.parent.name, turn[1], turn[2].replace("UT: ", " ")


def _resolve(call: Invocation, invocables: Mapping[str, thingtalk.Callable]) -> Invocation:
    """The call with the device that declares the function. Raises ``Refused`` when none does."""
    if f"{call.device}.{call.name}" in invocables:
        return call
    raise Refused("function without a manifest")


def _item(source: str, text: str, calls: list[Invocation], invocables: Mapping[str, thingtalk.Callable], draw: Function_[[str, random.Random], str], rng: random.Random) -> Item:
    """The request with its placeholders filled, and its calls. Raises ``Refused`` when a value is not said in it."""
    text = _readable(text)
    filled: dict[str, str] = {}
    made = []
    for call in calls:
        declared = invocables[f"{call.device}.{call.name}"]
        values: dict[str, Any] = {}
        for slot, token in call.values.items():
            parameter = declared.parameters.get(slot.split()[-1])
            if parameter is None and slot != "name":
                raise Refused("parameter without a declaration")
            value = _literal(slot, token, parameter, text, filled, draw, rng)
            if value is not None:
                values[slot] = value
        if any(one.required and one.name not in values for one in declared.parameters.values()):
            raise Refused("required value not said")
        made.append((f"{call.device}.{call.name}", values))
    if set(_PLACEHOLDER.findall(text)) - set(filled):
        raise Refused("placeholder without a role")
    return Item(source, _PLACEHOLDER.sub(lambda match: filled[match[0]], text), tuple(made))


def _literal(slot: str, token: str, parameter: Parameter | None, text: str, filled: dict[str, str], draw: Function_[[str, random.Random], str], rng: random.Random) -> Any:
    """A token as the JSON value that the call carries; None for a default that the request does not mention."""
    kind = parameter.type if parameter else "String"
    head, _, unit = token.partition(" ")
    if head == "enum":
        return unit.replace("_", " ")
    if token in ("true", "false"):
        return token == "true"
    if token.startswith("$location."):
        place = token.removeprefix("$location.")
        found = next((words for words in _HERE.get(place, ()) if re.search(rf"\b{words}\b", text)), None)
        if found is None and parameter and (parameter.required or parameter.output):
            raise Refused("place not said")
        return found
    if _PLACEHOLDER.fullmatch(head):
        if head not in text:
            raise Refused("value not said")
        value = filled.setdefault(head, _fill(slot, head, kind, text, draw, rng))
        return _number(value) if head.startswith("NUMBER") else value
    if token.startswith('"'):
        return _as_written(token.strip('"'), text)
    if re.fullmatch(r"-?\d+(\.\d+)?", head):
        if head not in text:
            raise Refused("number in other words")
        return _number(head)
    raise Refused("another kind of value")


def _fill(slot: str, placeholder: str, kind: str, text: str, draw: Function_[[str, random.Random], str], rng: random.Random) -> str:
    bare = re.sub(r"_\d+$", "", placeholder).removeprefix("GENERIC_ENTITY_").split(":")[-1]
    if bare == "NUMBER":
        percent = re.search(rf"{placeholder} ?(%|percent)|brightness|volume", text)
        stars = "rating" in slot or "star" in text
        degrees = "degree" in text or "temperature" in slot or kind.startswith("Measure(C")
        low, high = (1, 5) if stars and "review" not in slot else (0, 100) if percent else (55, 85) if degrees else (1, rng.choice((20, 100, 500, 5000)))
        return str(rng.randint(low, high))
    if bare == "QUOTED_STRING":
        if slot == "name":
            return draw("device", rng)
        if re.search(r"message|status|text|caption|body|snippet", slot):
            return draw("message", rng)
        return draw("title" if re.search(r"title|subject|headline|label|event|summary", slot) else "query", rng)
    if bare not in FILLS:
        raise Refused("placeholder of an unknown kind")
    return draw(FILLS[bare], rng)


def _as_written(value: str, text: str) -> str:
    """A string of a program as the request writes it: programs have it in lower case with spaces before apostrophes."""
    pattern = re.sub(r"(\\ )+", r"\\s*", re.escape(value.strip()))
    match = re.search(pattern, text, re.IGNORECASE)
    if not match or not match[0].strip():
        raise Refused("value not said")
    return match[0].strip()


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _readable(text: str) -> str:
    """Tokenised text as people write it: no spaces before punctuation and apostrophes."""
    text = re.sub(r"\s+([,.?!;:%])", r"\1", text)
    text = re.sub(r"\s+('s|'m|'re|'ve|'ll|'d|n't)\b", r"\1", text)
    return re.sub(r"\s+", " ", text.replace(" ' ", "'")).strip()


def _function(key: str, one: thingtalk.Callable, used: set[str]) -> Function:
    """A manifest's function with names and descriptions made of its own words; output fields only where requests use them."""
    device = _device(one.device)
    words = one.name.replace("_", " ")
    first, _, rest = words.partition(" ")
    phrases = [phrase for phrase in one.canonical if len(phrase.split()) <= 6]
    if one.query:
        noun = words.removeprefix("get ").removeprefix("list ")
        noun = "posts" if noun in ("get", "list") else noun
        names = [f"get {device} {noun}", f"{device} {noun}", f"fetch {device} {noun}"] if device not in noun else [f"get {noun}", noun, f"fetch {noun}"]
        texts = [f"{phrase if _VERB.match(phrase) else 'Get ' + phrase} ({_title(device)})." for phrase in phrases[:2]]
    else:
        named = words if device in words or one.device.endswith("builtin") else f"{first} {device} {rest}".strip()
        names = [named, f"{device} {words}" if named != words else words]
        texts = [_sentence(phrase) + "." for phrase in phrases[:3] if device in phrase or one.device.startswith("org.thingpedia")] or [f"{_sentence(phrase)} ({_title(device)})." for phrase in phrases[:2]]
    spoken = [text for text in one.texts if not any(f"${name}" in text and parameter.type.startswith("Enum") for name, parameter in one.parameters.items())]
    texts += [_sentence(_plain(text)) + ("." if device in text.lower() else f" ({_title(device)}).") for text in spoken[:2] if len(_plain(text).split()) > 1]
    inputs = [_slot(name, one.parameters[name]) for name in one.parameters if not one.parameters[name].output]
    filters = [_slot(name, one.parameters[name.split()[-1]]) for name in sorted(used) if name != "name" and one.parameters.get(name.split()[-1]) and one.parameters[name.split()[-1]].output]
    own = [Slot("name", ("name", "device name", "device"), ("Name of the device, when there are several.", "Which device."))] if "name" in used and "name" not in one.parameters else []
    names = [" ".join(dict.fromkeys(name.split())) for name in names]
    texts = [_sentence(re.sub(r"\[\w+=\w+\] ?", "", text)) + "." for text in texts]
    return Function(key, device, tuple(dict.fromkeys(names)), tuple(dict.fromkeys(texts)) or (f"{_sentence(words)} ({_title(device)}).",), (*inputs, *filters, *own))


def _slot(name: str, parameter: Parameter) -> Slot:
    kind = parameter.type
    bound, _, field = name.rpartition(" ")
    words = parameter.words[:2] or (field.replace("_", " "),)
    names = tuple(dict.fromkeys(f"{bound} {word}".strip() for word in (field.replace("_", " "), *words) if len(word.split()) < 4))
    texts = tuple(filter(None, (_sentence(parameter.prompt.rstrip("? ")) + "?" if parameter.prompt else "", f"{_sentence({'min': 'Least ', 'max': 'Most '}.get(bound, '') + words[0])}.")))
    if kind.startswith("Enum"):
        return Slot(name, names, texts, "enum", tuple(value.replace("_", " ") for value in kind[5:-1].split(",")), required=parameter.required)
    plain = {"Number": "number", "Boolean": "boolean", "Measure": "number"}.get(kind.split("(")[0], "text")
    return Slot(name, names, texts, plain, required=parameter.required)


def _device(name: str) -> str:
    """``com.twitter`` -> twitter, ``org.thingpedia.iot.light-bulb`` -> light bulb."""
    if name.endswith("thingengine.builtin"):
        return "assistant"
    parts = [part for part in name.split(".") if part not in ("org", "com", "io", "gov", "edu", "net", "me", "us", "co", "ca", "info", "social", "thingpedia", "iot", "builtin", "live", "stanford")]
    return (parts[0] if name.startswith(("com.nest", "com.google", "com.tesla", "com.live")) and len(parts) == 1 else " ".join(parts[-2:]) if name.startswith(("com.nest.", "com.google.", "edu.")) else parts[-1]).replace("-", " ")


def _plain(text: str) -> str:
    text = re.sub(r"\$\{__device\}|\$\{?__\w+\}?('s)?", "the device", text)
    return re.sub(r"\$\{?(\w+)[^}\s]*\}?", lambda match: "a given " + match[1].replace("_", " "), text).replace("`", "").strip()


def _title(device: str) -> str:
    return device.upper() if device in ("wsj", "bbc", "cnn", "nba", "ted", "xkcd", "rss") else device.title()


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return text[:1].upper() + text[1:]
