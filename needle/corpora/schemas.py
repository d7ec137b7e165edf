"""Tool specifications without requests: cloud operations (botocore), REST calls (API Zoo), tools of MCP servers; requests are made for them.

A request says the operation in the words of its own description and every value with the name of its parameter, in one
of several layouts: "delete the host key with server id s-41 and host key id hk-7", "start a query (database: shop, limit: 20)".
Texts come from the embedded teacher's recorded values (``needle.teacher.embedded``), everything else is drawn from the schema.
No person wrote these requests; what they teach is to read unfamiliar specifications with exact names and types.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.toolsets import Mix, join_texts
from needle.errors import UserError
from needle.teacher.embedded import EmbeddedTeacher
from needle.teacher.embedded.bank import Bank
from needle.teacher.embedded.text import content
from needle.tools import ToolCall, ToolSpec
from needle.tools.grounding.wording import spoken_date
from needle.tools.likeness import TWIN, alike
from needle.tools.read import read_tools
from needle.traces import Trace

TRACES = Path(__file__).resolve().parents[2] / "data" / "traces" / "train.jsonl.gz"
"""Recorded teacher traces, for values of arguments."""
LIMITS = {"latitude": (-90, 90), "lat": (-90, 90), "longitude": (-180, 180), "lon": (-180, 180), "lng": (-180, 180), "year": (1950, 2030), "month": (1, 12), "day": (1, 28), "hour": (0, 23), "percent": (1, 100), "percentage": (1, 100), "port": (1, 65535)}
"""Numbers of a kind that everybody knows."""
HIDDEN = re.compile(r"token|dryrun|accept.?language|policydocument|expectedbucketowner|requestid|idempot|starting.?position|marker|etag", re.IGNORECASE)
"""Parameters that no person speaks of."""
SIMPLE = ("string", "integer", "number", "boolean")
FRAMES = ("{}", "{}", "{}", "{}.", "Please {}", "please {}", "Can you {}?", "could you {}", "I need to {}.", "I'd like to {}", "go ahead and {}", "Help me {}.", "We need to {}", "{} for me")
WORDS = ["alpha", "atlas", "beacon", "cedar", "delta", "ember", "falcon", "garnet", "harbor", "iris", "jade", "kestrel", "lumen", "maple", "nova", "onyx", "pearl", "quartz", "ridge", "sierra", "tango", "umber", "violet", "willow", "zenith"]
VERBS = frozenset(["get", "list", "describe", "create", "delete", "update", "start", "stop", "put", "add", "remove", "send", "search", "find", "fetch", "cancel", "enable", "disable", "set", "modify", "associate", "disassociate", "attach", "detach", "reset", "restore", "import", "export", "tag", "untag", "register", "deregister", "accept", "reject", "batch", "run", "execute", "query", "read", "write", "check", "test", "validate", "generate", "publish", "upload", "download", "copy", "move", "rename", "retrieve", "returns"])


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows toolset by toolset; each tool is asked for about ``mix.uses`` times."""
    rng = random.Random(f"{options.seed}/{root.name}")
    services = {name: tools for name, tools in load_services(root, options).items() if tools}
    # The repository's traces wherever NEEDLE_DATA points, so that the same config gives the same rows.
    teacher = EmbeddedTeacher(TRACES) if TRACES.is_file() else EmbeddedTeacher(learn=False)
    maker = Maker(teacher.voice([]).bank, rng)
    left = [(service, place) for service in sorted(services) for place in range(len(services[service]))]
    left = rng.sample(left, len(left))
    waiting = {service: [place for name, place in left if name == service] for service in services}
    number = made = 0
    while left and not (options.mix.most and made >= options.mix.most):
        service, place = left.pop()
        if place not in waiting[service]:
            continue
        number += 1
        tools = _toolset(service, place, services, waiting, options.mix, rng)
        for trace in _rows(root.name, number, service, tools, maker, options):
            made += 1
            yield trace


def load_services(root: Path, options: Options) -> dict[str, list[ToolSpec]]:
    """Usable tools by service: those whose essential parameters can be said in a sentence."""
    found: dict[str, list[ToolSpec]] = defaultdict(list)
    for service, raw in _raw(root):
        options.read += 1
        try:
            spec = read_tools([raw])[0]
        except UserError:
            options.dropped["specification that cannot be read"] += 1
            continue
        small = _trim(spec)
        if small is None:
            options.dropped["essential parameter that a sentence cannot hold"] += 1
        elif not small.description or not small.description.isascii():
            options.dropped["no English description"] += 1
        elif not any(word in VERBS for word in spaced(small.name).split()[:3]) and _imperative(small.description.split()[0]) is None:
            options.dropped["neither name nor description says what to do"] += 1
        else:
            found[service].append(small)
    return found


