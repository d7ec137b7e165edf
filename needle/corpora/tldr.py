"""tldr pages: what people do with command-line programs, as functions whose parameters are the placeholders of the example.

File: ``tldr_en.jsonl`` (command, description, pairs of "what it does" and command line). "Extract a file from an archive" with
``tar -xf {{path/to/archive.tar}} {{path/to/file}}`` becomes a function with ``archive`` and ``file``, and the request
"extract the file notes.txt from the archive backup.tar". Only examples whose placeholders all have their noun in the sentence are
used; values are drawn anew for each request.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import Function, Slot
from needle.corpora.toolsets import Assembler, Item
from needle.tools.likeness import telling_words
from needle.traces import Trace

STEMS = ["report", "notes", "backup", "photo", "draft", "summer", "budget", "intro", "logo", "data", "results", "todo", "archive", "invoice", "main", "config", "sample", "track", "demo", "holiday", "lecture", "garden", "poster", "ledger"]
WORDS = ["alpine", "nimbus", "falcon", "harbor", "cedar", "orbit", "pepper", "quartz", "raven", "saffron", "tundra", "velvet", "willow", "zephyr", "maple", "copper", "juniper", "lotus", "marble", "onyx"]
BANKS: dict[str, tuple[str, ...]] = {
    "directory": ("~/photos", "/var/log", "~/work/site", "/tmp/build", "docs", "~/Music", "src", "/srv/www", "assets/img", "old_projects"),
    "user": ("alice", "bob", "deploy", "maria", "root", "jsmith", "postgres", "guest", "kenji", "nora"), "group": ("admins", "staff", "docker", "editors", "www-data"),
    "password": ("hunter2", "s3cret!", "opensesame", "Tr0ub4dor"), "package": ("numpy", "curl", "ffmpeg", "htop", "left-pad", "nginx", "requests", "vim", "imagemagick", "jq"),
    "host": ("web01", "db.internal", "192.168.1.20", "example.org", "mail.acme.com", "10.0.0.7", "gateway", "node-3"), "url": ("https://example.org/list", "https://acme.io", "http://localhost:8080", "https://news.site/feed"),
    "ip": ("192.168.1.20", "10.0.0.7", "8.8.8.8", "172.16.4.2"), "branch": ("main", "develop", "feature/login", "release-2.1", "hotfix"), "tag": ("v1.2.0", "latest", "stable", "2024-06", "beta"),
    "version": ("3.11", "18.2", "1.0.4", "20.04", "2.7"), "service": ("nginx", "sshd", "postgresql", "cron", "bluetooth", "docker"), "container": ("web", "redis_cache", "api-1", "worker", "db"),
    "device": ("/dev/sdb", "/dev/sda1", "eth0", "wlan0", "/dev/ttyUSB0"), "partition": ("/dev/sda1", "/dev/sdb2", "/dev/nvme0n1p3"), "database": ("shop", "analytics", "users_db", "inventory"),
    "pattern": ("error", "TODO", "^ab+c", "timeout", "*.log"), "message": ("fix typo", "hello world", "back soon", "first draft"), "project": ("atlas", "blue-whale", "webshop", "tinyapp"), "repository": ("acme/tools", "octo/site", "kernel", "dotfiles"),
    "format": ("json", "csv", "mp3", "png", "pdf", "yaml"), "query": ("blue whales", "cheap flights", "sqlite index", "lasagne"), "command": ("uptime", "make test", "df -h", "ls"), "domain": ("example.org", "acme.com", "museum.nl"),
    "email": ("ada@example.org", "ops@acme.com"), "key": ("deploy_key", "API_TOKEN", "0xA1B2C3D4", "theme"), "language": ("fr", "german", "python", "es"), "window": ("editor", "logs", "1"), "session": ("work", "main", "debug"),
    "cluster": ("prod-eu", "staging", "edge-1"), "bucket": ("my-photos", "backups-2023", "raw-logs"), "role": ("auditor", "ReadOnly", "ci-runner"), "instance": ("i-0ab12cd34", "vm-7", "prod-db"), "address": ("10.0.0.7", "0x3f", "192.168.1.20"),
    "register": ("0x10", "0x2a"), "printer": ("office-laser", "HP_Deskjet"), "theme": ("dracula", "solarized"), "font": ("Fira Code", "Inter"), "topic": ("sensors/temperature", "news", "orders"), "module": ("auth", "snd_hda", "billing"),
    "snapshot": ("snap-12", "before-upgrade"), "region": ("eu-west-1", "us-east-2"), "profile": ("work", "default", "gaming"), "title": ("Weekly notes", "Road trip"), "dataset": ("tank/home", "pool1/media"), "pool": ("tank", "pool1"), "vm": ("ubuntu-dev", "win10"),
    "plugin": ("git", "markdown-preview"), "template": ("basic", "blog"), "text": ("hello world", "good morning"), "string": ("hello", "abc123"), "variable": ("HOME", "DEBUG"), "word": ("serendipity", "harbor"), "channel": ("general", "stable"),
}  # fmt: skip
"""Noun to values; a noun that ends in one of these takes its bank."""
FILES = {"file": "txt", "image": "png", "archive": "zip", "script": "sh", "document": "pdf", "video": "mp4", "audio": "mp3", "binary": "bin", "executable": "exe", "config": "conf", "certificate": "pem", "spreadsheet": "csv", "wordlist": "txt", "pdf": "pdf", "playlist": "m3u", "notebook": "ipynb", "font": "ttf", "book": "epub", "log": "log"}
"""Nouns of files with their usual ending."""
SAYINGS = {"Display": ("show", "display", "print"), "Show": ("show", "display", "show me"), "List": ("list", "show", "list"), "Print": ("print", "show"), "Delete": ("delete", "remove"), "Remove": ("remove", "delete"), "Create": ("create", "make"), "Download": ("download", "fetch"), "Search": ("search", "look"), "Start": ("start", "launch"), "Launch": ("launch", "start"), "Install": ("install", "please install")}  # fmt: skip
"""First words of a sentence and how a request says them."""
FRAMES = ("{}", "{}", "{}", "{}", "please {}", "can you {}", "could you {}", "i want to {}", "i need to {}", "{} please", "go ahead and {}", "now {}", "let's {}")
_OPTION = re.compile(r"\[(?:-{0,2}[\w-]+\|)*-{0,2}([\w-]+)\]")
_PLACEHOLDER = re.compile(r"\{\{(.+?)\}\}")
_ARTICLE = r"(?:\b(?:all (?:the )?|a(?:n)? |the |your |one |some |multiple |several |another |its )?(?:(?:specific|specified|given|particular|single|certain|local|remote|existing|new|input|output) ?)*)?"
STOP = frozenset(["a", "an", "the", "of", "in", "on", "to", "for", "with", "from", "and", "or", "specific", "specified", "given", "its", "your", "as", "by", "at", "into", "using", "all", "one", "only", "that", "be", "is", "are", "if", "when"])


@dataclass(frozen=True)
class Hole:
    """One placeholder that the sentence names."""

    noun: str
    """The noun as the sentence has it."""
    start: int
    """First character of the noun phrase in the sentence."""
    end: int
    """One past its last character."""
    many: bool
    """Whether it stands for several."""
    bank: str
    """Where values come from; ``file.EXT`` for file names, ``number``."""


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows over functions of up to a handful of commands."""
    rng = random.Random(options.seed)
    functions: dict[str, Function] = {}
    items: list[Item] = []
    for line in (root / "tldr_en.jsonl").read_text(encoding="utf-8").strip().split("\n"):
        page = json.loads(line)
        for number, (sentence, command) in enumerate(page["examples"]):
            options.read += 1
            text = _clean(sentence)
            holes = _holes(text, command)
            if isinstance(holes, str):
                options.dropped[holes] += 1
                continue
            key = f"{page['platform']}/{page['command']}/{number}"
            functions[key] = _function(key, page, text, holes)
            items += [_item(key, text, holes, rng) for _ in range(2)]
    kin: dict[str, list[str]] = {}
    for key, function in functions.items():
        kin.setdefault(function.service, []).append(key)
    functions = {key: _with_kin(function, frozenset(kin[function.service]) - {key}) for key, function in functions.items()}
    yield from Assembler("tldr", functions, items, options.mix, options.seed, options.dropped, apart=_apart).rows()


