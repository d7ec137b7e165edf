"""Mobile Actions, DroidCall and When2Call on rows of their published shape, and what is said when the hub is away."""

from __future__ import annotations

import json
import time

import pytest

from needle.errors import UserError
from needle.evals import baseline, judge
from needle.evals import hub as hub_module
from needle.evals.decisions import decision_table
from needle.evals.droidcall import comparators_of
from needle.evals.hub import HubFiles
from needle.evals.match import correct
from needle.evals.suites import load_suite
from needle.evals.text import warnings
from needle.tools import ToolCall, ToolSpec

FLASH = {
    "function": {
        "name": "turn_on_flashlight",
        "description": "Turns the flashlight on.",
        "parameters": {"type": "OBJECT", "properties": {}},
    }
}
EVENT = {
    "function": {
        "name": "create_calendar_event",
        "description": "Creates an event.",
        "parameters": {
            "type": "OBJECT",
            "properties": {
                "title": {"type": "STRING", "description": "Title"},
                "datetime": {"type": "STRING", "description": "Start", "nullable": None},
            },
            "required": ["title", "datetime"],
        },
    }
}
NOW = "Current date and time given in YYYY-MM-DDTHH:MM:SS format: 2025-01-10T09:00:00\nDay of week is Friday"


def mobile_row(split, query, *calls):
    turns = [
        {"role": "developer", "content": NOW, "tool_calls": None},
        {"role": "user", "content": query, "tool_calls": None},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": n, "arguments": a}} for n, a in calls],
        },
    ]
    return {"metadata": split, "tools": [FLASH, EVENT], "messages": turns}