def _raw(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if (root / "tools.jsonl").is_file():
        for line in (root / "tools.jsonl").read_text(encoding="utf-8").strip().split("\n"):  # texts hold other line breaks
            row = json.loads(line)
            yield row["service"], {key: row[key] for key in ("name", "description", "parameters")}
    for path in sorted((root / "data" / "apizoo").glob("*.json")):
        yield from _zoo(path)
    for path in sorted(root.glob("servers/*/tools.json")):
        for tool in json.loads(path.read_text(encoding="utf-8")):
            yield path.parent.name, {"name": tool.get("name"), "description": tool.get("description", ""), "inputSchema": tool.get("inputSchema") or _from_arguments(tool)}
    if (root / "tools" / "LiveMCPTool" / "tools.json").is_file():
        for server in json.loads((root / "tools" / "LiveMCPTool" / "tools.json").read_text(encoding="utf-8")):
            for name, content_of in (server.get("tools") or {}).items():
                for tool in content_of.get("tools") or ():
                    yield name, {"name": tool["name"], "description": tool.get("description") or "", "inputSchema": tool.get("inputSchema") or {}}


def _zoo(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Entries of Gorilla's API Zoo: name after the last dash or colon, arguments as ``[REQUIRED] type: words``."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # two of the files are no JSON
        return
    for entry in entries if isinstance(entries, list) else ():
        service, _, rest = str(entry.get("api_name", "")).partition(" - ")
        words = [word for word in re.findall(r"[A-Za-z0-9]+", re.sub(r"\([^)]*\)", "", rest.split(": ")[-1])) if word not in ("a", "an", "the")]
        arguments = entry.get("api_arguments")
        told = spaced(" ".join(words)).split()
        if not 2 <= len(told) <= 6 or told[0] not in VERBS or "/" in rest or max(map(len, told)) > 14 or not isinstance(arguments, dict):
            continue
        properties, required = {}, []
        for key, text in arguments.items():
            name = re.sub(r"\W+", "_", key.strip()).strip("_")
            said = f"{text.get('data_type', '')}: {text.get('description', '')}" if isinstance(text, dict) else str(text)
            match = re.match(r"\s*(\[?required\]?\.?:?)?\s*(string|integer|boolean|number|array|object)?\b[^:]{0,12}:?\s*(.*)", said, re.IGNORECASE | re.DOTALL)
            if not name or match is None:
                continue
            properties[name] = {"type": (match[2] or "string").lower(), "description": re.sub(r"<[^>]+>", "", match[3]).strip()}
            required += [name] if match[1] else []
        text = re.sub(r"^Send a request to this end ?point to (\w)", lambda match: match[1].upper(), str(entry.get("functionality", "")))
        yield service, {"name": "_".join(told), "description": text, "parameters": {"type": "object", "properties": properties, "required": required}}


def _from_arguments(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The registry also lists tools with flat arguments."""
    listed = tool.get("arguments") or []
    properties = {one["name"]: {"type": one.get("type") or "string", "description": one.get("desc") or ""} for one in listed}
    return {"type": "object", "properties": properties, "required": [one["name"] for one in listed if not one.get("optional")]}


def _trim(spec: ToolSpec) -> ToolSpec | None:
    """The tool with sayable parameters only and short descriptions; None when a required one is not sayable."""
    properties: dict[str, Any] = {}
    for key, schema in spec.properties.items():
        made = _plain(schema)
        if made is None or HIDDEN.search(key):
            if key in spec.required:
                return None
            continue
        properties[key] = made
    optional = [key for key in properties if key not in spec.required][6:]
    properties = {key: value for key, value in properties.items() if key not in optional}
    if len(spec.required) > 5:
        return None
    text = re.sub(r"<[^>]+>|\s+", " ", spec.description).strip()
    first = re.split(r"(?<=[.!])\s", text)[0][:200]
    must = {"required": list(spec.required)} if spec.required else {}
    return ToolSpec(spec.name, first, {"type": "object", "properties": properties} | must)


def _plain(schema: Any) -> dict[str, Any] | None:
    if not isinstance(schema, dict):
        return None
    kind = schema.get("type")
    items = schema.get("items")
    made = {key: schema[key] for key in ("type", "enum", "format", "minimum", "maximum") if key in schema}
    text = re.split(r"(?<=[.])\s", re.sub(r"\s+", " ", str(schema.get("description") or "")).strip())[0][:140]
    if kind == "array" and isinstance(items, dict) and items.get("type") in ("string", "integer", "number"):
        made = {"type": "array", "items": {key: items[key] for key in ("type", "enum") if key in items}}
    elif kind not in SIMPLE:
        return None
    if kind in ("integer", "number") and "enum" not in schema:  # botocore says min and max; for texts they are lengths
        made |= {name: schema[old] for old, name in (("min", "minimum"), ("max", "maximum")) if isinstance(schema.get(old), int | float)}
    return made | ({"description": text} if text else {})


def _toolset(service: str, place: int, services: Mapping[str, Sequence[ToolSpec]], waiting: dict[str, list[int]], mix: Mix, rng: random.Random) -> tuple[ToolSpec, ...]:
    """The tool and others, mostly of its service, no two that are twins or share a name."""
    chosen = [services[service][place]]
    waiting[service].remove(place)
    wanted = rng.randint(*mix.tools)
    for _ in range(5 * wanted):
        if len(chosen) >= wanted:
            break
        other = service if rng.random() < mix.same_service else rng.choice(sorted(services))
        number = rng.choice(waiting[other]) if waiting[other] and rng.random() < 0.8 else rng.randrange(len(services[other]))
        tool = services[other][number]
        if all(tool.name != one.name and alike(tool, one) < TWIN for one in chosen):
            chosen.append(tool)
            if number in waiting[other]:
                waiting[other].remove(number)
    return tuple(_varied(tool, rng) for tool in rng.sample(chosen, len(chosen)))


def _varied(tool: ToolSpec, rng: random.Random) -> ToolSpec:
    """Now and then without descriptions of parameters."""
    if rng.random() < 0.7:
        return tool
    bare = {key: {name: value for name, value in schema.items() if name != "description"} for key, schema in tool.properties.items()}
    return ToolSpec(tool.name, tool.description, {**tool.parameters, "properties": bare})


def _rows(source: str, number: int, service: str, tools: tuple[ToolSpec, ...], maker: Maker, options: Options) -> Iterator[Trace]:
    mix, rng = options.mix, maker.rng
    name = f"{source}-{number:05}"
    asked: list[tuple[str, tuple[ToolCall, ...], str]] = []
    for tool in tools:
        for _ in range(int(mix.uses) + (rng.random() < mix.uses % 1) if tool.properties else 1):
            said = maker.request(tool, missing=rng.random() < mix.missing)
            if said:
                asked.append(said)
            else:
                options.dropped["value that cannot be drawn"] += 1
    singles = [one for one in asked if one[2] == "single" and len(one[0]) < 140 and "?" not in one[0]]
    for _ in range(round(len(asked) * mix.joined + rng.random() * 0.8)):
        if len(singles) > 1:
            first, second = rng.sample(singles, 2)
            if first[1] != second[1]:
                asked.append((join_texts([first[0], second[0]], rng), first[1] + second[1], "parallel"))
    gone = rng.choice(tools)
    offered = {tool.name for tool in tools}
    withheld = len(tools) > 1 and rng.random() < 2 * mix.withheld
    if withheld and all(alike(gone, tool) < TWIN / 2 for tool in tools if tool is not gone):
        offered.discard(gone.name)
    left = tuple(tool for tool in tools if tool.name in offered)
    for place, (text, calls, kind) in enumerate(rng.sample(asked, len(asked))):
        lost = [call for call in calls if call.name not in offered]
        if lost and len(calls) > 1:
            continue
        yield Trace(f"{name}-{place:03}", text, left, () if lost else calls, "irrelevant" if lost else kind, name, service, meta={"source": source, "made": "schema"})


class Maker:
    """Makes requests for tools; values from recorded arguments of the same name, else from the schema."""

    def __init__(self, bank: Bank, rng: random.Random) -> None:
        self.bank, self.rng = bank, rng
        self._known: dict[tuple[str, ...], list[str]] = {}

    def request(self, tool: ToolSpec, missing: bool = False) -> tuple[str, tuple[ToolCall, ...], str] | None:
        """(request, calls, kind); None when a value cannot be drawn. ``missing``: a required value is left out, no call."""
        rng = self.rng
        optional = [key for key in tool.properties if key not in tool.required]
        most = 0 if rng.random() < 0.35 else min(len(optional), rng.choice((1, 1, 1, 2, 2, 3)))
        keys = [*tool.required, *rng.sample(optional, most)]
        said: dict[str, tuple[str, Any]] = {}
        for key in keys:
            drawn = self._value(key, tool.properties[key])
            if drawn is None:
                return None
            said[key] = drawn
        told = [str(value) for _, value in said.values()]
        if len(set(told)) < len(told):
            return None
        calls: tuple[ToolCall, ...] = (ToolCall(tool.name, {key: said[key][1] for key in tool.properties if key in said}),)
        kind = "single"
        if missing and len(tool.required) > 1:
            del said[rng.choice(tool.required)]
            calls, kind = (), "missing"
        return self._sentence(tool, {key: words for key, (words, _) in said.items()}), calls, kind

    def _value(self, key: str, schema: Mapping[str, Any]) -> tuple[str, Any] | None:
        """How a value is said, and the value."""
        rng, words = self.rng, spaced(key)
        if "enum" in schema:
            value = rng.choice(schema["enum"])
            spoken = str(value).replace("_", " ").lower() if rng.random() < 0.5 and re.fullmatch(r"[A-Z][A-Z_]+", str(value)) else str(value)
            return spoken, value
        kind = schema["type"]
        if kind == "boolean":
            value = rng.random() < 0.65
            return rng.choice(("true", "on", "yes", "enabled") if value else ("false", "off", "no", "disabled")), value
        if kind in ("integer", "number"):
            usual = LIMITS.get(words.split()[-1], (1, rng.choice((20, 100, 500, 5000))))
            low, high = schema.get("minimum", usual[0]), schema.get("maximum", usual[1])
            if low > high:
                return None
            whole = rng.randint(int(low), max(int(low), min(int(high), int(low) + 5000)))
            value = whole if kind == "integer" or rng.random() < 0.5 else round(whole + rng.random(), 1)
            return (str(value), value) if schema.get("minimum", value) <= value <= schema.get("maximum", value) else (str(whole), whole)
        if kind == "array":
            parts = [self._value(key, schema["items"]) for _ in range(rng.randint(1, 3))]
            known = {str(part[1]): part for part in parts if part}
            return (" and ".join(part[0] for part in known.values()) if len(known) < 3 else "{}, {} and {}".format(*(part[0] for part in known.values())), [part[1] for part in known.values()]) if known else None
        return self._text(words, schema)

    def _text(self, words: str, schema: Mapping[str, Any]) -> tuple[str, str] | None:
        rng, last = self.rng, words.split()[-1]
        if schema.get("format") == "date" or last == "date":
            day = f"{rng.randint(2023, 2027)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
            return (rng.choice(spoken_date(day)) if schema.get("format") == "date" and rng.random() < 0.6 else day), day
        if schema.get("format") in ("date-time", "time") or last in ("time", "timestamp", "at"):
            text = f"{rng.randint(2023, 2027)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:{rng.choice((0, 15, 30, 45)):02}:00Z"
            return (text, text) if schema.get("format") != "time" else (text[11:16], text[11:16])
        if schema.get("format") not in (None, "email", "uri", "url"):
            return None
        if last == "arn":
            text = f"arn:aws:{rng.choice(WORDS)}:{rng.choice(('us-east-1', 'eu-west-1'))}:{rng.randint(10**11, 10**12 - 1)}:{rng.choice(WORDS)}/{rng.randint(10, 999)}"
        elif last in ("id", "ids", "identifier", "uuid", "key", "sid") or words in ("identifiers",):
            text = rng.choice((f"{words[0]}-{rng.randrange(16**8):08x}", f"{rng.choice(WORDS)}-{rng.randint(1, 99)}", str(rng.randint(1000, 999999)), f"{words[:3].strip()}{rng.randint(10, 9999)}"))
        elif "account" in words:
            text = str(rng.randint(10**11, 10**12 - 1))
        elif last in ("url", "uri", "endpoint"):
            text = f"https://{rng.choice(WORDS)}.example.com/{rng.choice(WORDS)}"
        elif "email" in words:
            text = f"{rng.choice(WORDS)}@example.{rng.choice(('com', 'org'))}"
        else:
            text = self._recorded(words) or (f"{rng.choice(WORDS)}-{rng.choice(WORDS)}" if rng.random() < 0.5 else rng.choice(WORDS).capitalize())
        return (text, text) if schema.get("format") is None or "@" in text or "://" in text else None

    def _recorded(self, words: str) -> str | None:
        """A recorded text of an argument with the same last word; half of the time none, for names that nobody has seen."""
        key = (tuple(content(words)) or tuple(words.split()))[-1:]
        if key not in self._known:
            found = dict.fromkeys(value for request, value, *_ in self.bank.arguments_named(key) if isinstance(value, str) and 1 < len(value) < 50 and value in request)
            self._known[key] = list(found)
        known = self._known[key]
        return self.rng.choice(known) if len(known) > 5 and self.rng.random() < 0.6 else None

    def _sentence(self, tool: ToolSpec, said: dict[str, str]) -> str:
        rng = self.rng
        base = operation(tool, rng)
        parts = [(spaced(key), words) for key, words in said.items()]
        if rng.random() < 0.4:
            rng.shuffle(parts)
        for number, (name, words) in enumerate(parts):
            # "delete the host key" with "host key id": the value follows its noun
            head = re.sub(r" (id|name|identifier|arn)$", "", name)
            if head != name and rng.random() < 0.5 and re.search(rf"\b{re.escape(head)}$", base):
                base = f"{base} {words}"
                parts.pop(number)
                break
        text = base + _tail(parts, rng)
        text = rng.choice(FRAMES).format(text)
        return text[:1].upper() + text[1:] if rng.random() < 0.4 else text


def _tail(parts: Sequence[tuple[str, str]], rng: random.Random) -> str:
    """The values with their names, in one of several layouts."""
    if not parts:
        return ""
    layout = rng.choice(("with", "with", "with", "comma", "paren", "for", "using"))
    if layout in ("with", "using", "for") and len(parts) < 5:
        article = rng.choice(("", "", "the ", "a ")) if layout == "with" else rng.choice(("", "the "))
        joined = [f"{article}{name} {rng.choice(('', '', 'of ', 'set to '))}{words}" if article == "a " else f"{article}{name} {words}" for name, words in parts]
        return f" {layout} " + (", ".join(joined[:-1]) + " and " if len(joined) > 1 else "") + joined[-1]
    if layout == "paren":
        return " (" + ", ".join(f"{name}: {words}" for name, words in parts) + ")"
    return ", " + ", ".join(f"{name} {words}" for name, words in parts)


def operation(tool: ToolSpec, rng: random.Random) -> str:
    """What the tool does as an imperative: its description where that is short and begins with a verb, else its name."""
    text = tool.description.strip().rstrip(".")
    first, _, rest = text.partition(" ")
    verb = _imperative(first)
    if verb and 2 <= len(text.split()) <= 11 and rng.random() < 0.6 and not re.search(r"[(:`]|\bthis\b|\bwill\b", text):
        rest = re.sub(r"\b(the|a|an) (specified|given|specific|provided) ", "the ", rest)
        return f"{verb} {rest}"
    words = _verb_first(spaced(tool.name).split())
    head, tail = words[0], " ".join(words[1:])
    head = {"describe": rng.choice(("describe", "show")), "get": rng.choice(("get", "show", "fetch")), "list": rng.choice(("list", "show"))}.get(head, head)
    article = "" if not tail or head == "batch" or re.match(r"(an?|the|all|one|multiple|my|to|from|by|for) ", tail) or (tail.endswith("s") and rng.random() < 0.5) else rng.choice(("the ", "the ", ""))
    return f"{head} {article}{tail}".strip()


def _verb_first(words: list[str]) -> list[str]:
    """Words of a name from its verb on, a product's prefix left out; the words as they are where there is no verb."""
    start = next((place for place, word in enumerate(words[:3]) if word in VERBS), 0)
    return words[start:]


def _imperative(word: str) -> str | None:
    """``Deletes`` -> ``delete``; None for what does not look like a verb."""
    low = word.lower()
    for form in (low, low.removesuffix("s"), low.removesuffix("es"), low[:-3] + "y" if low.endswith("ies") else low):
        if form in VERBS:
            return {"returns": "return", "batch": "batch"}.get(form, form)
    return None


def spaced(name: str) -> str:
    """``HostKeyId`` and ``host_key_id`` as words: ``host key id``."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return " ".join(re.findall(r"[A-Za-z0-9]+", parts)).lower()