def _with_kin(function: Function, kin: frozenset[str]) -> Function:
    return Function(function.key, function.service, function.names, function.descriptions, function.slots, frozenset(), kin)


def _apart(one: Function, other: Function) -> bool:
    """Whether a request for one could not be meant for the other: few words in common."""
    a, b = telling_words(one.descriptions[0]), telling_words(other.descriptions[0])
    return len(a & b) < 0.5 * min(len(a), len(b)) if a and b else False


def _clean(sentence: str) -> str:
    text = re.sub(r"\s*\([^)]*\)", "", sentence).replace("`", "")
    return re.sub(r"\s+", " ", re.sub(r"\[(\w+)\]", r"\1", text)).strip().rstrip(":.")


def _holes(text: str, command: str) -> list[Hole] | str:
    """Placeholders of the command line with their noun in the sentence, or why the example is not used."""
    if not 3 <= len(text.split()) <= 14 or not text[0].isupper() or ":" in text or text.split()[0] in ("As", "Specify", "Same", "Like"):
        return "sentence too short or too long"
    found: list[Hole] = []
    option = ""
    for match in _PLACEHOLDER.finditer(command):
        inside = match[1]
        flag = _OPTION.fullmatch(inside)
        if flag:
            option = flag[1].lstrip("-").replace("-", " ")
            continue
        hole = _hole(text, inside, option, found)
        option = ""
        if hole is None:
            return "placeholder without its noun in the sentence"
        found.append(hole)
    if not found:
        return "no placeholder"
    return "more than three placeholders" if len(found) > 3 else sorted(found, key=lambda hole: hole.start)


