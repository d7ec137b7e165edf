"""Plans: by seed and index alone, tools in turn, each kind as it says, and what the author is told of it."""

from __future__ import annotations

import json

import pytest
from generate_helpers import TOOLS

from needle.errors import UserError
from needle.generate.kinds import KIND_RULES, impossible_kinds, omittable
from needle.generate.plan import plan_for, quotas
from needle.generate.prompts import label_body, read_written, write_body
from needle.generate.siblings import siblings
from needle.generate.styles import AXES
from needle.tools.arguments import leaves, schema_at
from needle.tools.read import read_tools
from needle.tools.spec import ToolSpec
from needle.traces.trace import KINDS, NO_CALL

LOOK_ALIKES = [
    {"name": "delete_alarm", "description": "Delete an alarm.", "parameters": {
        "type": "object", "properties": {"time": {"type": "string", "format": "time"}}, "required": ["time"]}},
    {"name": "file_claim", "description": "File an insurance claim.", "parameters": {"type": "object", "properties": {
        "policy": {"type": "string"}, "holder": {"type": "string", "description": "name of the person"},
        "damage": {"type": "number"}, "day": {"type": "string", "format": "date"}, "email": {"type": "string", "format": "email"}},
        "required": ["policy", "holder", "damage", "day"]}},
]  # fmt: skip
SPECS = read_tools([*TOOLS, *LOOK_ALIKES])
NAMES = {tool.name: tool for tool in SPECS}


def _plans(kind: str, count: int = 60, seed: int = 0) -> list:
    return [plan_for(kind, index, SPECS, seed) for index in range(count)]


def test_quotas_add_up_and_follow_the_mix():
    shares = {"single": 0.5, "parallel": 0.3, "chat": 0.2}
    for n in (1, 7, 100, 1001):
        counts = quotas(n, shares | {"missing": 0.0})
        assert sum(counts.values()) == n and "missing" not in counts
        assert all(abs(counts[kind] - n * share) < 1 for kind, share in shares.items())


@pytest.mark.parametrize("kind", KINDS)
def test_plans_depend_on_seed_and_index_only(kind):
    plans = _plans(kind, 24, seed=4)
    assert plans[5] == plan_for(kind, 5, SPECS, seed=4) and plans[5].seed != plan_for(kind, 5, SPECS, seed=5).seed
    assert len({plan.seed for plan in plans}) == 24


@pytest.mark.parametrize(("kind", "tools"), [
    ("single", set(NAMES)), ("parallel", set(NAMES)), ("several", set(NAMES)), ("negated", set(NAMES)),
    ("missing", set(NAMES)), ("extraction", {"file_claim"}),
])  # fmt: skip
def test_tools_take_turns(kind, tools):
    assert {plan.calls[0].tool for plan in _plans(kind, len(tools))} == tools


def test_every_kind_is_what_it_says():
    assert all(len({call.tool for call in plan.calls}) == 1 < len(plan.calls) for plan in _plans("parallel"))
    assert all(len({call.tool for call in plan.calls}) == len(plan.calls) > 1 for plan in _plans("several"))
    assert {plan.calls[0].tool: plan.beside for plan in _plans("sibling")}["delete_alarm"] == "set_alarm"
    assert all(len(plan.calls) == 1 for kind in ("single", "sibling", "extraction", "negated", "missing") for plan in _plans(kind))
    corrected = _plans("corrected")
    assert all((plan.calls[0].first or not all(call.due for call in plan.calls)) and len(plan.due) == 1 for plan in corrected)
    assert {len(plan.calls) for plan in corrected} == {1, 2}
    assert all(len(plan.due) == 1 for plan in _plans("half")) and any(plan.withheld for plan in _plans("half"))
    for kind in NO_CALL:
        assert all(plan.due == () for plan in _plans(kind))


def test_a_withheld_tool_is_asked_for_and_not_on_offer():
    near = [plan for plan in _plans("near_miss") if plan.withheld]
    assert {"set_alarm", "delete_alarm"} <= {plan.calls[0].tool for plan in near}
    for plan in near:
        offered = plan.offered(SPECS)
        assert siblings(NAMES[plan.calls[0].tool], offered)
        assert plan.calls[0].tool not in {tool.name for tool in offered} and len(offered) < len(SPECS)
        assert plan.calls[0].tool in write_body(plan, SPECS, 1.0)["messages"][1]["content"]


