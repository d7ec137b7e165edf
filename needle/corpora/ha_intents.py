"""Home Assistant intents: sentence templates written by people, expanded with rooms, devices and numbers; their test sentences as they are.

Files: ``sentences/en/DOMAIN_INTENT.yaml`` and ``_common.yaml`` (lists and rules), ``tests/en``. Needs PyYAML. What the assistant
would take from the speaker's room is left out of the calls: only what is said counts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import Function, load_functions
from needle.corpora.templates import Sampler, Unsayable
from needle.corpora.toolsets import Assembler, Item
from needle.errors import UserError
from needle.traces import Trace

SENTENCES = 150
"""Sentences drawn for one file of templates."""
AREAS = tuple(["kitchen", "bedroom", "living room", "office", "garage", "hallway", "bathroom", "basement", "attic", "patio", "dining room", "guest room", "nursery", "laundry room", "entrance", "study", "kids room", "porch", "den", "pantry", "sunroom", "library", "workshop", "master bedroom", "loft"])
FLOORS = ("upstairs", "ground floor", "first floor", "second floor", "basement")
NAMES = {
    "light": "bedroom lamp|ceiling light|reading lamp|christmas lights|desk light|porch light|floor lamp|string lights|bedside lamp|hall chandelier|night light|vanity lights|spotlights|pendant light|aquarium light",
    "fan": "ceiling fan|desk fan|tower fan|bathroom fan|box fan|attic fan|exhaust fan|bedroom fan", "cover": "left curtain|garage door|bedroom blinds|patio awning|kitchen shutter|skylight shade|front gate|balcony blind",
    "lock": "front door|back door lock|gate lock|shed door|cellar door|side entrance|garage lock", "scene": "movie night|party time|good morning|bedtime|romantic dinner|focus mode|cleaning day|away", "script": "stealth mode|wake up routine|water the plants|panic button|close up shop",
    "vacuum": "roomba|dusty|robo vac|upstairs vacuum|downstairs cleaner", "climate": "nest thermostat|hallway thermostat|bedroom ac|radiator|heat pump|floor heating", "media_player": "tv|living room speaker|kitchen radio|soundbar|bedroom tv|stereo|office speaker|bathroom speaker",
    "switch": "coffee maker|desk outlet|water heater|sprinkler|space heater|garden pump|fountain|router plug", "valve": "front valve|garden valve|main water valve|pool valve", "sensor": "outdoor humidity|freezer temperature|fridge|washer power|rain gauge|solar meter", "weather": "forecast home|london|paris|the cabin", "todo": "chores|garden|project ideas|packing|errands", "person": "alice|bob|maria|grandpa|kim", "lawn_mower": "mower",
}  # fmt: skip
WORDS = {
    "shopping_list_item": "apples|olive oil|dish soap|two lemons|dog food|batteries|oat milk|paper towels|cinnamon|rice|cherry tomatoes|toothpaste",
    "todo_list_item": "call the dentist|fix the fence|pay rent|water the basil|clean the gutters|renew passport|book flights|sort the garage|buy a gift for mom",
    "timer_name": "pizza|tea|laundry|eggs|bread|homework|break|pasta|cookies|parking", "timer_command": "turn off the lights|open the garage door|stop the music|lock the front door",
    "message": "dinner is ready|time to leave|the guests are here|movie starts in five minutes|please come downstairs", "search_query": "abbey road|miles davis|lofi beats|taylor swift|the daily|classical piano|bohemian rhapsody|jazz classics|news", "zone": "school|work|the gym|home", "state": "on|off",
}  # fmt: skip


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows over all intents together."""
    functions = load_functions("ha_intents")
    rng = random.Random(options.seed)
    common = _yaml(root / "sentences" / "en" / "_common.yaml")
    rules = dict(common["expansion_rules"])
    for path in sorted((root / "rules" / "en").glob("*.yaml")):
        rules |= _yaml(path)["expansion_rules"]
    items: dict[str, Item] = {}
    for key, function in functions.items():
        for item in _templates(root, key, function, common["lists"], rules, rng, options):
            items.setdefault(item.text.lower(), item)
        for item in _tests(root, key, function, options):
            items.setdefault(item.text.lower(), item)
    yield from Assembler("ha_intents", functions, list(items.values()), options.mix, options.seed, options.dropped).rows()


