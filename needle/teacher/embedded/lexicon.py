"""English words that schema-driven phrasing needs: verbs and their like, frames, connectives, and fall-back values.

Data only. Phrasing that the recorded traces can teach is not written here.
"""

from __future__ import annotations

VERBS: dict[str, tuple[str, ...]] = {
    "set": ("set", "change", "adjust"),
    "change": ("change", "switch", "set"),
    "update": ("update", "change"),
    "adjust": ("adjust", "set", "change"),
    "turn": ("turn", "switch"),
    "switch": ("switch", "turn"),
    "control": ("set", "adjust", "change"),
    "get": ("show me", "check", "tell me", "look up", "get"),
    "check": ("check", "look up"),
    "show": ("show me", "pull up", "bring up"),
    "read": ("read", "show me"),
    "list": ("list", "show me"),
    "find": ("find", "look for", "search for"),
    "search": ("search for", "find", "look up"),
    "lookup": ("look up", "find"),
    "play": ("play", "put on", "start"),
    "start": ("start", "begin", "kick off", "run"),
    "run": ("run", "start"),
    "stop": ("stop", "end"),
    "end": ("end", "finish"),
    "pause": ("pause",),
    "resume": ("resume", "continue"),
    "open": ("open",),
    "close": ("close", "shut"),
    "lock": ("lock",),
    "unlock": ("unlock",),
    "send": ("send",),
    "create": ("create", "make", "add", "set up"),
    "add": ("add",),
    "make": ("make", "create"),
    "schedule": ("schedule", "plan", "set up"),
    "book": ("book", "reserve"),
    "reserve": ("reserve", "book"),
    "order": ("order", "get me"),
    "delete": ("delete", "remove", "get rid of"),
    "remove": ("remove", "delete", "take out"),
    "cancel": ("cancel", "call off"),
    "call": ("call", "ring", "phone"),
    "remind": ("remind",),
    "enable": ("enable", "turn on", "switch on"),
    "disable": ("disable", "turn off", "switch off"),
    "activate": ("activate", "turn on"),
    "arm": ("arm",),
    "disarm": ("disarm",),
    "convert": ("convert",),
    "calculate": ("calculate", "work out"),
    "compute": ("compute", "work out"),
    "translate": ("translate",),
    "navigate": ("navigate to", "take me to"),
    "request": ("request", "ask for"),
    "evaluate": ("work out", "calculate"),
    "track": ("track",),
    "save": ("save", "store"),
    "record": ("record", "log"),
    "log": ("log", "record"),
    "write": ("write",),
    "mark": ("mark",),
    "move": ("move", "shift"),
    "rename": ("rename",),
    "share": ("share",),
    "upload": ("upload",),
    "download": ("download",),
    "pay": ("pay",),
    "transfer": ("transfer", "move", "send"),
    "buy": ("buy", "get"),
    "sell": ("sell",),
    "mute": ("mute",),
    "skip": ("skip",),
    "dim": ("dim",),
    "raise": ("raise",),
    "lower": ("lower",),
    "increase": ("increase", "raise"),
    "decrease": ("decrease", "lower"),
    "assign": ("assign", "give"),
    "deploy": ("deploy", "roll out"),
    "restart": ("restart", "reboot"),
    "scale": ("scale",),
    "extract": ("extract", "pull out"),
    "apply": ("apply", "use"),
    "clean": ("clean",),
    "take": ("take",),
    "post": ("post",),
    "invite": ("invite",),
    "rate": ("rate",),
    "report": ("report",),
    "block": ("block",),
    "approve": ("approve", "sign off"),
    "reject": ("reject", "turn down", "refuse"),
    "announce": ("announce",),
    "broadcast": ("broadcast", "announce"),
    "water": ("water",),
    "dispatch": ("dispatch", "send out"),
    "draft": ("draft",),
    "text": ("text",),
    "message": ("message", "text"),
    "email": ("email",),
    "wake": ("wake",),
    "snooze": ("snooze",),
    "ring": ("ring",),
    "reset": ("reset",),
    "roll": ("roll",),
    "solve": ("solve",),
    "plot": ("plot",),
    "refund": ("refund",),
    "return": ("return",),
    "reply": ("reply",),
    "forward": ("forward",),
    "archive": ("archive",),
    "query": ("query", "look up"),
    "fetch": ("get", "fetch"),
    "give": ("give",),
    "tell": ("tell",),
    "ask": ("ask",),
    "plan": ("plan",),
    "estimate": ("estimate",),
    "compare": ("compare",),
    "place": ("place", "make"),
    "heat": ("heat",),
    "notify": ("notify",),
    "issue": ("issue",),
    "submit": ("submit", "send in"),
    "toggle": ("switch", "turn"),
}
"""First word of a tool's name or description to the ways of saying it in an imperative."""

