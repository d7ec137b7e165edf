"""Words of the tools beside the student, where it names a tool or takes a listed value: exact, the same in every loop, and no more than fitted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from student_helpers import LIGHT, STOP, TIMER, batch_logits, tiny_model
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.caller import StudentCaller
from needle.student.modeling.engine import TorchEngine
from needle.student.leaning import LIKELIEST, Leaning, Priors, listed_texts
from needle.student.prior import Judging, Naming, Prior, Stating, Weights
from needle.student.prior_fit import Chosen, choices, fit_kind, fit_weights, held_out, log_probabilities_among, open_choices
from needle.student.rendering import render_answer, render_request, render_tools
from needle.student.tokenizer import CALL, SPECIAL_IDS
from needle.tools import Choice, Request, ToolCall, ToolSpec
from needle.tools.retrieval import ToolIndex

PLAY = ToolSpec("play", "Play something.", {
    "type": "object", "required": ["what"],
    "properties": {"what": {"type": "string", "enum": ["jazz", "jazz rock", "news", "silence"]},
                   "rooms": {"type": "array", "items": {"type": "string", "enum": ["kitchen", "hall"]}}},
})  # fmt: skip
TOOLS = (LIGHT, TIMER, STOP, PLAY)
DUE = Choice(required=True)
SURE = Prior(Naming(1.0, 60.0), Weights(1.0, 60.0))


class Scored(ToolIndex):
    """An index that gives each tool a score of its own, whatever is asked."""

    def __init__(self, tools: tuple[ToolSpec, ...], scores: list[float]) -> None:
        super().__init__(tools)
        self._given = scores

    def scores(self, query: str) -> list[float]:
        return self._given


def _caller(tokenizer: Tokenizer, prior: Prior | None, seed: int = 0, **options: object) -> StudentCaller:
    return StudentCaller(TorchEngine(tiny_model(seed)), tokenizer, prior=prior, **options)


def test_words_that_count_for_everything_choose_the_tool_and_the_listed_value(tokenizer: Tokenizer) -> None:
    for seed in range(2):
        caller = _caller(tokenizer, SURE, seed)
        for query, name in (("start the timer for the eggs", TIMER.name), ("play the news", "play"), ("stop it", STOP.name)):
            for call in caller.call(query, TOOLS, choice=DUE):
                assert call.name == name, (seed, query)
        for said in ("news", "silence", "jazz"):
            for call in caller.call(f"play {said} now", [PLAY], choice=DUE):
                assert call.arguments["what"] in (said, f"{said} rock"), (seed, said)
        for call in caller.call("play news in the hall", [PLAY], choice=DUE):
            assert set(call.arguments.get("rooms", ["hall"])) == {"hall"}


def test_every_loop_and_a_prior_of_nothing_give_the_same_answers(tokenizer: Tokenizer) -> None:
    queries = ("start the timer for the eggs", "play the news", "what is it")
    for prior in (None, Prior(), Prior(Naming(0.5, 2.0), Weights(0.7, 3.0))):
        alone, wide = _caller(tokenizer, prior), _caller(tokenizer, prior, beams=1, rows=8)
        batch = wide.answer([Request(query, TOOLS) for query in queries])
        assert [alone.call(query, TOOLS) for query in queries] == batch
        if prior == Prior():
            assert batch == _caller(tokenizer, None).answer([Request(query, TOOLS) for query in queries])
    [one] = _caller(tokenizer, SURE, beams=2).answer([Request("play the news", (PLAY, STOP))])
    assert all(call.name == "play" for call in one)


def test_a_token_gets_the_worth_of_all_that_it_leads_to(tokenizer: Tokenizer) -> None:
    leaning = Leaning(Prior(Naming(1.0, 1.0)), Request("", TOOLS), Scored(TOOLS, [0.0, 3.0, 0.0, 1.0]), tokenizer)
    tokens = np.array(sorted({render_answer(tokenizer, [ToolCall(tool.name, {})], [tool])[0][1] for tool in TOOLS}))
    flat = np.full(len(tokens), -np.log(len(tokens)), np.float32)
    leant = leaning([SPECIAL_IDS[CALL]], tokens, flat)
    assert np.exp(leant).sum() == pytest.approx(1, abs=1e-5)
    worth = {tool.name: 1 + score for tool, score in zip(TOOLS, (0, 3, 0, 1), strict=True)}
    expected = {}
    for token in tokens:
        text = tokenizer.decode([int(token)])
        expected[int(token)] = sum(value for name, value in worth.items() if name.startswith(text))
    total = sum(expected.values())
    for token, value in zip(tokens, leant, strict=True):
        assert np.exp(value) == pytest.approx(expected[int(token)] / total, rel=1e-4)
    assert leaning([], tokens, flat) is flat  # no call has begun
    after, _ = render_answer(tokenizer, [ToolCall("play", {"what": "news"})], TOOLS)
    assert leaning(after[:-1], tokens, flat) is flat  # nothing listed is open


def test_a_nested_key_is_not_the_parameter_of_its_name(tokenizer: Tokenizer) -> None:
    listed, open_text = {"type": "string", "enum": ["a{", "b"]}, {"type": "string"}
    tool = ToolSpec("set", "", {"type": "object", "properties": {"mode": listed, "more": {"type": "object", "properties": {"mode": open_text}}}})
    leaning = Leaning(SURE, Request("b", (tool,)), ToolIndex((tool,)), tokenizer)
    tokens, flat = np.array([tokenizer.token_to_id(letter) for letter in "ab"]), np.log(np.array([0.5, 0.5], np.float32))
    for text, leans in (('set{"mode":"', True), ('set{"more":{"mode":"', False), ('set{"more":{"mode":"b"},"mode":"', True), ('set{"mode":"a{","more":{"mode":"', False)):
        leant = leaning([SPECIAL_IDS[CALL], *tokenizer.encode(text, add_special_tokens=False).ids], tokens, flat)
        assert (leant is not flat) == leans and (not leans or leant[1] > -0.01), text


def test_what_may_be_taken_is_read_off_the_schema() -> None:
    assert listed_texts(PLAY.properties["what"]) == ["jazz", "jazz rock", "news", "silence"]
    assert listed_texts(PLAY.properties["rooms"]) == ["kitchen", "hall"]
    assert listed_texts({"enum": [1, 2]}) == listed_texts({"type": "string"}) == listed_texts(True) == listed_texts({"items": False}) == []


def test_log_probabilities_of_answers_among_each_other_are_those_of_teacher_forcing(tokenizer: Tokenizer) -> None:
    model, request = tiny_model(3), Request("play the news", TOOLS)
    answers = [render_answer(tokenizer, [ToolCall("play", {"what": what})], TOOLS)[0] for what in PLAY.properties["what"]["enum"]]
    caller = StudentCaller(TorchEngine(model), tokenizer)
    found = log_probabilities_among(caller.stepper(request), answers)
    source = render_tools(tokenizer, TOOLS), render_request(tokenizer, request)
    expected = np.zeros(len(answers))
    for place, answer in enumerate(answers):
        for at in range(len(answer)):
            following = sorted({other[at] for other in answers if other[:at] == answer[:at] and len(other) > at})
            if len(following) > 1:
                logits = batch_logits(model, [source[0]], [source[1]], [0], [[SPECIAL_IDS["<bos>"], *answer[:at]]])[0][-1]
                expected[place] += float(torch.log_softmax(logits[following], -1)[following.index(answer[at])])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-4)


def test_choices_of_a_row_are_its_names_and_the_listed_values_of_its_first_call(tokenizer: Tokenizer) -> None:
    request, caller = Request("play the news in the hall", TOOLS), _caller(tokenizer, None)
    calls = [ToolCall("play", {"what": "news", "rooms": ["hall"]})]
    found = list(choices(request, calls, "a", lambda: caller.stepper(request), tokenizer))
    assert [(kind, choice.right, choice.features.shape[1]) for kind, choice in found] == [("names", 3, 4), ("values", 2, 4)]
    assert all(choice.features[0, choice.right] == choice.features[0].max() > 0 for _, choice in found)
    both = Request("play the news, then stop", TOOLS)
    found = list(choices(both, [calls[0], ToolCall(STOP.name, {})], "a", lambda: caller.stepper(both), tokenizer))
    assert [(kind, choice.right) for kind, choice in found] == [("names", 3), ("names", 2), ("values", 2)]
    assert found[1][1].features[1].tolist() == [0, 0, found[1][1].features[1].max(), 0] and found[1][1].features[0, 3] > 0  # behind "news" only one is meant
    assert list(choices(request, [ToolCall("unknown", {})], "a", lambda: caller.stepper(request), tokenizer)) == []


def _rows(student: float, words: float, count: int = 3000) -> list[Chosen]:
    """Right choices drawn from known weights."""
    chance, rows = np.random.default_rng(0), []
    for number in range(count):
        log_probabilities = np.log(chance.dirichlet(np.ones(4)))
        scores = chance.exponential(3.0, 4)
        shares = np.exp(student * log_probabilities + words * np.log1p(scores))
        rows.append(Chosen(log_probabilities, np.log1p([scores]), int(chance.choice(4, p=shares / shares.sum())), str(number % 20)))
    return rows


def test_the_fit_finds_the_weights_that_rows_were_drawn_with() -> None:
    for student, words in ((0.5, 2.0), (1.0, 0.0), (0.2, 1.0)):
        assert fit_weights(_rows(student, words)) == pytest.approx((student, words), abs=0.15)


def test_words_are_left_out_where_they_help_no_left_out_toolset_or_rows_are_few() -> None:
    sure, leant = _rows(3.0, 0.0, 1000), _rows(0.3, 2.0, 1500)
    shares = held_out(leant)
    assert shares["both"] > shares["student"]
    made = fit_kind(fit_kind(Prior(fitted_on={"source": "rows.jsonl"}), "names", leant), "values", leant[:20])
    assert made.names.words == pytest.approx(2.0, abs=0.3) and made.values == Weights()
    assert made.fitted_on["values"] == {"rows": 20, "right": {}} and made.fitted_on["source"] == "rows.jsonl"
    assert fit_kind(Prior(), "answers", []).answers == Judging()
    assert abs(fit_weights(sure)[1]) < 0.2


def test_a_prior_is_kept_whole_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    made = Prior(Naming(0.25, 3.5, 1.5), Weights(1.0, 0.0), Stating(0.6, 1.0, 2.0, 0.5, 0.7), answers=Judging(1.1, left=-0.5), fitted_on={"source": "rows.jsonl"})
    made.save(tmp_path)
    assert Prior.load(tmp_path) == made and Prior.load(tmp_path / "no") is None
    whole = json.loads((tmp_path / "prior.json").read_text())
    for change in ({"format": 9}, {"names": {"words": 1}}, {"values": {"sharpness": "x", "words": 1}}, {"names": {"sharpness": float("nan"), "words": 1}}):
        (tmp_path / "prior.json").write_text(json.dumps(whole | change))
        with pytest.raises(UserError, match="not a prior.*needle calibrate"):
            Prior.load(tmp_path)
    older = {key: value for key, value in whole.items() if key not in ("numbers", "texts", "answers")} | {"names": {"sharpness": 0.25, "words": 3.5}}
    (tmp_path / "prior.json").write_text(json.dumps(older))
    assert Prior.load(tmp_path) == Prior(Naming(0.25, 3.5), made.values, fitted_on=made.fitted_on)  # as it was written before there were these


def test_names_that_begin_alike_and_texts_of_many_bytes_are_told_apart(tokenizer: Tokenizer) -> None:
    twins = tuple(ToolSpec(name, "", {"type": "object", "properties": {}}) for name in ("set_größe", "set_größe_all", "setze"))
    for seed, query, name in ((0, "größe all", "set_größe_all"), (1, "setze", "setze")):
        for call in _caller(tokenizer, SURE, seed).call(query, twins, choice=DUE):
            assert call.name == name
    assert Priors(SURE, tokenizer).of(Request("x", ()), "") is None


STATED = Prior(numbers=Stating(1.0, 40.0, 40.0, 40.0), texts=Stating(1.0, 40.0, 0.0, 40.0))
RUN = ToolSpec("run", "", {"type": "object", "required": ["distance_km", "minutes", "who"], "properties": {
    "distance_km": {"type": "number", "minimum": 0, "maximum": 9999}, "minutes": {"type": "integer", "minimum": 0, "maximum": 9999}, "who": {"type": "string", "maxLength": 20}}})  # fmt: skip


def test_values_that_the_request_states_for_everything_are_the_ones_written(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("needle.student.leaning.LIKELIEST", 5000)  # a student that knows nothing rules nothing out
    for seed in range(3):
        caller = _caller(tokenizer, STATED, seed)
        for query, distance, minutes in (("run forty minutes, 9 km", 9, 40), ("run 12.5 kilometres in 90 min", 12.5, 90), ("2 hours over 3 km", 3, 120)):
            [call] = caller.call(query, [RUN], choice=Choice(required=True, most=1))
            assert (call.arguments["distance_km"], call.arguments["minutes"]) == (distance, minutes), (seed, query)


def test_only_the_likeliest_tokens_of_an_open_value_are_weighed_and_sure_ones_left_alone(tokenizer: Tokenizer) -> None:
    leaning = Leaning(STATED, Request("run 40 minutes", (RUN,)), ToolIndex((RUN,)), tokenizer)
    answer = [SPECIAL_IDS[CALL], *tokenizer.encode('run{"distance_km":1,"minutes":', add_special_tokens=False).ids]
    tokens = np.arange(len(SPECIAL_IDS), len(SPECIAL_IDS) + 60)
    digit = tokenizer.token_to_id("4")
    assert digit in tokens
    for behind, raised in ((LIKELIEST - 1, True), (LIKELIEST, False)):
        student = np.linspace(-30, -40, 60).astype(np.float32)
        student[tokens == digit] = -5.0
        others = np.flatnonzero(tokens != digit)[:behind]
        student[others] = -1.0 - 0.01 * np.arange(behind)
        leant = leaning(answer, tokens, student)
        assert (tokens[leant.argmax()] == digit) == raised
    sure = np.full(60, -500.0, np.float32)
    sure[0] = 0.0
    assert leaning(answer, tokens, sure).argmax() == 0


def test_choices_of_open_values_are_those_of_the_right_answer(tokenizer: Tokenizer) -> None:
    request, caller = Request("run 40 minutes, 9 km, Bo", (RUN, PLAY)), _caller(tokenizer, None)
    calls = [ToolCall("run", {"distance_km": 9, "minutes": 40, "who": "Bo"}), ToolCall("play", {"what": "news"})]
    found = list(open_choices(request, calls, "a", lambda: caller.stepper(request), tokenizer, caller.constraint))
    assert {kind for kind, _ in found} <= {"numbers", "texts"}  # a listed value is none
    for _, choice in found:
        assert choice.features.shape == (4, len(choice.log_probabilities)) and 0 <= choice.right < len(choice.log_probabilities)
        assert list(choice.log_probabilities) == sorted(choice.log_probabilities, reverse=True)