def _yaml(path: Path) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise UserError("reading Home Assistant's sentences needs PyYAML; pip install pyyaml") from error
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _templates(root: Path, key: str, function: Function, lists: Mapping[str, Any], rules: Mapping[str, str], rng: random.Random, options: Options) -> Iterator[Item]:
    domain, _, intent = key.partition("_Hass")
    path = root / "sentences" / "en" / f"{key}.yaml"
    if not path.is_file():
        return
    blocks = _yaml(path)["intents"][f"Hass{intent}"]["data"]
    made = tries = 0
    while made < SENTENCES and tries < 4 * SENTENCES:
        tries += 1
        block = rng.choice(blocks)
        context = (block.get("requires_context") or {}).get("domain") or domain
        sampler = Sampler(rules, lambda name, rng, context=context: _value(name, context, lists, rng))
        try:
            text, slots = sampler.draw(rng.choice(block["sentences"]), rng, block.get("expansion_rules"))
        except Unsayable:
            continue
        item = _item(f"{key}/{tries}", text, slots, function)
        options.read += 1
        if isinstance(item, str):
            options.dropped[item] += 1
        else:
            made += 1
            yield item


def _value(name: str, domain: str | list[str], lists: Mapping[str, Any], rng: random.Random) -> tuple[str, Any]:
    """(words, value) of a list. Raises ``Unsayable`` for lists of states, whose value is another word."""
    if name in ("area", "floor"):
        words = rng.choice(AREAS if name == "area" else FLOORS)
        return words, words
    if name == "name":
        kind = rng.choice(domain) if isinstance(domain, list) else domain
        bank = NAMES.get(kind) or "|".join(rng.choice(tuple(NAMES.values())).split("|")[:3]) if kind != "homeassistant" else NAMES[rng.choice(("light", "switch", "fan"))]
        words = rng.choice(str(bank).split("|"))
        return words, words
    if name in WORDS:
        words = rng.choice(WORDS[name].split("|"))
        return words, words
    entry = lists.get(name)
    if entry is None:
        raise Unsayable(f"no list {name}")
    if "range" in entry:
        number = rng.randint(max(1, int(entry["range"]["from"])), min(int(entry["range"]["to"]), 100))
        return str(number), number
    if "values" not in entry:
        raise Unsayable(f"list {name} has no values")
    chosen = rng.choice(entry["values"])
    if isinstance(chosen, str):
        return chosen, chosen
    words = re.sub(r"\[[^\]]*\]", "", str(chosen["in"]))
    words = rng.choice(words.strip("()").split("|"))
    if re.search(r"[()<>{}]", words):
        raise Unsayable("a value that is a template")
    return words, chosen["out"]


def _item(item_id: str, text: str, slots: Mapping[str, Any], function: Function) -> Item | str:
    known = {slot.key: slot for slot in function.slots}
    values = {key: value for key, value in slots.items() if key != "domain"}
    if values.keys() - known.keys():
        return "slot that the function has no argument for"
    if any(slot.required and slot.key not in values for slot in function.slots):
        return "essential value not said"
    return Item(item_id, text, ((function.key, values),))


def _tests(root: Path, key: str, function: Function, options: Options) -> Iterator[Item]:
    path = root / "tests" / "en" / f"{key}.yaml"
    for block in (_yaml(path)["tests"] if path.is_file() else ()):
        slots = {name: value for name, value in (block["intent"].get("slots") or {}).items() if name != "domain"}
        context = (block["intent"].get("context") or {}).get("area")
        if context and slots.get("area") == context:
            del slots["area"]
        for number, text in enumerate(block["sentences"]):
            options.read += 1
            said = {name: _as_said(value, text) for name, value in slots.items()}
            item = _item(f"{path.stem}/{number}", text, said, function)
            if isinstance(item, Item) and None not in said.values():
                yield item
            else:
                options.dropped["value in other words"] += 1


def _as_said(value: Any, text: str) -> Any:
    if not isinstance(value, str):
        return value if isinstance(value, bool) or re.search(rf"(?<!\d){value}(?!\d)", text) else None
    match = re.search(rf"\b{re.escape(value)}\b", text, re.IGNORECASE)
    return match[0] if match else None
