"""Single answers have a graph of their own: the same answers, whatever the memory was used for before."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from needle.device import engine as engines
from needle.device import single
from needle.device.engine import OnnxEngine
from needle.device.single import SingleStepper
from needle.device.stepper import OnnxStepper
from needle.student.caller import StudentCaller
from needle.student.tokenizer import load_tokenizer

TOOLS, OTHERS, REQUEST = list(range(100, 140)), list(range(300, 317)), list(range(500, 509))
STEPS = ([2], [11, 40, 41], [60], [13, 14, 15, 16])
NOISE = 0.06
"""Of the logits' spread: a tiny model of large random weights, whose keys and values are rounded to 8 bits here and not there."""


def _close(found: np.ndarray, expected: np.ndarray, share: float = NOISE) -> None:
    assert np.abs(found - expected).std() < share * expected.std()


@pytest.fixture(scope="module")
def engine(folders) -> OnnxEngine:
    return OnnxEngine(folders[4])


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("request_ids", [REQUEST, [700]])
def test_the_logits_are_those_of_the_general_decoder(folders, bits: int, request_ids: list[int]) -> None:
    engine = OnnxEngine(folders[bits])
    one, other = (engine.stepper([TOOLS], [request_ids], [0], align) for align in (False, True))
    assert (type(one), type(other)) == (SingleStepper, OnnxStepper)
    written = 0
    for tokens in STEPS:
        written += len(tokens)
        found, expected = one.step_all(tokens, len(tokens)), other.step_all(tokens, len(tokens))
        _close(found.every(), expected)
        if len(tokens) > 3:
            one.back_to(written - 2), other.back_to(written - 2)
            _close(one.step([[70]]), other.step([[70]]))
            written -= 1


@pytest.mark.parametrize("bits", [4, 8])
def test_few_logits_are_those_of_the_whole_vocabulary(folders, bits: int) -> None:
    logits = OnnxEngine(folders[bits]).stepper([TOOLS], [REQUEST], [0]).step_all([2, 11], 2)
    tokens = np.array([1, 17, 4000, 8191])
    few = [logits.among(row, tokens) for row in range(2)]
    np.testing.assert_allclose(few, logits.every()[:, tokens], atol=1e-4)
    np.testing.assert_array_equal(logits.among(1, np.arange(single.FEW + 1)), logits.every()[1, : single.FEW + 1])


def test_an_answer_can_outgrow_its_first_room_and_tokens_at_once_are_tokens_one_by_one(folders, monkeypatch) -> None:
    monkeypatch.setattr(single, "ROOM", 4)
    engine = OnnxEngine(folders[4])
    tokens = [2, *range(40, 60)]
    at_once, one_by_one = (engine.stepper([TOOLS], [REQUEST], [0]) for _ in range(2))
    last = [one_by_one.step([[token]]) for token in tokens][-1]
    _close(at_once.step([tokens]), last, 0.01)


def test_more_tokens_at_once_than_the_source_has_are_tokens_one_by_one(folders) -> None:
    engine, tokens = OnnxEngine(folders[4]), [2, *range(40, 64)]
    at_once, some, one_by_one = (engine.stepper([[100, 101, 102]], [[700]], [0]) for _ in range(3))
    expected = np.concatenate([one_by_one.step([[token]]) for token in tokens])
    found, few = at_once.step_all(tokens, len(tokens)).every(), some.step_all(tokens, 3).every()
    assert found.shape == expected.shape
    _close(found, expected, 0.01), _close(few, expected[-3:], 0.01)


def test_memory_that_served_another_request_or_toolset_leaves_no_trace(folders) -> None:
    engine, fresh = OnnxEngine(folders[4]), {}
    cases = [(TOOLS, REQUEST), (OTHERS, [700]), (TOOLS, [700, 701]), (OTHERS, REQUEST), (TOOLS, REQUEST)]
    for toolset, request in cases:
        logits = OnnxEngine(folders[4]).stepper([toolset], [request], [0]).step([STEPS[1]])
        fresh[len(toolset), len(request)] = logits
    for toolset, request in cases:
        stepper = engine.stepper([toolset], [request], [0])
        np.testing.assert_array_equal(stepper.step([STEPS[1]]), fresh[len(toolset), len(request)])
        del stepper
        assert len(engine._single._free) == 1


def test_a_request_of_larger_numbers_than_its_tools_is_not_cut_off(engine) -> None:
    tools = engine.prepare(TOOLS)
    encoded = engine._reader.request(REQUEST, tools, "request")
    larger = {name: engines.ort.OrtValue.ortvalue_from_numpy(9 * value.numpy()) for name, value in encoded.items()}
    one = SingleStepper(engine._single, tools.rounded, larger, lambda: None)
    other = engine._batch([tools], [larger], [0], False)
    _close(one.step([[2]]), other.step([[2]]), 2 * NOISE)


def test_an_answer_that_is_split_goes_on_in_all_its_copies(engine) -> None:
    one, other = engine.stepper([TOOLS], [REQUEST], [0]), engine.stepper([TOOLS], [REQUEST], [0], True)
    for stepper in (one, other):
        stepper.step([[2, 11]])
        stepper.keep([0, 0])
    np.testing.assert_allclose(one.step([[20], [30]]), other.step([[20], [30]]), atol=1e-4)
    for stepper in (one, other):
        stepper.keep([1])
    np.testing.assert_allclose(one.step([[50]]), other.step([[50]]), atol=1e-4)


def test_answers_in_threads_are_the_answers_one_by_one(engine) -> None:
    def work(first: int, found: dict[int, np.ndarray]) -> None:
        stepper = engine.stepper([TOOLS], [REQUEST], [0])
        found[first] = np.concatenate([stepper.step([[2, first]]), stepper.step([[first]])])

    alone, found = {}, {}
    for first in range(20, 32):
        work(first, alone)
    threads = [threading.Thread(target=work, args=(first, found)) for first in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.keys() == alone.keys() and all(np.array_equal(found[first], alone[first]) for first in alone)
    assert len(engine._single._free) <= single.KEPT


def test_a_runtime_that_lacks_the_operators_answers_with_the_general_decoder(folders, requests, monkeypatch) -> None:
    expected = [result.raw for result in StudentCaller(OnnxEngine(folders[4]), load_tokenizer()).answer(requests[:1])]
    monkeypatch.setattr(engines, "single_graph", lambda *_: b"no graph")
    engine = OnnxEngine(folders[4])
    assert engine._single is None and type(engine.stepper([TOOLS], [REQUEST], [0])) is OnnxStepper
    assert [result.raw for result in StudentCaller(engine, load_tokenizer()).answer(requests[:1])] == expected
