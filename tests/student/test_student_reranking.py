"""A second look: other answers are whole and what greedy makes of their beginnings, features say what they claim, sure answers stay."""

from __future__ import annotations


import numpy as np
import pytest
from student_helpers import LIGHT, STOP, TIMER, tiny_model
from tokenizers import Tokenizer

from needle.device.engine import OnnxEngine
from needle.student import reranking
from needle.student.agreement import FEATURES, Agreement
from needle.student.alternatives import MOST, Turn, Writer, alternatives, told_before, turns
from needle.student.caller import StudentCaller
from needle.student.decoding import Begun, Choice, Decoded, greedy
from needle.student.modeling.engine import TorchEngine
from needle.student.modeling.storage import save_quantized
from needle.student.prior import Judging, Naming, Prior
from needle.student.prior_fit import judged
from needle.student.rendering import parse_answer, render_answer
from needle.student.reranking import Candidates, candidates
from needle.student.tokenizer import EOS, NONE, SPECIAL_IDS
from needle.tools import Request, ToolCall, ToolSpec, fingerprint, validate_calls
from needle.tools.retrieval import ToolIndex

TOOLS = (LIGHT, TIMER, STOP)
REQUEST = Request("dim the hall to 40, then five minutes for the eggs", TOOLS)
UNLOCK = ToolSpec("unlock_scooter", "Unlock a scooter.", {"type": "object", "required": ["code"], "properties": {
    "code": {"type": "string"}, "promo": {"type": "string"}, "minutes": {"type": "integer"}, "seconds": {"type": "integer"}, "helmet": {"type": "boolean"},
    "speed": {"type": "string", "enum": ["slow", "fast"]}}})  # fmt: skip
RING = ToolSpec("ring_bell", "Ring the bell.", {"type": "object", "properties": {}})


@pytest.fixture(scope="module", params=["torch", "onnx", "onnx with places"])
def engine(request, tmp_path_factory):
    model = tiny_model(5, max_target_tokens=120)
    if request.param == "torch":
        return TorchEngine(model), False
    folder = tmp_path_factory.mktemp("engine")
    save_quantized(model, folder, 8)
    return OnnxEngine(folder), request.param == "onnx with places"


def _made(engine, align: bool, tokenizer: Tokenizer, fresh: bool) -> tuple[Decoded, list[tuple[Turn, Decoded]], StudentCaller]:
    """The greedy answer, and those behind turns, all written by one stepper or each by a fresh one."""
    caller = StudentCaller(engine, tokenizer)
    rendered, constraint = caller._render(REQUEST), caller.constraint
    stepper = caller._stepper([rendered], align)
    [first] = greedy(stepper, [constraint.matcher(TOOLS)], constraint, 120, request=rendered[2])

    def writer(stepper, told):
        return Writer(stepper, told, lambda: constraint.matcher(TOOLS), constraint, 120, rendered[2])

    class Recording(Writer):
        def behind(self, turn: Turn) -> Decoded:
            row = writer(caller._stepper([rendered], align), ()).behind(turn) if fresh else super().behind(turn)
            found.append((turn, row))
            return row

    found: list[tuple[Turn, Decoded]] = []
    one = Recording(stepper, told_before(first, first.choices[-1].place), lambda: constraint.matcher(TOOLS), constraint, 120, rendered[2])
    assert list(alternatives(first, one)) == [row for _, row in found]
    return first, found, caller


