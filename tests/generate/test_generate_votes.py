"""Labels are doubted as far as they deserve: agreement costs nothing, a fault is put in words once, a dispute goes to a vote."""

from __future__ import annotations

import asyncio
import json
import math
from types import SimpleNamespace

import pytest
from generate_helpers import TOOLS

from needle.errors import UserError
from needle.generate.checks import Checks
from needle.generate.judge import QUESTIONS, Judge, judge_cases, questions_for, read_verdict
from needle.generate.labels import Labeller, token_alternatives
from needle.generate.plan import Plan, PlannedCall
from needle.generate.votes import Ballot, canonical, count, decisions
from needle.teacher.config import TeacherConfig
from needle.teacher.wire import Answer, WireNames, read_answer
from needle.tools.read import read_tools
from needle.tools.spec import ToolCall
from needle.tools.validate import validate_calls
from needle.traces.formats import trace_from_dict

SPECS = read_tools(TOOLS)
PLAN = Plan("single", 0, 1, (PlannedCall("send_message"),))
HI = ToolCall("send_message", {"contact": "Ann", "text": "hi"})
ALARM = ToolCall("set_alarm", {"time": "06:00"})


class FakeDesk:
    """Answers from a script, in order, and remembers who was asked for what."""

    def __init__(self, script, labellers=("one",), text=""):
        self.script, self.asked, self.labellers, self.text = list(script), [], labellers, text

    def teachers(self, role):
        return {name: 1.0 for name in self.labellers}

    def pick(self, stage, body):
        return self.labellers[0]

    def seat(self, name):
        return SimpleNamespace(teacher=SimpleNamespace(config=TeacherConfig(base_url="http://x/v1")))

    async def ask(self, stage, body, *, teacher=None):
        self.asked.append((stage, teacher, body))
        calls = self.script.pop(0)
        if isinstance(calls, str):
            return Answer(b"", calls)
        names = WireNames(SPECS)
        return Answer(b"", "", tuple((names.out(call.name), json.dumps(call.arguments)) for call in calls))


def body(seed):
    return {"messages": [{"role": "user", "content": "tell Ann hi"}], "seed": seed, "temperature": 0.0}


def settle(script, labellers=("one",), plan=PLAN, request="tell Ann hi", **checks):
    desk = FakeDesk(script, labellers)
    return asyncio.run(Labeller(desk, Checks(**checks)).settle(plan, request, SPECS, body)), desk


def test_a_label_that_agrees_with_the_plan_is_asked_for_once():
    label, desk = settle([[HI]], votes=5)
    assert label.calls == (HI,) and not label.verdict.refusals and [stage for stage, *_ in desk.asked] == ["label"]
    assert "votes" not in label.meta


def test_a_dispute_is_settled_by_three_and_only_a_split_by_five():
    label, desk = settle([[ALARM], [HI], [HI]], votes=5)
    assert label.calls == (HI,) and not label.verdict.refusals and len(desk.asked) == 3
    assert label.meta["votes"]["share"] == 0.6667 and label.meta["votes"]["decisions"]["tools"] == {"send_message": 0.6667, "set_alarm": 0.3333}
    assert label.meta["rejected"] == [ALARM.to_dict()]
    label, desk = settle([[ALARM], [HI], [], [HI], [HI]], votes=5, share=0.6)
    assert label.calls == (HI,) and len(desk.asked) == 5 and label.meta["votes"]["share"] == 0.6
    label, desk = settle([[ALARM], [HI], []], votes=3)
    assert [item.code for item in label.verdict.refusals] == ["plan_disagrees", "votes_split"] and len(desk.asked) == 3


def test_a_majority_against_the_plan_keeps_the_row_only_where_its_kind_stays():
    label, _ = settle([[ALARM], [ALARM], [ALARM]], request="wake me at 6 am", votes=3)
    assert label.calls == (ALARM,) and not label.verdict.refusals and label.meta["votes"]["settled"] == ["plan_disagrees"]
    label, _ = settle([[], [], []], votes=3)
    assert [item.code for item in label.verdict.refusals] == ["expected_call"]


def test_votes_never_clear_a_value_from_nowhere():
    lie = ToolCall("set_alarm", {"time": "07:15"})
    label, _ = settle([[lie], [lie], [lie]], request="wake me at 6 am", votes=3, repair=False)
    assert [item.code for item in label.verdict.refusals] == ["ungrounded"]


def test_other_teachers_vote_before_the_first_is_asked_again_and_then_warmer():
    _, desk = settle([[ALARM], [HI], []], labellers=("one", "two"), votes=3)
    assert [teacher for _, teacher, _ in desk.asked] == ["one", "two", "one"]
    assert desk.asked[1][2]["temperature"] == 0.0 and desk.asked[2][2]["temperature"] > 0
    assert len({ask[2]["seed"] for ask in desk.asked}) == 3


