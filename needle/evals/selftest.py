"""One row, seen through the adapter: the prompt as the model gets it, the output as it came, and what was read.

The first thing to look at when scores are near zero: most such scores are a prompt or a parser that does not fit.
"""

from __future__ import annotations

import json

from needle.evals.match import correct
from needle.evals.parse import render_calls
from needle.evals.parsers import NATIVE, PARSERS, parse_output
from needle.evals.parsers.repair import repair
from needle.evals.provenance import model_facts
from needle.evals.taxonomy import format_code
from needle.tools.caller import Caller, CallResult
from needle.traces.trace import Trace


def self_test(caller: Caller, trace: Trace) -> str:
    """The report on one row, as text; the model is asked once."""
    facts = model_facts(caller)
    by_row = getattr(caller, "answer_rows", None)
    result = (by_row([trace]) if by_row else caller.answer([trace.request]))[0]
    show = getattr(caller, "show_prompt", None)
    prompt = show(trace.request) if show else json.dumps(_plain(trace), indent=1, ensure_ascii=False)
    used = getattr(result, "parser", NATIVE)
    parts = [
        ("model", f"{caller.name}\nsettings {json.dumps(facts['settings'])}"),
        ("prompt" if show else "request (this caller does not show its prompt)", prompt),
        ("raw output", result.raw or "(nothing)"),
        (f"read by parser {used}", _reading(result)),
    ]
    if result.error and result.raw and not result.infra_error:
        parts.append(("other parsers", _others(result.raw, trace)))
    parts += [("gold", render_calls(trace.calls)), ("verdict", _verdict(trace, result))]
    return "\n\n".join(f"--- {title}\n{text}" for title, text in parts)


def _plain(trace: Trace) -> dict[str, object]:
    request = trace.request
    return {"query": request.query, "system": request.system, "tools": [tool.to_dict() for tool in request.tools]}


def _reading(result: CallResult) -> str:
    if result.infra_error:
        return f"no answer, for reasons outside the model: {result.error}"
    if result.error is not None:
        return f"cannot be read ({format_code(result.error, result.raw)}): {result.error}"
    return render_calls(result) if result else "[] (calls nothing)"


def _others(raw: str, trace: Trace) -> str:
    lines = []
    for name in PARSERS:
        found = parse_output(raw, name, trace.tools)
        lines.append(f"{name}: {found.error or render_calls(found)}")
    lenient = repair(raw, trace.tools)
    lines.append(
        f"repaired: {render_calls(lenient.calls)} ({', '.join(lenient.steps)})" if lenient else "repaired: nothing"
    )
    return "\n".join(lines)


def _verdict(trace: Trace, result: CallResult) -> str:
    if result.infra_error:
        return "not judged"
    if result.error is not None:
        return "wrong: malformed"
    return "right" if correct(trace, result) else "wrong"