@pytest.fixture
def mobile(tmp_path):
    rows = [
        mobile_row("train", "light", ("turn_on_flashlight", {})),
        mobile_row(
            "eval",
            "lunch on Monday at noon",
            ("create_calendar_event", {"title": "Lunch", "datetime": "2025-01-13T12:00:00", "to": None}),
        ),
        mobile_row(
            "eval",
            "light and lunch",
            ("turn_on_flashlight", {}),
            ("create_calendar_event", {"title": "L", "datetime": "2025-01-10T12:00:00"}),
        ),
        {"metadata": "eval", "tools": [FLASH], "messages": [{"role": "user", "content": "no answer"}]},
    ]
    (tmp_path / "mobile-actions").mkdir()
    lines = [json.dumps(row) for row in rows] + ["{broken"]
    (tmp_path / "mobile-actions" / "dataset.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


API = [
    {
        "name": "ACTION_SET_ALARM",
        "description": "Set an alarm.",
        "arguments": {
            "EXTRA_HOUR": {
                "description": "Hour.",
                "type": "int",
                "required": True,
                "match_type": "strict",
                "reason": "fixed",
            },
            "EXTRA_MESSAGE": {
                "description": "Text.",
                "type": "str",
                "required": False,
                "default": "",
                "match_type": "semantic",
            },
            "EXTRA_DAYS": {
                "description": "Days.",
                "type": "list[str]",
                "required": False,
                "default": None,
                "match_type": "strict",
            },
        },
        "returns": {"type": "None"},
    },
    {
        "name": "dial",
        "description": "Dial.",
        "arguments": {"phone_number": {"description": "Number.", "type": "str", "required": True}},
    },
    *({"name": f"tool_{n}", "description": f"Does {n}.", "arguments": {}} for n in range(6)),
]


@pytest.fixture
def droid(tmp_path):
    alarm = {"EXTRA_HOUR": 7, "EXTRA_DAYS": ["Monday", "Tuesday"], "EXTRA_MESSAGE": "Wake up now"}
    nested = [
        {"id": 0, "name": "tool_1", "arguments": {}},
        {"id": 1, "name": "dial", "arguments": {"phone_number": "#0"}},
    ]
    rows = [
        {"query": "alarm at 7 on Mon and Tue", "answers": [{"name": "ACTION_SET_ALARM", "arguments": alarm}]},
        {"query": "call Bob", "answers": nested},
        {"query": "odd", "answers": [{"name": "unknown", "arguments": {}}]},
    ]
    folder = tmp_path / "droidcall"
    folder.mkdir()
    (folder / "DroidCall_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "annotated_api.jsonl").write_text("".join(json.dumps(tool) + "\n" for tool in API))
    return tmp_path


@pytest.fixture
def when2call(tmp_path):
    tool = {
        "name": "get_id",
        "description": "Find an id.",
        "parameters": {"type": "dict", "required": ["name"], "properties": {"name": {"type": "string"}}},
    }
    common = {"source": "BFCL v2 Live Simple", "tools": [json.dumps(tool)], "orig_tools": []}
    call = '{"name": "get_id", "arguments": {"name": "Bo"}}'
    rows = [
        {
            "uuid": "a",
            "question": "the id of Bo",
            "correct_answer": "tool_call",
            "answers": {"tool_call": call},
            **common,
        },
        {
            "uuid": "b",
            "question": "the id",
            "correct_answer": "request_for_info",
            "answers": {"tool_call": call},
            **common,
        },
        {
            "uuid": "c",
            "question": "the id of Bo",
            "correct_answer": "cannot_answer",
            "answers": {"tool_call": call},
            **common,
            "tools": [],
        },
        {"uuid": "d", "question": "x", "correct_answer": "perhaps", "answers": {}, **common},
    ]
    (tmp_path / "when2call").mkdir()
    (tmp_path / "when2call" / "when2call_test_mcq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def warnings_of(suite):
    return warnings({"suite": suite.to_dict(), "infra_errors": {"count": 0}, "n": len(suite.traces)})


def right(suite):
    results = baseline("gold", suite.traces).answer([trace.request for trace in suite.traces])
    return [judge(trace, result).correct for trace, result in zip(suite.traces, results, strict=True)]


def test_mobile_actions_reads_the_test_part_and_names_what_it_cannot_use(mobile):
    suite = load_suite("mobile-actions", data=mobile)
    assert [trace.id for trace in suite.traces] == ["eval-2", "eval-3"] and suite.unusable == 2
    assert "dataset.jsonl:4" in suite.problems[0] and "dataset.jsonl:5" in suite.problems[1]
    first, second = suite.traces
    assert first.system == NOW and first.query == "lunch on Monday at noon" and first.kind == "1 call"
    assert first.calls == (ToolCall("create_calendar_event", {"title": "Lunch", "datetime": "2025-01-13T12:00:00"}),)
    assert [call.name for call in second.calls] == ["turn_on_flashlight", "create_calendar_event"]
    assert first.tools[1].parameters["properties"]["title"] == {"type": "string", "description": "Title"}
    assert suite.files.keys() == {"dataset.jsonl"} and len(suite.files["dataset.jsonl"]) == 64
    assert all(right(suite)) and not suite.suspects
    assert "not the file that published figures rest on" in suite.notes[0] and suite.notes[0] in warnings_of(suite)


def test_droidcall_offers_four_tools_drawn_by_the_seed_and_hides_the_annotations(droid):
    suite = load_suite("droidcall", data=droid)
    assert len(suite.traces) == 2 and suite.unusable == 1 and "unknown" in suite.problems[0]
    assert [trace.kind for trace in suite.traces] == ["1 call", "nested"]
    for trace in suite.traces:
        names = [tool.name for tool in trace.tools]
        assert len(names) == len(set(names)) == 4 and {call.name for call in trace.calls} <= set(names)
        assert "match_type" not in json.dumps([tool.to_dict() for tool in trace.tools])
    orders = {
        tuple(tool.name for tool in load_suite("droidcall", data=droid, seed=n).traces[0].tools) for n in range(6)
    }
    assert len(orders) > 3 and all(right(suite))


def test_droidcall_compares_as_its_publisher_does_and_strictly_beside(droid):
    trace = load_suite("droidcall", data=droid).traces[0]
    assert comparators_of(API) == {
        "ACTION_SET_ALARM.EXTRA_HOUR": "casefold",
        "ACTION_SET_ALARM.EXTRA_MESSAGE": "fuzzy:0.85",
        "ACTION_SET_ALARM.EXTRA_DAYS": "set",
        "dial.phone_number": "casefold",
    }
    loose = {"EXTRA_HOUR": 7, "EXTRA_DAYS": ["Tuesday", "monday"], "EXTRA_MESSAGE": "Wake up, now"}
    assert correct(trace, [ToolCall("ACTION_SET_ALARM", loose)])
    assert not correct(trace, [ToolCall("ACTION_SET_ALARM", loose)], "strict")
    assert not correct(trace, [ToolCall("ACTION_SET_ALARM", loose | {"EXTRA_HOUR": 8})])


def test_when2call_wants_a_call_a_question_or_a_refusal(when2call):
    suite = load_suite("when2call", data=when2call)
    assert [trace.kind for trace in suite.traces] == ["tool_call", "request_for_info", "cannot_answer"]
    assert suite.unusable == 1 and "perhaps" in suite.problems[0]
    assert suite.traces[2].tools == () and suite.traces[0].tools[0] == ToolSpec(
        "get_id", "Find an id.", {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    )
    gold = baseline("gold", suite.traces).answer([trace.request for trace in suite.traces])
    table = decision_table(judge(trace, result) for trace, result in zip(suite.traces, gold, strict=True))
    assert {due: sum(done.values()) for due, done in table["matrix"].items()} == {"call": 1, "ask": 1, "cannot": 1}
    with pytest.raises(UserError, match="has no when2call_test_llm_judge"):
        load_suite("when2call/judge", data=when2call)


@pytest.mark.parametrize("name", ["mobile-actions", "droidcall", "when2call"])
def test_a_hub_out_of_reach_is_said_with_what_to_put_where(name, monkeypatch):
    monkeypatch.delenv("NEEDLE_DATA", raising=False)
    import huggingface_hub

    def away(*args, **options):
        raise ConnectionError("no route to host\nmore lines")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", away)
    monkeypatch.setattr(hub_module, "_reachable", lambda: None)
    with pytest.raises(UserError, match="hub is out of reach .*no route to host.*NEEDLE_DATA") as caught:
        load_suite(name)
    assert "\n" not in str(caught.value) and f"{name}/" in str(caught.value)


def test_what_the_hub_gives_is_read_like_a_folder(mobile, monkeypatch):
    import huggingface_hub

    asked = []

    def here(repository, name, *, repo_type, revision, local_files_only=False):
        if local_files_only:
            raise FileNotFoundError(name)
        asked.append((repository, name, repo_type, revision))
        return mobile / "mobile-actions" / name

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", here)
    monkeypatch.setattr(hub_module, "_reachable", lambda: None)
    monkeypatch.delenv("NEEDLE_DATA", raising=False)
    suite = load_suite("mobile-actions")
    assert suite.hash == load_suite("mobile-actions", data=mobile).hash
    assert asked == [("google/mobile-actions", "dataset.jsonl", "dataset", suite.revision)]
    assert HubFiles("a/b", "c", "d") == HubFiles("a/b", "c", "d") and hub_module.VARIABLE == "NEEDLE_DATA"


def test_a_cached_file_needs_no_hub_and_an_unknown_hub_is_told_at_once(mobile, monkeypatch):
    import huggingface_hub

    def cached(repository, name, *, local_files_only=False, **where):
        assert local_files_only, "the hub was asked though the file is in the cache"
        return mobile / "mobile-actions" / name

    monkeypatch.delenv("NEEDLE_DATA", raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(huggingface_hub, "hf_hub_download", cached)
        assert len(load_suite("mobile-actions").traces) == 2
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://no-such-hub.invalid")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(mobile))
    started = time.monotonic()
    with pytest.raises(UserError, match="hub is out of reach"):
        load_suite("mobile-actions")
    assert time.monotonic() - started < 10
