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
    "navigate": ("navigate", "take me"),
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
    "approve": ("approve",),
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

PREFIXES = {
    "command": ("", "", "", "", "please ", "ok, ", "hey, ", "quick, ", "go ahead and "),
    "request": ("can you ", "could you ", "would you ", "can you please ", "could you please ", "will you "),
    "need": ("i need you to ", "i'd like you to ", "i want you to ", "you should ", "it's time to ", "let's "),
}
"""What goes before an imperative clause, by form."""

SUFFIXES = {
    "command": ("", "", "", "", "", " please", ", thanks", " for me", " now"),
    "request": ("", "", "", " please", " for me"),
    "need": ("", "", "", " please"),
}
"""What goes after it."""

NEGATIONS = (
    "don't {}", "do not {}", "please don't {}", "no need to {}", "you don't have to {}", "never mind, don't {}",
    "i changed my mind, don't {}",
    "whatever you do, don't {}", "for now don't {}", "no, don't {}", "actually, don't {}", "don't {} yet",
    "hold on, don't {}",
    "nobody asked you to {}", "you really shouldn't {}", "under no circumstances {}",
    "i was about to ask you to {}, but leave it", "i thought about asking you to {}, but let's not",
    "forget what i said, don't {}",
)  # fmt: skip
"""Frames that take a wish back; ``{}`` is an imperative clause."""

JOINERS = (
    " and ",
    " and ",
    ", then ",
    " and then ",
    ", and ",
    ". also ",
    ", also ",
    "; ",
    ", plus ",
    " and after that ",
)
"""Between two clauses of one request."""

FLAGS = {
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

OFF_TOPIC = (
    "who won the world cup in 1998", "how tall is mount everest", "why is the sky blue", "write me a poem about autumn",
    "what's the capital of mongolia", "how do i get red wine out of a carpet", "explain inflation in one sentence",
    "who painted guernica",
    "is decaf really free of caffeine", "how many bones does a shark have", "summarise hamlet for me",
    "what rhymes with orange",
    "how long do i boil an egg", "who invented the zip", "is a tomato a fruit", "what does carpe diem mean",
    "name three rivers in africa",
    "how far away is the moon", "give me a good book for a long flight", "what year did the titanic sink",
    "do cats dream",
    "how do vaccines work", "recommend a boardgame for two", "which planet has the most moons", "how is glass made",
)  # fmt: skip
CHAT = (
    "hello there", "good morning", "thanks a lot", "you're a star", "haha that was funny", "i'm so tired today",
    "how are you", "what a day",
    "i love sundays", "never mind", "ok cool", "that's all, thanks", "my feet hurt", "it's raining again",
    "guess what happened today",
    "you are funny", "good night", "i had the best coffee this morning", "are you a robot", "do you ever sleep",
    "phew, done for today",
    "i miss the summer", "sounds good to me", "wow, nice", "i'm bored",
)  # fmt: skip

REGISTERS: dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "polite": {
        "command": (("please ", "please ", "kindly "), ("", "", ", thank you", ", thanks a lot")),
        "request": (("could you please ", "would you mind and ", "would you be so kind and ", "can you please "), ("", "", " for me")),
        "need": (("i'd be grateful if you could ", "it would be great if you could ", "i'd like you to "), ("", ", please")),
    },
    "formal": {
        "command": (("please ", "kindly "), ("", "")),
        "request": (("would you please ", "could you kindly ", "may i ask you to "), ("",)),
        "need": (("i would like you to ", "i request that you ", "you are asked to "), ("",)),
    },
    "blunt": {
        "command": (("", "", "just ", "come on, ", "now "), ("", "", " now", " already", ", quick")),
        "request": (("can you finally ", "can you just ", "will you "), ("", " now")),
        "need": (("i said ", "i need you to ", "you have to "), ("", " now")),
    },
}
"""Register to form to what goes before and after an imperative; other registers take ``PREFIXES`` and ``SUFFIXES``."""
FILLED_PAUSES = ("um,", "uh,", "er,", "hmm,", "so, um,", "okay so", "let me think,", "well,", "right, so", "erm,")
PASSING_NUMBERS = (
    "i have {} things on my mind today", "there are {} of us here",
    "we live at number {}", "my bus is the number {}", "i'm on page {} of my book", "this is my {}th try today",
    "room {} has been noisy all day", "we won by {} points",
)
PASSING_NAMES = (
    "{} says hi by the way", "i'm here with {}", "{} is driving me mad today", "{} just left", "it's {}'s idea",
    "{} is asleep on the sofa", "{} told me to ask you", "i promised {} not to forget",
)
REMARKS = (
    "i'm in a hurry", "what a long day", "my hands are full", "sorry to bother you again", "it's been one of those days",
    "i keep forgetting this", "i'm half asleep", "nearly done for today", "the dog is barking", "i'm cooking right now",
)
"""Said in passing: with a number, with a name, with neither."""
CORRECTIONS = (
    "{0}, no wait, {1}", "{0}, sorry, {1}", "{0}, i mean {1}", "{0}, actually {1}", "{0} no make that {1}",
    "{0}, no, {1}", "{0}, scratch that, {1}", "{0} or rather {1}", "{0}, oops, {1}", "{0}, hang on, {1}",
)
"""One value taken back for another."""
WITHDRAWALS = (
    "{0} and {1}, no wait, only {2}", "{0} and {1}... on second thought only {2}", "{0} and then {1}, no, just {2}",
    "{0}, also {1}, hmm, forget that, only {2}",
)
"""Two wishes of which the last-named stays: first, second, the one that stays."""
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
