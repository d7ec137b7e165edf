"""``needle corpora build``: a mix of public sets as checked rows, set by set, on all cores; a finished set is not made again.

    report = build(read_config("data/corpora.json"), data=Path("packs"), out=Path("corpora"), known=knowledge)

Every row is checked whatever its importer did: calls fit their tools, free text that is copied stands in the request, no
request is repeated over the same tools, and none equals or overlaps one of an evaluation set. A folder a set: ``train.jsonl.gz``,
``validation.jsonl.gz``, and last ``manifest.json`` with counts, reasons and the key of what made it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import SETS, CorpusSet, Options, corpus_set, find_set, held_out_texts, importer, set_rows
from needle.corpora.toolsets import Mix
from needle.errors import UserError
from needle.tools import ToolSpec
from needle.traces import Trace
from needle.traces.contamination import Knowledge, normal_words
from needle.traces.read import check_trace
from needle.traces.write import atomic, write_traces

VALIDATION = 50
"""One toolset in so many is kept for validation."""


@dataclass(frozen=True)
class CorporaConfig:
    """A mix of sets; the file is JSON with the same names (``docs/corpora.md``)."""

    sets: Mapping[str, Mapping[str, Any]]
    """Set to what differs from ``mix`` for it."""
    mix: Mix = field(default_factory=Mix)
    """How rows are put together."""
    seed: int = 0
    """Same seed, same files."""
    by_models: bool = False
    """Whether sets written by vendors' models are used."""

    def mix_of(self, name: str) -> Mix:
        """The mix with what the config says of this set."""
        return _mix(dict(self.sets[name]), self.mix, name)


@dataclass(frozen=True)
class SetReport:
    """What became of one set."""

    name: str
    """The set."""
    read: int
    """Labelled requests read."""
    rows: Mapping[str, int]
    """Part to rows written."""
    kinds: Mapping[str, int]
    """Kind to rows written, all parts."""
    toolsets: int
    """Toolsets written."""
    dropped: Mapping[str, int]
    """Reason to requests or rows left out."""
    seconds: float
    """Wall-clock seconds of one process."""
    kept: bool = False
    """Whether an earlier run had finished it."""


def read_config(path: str | Path) -> CorporaConfig:
    """A config from a JSON file. Raises ``UserError`` for unknown names or values of the wrong kind."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as a corpora config ({error}); see docs/corpora.md") from error
    known = {one.name for one in fields(CorporaConfig)}
    if not isinstance(raw, dict) or not isinstance(raw.get("sets"), dict) or not raw["sets"]:
        raise UserError(f"{path}: a corpora config is an object with \"sets\": {{name: {{}}}}")
    unknown = sorted(set(raw) - known)
    if unknown:
        raise UserError(f"{path}: {unknown[0]!r} is no setting; there are {', '.join(sorted(known))}")
    config = CorporaConfig(raw["sets"], _mix(raw.get("mix", {}), Mix(), "mix"), int(raw.get("seed", 0)), bool(raw.get("by_models", False)))
    for name in config.sets:
        config.mix_of(corpus_set(name).name)
    return config


def _mix(raw: dict[str, Any], base: Mix, where: str) -> Mix:
    known = {one.name for one in fields(Mix)}
    unknown = sorted(set(raw) - known)
    if unknown:
        raise UserError(f"{where}: {unknown[0]!r} is no setting of a mix; there are {', '.join(sorted(known))}")
    return replace(base, **{key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()})


def build(config: CorporaConfig, data: Path, out: Path, known: Knowledge | None = None, workers: int = 1) -> Iterator[SetReport]:
    """Make every set of the config, as they finish; then ``ATTRIBUTION.md`` and ``corpora.json`` (the key of the whole) in ``out``.

    Raises ``UserError`` when a set is not under ``data``, or is written by models and the config does not allow that.
    """
    jobs = {}
    for name in config.sets:
        one = corpus_set(name)
        if one.by_models and not config.by_models:
            raise UserError(f"{name} was written by vendors' models; say \"by_models\": true in the config to use it all the same")
        root = find_set(one, data)
        if root is None:
            raise UserError(f"{name}: no folder {one.folder} under {data}; unpack it there (source: {one.source})")
        jobs[name] = (one, root)
    held = {normal_words(text) for one, root in jobs.values() for text in held_out_texts(one, root)}
    reports: dict[str, SetReport] = {}
    context = get_context("spawn")
    if workers <= 1:
        _enter(known, held)
        for name, (one, root) in jobs.items():
            reports[name] = _one_set(one, root, config, out)
            yield reports[name]
    else:
        with ProcessPoolExecutor(workers, context, _enter, (known, held)) as pool:
            waiting = {pool.submit(_one_set, one, root, config, out): name for name, (one, root) in jobs.items()}
            for done in as_completed(waiting):
                reports[waiting[done]] = done.result()
                yield reports[waiting[done]]
    _write_text(out / "ATTRIBUTION.md", attribution(one for one, _ in jobs.values()))
    _write_text(out / "corpora.json", json.dumps({"config": asdict(config), "sets": {name: asdict(reports[name]) for name in jobs}}, indent=1))


def attribution(sets: Iterable[CorpusSet]) -> str:
    """Who made the data of a mix, and under which licences, as Markdown."""
    lines = ["# Data sets in this mix", "", "| set | source | licence | credit | held out |", "|---|---|---|---|---|"]
    return "\n".join(lines + [f"| {one.title} | {one.source} | {one.licence} | {one.attribution} | {one.held_out or '-'} |" for one in sets]) + "\n"


_shared: dict[str, Any] = {"known": None, "held": set()}
"""What every process compares rows with: set once when it starts."""


def _enter(known: Knowledge | None, held: set[tuple[str, ...]]) -> None:
    _shared.update(known=known, held=held)


def _one_set(one: CorpusSet, root: Path, config: CorporaConfig, out: Path) -> SetReport:
    """Make one set, or find that it is made."""
    folder = out / one.name
    key = _key(one, root, config)
    earlier = _read_manifest(folder / "manifest.json")
    if earlier.get("key") == key:
        return SetReport(**{**earlier["report"], "kept": True})
    start = time.monotonic()
    options = Options(config.seed, config.mix_of(one.name))
    parts: dict[str, list[Trace]] = {"train": [], "validation": []}
    for trace in _checked(set_rows(one, root, options), options.dropped):
        digest = hashlib.blake2b(trace.toolset.encode(), digest_size=4).digest()
        parts["validation" if int.from_bytes(digest) % VALIDATION == 0 else "train"].append(trace)
    seen = {normal_words(trace.query) for trace in parts["validation"]}
    kept = [trace for trace in parts["train"] if normal_words(trace.query) not in seen]
    options.dropped["also in validation"] += len(parts["train"]) - len(kept)
    parts["train"] = kept
    for part, rows in parts.items():
        write_traces(folder / f"{part}.jsonl.gz", rows)
    every = parts["train"] + parts["validation"]
    counts = {part: len(rows) for part, rows in parts.items()}
    kinds = dict(sorted(Counter(trace.kind for trace in every).items()))
    dropped = {reason: count for reason, count in options.dropped.most_common() if count}
    report = SetReport(one.name, options.read, counts, kinds, len({trace.toolset for trace in every}), dropped, round(time.monotonic() - start, 1))
    _write_text(folder / "manifest.json", json.dumps({"key": key, "report": asdict(report)}, indent=1))
    return report


def _checked(rows: Iterable[Trace], dropped: Counter[str]) -> Iterator[Trace]:
    """Rows that hold; the others are counted by reason."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for trace in rows:
        words = normal_words(trace.query)
        reason = _reason(trace, words)
        if reason is None and (trace.toolset, words) in seen:
            reason = "repeated"
        if reason:
            dropped[reason] += 1
            continue
        seen.add((trace.toolset, words))
        yield trace