def test_alternatives_are_what_greedy_makes_of_each_beginning(engine, tokenizer: Tokenizer) -> None:
    model, align = engine
    first, found, caller = _made(model, align, tokenizer, fresh=False)
    assert len(found) == MOST and len({tuple(one.ids) for one in (first, *(row for _, row in found))}) == MOST + 1
    for turn, one in found:
        place = turn.choice.place
        assert one.ids[:place] == turn.answer.ids[:place] and one.ids[place] == turn.token != turn.answer.ids[place]
        assert one.choices[: turn.number] == turn.answer.choices[: turn.number] and one.choices[turn.number] == turn.choice
        assert [choice.place for choice in one.choices] == sorted({choice.place for choice in one.choices})
        matcher, rendered = caller.constraint.matcher(TOOLS), caller._render(REQUEST)
        matcher.consume_tokens(one.ids[: place + 1])
        forced = matcher.compute_ff_tokens()
        matcher.consume_tokens(forced)
        ids = (*one.ids[: place + 1], *forced)
        if one.ids[-1] == SPECIAL_IDS[EOS] and one.ids[place] not in (SPECIAL_IDS[NONE], SPECIAL_IDS[EOS]):
            begun = Begun(ids, (), (SPECIAL_IDS["<bos>"], *ids))
            [plain] = greedy(caller._stepper([rendered], align), [matcher], caller.constraint, 120, begun=begun)
            assert plain.ids == one.ids
            assert validate_calls(parse_answer(tokenizer, one.ids, TOOLS), TOOLS) == []
        if align:
            assert len(one.alignment_TS) in (len(one.ids), place + 1)


def test_a_stepper_that_goes_back_writes_what_a_fresh_one_does(engine, tokenizer: Tokenizer) -> None:
    (_, again, _), (_, fresh, _) = (_made(*engine, tokenizer, fresh) for fresh in (False, True))
    assert [one.ids for _, one in again] == [one.ids for _, one in fresh]
    for (_, one), (_, other) in zip(again, fresh, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-3)
        if one.alignment_TS is not None:
            np.testing.assert_allclose(one.alignment_TS, other.alignment_TS, atol=1e-5)


