"""A fallback answers what the first caller is unsure of, and nothing is lost when it cannot."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from needle.errors import UserError
from needle.tools import Caller, CallResult, Request, ToolCall, ToolSpec
from needle.tools.fallback import FallbackCaller

TOOLS = (ToolSpec("light", "Switch a light.", {"type": "object", "properties": {"room": {"type": "string"}}}),)


class Fake(Caller):
    """Answers each request with its words as the room; confidence by a table."""

    def __init__(self, name: str, sure: dict[str, float | None] | None = None, **details: object) -> None:
        self.name, self.sure, self.details, self.asked = name, sure or {}, details, []

    def answer(self, requests):
        self.asked.append([request.query for request in requests])
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        return [
            CallResult([ToolCall("light", {"room": one.query})], confidence=self.sure.get(one.query), usage=usage, seconds=1.0, **self.details)
            for one in requests
        ]


class Dead(Caller):
    """An endpoint that cannot be asked."""

    name = "dead"

    def answer(self, requests):
        raise UserError("no such host")


def _ask(caller: Caller, *queries: str) -> list[CallResult]:
    return caller.answer([Request(query, TOOLS) for query in queries])


def test_only_what_is_below_the_threshold_goes_up_in_one_batch_and_in_order():
    first, second = Fake("small", {"hall": 0.9, "attic": 0.2, "den": 0.7, "loft": 0.69}), Fake("large")
    results = _ask(FallbackCaller(first, second, threshold=0.7), "hall", "attic", "den", "loft")
    assert second.asked == [["attic", "loft"]]
    assert [result.answered_by for result in results] == ["small", "large", "small", "large"]
    assert [result[0].arguments["room"] for result in results] == ["hall", "attic", "den", "loft"]
    assert not any(result.unsure for result in results)


def test_cost_of_both_is_counted_and_that_of_the_fallback_apart():
    sure, up = _ask(FallbackCaller(Fake("small", {"hall": 0.9, "attic": 0.2}), Fake("large")), "hall", "attic")
    assert sure.usage == {"prompt_tokens": 10, "completion_tokens": 2} and sure.seconds == 1.0
    assert up.usage == {"prompt_tokens": 20, "completion_tokens": 4, "fallback_prompt_tokens": 10, "fallback_completion_tokens": 2, "escalated": 1}
    assert up.seconds == 2.0


@pytest.mark.parametrize(("fallback", "why"), [
    (None, None), (Dead(), "no such host"), (Fake("large", error="http 500", infra_error=True), "http 500"), (Fake("large", error="malformed_json"), "malformed_json"),
])  # fmt: skip
def test_without_a_working_fallback_the_first_answer_stays_and_is_marked(fallback, why):
    sure, unsure = _ask(FallbackCaller(Fake("small", {"hall": 0.9, "attic": 0.2}), fallback), "hall", "attic")
    assert not sure.unsure and unsure.unsure
    assert unsure == [ToolCall("light", {"room": "attic"})] and unsure.error is None and unsure.answered_by == "small"
    assert unsure.fallback_error == why and sure.fallback_error is None


def test_an_answer_without_a_confidence_is_sure_unless_it_failed():
    assert not _ask(FallbackCaller(Fake("plain"), threshold=1.0), "hall")[0].unsure
    assert _ask(FallbackCaller(Fake("plain", error="truncated")), "hall")[0].unsure


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(UserError, match="probability"):
        FallbackCaller(Fake("small"), threshold=threshold)


def test_whoever_answers_explains():
    caller = FallbackCaller(Fake("small", {"the attic": 0.1}), Fake("large"))
    result = caller.call("the attic", TOOLS, explain=True)
    assert result.answered_by == "large" and [(span.start, span.end) for span in result.evidence] == [(0, 9)]


class Flaky(Fake):
    """An endpoint that can be switched off; counts how often it is asked."""

    down = True

    def answer(self, requests):
        results = super().answer(requests)
        return [CallResult(error="http 503", infra_error=True) for _ in results] if self.down else results


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def _guarded(second: Caller, clock: Clock) -> FallbackCaller:
    caller = FallbackCaller(Fake("small", {str(n): 0.1 for n in range(40)}), second, failures=3, pause=60)
    caller._breaker._clock = clock
    return caller


def test_a_dead_fallback_is_left_out_for_a_while_and_tried_again_by_one_request(caplog):
    second, clock = Flaky("large"), Clock()
    caller = _guarded(second, clock)
    for number in range(10):
        (result,) = _ask(caller, str(number))
        assert result.unsure and result.answered_by == "small" and "http 503" in result.fallback_error
    assert len(second.asked) == 3 and "left out after 3 failures in a row, tried again in 60 s" in result.fallback_error
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "large failed 3 times in a row" in caplog.text
    clock.now += 61
    assert "left out" in _ask(caller, "1", "2", "3")[2].fallback_error and second.asked[3:] == [["1"]]  # one of the batch tries, and fails
    assert "left out" in _ask(caller, "4")[0].fallback_error and len(second.asked) == 4
    second.down, clock.now = False, clock.now + 61
    assert [one.answered_by for one in _ask(caller, "5", "6", "7")] == ["large"] * 3 and second.asked[4:] == [["5"], ["6", "7"]]
    assert len(caplog.records) == 2 and "answers again" in caplog.records[1].message
    assert [one.answered_by for one in _ask(caller, "8")] == ["large"]


def test_only_failures_in_a_row_count_and_malformed_answers_are_none():
    second = Flaky("large")
    caller = _guarded(second, Clock())
    for number in range(8):
        second.down = number % 2 == 0
        _ask(caller, str(number))
    assert len(second.asked) == 8
    broken = Fake("large", error="malformed_json")
    caller = _guarded(broken, Clock())
    for number in range(8):
        _ask(caller, str(number))
    assert len(broken.asked) == 8
    with pytest.raises(UserError, match="at least one failure"):
        FallbackCaller(Fake("small"), broken, failures=0)


def test_of_many_threads_one_tries_a_fallback_that_was_left_out():
    second, clock = Flaky("large"), Clock()
    caller = _guarded(second, clock)
    _ask(caller, "1", "2", "3")
    clock.now += 61
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: _ask(caller, str(number))[0], range(16)))
    assert len(second.asked) == 2 and all(result.unsure and result.fallback_error for result in results)