def test_what_a_plan_omits_or_cuts_is_required_and_not_boolean():
    plans = _plans("missing")
    assert {bool(plan.cut) for plan in plans} == {True, False}
    for plan in plans:
        call, path = plan.calls[0], plan.cut or plan.calls[0].omit
        tool = NAMES[call.tool]
        assert path in omittable(tool) and schema_at(tool.parameters, path)["type"] != "boolean"
        assert plan.cut or (path not in call.values and path not in call.suggest)
        assert plan.as_written.kind == ("single" if plan.cut else "missing")


def test_kinds_that_a_toolset_cannot_give_are_named():
    assert set(impossible_kinds([ToolSpec("stop")])) == {"missing", "parallel", "several", "sibling", "corrected", "extraction"}
    assert impossible_kinds(SPECS) == {}


def test_nothing_is_said_of_a_lamp_that_goes_off():
    for plan in _plans("single", 200):
        call = plan.calls[0]
        if call.values.get("on") is False:
            assert call.mention == ()


def test_axes_of_style_are_drawn_in_their_shares_and_independently():
    plans = _plans("single", 1500)
    for axis, shares in AXES.items():
        for value, share in shares.items():
            got = sum(getattr(plan.style, axis) == value for plan in plans) / len(plans)
            assert abs(got - share) < 0.05, (axis, value, got)
    long = [plan for plan in plans if plan.style.length == "long"]
    assert abs(sum(plan.style.case == "written" for plan in long) / len(long) - AXES["case"]["written"]) < 0.1


def test_distractors_are_given_where_the_style_has_one():
    for plan in _plans("single", 300):
        assert bool(plan.distractor) == (plan.style.distractor in ("number", "name"))


def test_suggestions_fit_their_schema_and_vary():
    from needle.tools.spec import ToolCall
    from needle.tools.validate import validate_calls

    seen: dict[str, set] = {}
    for plan in _plans("extraction", 120):
        call = plan.calls[0]
        flat = {path: value for path, value in call.suggest.items() if path in leaves(NAMES[call.tool])}
        codes = {item.code for item in validate_calls([ToolCall(call.tool, flat)], SPECS)}
        assert codes <= {"missing_required"}
        for path, value in flat.items():
            seen.setdefault(path, set()).add(value)
    assert {"holder", "damage", "day", "email"} <= seen.keys()
    assert len(seen["holder"]) > 40 and len(seen["day"]) > 40 and len(seen["email"]) > 40


def test_locales_come_from_faker_and_unknown_ones_are_refused():
    pytest.importorskip("faker")
    plans = [plan_for("extraction", index, SPECS, 0, ("ja_JP",)) for index in range(30)]
    assert plans == [plan_for("extraction", index, SPECS, 0, ("ja_JP",)) for index in range(30)]
    assert any(ord(char) > 0x3000 for plan in plans for char in str(plan.calls[0].suggest.get("holder", "")))
    assert all("ja_JP" in " ".join(plan.style.rules()) for plan in plans)
    with pytest.raises(UserError, match="xx_YY"):
        plan_for("single", 0, SPECS, 0, ("xx_YY",))


def test_some_requests_follow_turns_and_some_count_from_today():
    plans = _plans("single", 500)
    contexts = {plan.context for plan in plans}
    assert contexts == {"", "followup", "answer", "relative"}
    for plan in plans:
        assert (plan.context == "relative") <= bool(plan.facts)
        if plan.context == "answer":
            assert plan.ask_back in NAMES[plan.calls[0].tool].required


def test_the_author_is_told_kind_facts_and_style_and_the_labeller_the_facts():
    assert set(KIND_RULES) == set(KINDS)
    for kind in KINDS:
        for plan in _plans(kind, 12):
            content = write_body(plan, SPECS, 1.0)["messages"][1]["content"]
            order, _ = json.JSONDecoder().raw_decode(content)
            assert order["task"] == "write_request" and len(order["tools"]) == len(SPECS)
            assert (plan.facts or "") in content and plan.distractor in content
            assert all(rule in content for rule in plan.style.rules())
            system = label_body("hi", SPECS, 1, facts=plan.facts)["messages"][0]["content"]
            assert (plan.facts or "") in system


def test_turns_are_read_off_an_answer_and_an_answer_without_them_is_empty():
    plan = next(plan for plan in _plans("single", 500) if plan.context == "followup")
    text = 'User: turn on the hall light\nAssistant: "Done."\n**User:** and the kitchen too'
    written = read_written(plan, text)
    assert written.request == "and the kitchen too"
    assert [turn["content"] for turn in written.messages] == ["turn on the hall light", "Done."]
    assert read_written(plan, "and the kitchen too").request == "" and read_written(plan, "SKIP").request == "SKIP"
    assert read_written(_plans("chat", 1)[0], '"hello"').request == "hello"