def _reason(trace: Trace, words: tuple[str, ...]) -> str | None:
    if not words:
        return "no words"
    if check_trace(trace):
        return "call does not fit its tool"
    if not copied(trace):
        return "value not in the request"
    if words in _shared["held"]:
        return "held out by its authors"
    known: Knowledge | None = _shared["known"]
    hit = next(iter(known.hits(trace)), None) if known else None
    return f"known to {hit.suite} ({hit.sign})" if hit else None


def copied(trace: Trace) -> bool:
    """Whether every free-text argument stands in what the model reads, letter case and spaces aside."""
    tools = {tool.name: tool for tool in trace.tools}
    said = " ".join([trace.query, trace.system or "", *(str(message.get("content") or "") for message in trace.messages)])
    said = " ".join(said.casefold().split())
    return all(" ".join(value.casefold().split()) in said for call in trace.calls for value in _free(call.arguments, tools[call.name]))


def _free(arguments: Mapping[str, Any], tool: ToolSpec) -> Iterator[str]:
    for key, value in arguments.items():
        schema = tool.properties.get(key, {})
        inner = schema.get("items", {}) if isinstance(value, list) else schema
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and not inner.keys() & {"enum", "const", "format", "pattern"}:
                yield one


def _key(one: CorpusSet, root: Path, config: CorporaConfig) -> str:
    """Hash of all that a set's rows depend on: config, files (name and size), code, what they are compared with."""
    digest = hashlib.blake2b(digest_size=12)
    known: Knowledge | None = _shared["known"]
    parts: list[Any] = [one.name, asdict(config.mix_of(one.name)), config.seed, known.suites if known else {}, len(_shared["held"])]
    parts += [(str(path.relative_to(root)), path.stat().st_size) for path in sorted(root.rglob("*")) if path.is_file()]
    digest.update(json.dumps(parts).encode())
    for path in _code(one):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _code(one: CorpusSet) -> list[Path]:
    """Files that the rows of a set depend on: its module, what that names, and what all share; not the modules of other sets."""
    folder = Path(__file__).parent
    own = folder / f"{importer(one).rpartition('.')[2]}.py"
    text = own.read_text(encoding="utf-8")
    others = {importer(other).rpartition(".")[2] for other in SETS.values()} | {"augment", "vary", "texts", "catalogue"}
    code = [path for path in sorted(folder.glob("*.py")) if path.stem not in others or f"needle.corpora.{path.stem} " in text]
    code = [path for path in code if path.stem != "catalogue"]  # a set more or less changes no other
    return [own, *code, *(path for path in sorted((folder / "specs").glob("*.json")) if f'"{path.stem}"' in text)]


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
