"""The model card of a run, written from its files: trained on what, how, with which result, from which parents.

Everything in it was counted or measured by the run; what the run cannot know is said to be missing. The head is what
the Hugging Face Hub reads (Mitchell et al., arXiv:1810.03993, for what a card should hold).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from needle.traces.write import atomic
from needle.train.facts import changed_settings
from needle.train.history import History, read_facts, read_history

CARD = "README.md"


def write_card(out: Path) -> Path | None:
    """Write the card into the ``best`` checkpoint of the run in ``out``; None when there is no such checkpoint yet."""
    best = out / "best"
    if not best.is_dir():
        return None
    with atomic(best / CARD) as temporary:
        temporary.write_text(model_card(out.resolve().name, read_facts(out), read_history(out)), encoding="utf-8")
    return best / CARD


def model_card(name: str, facts: Mapping[str, Any], history: History) -> str:
    """The card as Markdown. ``facts`` may lack parts (an older run): their sections are then left out."""
    sections = [
        _head(facts),
        f"# {_plain(name)}\n\n{_summary(facts, history)}",
        _section("Parents and teachers", _parents(facts)),
        _section("Data", _data(facts)),
        _section("Recipe", _recipe(facts, history)),
        _section("Results", _results(history)),
        _section("Licence", _licence_notes(facts)),
        _section(
            "Not known",
            [
                "Accuracy beyond the held-out rows: they chose this checkpoint, so their score flatters it. Score it on rows that it never saw "
                "(`needle eval --model CHECKPOINT --suite FILE`). Biases, other languages and long conversations were not measured by the run.",
            ],
        ),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _plain(text: Any) -> str:
    """Text that stays text inside Markdown and its tables."""
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").replace("`", "'").split())


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n\n".join(lines) if lines else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    body = [[_plain(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (list(head), ["---"] * len(head), *body))


def _licence_of_all(facts: Mapping[str, Any]) -> str | None:
    """The one licence that every source states; None where they differ or one says nothing."""
    said = {entry.get("licence") for entry in facts.get("data", ())}
    return said.pop() if len(said) == 1 else None


def _head(facts: Mapping[str, Any]) -> str:
    licence = _licence_of_all(facts) or "other"
    tags = "tags: [function-calling, tool-use, distillation]"
    lines = ["---", f"license: {_plain(licence)}", "library_name: needle-distill", "pipeline_tag: text-generation", tags, "---"]
    return "\n".join(lines)


def _summary(facts: Mapping[str, Any], history: History) -> str:
    shape, total = facts.get("shape", {}), facts.get("parameters", {}).get("total")
    size = f"{total:,} parameters" if total else "a student"
    layers = ", {num_encoder_layers} encoder and {num_decoder_layers} decoder layers, width {hidden_size}"
    best = history.best
    score = f" Held-out exact match {100 * best['validation_exact']:.1f} % at step {best['step']:,}." if best else ""
    bits = facts.get("settings", {}).get("quantize_bits")
    made = size + (layers.format(**shape) if shape else "") + (f", trained for {bits}-bit weights" if bits else "")
    return f"Given tools and a request it writes the calls, or none: {made}.{score}"


def _parents(facts: Mapping[str, Any]) -> list[str]:
    start, teachers = facts.get("start"), facts.get("teachers", [])
    lines = [f"- started from {_plain(start['name'])}{_hash(start)}"] if start else []
    role = "learnt beside" if facts.get("loss") == "mutual" else "taught by"
    lines += [f"- {role} {_plain(one['name'])}{_hash(one)}" for one in teachers]
    written = facts.get("authors", {})
    lines += [
        f"- {count:,} training rows written or labelled by {_plain(model)}" for model, count in written.items() if model
    ]
    if written.get(""):
        lines.append(f"- {written['']:,} training rows do not say who wrote them")
    return ["\n".join(lines)] if lines else []


def _hash(entry: Mapping[str, Any]) -> str:
    return f" (SHA-256 of its weights `{entry['sha256']}`)" if entry.get("sha256") else ""


def _data(facts: Mapping[str, Any]) -> list[str]:
    entries, rows = facts.get("data", []), facts.get("rows", {})
    if not entries:
        return []
    body = [
        [
            entry["file"],
            entry["part"],
            "" if entry["rows"] is None else f"{entry['rows']:,}",
            f"{entry['uses']:g}",
            entry.get("licence", "not stated"),
            entry["sha256"],
        ]
        for entry in entries
    ]
    counted = (
        "{train:,} rows were trained on, with {replayed:,} more replayed against forgetting ({toolsets:,} toolsets in all); "
        "{validation:,} chose the checkpoint; {unusable:,} could not be used, {too_long:,} were too long."
    ).format_map(defaultdict(int, rows))
    return [counted, _table(["file", "part", "rows", "uses an epoch", "licence", "SHA-256"], body)]


def _recipe(facts: Mapping[str, Any], history: History) -> list[str]:
    steps, machine, settings = history.steps, facts.get("machine", {}), facts.get("settings", {})
    if not steps:
        return []
    last = steps[-1]
    told = f"{last['step']:,} steps, {last.get('rows', 0):,} examples seen, loss `{_plain(facts.get('loss', 'hard'))}`, "
    told += f"seed {settings.get('seed', 0)}"
    if machine:
        many = f", {machine['processes']} processes" if machine["processes"] > 1 else ""
        told += f"; {_plain(machine['device'])}{many}; needle {machine['needle']}, torch {machine['torch']}"
    body = [[key, value] for key, value in changed_settings(dict(settings)).items()]
    return [
        f"{told}.",
        "Settings that differ from the defaults:\n\n" + _table(["setting", "value"], body)
        if body
        else "All settings are the defaults.",
    ]


def _results(history: History) -> list[str]:
    best = history.best
    if best is None:
        return ["Not validated yet."]
    kept = [
        record for record in history.validations if record["step"] in (0, best["step"], history.validations[-1]["step"])
    ]
    head = ["step", "exact match, %", "loss a token", "tokens right, %", "exact without constraints, %"]
    body = [
        [
            f"{record['step']:,}" + (" (the start)" if not record["step"] else " (best)" if record is best else ""),
            *(
                _number(record.get(f"validation_{key}"), scale)
                for key, scale in (("exact", 100), ("loss", 1), ("tokens", 100), ("free", 100))
            ),
        ]
        for record in kept
    ]
    note = (
        "Nothing was learnt: no step scored better on the held-out rows than the start, which was kept."
        if best["step"] == 0
        else ""
    )
    return list(filter(None, ["On the held-out rows:", _table(head, body), note]))


def _number(value: Any, scale: float) -> str:
    return (
        f"{scale * value:.1f}"
        if scale != 1 and isinstance(value, int | float)
        else f"{value:.3f}"
        if isinstance(value, int | float)
        else ""
    )


def _licence_notes(facts: Mapping[str, Any]) -> list[str]:
    silent = [entry["file"] for entry in facts.get("data", ()) if not entry.get("licence")]
    stated = [
        f"- {_plain(entry['file'])}: {_plain(entry['licence'])}"
        for entry in facts.get("data", ())
        if entry.get("licence")
    ]
    stated += [f"- {count:,} rows state {_plain(name)}" for name, count in facts.get("licences", {}).items()]
    lines = ["\n".join(stated)] if stated else []
    if silent:
        lines.append(
            f"No licence is stated for {', '.join(map(_plain, silent))}: find out before this model is published."
        )
    lines.append("Terms of the teachers whose answers are in the data may restrict the use of a model trained on them.")
    return lines