def _hole(text: str, inside: str, option: str, taken: list[Hole]) -> Hole | None:
    many = inside.endswith("...") or " ... " in inside
    first = inside.split(" ")[0] if many else inside
    if re.search(r"[|;{}=]|\s", first):
        return None
    ending = re.search(r"\.(\w{2,5})$", first)
    last = re.sub(r"\d+$", "", first.rsplit("/", 1)[-1].split(".")[0])
    words = [word for word in re.split(r"[_\W]+|_or_", last.lower()) if len(word) > 1 and word not in ("path", "or", "to", "example", "new", "name")]
    is_file = first.startswith("path/to/") or (ending is not None and "/" not in first and not first.startswith("http"))
    candidates = [" ".join(words)] if len(words) > 1 else []
    candidates += list(reversed(words))
    candidates += ["directory", "folder"] if "dir" in last else []
    candidates += ["file", "image", "archive", "document", "script", "video"] if is_file else []
    candidates += ["url", "link", "page", "website"] if first.startswith("http") else []
    candidates += ["host", "domain", "server", "website"] if re.fullmatch(r"(?:example\.com|[\d.]{7,}|host(?:name)?)", first) else []
    candidates += [word for word in option.split() if len(word) > 2] if option else []
    for noun in candidates:
        if is_file and noun.split()[-1].rstrip("s") not in (*FILES, "directory", "folder"):
            continue
        plural = "(?:s|es)" if many else ""
        match = re.search(rf"(?<![-./\w]){_ARTICLE}(?:\b[\w-]+ )?(?<![-./]){re.escape(noun)}{plural}(?: name)?(?![-./'\w])(?! (?:of|name|is|are)\b)", text, re.IGNORECASE)
        if match and not any(match.start() < hole.end and hole.start < match.end() for hole in taken) and match.start() > 0:
            bank = _bank(noun, first, ending[1] if ending else "", is_file)
            if bank is None:
                return None
            return Hole(noun.lower(), match.start(), match.end(), many, bank)
    return None


def _bank(noun: str, first: str, ending: str, is_file: bool) -> str | None:
    if re.fullmatch(r"\d+", first):
        return "number"
    if noun in ("directory", "folder"):
        return "directory"
    if is_file:
        return f"file.{ending or FILES.get(noun, 'txt')}"
    last = noun.split()[-1].rstrip("s")
    last = {"username": "user", "hostname": "host", "server": "host", "website": "domain", "link": "url", "page": "url", "folder": "directory", "repo": "repository", "interface": "device", "keyword": "pattern", "regex": "pattern", "term": "query"}.get(last, last)
    if last in BANKS:
        return last
    if last in ("port", "number", "pid", "id", "timeout", "second", "minute", "line", "width", "height", "size", "level", "count", "rate", "depth", "interval", "delay"):
        return "number"
    return "name" if last in ("name", "alias", "label", "environment", "job", "task", "app", "application", "program", "unit", "stack", "workspace", "node", "pod", "network", "volume", "board", "target", "remote", "rule", "test", "resource", "account", "organization", "team", "bookmark", "function", "class", "formula", "recipe", "game", "channel", "category", "namespace", "release", "process") else None


