"""Programs, functions, saved outputs and endpoints as callers: each answers, and each failure is named and counted."""

from __future__ import annotations

import json
import sys
import textwrap

import pytest

from needle.errors import UserError
from needle.evals.adapters import open_adapter
from needle.evals.adapters.command import CommandCaller
from needle.evals.adapters.content import ContentCaller
from needle.evals.adapters.function import FunctionCaller
from needle.evals.asking import GIVE_UP
from needle.evals.run import evaluate
from needle.tools import CallResult, ToolCall

ECHO = """
    import json, sys
    for line in sys.stdin:
        request = json.loads(line)
        level = int(request["query"].split()[-1])
        assert {tool["name"] for tool in request["tools"]} == {"set_light", "send"}
        BODY
"""
CALLS = '[{"name": "set_light", "arguments": {"room": "hall", "level": level}}]'


@pytest.fixture
def program(tmp_path):
    """``program(body)``: the command line of a script that answers each request with ``body``."""

    def make(body: str, name: str = "model.py") -> str:
        path = tmp_path / name
        path.write_text(
            textwrap.dedent(ECHO).replace("BODY", textwrap.indent(textwrap.dedent(body).strip(), "    ").strip())
        )
        return f"{sys.executable} {path}"

    return make


def test_a_program_that_gives_calls_or_text_is_scored_like_any_model(program, make_suite, tmp_path):
    suite = make_suite(9)
    for body in (f'print(json.dumps({{"calls": {CALLS}, "confidence": 0.5, "usage": {{"prompt_tokens": 7}}}}), flush=True)',
                 f'print(json.dumps({{"output": json.dumps({CALLS})}}), flush=True)'):  # fmt: skip
        results = evaluate(open_adapter(f"cmd:{program(body)}"), suite, tmp_path / str(hash(body)))
        assert results.complete and results.rate("well_formed").value == 1.0
        assert results.rate().value == pytest.approx(6 / 9)  # a third of the rows needs no call
    first = results.rows[0]
    assert first["parser"] == "auto" and first["raw"].startswith('[{"name"')


def test_the_settings_of_a_program_follow_its_script(program):
    before = CommandCaller(program("pass")).settings
    assert CommandCaller(program("pass")).settings == before != CommandCaller(program("print(1)")).settings


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "if level == 4: sys.exit('out of memory')\nprint('{\"calls\": []}', flush=True)",
            "crashed: exit code 1 (out of memory)",
        ),
        (
            "if level == 4:\n    print('loading ...', flush=True)\nprint('{\"calls\": []}', flush=True)",
            "protocol: a line that is no JSON",
        ),
        (
            "if level == 4:\n    import time; time.sleep(60)\nprint('{\"calls\": []}', flush=True)",
            "timeout: no answer within",
        ),
        (
            "print('{\"calls\": []}' if level != 4 else '{\"answer\": 1}', flush=True)",
            "protocol: neither output nor calls",
        ),
        ('print(\'{"calls": []}\' if level != 4 else \'{"error": "no GPU"}\', flush=True)', "no GPU"),
    ],
)
def test_a_program_that_fails_on_a_row_costs_that_row_and_is_started_again(program, make_suite, tmp_path, body, reason):
    caller = CommandCaller(program(body), patience=3 if "timeout" in reason else 60, startup=60)
    results = evaluate(caller, make_suite(9), tmp_path / "run")
    assert results.summary["infra_errors"] == {"count": 1, "ids": ["r4"]} and not results.complete
    assert results.rows[4]["error"].startswith(reason)
    assert results.summary["n"] == 9 and results.rate().value == pytest.approx(3 / 9)
    caller.close()


