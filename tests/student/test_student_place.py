"""Where the next call begins in a request: behind what the calls so far were made from."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer

from needle.student.decoding import log_softmax
from needle.student.leaning import Leaning, calls_before
from needle.student.place import REACH, Places, values_in
from needle.student.prior import Naming, Prior
from needle.student.rendering import render_answer
from needle.student.tokenizer import CALL, SPECIAL_IDS
from needle.tools import Request, ToolCall, ToolSpec
from needle.tools.retrieval import ToolIndex

ROOM = {"type": "object", "properties": {"room": {"type": "string"}, "level": {"type": "number"}, "on": {"type": "boolean"}}}
TOOLS = (ToolSpec("open_window", "Open a window.", ROOM), ToolSpec("dim_lamp", "Dim a lamp.", ROOM), ToolSpec("take_screenshot", "", {}))
TEXT = "dim the lamp in the Küche to 20, take a screenshot and open the window"


def test_values_are_read_off_the_text_of_a_call_and_keys_are_not() -> None:
    assert values_in('dim{"room":"Küche","level":20.5,"on":true}') == ["Küche", "20.5"]
    assert values_in('f{"a":["x","a b"],"n":[-1,2],"o":{"k":"v: 3"}}') == ["x", "a b", "-1", "2", "v: 3"]
    assert values_in("f{}") == [] and values_in("") == []


def test_calls_end_at_marks_and_not_at_texts_that_look_like_them(tokenizer: Tokenizer) -> None:
    texts, mark = ['f{"a":"x"}', "g{}", 'f{"a":"<call>"}', "h{"], SPECIAL_IDS[CALL]
    plain = [[tokenizer.token_to_id(letter) for letter in text] for text in texts]
    answer = [token for call in plain for token in (mark, *call)]
    assert [tokenizer.decode(list(call), skip_special_tokens=False) for call in calls_before(answer)] == texts[:3]
    assert calls_before(answer[: len(plain[0])]) == calls_before([]) == []


@pytest.mark.parametrize(
    ("calls", "behind"),
    [
        ([], ""),
        (['dim_lamp{"room":"küche","level":20}'], "to 20"),
        (['dim_lamp{"room":"küche"}'], "Küche"),
        (["dim_lamp{}"], "dim"),
        (['dim_lamp{"level":2}'], "dim"),  # 20 is not 2
        (['dim_lamp{"level":20}', "take_screenshot{}"], "screenshot"),
        (["unknown{}"], ""),
    ],
)
def test_the_next_call_begins_behind_values_and_words_of_those_before(calls: list[str], behind: str) -> None:
    assert Places(ToolIndex(TOOLS), TEXT).begin(calls) == TEXT.find(behind) + len(behind)


def test_words_count_less_the_farther_behind_they_stand_and_not_before() -> None:
    index = ToolIndex(TOOLS)
    places = Places(index, TEXT)
    first, second = places.near([]), places.near(['dim_lamp{"room":"Küche","level":20}'])
    assert first.argmax() == 1 and second.argmax() == 2 and second[1] == 0
    start = TEXT.find("window")
    opened = [(TEXT.find(word), index.scores(word)[0]) for word in ("open", "window")]
    assert first[0] == pytest.approx(sum(score * np.exp(-at / REACH) for at, score in opened)) and start > 0
    assert not Places(index, "").near([]).any()


def test_a_later_tool_is_named_by_the_words_that_are_left(tokenizer: Tokenizer) -> None:
    leaning = Leaning(Prior(Naming(1.0, 0.0, 30.0)), Request(TEXT, TOOLS), ToolIndex(TOOLS), tokenizer)
    starts = {tool.name: render_answer(tokenizer, [ToolCall(tool.name, {})], [tool])[0][1] for tool in TOOLS}
    tokens = np.array(sorted(starts.values()))
    calls: list[ToolCall] = []
    for name, arguments in (("dim_lamp", {"room": "Küche", "level": 20}), ("take_screenshot", {}), ("open_window", {})):
        answer = render_answer(tokenizer, calls, TOOLS)[0][:-1] if calls else []
        leant = leaning([*answer, SPECIAL_IDS[CALL]], tokens, log_softmax(np.zeros(len(tokens), np.float32)))
        assert tokens[leant.argmax()] == starts[name]
        calls.append(ToolCall(name, arguments))