def _value(bank: str, rng: random.Random) -> str:
    if bank == "number":
        return str(rng.choice((rng.randint(2, 99), rng.randint(100, 9000), rng.choice((8080, 22, 443, 3000)))))
    if bank.startswith("file."):
        stem = rng.choice(STEMS) + rng.choice(("", "", "_v2", "-2023", str(rng.randint(1, 40))))
        folder = rng.choice(("", "", "", "~/Downloads/", "/tmp/", "src/", "data/"))
        return f"{folder}{stem}.{bank[5:]}"
    return rng.choice(WORDS) if bank == "name" else rng.choice(BANKS[bank])


def _item(key: str, text: str, holes: list[Hole], rng: random.Random) -> Item:
    """A request: the sentence with the nouns' values in it."""
    said, last = "", 0
    values: dict[str, Any] = {}
    for hole in holes:
        made = [_value(hole.bank, rng) for _ in range(rng.randint(2, 3) if hole.many else 1)]
        made = list(dict.fromkeys(made))
        phrase = text[hole.start : hole.end]
        core = re.sub(rf"^{_ARTICLE}", "", phrase, flags=re.IGNORECASE).strip() or hole.noun
        spoken = ", ".join(made[:-1]) + (" and " if len(made) > 1 else "") + made[-1]
        plain = rng.random()
        lead = f"{core} {spoken}" if plain < 0.35 else f"the {core} {spoken}" if plain < 0.7 else spoken
        if hole.bank in ("number", "name", "key", "password") and plain >= 0.7:
            lead = f"{core} {spoken}"
        said += text[last : hole.start] + (" " if text[last : hole.start] and not text[hole.start - 1].isspace() and not text[last : hole.start].endswith(" ") else "") + lead
        last = hole.end
        values[hole.noun] = made if hole.many else int(made[0]) if hole.bank == "number" else made[0]
    said = re.sub(r"\s+", " ", said + text[last:]).strip()
    first, _, rest = said.partition(" ")
    verb = rng.choice(SAYINGS.get(first, (first.lower() if first[1:].islower() else first,)))
    frame = rng.choice(FRAMES)
    request = frame.format(f"{verb} {rest}")
    request = request[:1].upper() + request[1:] if rng.random() < 0.5 else request
    asks = frame.startswith(("can", "could"))
    return Item(key, request + ("?" if asks and rng.random() < 0.7 else "." if rng.random() < 0.25 and not asks else ""), ((key, values),))


def _function(key: str, page: Mapping[str, Any], text: str, holes: list[Hole]) -> Function:
    command = re.sub(r"[^\w ]+", " ", page["command"]).strip() or "tool"
    telling = [word for word in re.findall(r"[A-Za-z][\w]*", text) if word.lower() not in STOP]
    names = dict.fromkeys((" ".join(telling[:3]), " ".join(telling[:4]), f"{command} {telling[0]}" + (f" {telling[1]}" if len(telling) > 1 else "")))
    about = re.split(r"(?<=[.;]) ", page["description"].replace("`", ""))[0]
    slots = [Slot(hole.noun, tuple(dict.fromkeys((hole.noun, *_other_names(hole)))), _texts(hole), "integer" if hole.bank == "number" else "text", many=hole.many, required=True) for hole in holes]
    return Function(key, command, tuple(names), (f"{text}.", f"{text}. ({about.rstrip('.')})", f"{page['command']}: {text[:1].lower()}{text[1:]}."), tuple(slots))


def _other_names(hole: Hole) -> tuple[str, ...]:
    noun = hole.noun + ("s" if hole.many and not hole.noun.endswith("s") else "")
    return (f"{hole.noun} path", noun) if hole.bank.startswith("file.") or hole.bank == "directory" else (f"{hole.noun} name", noun) if hole.bank in ("package", "branch", "service", "container", "name") else (noun,)


def _texts(hole: Hole) -> tuple[str, ...]:
    noun = hole.noun
    if hole.many:
        return (f"One or more {noun.rstrip('s')}s.", f"The {noun.rstrip('s')}s.")
    if hole.bank.startswith("file.") or hole.bank == "directory":
        return (f"Path of the {noun}.", f"The {noun} to use.", f"Path to the {noun}")
    return (f"The {noun}.", f"{noun.capitalize()}.", f"Which {noun}.")
