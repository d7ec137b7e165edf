"""Answer a suite, score it, write it down: ``rows.jsonl``, ``report.html`` and, last, ``results.json``.

    suite = load_suite("needle-unseen", limit=200)
    results = evaluate(baseline("lexical"), suite, "runs/lexical")

Outputs are appended as they come. The same call again after an interruption asks only for what is missing, and
another sample or scorer uses the answers that are there; rows that an endpoint failed on are always asked again. A
caller's ``name`` and ``settings`` must therefore change with its weights, prompt and decoding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.asking import PREVIOUS, ROWS, Progress, ask, write_rows
from needle.evals.batching import BATCH_TOKENS
from needle.evals.cache import AnswerCache, reused
from needle.evals.calibration import calibration
from needle.evals.ceilings import ceilings
from needle.evals.escalation import escalation
from needle.evals.offered import offered
from needle.evals.parsers import NATIVE, parser_named
from needle.evals.provenance import model_facts, package_version, provenance, require_one_scorer
from needle.evals.reading import reading, repaired_verdict
from needle.evals.report import render_report
from needle.evals.resources import resources, tokens_per_row
from needle.evals.rows import Row, RowReader, question_of, read_rows
from needle.evals.slots import slots
from needle.evals.statistics import Rate
from needle.evals.suites import Suite
from needle.evals.summary import Scored, cluster_labels, read_rate, summarise
from needle.evals.variants import FREE, attach
from needle.evals.verdict import gold_suspect, judge
from needle.tools.caller import Caller, CallResult
from needle.traces.trace import Trace
from needle.traces.write import atomic

SCORER_VERSION = "4"
"""Raised whenever the same output may get another verdict; results of different versions are never compared."""

REPORT, RESULTS = "report.html", "results.json"
KEPT = ("caller", "suite", "model", "resources", "command")
"""What a run says about itself that scoring it again cannot know."""


@dataclass(frozen=True)
class Results:
    """A scored run."""

    summary: dict[str, Any]
    """Content of ``results.json``."""
    rows: list[Row] = field(default_factory=list, repr=False)
    """Content of ``rows.jsonl``, in the order of the suite."""

    def rate(self, name: str = "correct") -> Rate:
        """One of the headline rates: well_formed, schema_valid, correct, correct_unordered, names_right."""
        return read_rate(self.summary, name)

    @property
    def complete(self) -> bool:
        """No row failed for reasons outside the model."""
        return bool(self.summary["complete"])


def evaluate(
    caller: Caller,
    suite: Suite,
    out: str | Path,
    *,
    batch_size: int = 32,
    batch_tokens: int = BATCH_TOKENS,
    resume: bool = True,
    cache: str | Path | None = None,
    free: Caller | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Results:
    """Answer every row of ``suite`` in batches, score all, and write the three files to the folder ``out``.

    ``resume`` uses the answers of the same caller that are in ``out``, ``cache`` those in a file that runs share.
    ``free`` answers the same rows a second time, without constraints, as a column of its own. ``command``,
    kept in the results, is how a person runs this again. Rows whose endpoint failed count as wrong and mark the run
    incomplete. Raises ``UserError`` when the folder cannot be written or the
    caller breaks its contract.
    """
    if batch_size < 1 or batch_tokens < 1:
        raise UserError(f"batch size {min(batch_size, batch_tokens)}: must be at least 1")
    out = Path(out)
    options: dict[str, Any] = {"batch_size": batch_size, "batch_tokens": batch_tokens, "resume": resume}
    if (out / ROWS).is_file():
        next(read_rows(out / ROWS), None)  # a folder of something else is refused before anything there is touched
    for name in (RESULTS, REPORT) if out.is_dir() else ():
        (out / name).unlink(missing_ok=True)  # so that what is there always fits the rows
    if cache is None:
        asked = ask(caller, suite.traces, out, progress=progress, **options)
    else:
        with AnswerCache(cache) as answers:
            asked = ask(caller, suite.traces, out, cache=answers, progress=progress, **options)
    second = evaluate(free, suite, out / FREE, cache=cache, progress=progress, **options) if free else None
    model = model_facts(caller)
    spent = resources(asked, model) | {"tokens_per_row": tokens_per_row(asked.rows)}
    manifest = {"caller": caller.name, "suite": suite.to_dict(), "model": model, "resources": spent}
    manifest |= {"command": command} if command else {}
    return _finish(out, asked.rows, manifest, second)


def rescore(directory: str | Path, *, parser: str | None = None, suite: Suite | None = None) -> Results:
    """Score the saved outputs of a finished run again with today's rules, and rewrite its files; no model is run.

    ``parser`` reads the saved text in another way; ``suite`` replaces the gold calls by those of its rows (errata).
    Raises ``UserError`` when the folder holds no run, or ``suite`` lacks a row of it.
    """
    directory = Path(directory)
    summary = read_summary(directory)
    rows = list(read_rows(directory / ROWS))
    if len(rows) != summary["n"]:
        raise UserError(f"{directory}: {ROWS} has {len(rows):,} of the {summary['n']:,} rows of the run; run needle eval again with --out {directory}, which asks for the others")
    if parser is not None:
        parser_named(parser)
        if all(row.get("parser", NATIVE) == NATIVE for row in rows):
            raise UserError(f"--parser {parser}: the model of {directory} read its own output; leave the parser out")
        reader = RowReader()
        rows = [_verdict_free(row) | reused(row, reader.trace(row), row.get("key", ""), parser) for row in rows]
    manifest = {key: summary[key] for key in KEPT if key in summary}
    if parser is not None and "model" in manifest:
        manifest["model"] = manifest["model"] | {"parser": parser}
    if suite is not None:
        rows = _with_gold(rows, suite, directory)
        manifest["suite"] = suite.to_dict()
    second = rescore(directory / FREE, parser=parser, suite=suite) if (directory / FREE / RESULTS).is_file() else None
    return _finish(directory, rows, manifest, second)


def _verdict_free(row: Row) -> Row:
    return {key: value for key, value in row.items() if key not in ("verdict", "slots", "repaired", "scorer")}


def _with_gold(rows: Sequence[Row], suite: Suite, directory: Path) -> list[Row]:
    known = {trace.id: question_of(trace) for trace in suite.traces}
    for row in rows:
        if row["id"] not in known or known[row["id"]]["request"] != row["request"]:
            raise UserError(
                f"{directory}: row {row['id']} is not asked like that in {suite.name}; name the suite of the run"
            )
    return [row | known[row["id"]] for row in rows]


def load_results(directory: str | Path) -> Results:
    """Read back what ``evaluate`` wrote.

    Raises ``UserError`` when the folder holds no finished run, or one whose rows another scorer judged.
    """
    summary = read_summary(Path(directory))
    rows = list(read_rows(Path(directory) / ROWS))
    version = summary["scorer_version"]
    odd = next((row for row in rows if row.get("scorer", version) != version), None)
    if odd is not None:
        require_one_scorer([(f"{directory}", version), (f"its row {odd['id']}", odd["scorer"])])
    return Results(summary, rows)


def read_summary(directory: Path) -> dict[str, Any]:
    """``results.json`` of a folder. Raises ``UserError`` when it is missing or none of ours."""
    path = directory / RESULTS
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: no finished run there ({error.strerror}); run needle eval with --out {directory} first"
        ) from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); run needle eval again") from error
    if not isinstance(summary, dict) or not _whole(summary):
        raise UserError(f"{path}: not the results of an evaluation; name a folder that needle eval wrote")
    return summary


def _whole(summary: Mapping[str, Any]) -> bool:
    """Whether the parts that readers rely on are there and of their kind."""
    kinds = {"scorer_version": str, "caller": str, "suite": dict, "rates": dict, "n": int}
    return all(isinstance(summary.get(name), kind) for name, kind in kinds.items()) and {"name", "hash"} <= summary["suite"].keys()


def _finish(out: Path, rows: Sequence[Row], manifest: dict[str, Any], second: Results | None) -> Results:
    """Score rows and write all files, ``results.json`` last: where it is, the others are whole."""
    reader = RowReader()
    scored = [_score(reader.trace(row), reader.result(row)) for row in rows]
    lenient = [repaired_verdict(one) for one in scored]
    rows = [
        _verdict_free(row)
        | {"repaired": found, "scorer": SCORER_VERSION, "verdict": one.verdict.to_dict(), "slots": _slots(one)}
        for row, one, (found, _) in zip(rows, scored, lenient, strict=True)
    ]
    parts: dict[str, Any] = {"reading": reading(rows, scored, [verdict for _, verdict in lenient])}
    parts["ceilings"] = ceilings([one.trace for one in scored])
    parts["confidence"] = calibration(
        [None if row["infra_error"] else row["confidence"] for row in rows], [one.verdict.correct for one in scored]
    )
    beside = {"escalation": escalation(scored), "offered": offered(scored)}
    parts |= {name: found for name, found in beside.items() if found is not None}
    if second is not None:
        parts["variants"] = {FREE: attach(rows, cluster_labels([one.trace for one in scored]), second)}
    if "model" in manifest:
        parts["provenance"] = provenance(manifest["suite"], manifest["model"], SCORER_VERSION)
    versions = {"format": 2, "scorer_version": SCORER_VERSION, "package_version": package_version()}
    results = Results(versions | manifest | summarise(scored) | parts, rows)
    write_rows(out / ROWS, rows)
    for name, text in (
        (REPORT, render_report(results.summary, rows)),
        (RESULTS, json.dumps(results.summary, indent=1) + "\n"),
    ):
        with atomic(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n", errors="xmlcharrefreplace")
    return results


def _slots(one: Scored) -> list[dict[str, Any]]:
    return [slot.to_dict() for slot in slots(one.trace, one.result)]


def _score(trace: Trace, result: CallResult) -> Scored:
    return Scored(trace, result, judge(trace, result, gold_suspect=gold_suspect(trace)))


__all__ = [
    "PREVIOUS",
    "RESULTS",
    "ROWS",
    "SCORER_VERSION",
    "Progress",
    "Results",
    "evaluate",
    "load_results",
    "rescore",
]