class Lists(Writer):
    """Says the same few choices behind every turn."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, float]] = []

    def behind(self, turn: Turn) -> Decoded:
        self.taken.append((turn.token, round(sum(choice.log_probability for choice in (*turn.answer.choices[: turn.number], turn.choice)), 6)))
        return Decoded([*turn.answer.ids[: turn.choice.place], turn.token, 50], (*turn.answer.choices[: turn.number], turn.choice, Choice(turn.choice.place + 1, -0.1, ((60, -2.0),))))


def test_the_most_promising_turns_are_taken_first_and_those_behind_them_come_in() -> None:
    choices = (Choice(0, -0.1, ((7, -2.5), (8, -4.0), (9, -5.0), (10, -4.9))), Choice(2, -1.0, ((5, -1.2),)), Choice(5, -0.2))
    first, writer = Decoded([1, 2, 3, 4, 5, 6], choices), Lists()
    assert [round(worth, 6) for worth, _ in turns(first)] == [-2.5, -4.0, -4.9, -1.3] and [turn.token for _, turn in turns(first, 1)] == [5]
    assert len(list(alternatives(first, writer))) == MOST
    assert writer.taken == [(5, -1.3), (7, -2.5), (60, -3.3), (8, -4.0), (60, -4.5), (10, -4.9), (60, -5.3)]
    assert list(alternatives(Decoded([1], (Choice(0, -0.2),)), writer)) == []


def _said(query: str, *calls: ToolCall, system: str = "") -> dict[str, float]:
    request = Request(query, (UNLOCK, RING), system=system)
    found = Agreement(request, ToolIndex(request.tools)).features(calls)
    return {name: float(value) for name, value in zip(FEATURES, found, strict=True) if value}


def test_features_of_answers_are_what_they_are_called() -> None:
    query = "unlock W9W9 with promo RIDE5"
    assert _said(query, ToolCall("unlock_scooter", {"code": "W9W9", "promo": "RIDE5"})).keys() == {"beside"}
    assert _said(query, ToolCall("unlock_scooter", {"code": "RIDE5", "promo": "RIDE5"}))["shared"] == 1
    lone = _said(query, ToolCall("unlock_scooter", {"code": "RIDE5"}))
    assert {**lone, "beside": 0} == {"left": 1, "left_share": 0.25, "beside": 0}  # "promo" is a word of the tool
    assert _said(query) == {"none": 1, "left": 4, "left_share": 1}
    assert _said(query, ToolCall("unlock_scooter", {"code": "Z1"}))["unsaid"] == 1
    assert "unsaid" not in _said(query, ToolCall("unlock_scooter", {"code": "Z1"}), system="The code is Z1.")
    twice = [ToolCall("unlock_scooter", {"code": "W9W9"})] * 2
    assert (_said(query, *twice)["again"], _said(query, *twice)["shared_beside"]) == (1, 1)
    assert "shared_beside" not in _said("2 of 2", ToolCall("unlock_scooter", {"code": "2"}), ToolCall("unlock_scooter", {"code": "2"}))


def test_amount_and_unit_and_the_ends_of_a_range_share_no_words() -> None:
    duration = {"type": "object", "properties": {"amount": {"type": "integer"}, "unit": {"type": "string", "enum": ["minutes", "hours"]}}}
    tool = ToolSpec("timer", "Start a timer.", {"type": "object", "properties": {
        "duration": duration, "rooms": {"type": "integer"}, "people": {"type": "integer"}, "start": {"type": "string", "format": "date"}, "end": {"type": "string", "format": "date"}}})  # fmt: skip

    def shared(query: str, **arguments: object) -> float:
        return dict(zip(FEATURES, Agreement(Request(query, (tool,)), ToolIndex((tool,))).features([ToolCall("timer", arguments)]), strict=True))["shared"]

    assert shared("a timer for 5 minutes", duration={"amount": 5, "unit": "minutes"}) == 0
    assert shared("2 rooms for 2 people", rooms=2, people=2) == 0 and shared("2 rooms", rooms=2, people=2) == 1
    assert shared("from 5 to 9 May 2027", start="2027-05-05", end="2027-05-09") == 0


def test_units_listed_values_and_truth_values_are_told() -> None:
    timed = "unlock W9W9 for 20 minutes, fast, with a helmet"
    assert _said(timed, ToolCall("unlock_scooter", {"code": "W9W9", "minutes": 20}))["unit"] == 1
    assert "unit" not in _said("unlock W9W9 for 20", ToolCall("unlock_scooter", {"code": "W9W9", "minutes": 20}))
    assert _said(timed, ToolCall("unlock_scooter", {"code": "W9W9", "speed": "fast"}))["listed"] == 1
    assert "listed" not in _said(timed, ToolCall("unlock_scooter", {"code": "W9W9", "speed": "slow"}))
    assert "unsaid_truth" not in _said(timed, ToolCall("unlock_scooter", {"code": "W9W9", "helmet": True}))
    assert _said("get W9W9", ToolCall("unlock_scooter", {"code": "W9W9", "helmet": False}))["unsaid_truth"] == 1


def test_values_stand_near_the_words_of_their_parameters() -> None:
    query = "unlock W9W9, minutes 20, seconds 40"
    right, crossed = ({"code": "W9W9", "minutes": one, "seconds": other} for one, other in ((20, 40), (40, 20)))
    near, far = (_said(query, ToolCall("unlock_scooter", given))["beside"] for given in (right, crossed))
    assert near == pytest.approx(2 * np.exp(-1 / 12)) and far < near  # one blank each; the code has no word of its own
    assert "beside" not in _said("W9W9 20", ToolCall("unlock_scooter", {"code": "W9W9", "minutes": 20}))
    shared = ToolSpec("mix", "", {"type": "object", "properties": {key: {"type": "integer"} for key in ("red_share", "blue_share")}})

    def beside(key: str) -> float:
        return dict(zip(FEATURES, Agreement(Request("share 5", (shared,)), ToolIndex((shared,))).features([ToolCall("mix", {key: 5})]), strict=True))["beside"]

    assert beside("red_share") == beside("blue_share") == pytest.approx(0.5 * np.exp(-1 / 12))  # a word of both says half


def test_calls_out_of_order_and_calls_with_other_arguments_than_the_first_are_counted() -> None:
    query = "unlock W9W9 for 20 minutes and X7X7 for 30"
    one, other = (ToolCall("unlock_scooter", {"code": code, "minutes": minutes}) for code, minutes in (("W9W9", 20), ("X7X7", 30)))
    assert not {"disorder", "uneven"} & _said(query, one, other).keys() and _said(query, other, one)["disorder"] == 1
    assert _said(query, one, ToolCall("unlock_scooter", {"code": "X7X7"}), ToolCall("ring_bell", {}))["uneven"] == 1


def _decoded(tokenizer: Tokenizer, log_probability: float, *calls: ToolCall) -> Decoded:
    ids, _ = render_answer(tokenizer, calls, (UNLOCK, RING))
    return Decoded(ids, (Choice(0, log_probability),))


def test_ways_to_write_the_same_calls_are_one_candidate_and_unreadable_ones_none(tokenizer: Tokenizer) -> None:
    request = Request("unlock W9W9", (UNLOCK, RING))
    one, other = ToolCall("unlock_scooter", {"code": "W9W9"}), ToolCall("ring_bell", {})
    found = [_decoded(tokenizer, -1.8, one), _decoded(tokenizer, -1.0, other), _decoded(tokenizer, -1.5, one), Decoded([5, 6], (Choice(0, -0.1),))]
    made = candidates(found, Agreement(request, ToolIndex(request.tools)), tokenizer)
    assert made.calls == [[one], [other]] and made.answers == [found[2], found[1]]
    np.testing.assert_allclose(made.log_probabilities, [np.log(np.exp(-1.8) + np.exp(-1.5)), -1.0], rtol=1e-6)
    place, share = made.best(Judging())
    assert (place, share) == (0, pytest.approx(np.exp(made.log_probabilities[0]) / np.exp(made.log_probabilities).sum(), rel=1e-5))
    assert made.best(Judging(left=5.0))[0] == 1
    assert judged(made, [False, True], "a").right == 1 and judged(made, [False, False], "a") is None is judged(made, [True, True], "a")


def _answers(tokenizer: Tokenizer, prior: Prior | None, rows: int = 1, **options: object) -> list:
    caller = StudentCaller(TorchEngine(tiny_model(5, max_target_tokens=120)), tokenizer, prior=prior, rows=rows, **options)
    return caller.answer([Request(query, TOOLS) for query in ("dim the hall", "five minutes for the eggs", "stop")])


def test_weights_of_answers_decide_between_them_in_batches_as_alone(tokenizer: Tokenizer) -> None:
    greedy_ones, words = _answers(tokenizer, None), Prior(Naming(1.0, 0.5))
    empty = []
    for likes in (Judging(none=99.0), Judging(none=-99.0)):
        alone, batch = (_answers(tokenizer, Prior(answers=likes), rows=rows) for rows in (1, 8))
        assert alone == batch and all(0 < answer.signals["share"] <= 1 for answer in alone)
        empty.append(sum(not answer for answer in alone))
    assert empty[0] > empty[1]
    assert _answers(tokenizer, Prior()) == greedy_ones
    assert _answers(tokenizer, words) == _answers(tokenizer, words, rows=8)
    explained = _answers(tokenizer, Prior(answers=Judging(none=-99.0)), explain=True)
    assert explained == _answers(tokenizer, Prior(answers=Judging(none=-99.0)))


def test_sure_answers_get_no_second_look_and_watched_ones_neither(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Prior(answers=Judging(none=99.0))
    caller = StudentCaller(TorchEngine(tiny_model(5, max_target_tokens=120)), tokenizer, prior=made)
    [plain] = StudentCaller(TorchEngine(tiny_model(5, max_target_tokens=120)), tokenizer).answer([REQUEST])
    pieces: list[object] = []
    assert caller.answer_watched([REQUEST], lambda *piece: pieces.append(piece)) == [plain] and pieces
    monkeypatch.setattr(reranking, "DOUBT", 0.0)
    [sure] = caller.answer([REQUEST])
    assert sure == plain and sure.signals["share"] == sure.signals["probability"]


def test_what_is_considered_begins_with_the_greedy_answer(tokenizer: Tokenizer) -> None:
    caller = StudentCaller(TorchEngine(tiny_model(5, max_target_tokens=120)), tokenizer, prior=Prior())
    found = caller.considered(REQUEST)
    assert isinstance(found, Candidates) and len(found.answers) > 1 and found.features.shape == (len(FEATURES), len(found.answers))
    assert found.calls[0] == caller.answer([REQUEST])[0]
    assert found.best(caller.priors.prior.answers)[0] == int(found.log_probabilities.argmax())
    assert caller.priors.index(TOOLS, fingerprint(TOOLS)) is caller.priors.index(TOOLS, fingerprint(TOOLS))