QUESTION_VERBS = frozenset({"get", "check", "show", "read", "list", "lookup", "query", "fetch"})
"""Verbs of tools that answer something, so that a question is a natural request."""

KIN = (
    {"to", "recipient", "contact", "person", "who", "friend"}, {"text", "body", "message", "content", "what"},
    {"celsiu", "temp", "temperature", "degree"}, {"room", "zone", "area", "location", "place", "where"},
    {"percent", "level", "brightness", "pct", "bri", "intensity"}, {"volume", "level", "vol"}, {"date", "day", "when"},
    {"time", "at", "start", "when", "hour"}, {"label", "name", "title"}, {"query", "what", "song", "track", "source",
    "media", "term"},
    {"speaker", "device", "player", "output", "room"}, {"language", "lang"}, {"from", "origin", "source"},
    {"to", "destination"}, {"minute", "min", "duration", "length"}, {"second", "sec", "duration"},
    {"city", "place", "location", "where", "town"}, {"count", "quantity", "number", "qty", "amount"}, {"guest",
    "people", "person", "party", "seat"},
    {"color", "colour"}, {"item", "product", "thing", "grocery", "ingredient", "article"}, {"store", "shop",
    "supermarket", "market"}, {"task", "text", "what", "title", "item", "todo"}, {"door", "lock"}, {"attendee",
    "guest", "invitee", "people", "participant"},
)  # fmt: skip
"""Parameter names of one meaning, stemmed."""

MAKING = frozenset(
    "set create add make start new schedule book send order begin play put write compose plan register open".split()
)
ENDING = frozenset("delete remove cancel clear stop end off drop dismiss erase undo disable close snooze skip".split())
ASKING = frozenset(
    "get show list check find read search which look lookup query fetch status what when did is how tell".split()
)
"""Words that settle what a tool does; a phrasing with words of another of these groups is not for it."""

FLAGS = {
    "notify": ("and tell everyone", "without telling anyone"), "reply all": ("to all", "to the sender only"),
    "unread only": ("that i have not read", "read ones too"), "has attachment": ("with an attachment", "without attachment"),
    "in stock": ("that can be had now", "sold out ones too"), "along route": ("along the route", "off the route too"),
    "shuffle": ("on shuffle", "without shuffle"), "repeat": ("on repeat", "without repeat"), "loop": ("in a loop",
    "without looping"),
    "urgent": ("as urgent", "with no urgency"), "recurring": ("as a recurring one", "as a one-off"),
    "private": ("in private", "in public"),
    "speak": ("and read it out", "without reading it out"), "vibrate only": ("with vibration only", "with sound"),
    "video": ("with video", "without video"),
    "all day": ("for the whole day", "not for the whole day"), "loud": ("loudly", "quietly"),
}  # fmt: skip
"""Booleans in words: true, false."""
SWITCHES = {
    "lock": ("lock", "unlock"), "locked": ("lock", "unlock"), "open": ("open", "close"), "opened": ("open", "close"),
    "closed": ("close", "open"),
    "mute": ("mute", "unmute"), "muted": ("mute", "unmute"), "armed": ("arm", "disarm"), "paused": ("pause",
    "resume"), "running": ("start", "stop"),
}  # fmt: skip
"""Boolean parameters that are verbs."""
FIRM = frozenset(
    "name title label message text body day_array color colour mode room zone speaker app percent brightness "
    "volume temperature position unit "
    "percentage celsiu level duration store shop priority category quantity".split()
)
"""Keys of ``CONTEXTS`` that are surer than what the traces teach for the same name."""