def test_a_fault_is_put_in_words_once_and_the_better_label_is_tagged():
    wrong = ToolCall("send_message", {"contact": "Bob", "text": "hi"})
    label, desk = settle([[wrong], [HI]])
    assert label.calls == (HI,) and label.meta["repaired"] == ["ungrounded"] and label.meta["rejected"] == [wrong.to_dict()]
    assert "'Bob'" in desk.asked[1][2]["messages"][-1]["content"] and desk.asked[1][0] == "repair"
    label, desk = settle([[wrong], [wrong]])
    assert [item.code for item in label.verdict.refusals] == ["ungrounded"] and len(desk.asked) == 2 and "repaired" not in label.meta
    assert len(settle([[wrong]], repair=False)[1].asked) == 1


def test_calls_are_compared_whatever_their_order_case_and_number_type():
    a, b = ToolCall("f", {"x": 5.0, "y": "Oslo"}), ToolCall("g", {})
    assert canonical([a, b]) == canonical([b, ToolCall("f", {"y": "oslo", "x": 5})])
    assert canonical([a]) != canonical([ToolCall("f", {"x": 5, "y": "Bergen"})])


def test_votes_are_weighted_and_unreadable_ones_count_against_all():
    ballots = [Ballot("a", 1.0, (HI,)), Ballot("b", 3.0, (ALARM,)), Ballot("c", 1.0, None)]
    result = count(ballots)
    assert result.winner == 1 and result.share == 0.6 and result.groups == (0, 1, -1)
    assert count([Ballot("c", 1.0, None)]).winner is None


def test_soft_labels_are_distributions_over_the_decisions_that_were_not_unanimous():
    def lights(room, **more):
        return Ballot("t", 1.0, (ToolCall("set_lights", {"room": room, "on": True, **more}),))

    soft = decisions([lights("hall"), lights("hall", brightness=5), lights("kitchen"), Ballot("t", 1.0, ())], 0, SPECS)
    assert soft["tools"] == {"set_lights": 0.75, "": 0.25} and soft["given"] == {"0.brightness": 0.3333}
    assert soft["members"] == {"0.room": {'"hall"': 0.6667, '"kitchen"': 0.3333}}
    assert all(math.isclose(sum(shares.values()), 1, abs_tol=1e-3) for shares in [soft["tools"], *soft["members"].values()])


def test_token_alternatives_keep_the_mass_of_everything_not_listed():
    top = [{"token": chr(97 + n), "logprob": math.log(p)} for n, p in enumerate((0.5, 0.2, 0.1, 0.05, 0.04, 0.03))]
    content = [{"token": "a", "logprob": math.log(0.5), "top_logprobs": top}]
    raw = json.dumps({"choices": [{"message": {"content": "a"}, "logprobs": {"content": content}}]}).encode()
    (row,) = token_alternatives(read_answer(raw))
    assert row["t"] == "a" and len(row["alt"]) == 5 and row["rest"] == pytest.approx(1 - 0.89, abs=1e-3)
    assert token_alternatives(Answer(b"{}", "")) is None


def test_bad_settings_are_refused():
    for wrong in ({"votes": 2}, {"share": 0.4}, {"share": 1.5}):
        with pytest.raises(UserError):
            Checks(**wrong)
    assert Checks().shaping() == {} and Checks(votes=3).shaping() == {"votes": 3}


def test_the_hand_labelled_cases_are_valid_rows_with_an_answer_to_each_question():
    cases = judge_cases()
    answered = {name: [case["verdict"][name] for case in cases if name in case["verdict"]] for name in QUESTIONS}
    assert len(cases) >= 30 and all(set(values) == {True, False} for values in answered.values())
    for case in cases:
        trace = trace_from_dict({key: value for key, value in case.items() if key != "verdict"})
        assert validate_calls(trace.calls, trace.tools) == [] and case["verdict"].keys() == questions_for(trace.calls).keys()


def _judged(verdicts, request="tell Ann hi", calls=(HI,)):
    judge = Judge(FakeDesk(verdicts))
    return judge, asyncio.run(judge.refusals(request, calls, SPECS, 1))


def test_a_judge_that_agrees_with_the_person_refuses_and_one_at_chance_does_not():
    truth = [json.dumps(case["verdict"]) for case in judge_cases()]
    against = json.dumps({"served": True, "stated": False, "placed": True, "nothing_more": True})
    judge, (refusals, note, _) = _judged([*truth, against])
    assert [item.code for item in refusals] == ["judge:stated"] and note["stated"] is False
    assert all(item.kappa == 1.0 and item.usable for item in judge.agreement.values())
    always = [json.dumps(dict.fromkeys(case["verdict"], False)) for case in judge_cases()]
    judge, (refusals, _, _) = _judged([*always, against])
    assert refusals == [] and not judge.agreement["stated"].usable
    assert [item.code for item in _judged([*truth, "I think so"])[1][0]] == ["judge:unreadable"]


def test_a_judge_that_cannot_be_read_stops_before_rows_are_paid_for():
    with pytest.raises(UserError, match="another teacher, or leave the judge out"):
        _judged(["I think so"] * (len(judge_cases()) + 1))


def test_verdicts_are_read_with_words_around_them():
    assert read_verdict('Sure: {"a": true, "b": "no"}', ["a", "b"]) == {"a": True, "b": False}
    assert read_verdict('{"a": true}', ["a", "b"]) is None and read_verdict("[]", ["a"]) is None
