"""The verdict on one row: three separate yes-or-no answers, the decision taken, argument counts, and what went wrong.

*Well formed*: the output could be read as calls. *Schema valid*: well formed, and every call names a tool on offer
and meets its JSON Schema. *Correct*: well formed, and equal to the gold calls under ``needle.evals.match``. An empty
list of calls is well formed and schema valid; output that could not be read is neither, and never counts as
abstaining.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from needle.evals import match
from needle.evals.bfcl.check import fixed, official
from needle.evals.causes import value_cause
from needle.evals.decisions import ASK, CALL, INFRA, MALFORMED, done_by, due_of
from needle.evals.parse import render_calls
from needle.evals.taxonomy import first_cause, format_code, in_order, rank
from needle.tools.caller import CallResult
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import is_valid, validate_calls
from needle.traces.trace import Trace

NO_CALL = "no_call"
DECISIONS = (CALL, NO_CALL, MALFORMED, INFRA)
"""What a caller did: called, abstained, broke its output, or was never reached."""


@dataclass(frozen=True)
class Detail:
    """One thing worth saying about a row."""

    code: str
    """One of ``taxonomy.CODES``."""
    gold: str = ""
    """``call index.argument path`` in the gold calls, where the code is about one of theirs."""
    got: str = ""
    """``call index.argument path`` in the predicted calls, where the code is about one of theirs."""
    note: str = ""
    """The particulars in words."""
    keyword: str = ""
    """The word of JSON Schema that is not met, where the code is about a schema."""


@dataclass(frozen=True)
class Verdict:
    """Everything that scoring says about one row."""

    well_formed: bool
    """The output could be read as calls."""
    schema_valid: bool
    """Every call names a tool on offer and meets its schema."""
    modes: dict[str, bool]
    """Match mode -> whether the calls are right under it."""
    due: bool
    """The gold row has at least one call."""
    decision: str
    """One of ``DECISIONS``."""
    due_kind: str = CALL
    """What the row wants, one of ``decisions.DUE``."""
    answer: str = CALL
    """What the answer did, one of ``decisions.DONE``."""
    tools_offered: int = 1
    """Number of tools on offer."""
    names_right: bool = False
    """The sequence of tool names is right."""
    true_positives: int = 0
    """Predicted arguments that are right."""
    false_positives: int = 0
    """Predicted arguments that are wrong or not asked for."""
    false_negatives: int = 0
    """Gold arguments that were missed or got a wrong value."""
    codes: tuple[str, ...] = ()
    """Every code that applies, in order of cause."""
    details: tuple[Detail, ...] = field(default=(), hash=False)
    """Where each code comes from."""

    @property
    def correct(self) -> bool:
        """Right under the headline mode (ordered)."""
        return self.modes["ordered"]

    @property
    def cause(self) -> str | None:
        """First cause of the failure; None when the row is right."""
        return None if self.correct else first_cause(self.codes)

    def to_dict(self) -> dict[str, Any]:
        """JSON object, as it stands in ``rows.jsonl``."""
        details = [{key: value for key, value in asdict(detail).items() if value} for detail in self.details]
        return asdict(self) | {
            "codes": list(self.codes),
            "details": details,
            "correct": self.correct,
            "cause": self.cause,
        }


def gold_suspect(trace: Trace) -> bool:
    """Whether the gold calls break their own schemas."""
    return not match.any_call(trace) and not is_valid(trace.calls, trace.tools)


def judge(trace: Trace, result: CallResult, *, gold_suspect: bool = False) -> Verdict:
    """Score one answer. ``gold_suspect`` says that the gold calls break their own schemas, which is only recorded."""
    suspect = [Detail("gold_suspect")] if gold_suspect else []
    if result.infra_error or result.error is not None:
        return _unread(trace, result, suspect)
    calls = list(result)
    grid = match.match_grid(trace, calls)
    modes = {name: mode(trace, calls, grid) for name, mode in match.MODES.items()} | _leaderboard(trace, calls)
    free = match.any_call(trace)
    schema_valid = is_valid(calls, trace.tools)
    violations = [] if schema_valid else validate_calls(calls, trace.tools)  # the slow check, for the reasons
    details = [Detail(one.code, got=one.path, note=one.message, keyword=one.keyword) for one in violations]
    pairs = {} if free else {i: (i, grid[i][i]) for i in range(len(calls))} if modes["ordered"] else align(grid)
    details += suspect if modes["ordered"] else [*_row_details(trace, calls, pairs, modes), *suspect]
    details += _argument_details(trace, calls, pairs, {detail.got for detail in details})
    details.sort(key=lambda detail: rank(detail.code))
    hits, wrong, missed = (0, 0, 0) if free else _count_arguments(trace, calls, pairs)
    return Verdict(
        well_formed=True,
        schema_valid=schema_valid,
        modes=modes,
        due=bool(trace.calls),
        decision=CALL if calls else NO_CALL,
        due_kind=due_of(trace),
        answer=done_by(result),
        tools_offered=len(trace.tools),
        names_right=modes["ordered"] if free else [call.name for call in calls] == [call.name for call in trace.calls],
        true_positives=hits,
        false_positives=wrong,
        false_negatives=missed,
        codes=in_order(detail.code for detail in details),
        details=tuple(details),
    )


def _leaderboard(trace: Trace, calls: Sequence[ToolCall] | None) -> dict[str, bool]:
    """The BFCL's own verdict on rows of its suite, and the one with errata unless no answer can meet the row.

    None is output that could not be read.
    """
    facts = match.scoring_of(trace).get("scoring", {}).get("bfcl")
    if not facts:
        return {}
    own = official(facts, calls)
    mended = fixed(facts, calls) if "fixed" in facts else own
    return {"bfcl": own} if mended is None else {"bfcl": own, "bfcl_fixed": mended}


def _unread(trace: Trace, result: CallResult, suspect: list[Detail]) -> Verdict:
    error = result.error or "no answer"
    code = "infra_error" if result.infra_error else format_code(error, result.raw)
    details = [Detail(code, note=error.removeprefix(f"{code}:").strip()), *suspect]
    modes = dict.fromkeys(match.MODES, False) | _leaderboard(trace, None)
    if result.infra_error:
        modes = dict.fromkeys(modes, False)
    return Verdict(
        well_formed=False,
        schema_valid=False,
        modes=modes,
        due=bool(trace.calls),
        decision=INFRA if result.infra_error else MALFORMED,
        due_kind=due_of(trace),
        answer=done_by(result),
        tools_offered=len(trace.tools),
        false_negatives=0 if match.any_call(trace) else sum(len(call.arguments) for call in trace.calls),
        codes=in_order(detail.code for detail in details),
        details=tuple(details),
    )


Pairs = dict[int, tuple[int, match.CallMatch]]
"""Gold call index -> index of the predicted call that it is compared with, and the comparison."""


def align(grid: match.Grid) -> Pairs:
    """Pair calls of equal name, best agreement first, near positions first; some may stay without a partner."""
    fits = [(i, j, found) for i, row in enumerate(grid) for j, found in enumerate(row) if found.same_name]
    fits.sort(key=lambda fit: (not fit[2].right, -fit[2].agreeing, abs(fit[0] - fit[1]), fit[0], fit[1]))
    pairs: Pairs = {}
    taken: set[int] = set()
    for i, j, found in fits:
        if i not in pairs and j not in taken:
            pairs[i] = (j, found)
            taken.add(j)
    return pairs


def _count_arguments(trace: Trace, calls: Sequence[ToolCall], pairs: Pairs) -> tuple[int, int, int]:
    """Right, wrong and missed arguments; what defaults or alternatives excuse counts as none of them."""
    outcomes = [outcome for _, found in pairs.values() for outcome in found.arguments.values()]
    taken = {j for j, _ in pairs.values()}
    stray = sum(len(call.arguments) for j, call in enumerate(calls) if j not in taken)
    unmet = sum(len(call.arguments) for i, call in enumerate(trace.calls) if i not in pairs)
    different = outcomes.count(match.WRONG_VALUE)
    wrong = different + outcomes.count(match.EXTRA) + stray
    return outcomes.count(match.RIGHT), wrong, different + outcomes.count(match.MISSING) + unmet


def _row_details(trace: Trace, calls: Sequence[ToolCall], pairs: Pairs, modes: dict[str, bool]) -> Iterator[Detail]:
    """Decision, count, order and choice of tools."""
    if not trace.calls:
        yield Detail("should_ask" if due_of(trace) == ASK else "over_call")
        return
    if not calls:
        yield Detail("under_call")
        return
    if len(calls) != len(trace.calls):
        few = len(calls) < len(trace.calls)
        yield Detail("too_few_calls" if few else "too_many_calls", note=f"{len(calls)} instead of {len(trace.calls)}")
    again = _needless_repeat(trace, calls)
    if again is not None:
        yield Detail("repeated_call", got=str(again))
    if modes["unordered"]:
        yield Detail("wrong_order")
    taken = {j for j, _ in pairs.values()}
    due = [call.name for i, call in enumerate(trace.calls) if i not in pairs]
    offered = {tool.name for tool in trace.tools}
    for j, call in enumerate(calls):
        if call.name not in offered:
            if _fold(call.name) in map(_fold, offered):
                yield Detail("near_tool", got=str(j), note=call.name)
        elif j not in taken and due:
            yield Detail("wrong_tool", got=str(j), note=f"{call.name} instead of {due[0]}")


def _needless_repeat(trace: Trace, calls: Sequence[ToolCall]) -> int | None:
    """First place at which a call stands once more than the gold calls have it, having stood before."""
    if len(calls) < 2:
        return None
    allowed = Counter(render_calls([call]) for call in trace.calls)
    seen: Counter[str] = Counter()
    for place, call in enumerate(calls):
        text = render_calls([call])
        seen[text] += 1
        if seen[text] > max(1, allowed[text]):
            return place
    return None


def _fold(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _argument_details(trace: Trace, calls: Sequence[ToolCall], pairs: Pairs, said: set[str]) -> list[Detail]:
    """Outcome of every argument that is not plainly right; ``said`` holds the paths that the schema check has named."""
    specs = {tool.name: tool for tool in trace.tools}
    details: list[Detail] = []
    for i, (j, found) in pairs.items():
        gold, call = trace.calls[i], calls[j]
        spec = specs.get(gold.name) or ToolSpec(gold.name)
        for name, outcome in found.arguments.items():
            if outcome in (match.RIGHT, match.EXCUSED):
                continue
            here, there = f"{i}.{name}", f"{j}.{name}"
            got, want = call.arguments.get(name), gold.arguments.get(name)
            if outcome == match.DEFAULT_EQUIVALENT:
                details.append(Detail(outcome, here, there))
            elif outcome == match.MISSING and name not in spec.required:
                details.append(Detail("missing_optional", gold=here, note=f"{_short(want)} is due"))
            elif outcome == match.EXTRA and name in spec.properties:
                details.append(Detail("extra_optional", got=there, note=_short(got)))
                details += _cause(trace, i, name, got, [], spec, Detail("", got=there))
            elif outcome == match.WRONG_VALUE:
                details.append(Detail("wrong_value", here, there, f"{_short(got)} instead of {_short(want)}"))
                accepted = [want, *(value for value in trace.alternatives.get(here, ()) if value is not None)]
                details += _cause(trace, i, name, got, accepted, spec, Detail("", here, there))
            elif (
                there not in said
            ):  # the schema check did not see it: free-form parameters, or a tool that is not on offer
                details.append(Detail("missing_required" if outcome == match.MISSING else "unknown_param", here, there))
    return details


def _cause(
    trace: Trace, index: int, name: str, got: Any, accepted: list[Any], spec: ToolSpec, place: Detail
) -> list[Detail]:
    code = value_cause(trace, index, name, got, accepted, spec.properties.get(name) or {}, spec.parameters)
    return [replace(place, code=code)] if code else []


def _short(value: Any, limit: int = 60) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