CONTEXTS: dict[str, tuple[tuple[str, str], ...]] = {
    "time": (("at ", ""), ("for ", "")),
    "date": (("on ", ""), ("for ", "")),
    "date-time": (("on ", ""), ("for ", "")),
    "duration": (("for ", ""), ("of ", "")),
    "minute": (("for ", " minutes"),),
    "hour": (("for ", " hours"),),
    "second": (("for ", " seconds"),),
    "day": (("for ", ""),),
    "percent": (("to ", " percent"), ("at ", " percent"), ("to ", "%")),
    "percentage": (("to ", " percent"), ("at ", "%")),
    "brightness": (("to ", " percent"), ("at ", " percent"), ("to ", "%"), ("to ", "")),
    "position": (("to ", " percent"), ("to ", "%"), ("to ", ""), ("at ", " percent")),
    "level": (("to ", ""), ("at ", ""), ("to level ", "")),
    "volume": (("at volume ", ""), ("at ", " percent volume"), ("with the volume at ", "")),
    "temperature": (("to ", " degrees"), ("at ", " degrees"), ("to ", "")),
    "celsiu": (("to ", " degrees"), ("at ", " degrees"), ("to ", "")),
    "room": (("in the ", ""),),
    "zone": (("in the ", ""),),
    "speaker": (("on the ", " speaker"), ("on the ", "")),
    "app": (("on ", ""), ("with ", ""), ("via ", "")),
    "store": (("from ", ""), ("at ", "")),
    "shop": (("from ", ""), ("at ", "")),
    "location": (("in ", ""),),
    "city": (("in ", ""), ("for ", "")),
    "place": (("in ", ""), ("at ", "")),
    "recipient": (("to ", ""),),
    "contact": (("to ", ""),),
    "person": (("for ", ""),),
    "to": (("to ", ""),),
    "from": (("from ", ""),),
    "destination": (("to ", ""),),
    "origin": (("from ", ""),),
    "name": (("called ", ""), ("named ", "")),
    "title": (("called ", ""), ("titled ", "")),
    "label": (("called ", ""), ("labelled ", ""), ("named ", ""), ("for ", "")),
    "message": (("saying ", ""), ("that says ", "")),
    "text": (("saying ", ""), ("that says ", "")),
    "body": (("saying ", ""),),
    "color": (("in ", ""), ("to ", "")),
    "colour": (("in ", ""), ("to ", "")),
    "mode": (("in ", " mode"), ("on ", " mode"), ("to ", " mode")),
    "day_array": (("every ", ""), ("on ", ""), ("each ", "")),
    "artist": (("by ", ""),),
    "language": (("in ", ""), ("into ", "")),
    "currency": (("in ", ""),),
    "guest": (("for ", " people"), ("with ", "")),
    "people": (("for ", " people"),),
    "reason": (("because of ", ""),),
    "until": (("until ", ""),),
    "quantity": (("with a quantity of ", ""), ("in a quantity of ", "")),
    "size": (("in size ", ""), ("in ", "")),
    "when": (("when ", ""),),
    "priority": (("with ", " priority"), ("as ", " priority")),
    "category": (("under ", ""), ("in the category ", "")),
    "unit": (("in ", ""),),
}
"""Words around a value, by the last word of its parameter's name, where the traces teach none."""