def test_a_slow_function_that_is_stopped_half_way_is_not_asked_the_same_again(make_suite, tmp_path):
    asked = []

    def answer(request):
        asked.append(request["query"])
        if len(asked) == 21:
            raise KeyboardInterrupt
        return []

    with pytest.raises(KeyboardInterrupt):
        evaluate(FunctionCaller(answer, "mine"), make_suite(40), tmp_path)
    assert evaluate(FunctionCaller(answer, "mine"), make_suite(40), tmp_path).complete
    assert len(asked) <= 40 + 4  # the portion that was under way


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import time; time.sleep(60)", "timeout: no answer within"),  # never reads what it is given
        (
            'import sys\nfor line in sys.stdin: print(\'{"calls": []}\\n{"calls": []}\', flush=True)',
            "protocol: more than one",
        ),
        (
            'import sys\nfor line in sys.stdin: print(\'{"id": 77, "calls": []}\', flush=True)',
            "protocol: the answer has id 77",
        ),
        ("import sys; sys.stdin.readline(); sys.exit(3)", "crashed: exit code 3"),
    ],
)
def test_a_program_that_breaks_the_protocol_is_found_out(make_trace, write, code, reason):
    caller = CommandCaller(
        f"{sys.executable} {write('broken.py', code)}", patience=5, startup=2 if "timeout" in reason else 60
    )
    results = caller.answer([make_trace(query="word " * 100_000).request] * (2 if "timeout" in reason else 8))
    assert any(one.infra_error and one.error.startswith(reason) for one in results)
    caller.close()


def test_a_program_that_cannot_be_started_is_named(make_suite, tmp_path):
    with pytest.raises(UserError, match="cannot be started"):
        evaluate(open_adapter("cmd:/no/such/program"), make_suite(3), tmp_path)
    for bad in ("cmd:", "cmd:'open", "xyz:1", "py:nothing"):
        with pytest.raises(UserError):
            open_adapter(bad)


def test_a_function_of_a_file_may_give_calls_text_or_an_object(make_suite, tmp_path):
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
        from needle.evals import baseline
        def level(request):
            return int(request["query"].split()[-1])
        def calls(request):
            return [{"name": "set_light", "arguments": {"room": "hall", "level": level(request)}}]
        def text(request):
            return '<tool_call>{"name": "set_light", "arguments": {"room": "hall", "level": %d}}</tool_call>' % level(request)
        def both(request):
            return {"calls": calls(request), "confidence": 0.9}
        def broken(request):
            if level(request) == 4:
                raise ZeroDivisionError("four")
            return calls(request)
        def made():
            return baseline("never")
        number = 3
        """)
    )
    suite = make_suite(9)
    for name in ("calls", "text", "both"):
        results = evaluate(open_adapter(f"py:{tmp_path / 'mine.py'}:{name}"), suite, tmp_path / name)
        assert results.rate().value == pytest.approx(6 / 9) and results.complete
    assert results.rows[0]["confidence"] == 0.9
    broken = evaluate(open_adapter(f"py:{tmp_path / 'mine.py'}:broken"), suite, tmp_path / "broken")
    assert broken.rows[4]["error"] == "exception: ZeroDivisionError: four" and not broken.complete
    assert open_adapter(f"py:{tmp_path / 'mine.py'}:made").name == "baseline:never"
    for bad, message in (("nothing", "has no nothing"), ("number", "neither a function")):
        with pytest.raises(UserError, match=message):
            open_adapter(f"py:{tmp_path / 'mine.py'}:{bad}")
    for bad in ("py:no_such_module_here:f", f"py:{tmp_path / 'absent.py'}:f"):
        with pytest.raises(UserError, match="cannot be loaded|no such file"):
            open_adapter(bad)


def test_a_replayed_run_equals_the_run(make_suite, scripted, tmp_path):
    def mixed(query: str):
        level = int(query.split()[-1])
        if level % 4 == 3:
            return CallResult(error="HTTP 503", infra_error=True)
        return (
            json.dumps([{"name": "set_light", "arguments": {"room": "hall", "level": level}}]) if level % 2 else "oops"
        )

    suite = make_suite(12)
    first = evaluate(scripted(mixed), suite, tmp_path / "first")
    caller = open_adapter(f"replay:{tmp_path / 'first' / 'rows.jsonl'}", traces=suite.traces)
    again = evaluate(caller, suite, tmp_path / "again")
    assert [row["verdict"] for row in again.rows] == [row["verdict"] for row in first.rows]
    assert again.summary["rates"] == first.summary["rates"] and again.summary["causes"] == first.summary["causes"]


def test_saved_outputs_of_others_are_read_by_id_and_missing_rows_are_counted(make_suite, write, tmp_path):
    suite = make_suite(60)
    lines = [
        {"id": f"r{n}", "output": json.dumps([{"name": "set_light", "arguments": {"room": "hall", "level": n}}])}
        for n in range(0, 60, 20)
    ]
    path = write("saved.jsonl", lines)
    results = evaluate(open_adapter(f"replay:{path}", traces=suite.traces), suite, tmp_path / "run")
    assert results.summary["infra_errors"]["count"] == 57 > GIVE_UP  # missing rows do not stop the replay
    assert {row["id"] for row in results.rows if not row["infra_error"]} == {"r0", "r20", "r40"}
    assert "has no output for row r1" in results.rows[1]["error"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a", "output": "[]"}\n{"id": "b", "out\n', "saved.jsonl:2: broken JSON"),
        ('{"id": "a"}\n', "neither output nor calls"),
        ('{"output": "[]"}\n', "no saved output"),
        ('{"id": "a", "output": "[]"}\n{"id": "a", "output": "x"}\n', "saved.jsonl:2: another output for a"),
        ("\n", "holds no outputs"),
    ],
)
def test_a_broken_replay_file_is_refused_with_its_line(write, text, message):
    with pytest.raises(UserError, match=message):
        open_adapter(f"replay:{write('saved.jsonl', text)}")
    with pytest.raises(UserError, match="cannot be read"):
        open_adapter("replay:nowhere.jsonl")


def test_a_model_that_answers_in_words_is_counted_not_hidden(make_suite, scripted, tmp_path, write):
    suite = make_suite(9)
    lines = [{"id": trace.id, "output": "I am sorry, I can not do that."} for trace in suite.traces]
    path = write("words.jsonl", lines)
    lenient = evaluate(open_adapter(f"replay:{path}", traces=suite.traces), suite, tmp_path / "auto")
    strict = evaluate(open_adapter(f"replay:{path}", traces=suite.traces, parser="json"), suite, tmp_path / "json")
    assert lenient.summary["reading"]["replies"] == 9 and lenient.rate().value == pytest.approx(1 / 3)
    assert strict.rate("well_formed").value == 0.0 and strict.summary["reading"]["unread_share"] == 1.0
    from needle.evals.text import warnings

    assert any("plain words" in line for line in warnings(lenient.summary))
    assert any(
        line.startswith("WARNING: 9 of 9 outputs (100.0 %) could not be read") for line in warnings(strict.summary)
    )


def test_an_endpoint_that_passes_a_dialect_through_is_read_by_a_parser(make_trace, scripted):
    def completion(content: str) -> CallResult:
        return CallResult(raw=json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}))

    text = '<tool_call>{"name": "set_light", "arguments": {"room": "hall"}}</tool_call>'
    request = make_trace().request
    for inner, calls in (
        (completion(text), [ToolCall("set_light", {"room": "hall"})]),
        (completion("I cannot do that."), []),
    ):
        (result,) = ContentCaller(scripted(lambda query, inner=inner: inner), "hermes").answer([request])
        assert list(result) == calls and result.error is None
    native = CallResult([ToolCall("send", {})], raw="{}")
    assert list(ContentCaller(scripted(lambda query: native), "hermes").answer([request])[0]) == [ToolCall("send", {})]


def test_a_caller_that_is_dead_is_not_asked_to_the_end(make_suite, scripted, tmp_path):
    suite = make_suite(150)

    def dies(query: str):
        return CallResult(error="connection refused", infra_error=True) if int(query.split()[-1]) >= 20 else "[]"

    caller = scripted(dies)
    results = evaluate(caller, suite, tmp_path, batch_size=10)
    assert 20 + GIVE_UP <= len(caller.asked) <= 20 + GIVE_UP + 10
    assert results.summary["infra_errors"]["count"] == 130 and not results.complete
    assert sum(row["error"].startswith("not_asked") for row in results.rows if row["error"]) == 150 - len(caller.asked)
    mended = scripted(lambda query: "[]")
    assert evaluate(mended, suite, tmp_path).complete and len(mended.asked) == 130