ABBREVIATIONS = {
    "mon": "monday", "tue": "tuesday", "wed": "wednesday", "thu": "thursday", "fri": "friday", "sat": "saturday",
    "sun": "sunday",
    "jan": "january", "feb": "february", "mar": "march", "apr": "april", "jun": "june", "jul": "july", "aug": "august",
    "sep": "september", "oct": "october", "nov": "november", "dec": "december", "temp": "temperature",
    "min": "minutes", "sec": "seconds",
    "ac": "air conditioning", "tv": "tv", "en": "english", "de": "german", "fr": "french", "es": "spanish",
    "it": "italian", "pt": "portuguese",
    "eur": "euros", "usd": "dollars", "gbp": "pounds", "c": "celsius", "f": "fahrenheit", "num": "number",
    "msg": "message", "qty": "quantity",
}  # fmt: skip
"""Short members of an enum, or short words of a name, to what people say."""

GENERIC = frozenset({"query", "term", "q", "search", "what"})
"""Parameter names that say nothing about the values; the description does."""
PERSONS = frozenset(
    "person recipient contact guest who player child patient member attendee user driver student customer "
    "employee".split()
)
"""Parameter names, stemmed, whose values are people."""
TARGETS = frozenset("room zone area location place device speaker door target house floor".split())
"""Parameter names, stemmed, that say where and not what."""

NAMES = (
    "Anna Ben Chloe David Emma Farid Grace Hugo Ines Jonas Kim Lena "
    "Marco Nina Omar Paula Rosa Sam Tom Yuki Priya Mateo Zoe Ali"
).split()
CITIES = (
    "Berlin,Paris,Lisbon,Oslo,Tokyo,Toronto,Nairobi,Lima,Athens,Vienna,Dublin,Seoul,Madrid,Porto,Leeds,Osaka".split(",")
)
ROOMS = (
    "kitchen,living room,bedroom,bathroom,hallway,office,garage,dining room,guest room,nursery,basement,attic".split(
        ","
    )
)
THINGS = (
    "groceries,laundry,dentist,team lunch,budget review,holiday plans,water the plants,call the bank,weekend trip,"
    "birthday party"
).split(",")
MESSAGES = (
    "i'm running ten minutes late,dinner is ready,happy birthday,see you tomorrow,can you call me back,the "
    "meeting is moved,"
    "don't forget the keys,i'm on my way,thanks for yesterday,please bring some milk,we arrived safely"
).split(",")
WORDS = "alpha,harbor,maple,orion,juniper,atlas,cedar,comet,willow,summit,delta,falcon".split(",")

CONTRARY_VERBS = {
    "set": ("delete", "cancel", "show me"), "create": ("cancel", "delete", "print"), "add": ("remove", "count"),
    "start": ("cancel", "pause"), "send": ("read me", "delete", "unsend"), "play": ("record", "delete", "buy"),
    "lock": ("replace", "paint"), "move": ("clean", "order"), "book": ("cancel", "rate"), "schedule": ("cancel",),
    "get": ("change", "correct"), "find": ("book", "rate", "review"), "search": ("export", "delete"), "order": ("review",),
    "open": ("clean", "repair"), "call": ("block", "record"), "track": ("cancel", "reroute"), "navigate": ("describe",),
    "apply": ("remove", "share"), "remove": ("replace", "restore"), "request": ("withdraw",), "notify": ("stop notifying",),
    "place": ("cancel", "duplicate"), "control": ("repair", "clean"), "heat": ("repair", "fold down"), "deploy": ("audit",),
    "approve": ("archive", "print"), "reject": ("reprint",), "extract": ("translate", "delete"), "take": ("print",),
    "convert": ("explain",), "evaluate": ("plot",), "list": ("export", "print"), "reply": ("forward", "print"),
    "scale": ("rename",), "restart": ("rename",), "run": ("audit",), "delete": ("restore", "duplicate"),
}
"""Verb of a tool to verbs of wishes that it does not serve."""
