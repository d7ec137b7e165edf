"""Examples: every row once an epoch in an order of (seed, epoch) only; what is too long is counted, never cut."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tokenizers import Tokenizer
from train_helpers import TIMER, each, row, rows, tiny_model

from needle.errors import UserError
from needle.student.rendering import parse_answer, render_request, render_tools
from needle.tools import ToolCall
from needle.train.examples import Example, ExampleSet
from needle.train.feed import batches

CONFIG = tiny_model().config


@pytest.fixture(scope="module")
def made(tokenizer: Tokenizer) -> ExampleSet:
    return ExampleSet(rows(), tokenizer, CONFIG)


def _order(examples: ExampleSet, seed: int, epoch: int, size: int = 4, per_toolset: int = 2) -> list[Example]:
    return [example for batch in examples.epoch(seed, epoch, size, per_toolset) for example in batch]


def test_an_epoch_holds_every_row_once(made: ExampleSet, tokenizer: Tokenizer) -> None:
    assert len(made) == 9
    expected = sorted(tuple(render_request(tokenizer, trace.request)) for trace in rows())
    for size, per_toolset in ((1, 1), (4, 2), (100, 100)):
        assert sorted(example.request for example in _order(made, 0, 0, size, per_toolset)) == expected


def test_the_order_depends_on_seed_and_epoch_only(made: ExampleSet) -> None:
    random.seed(1)
    first = _order(made, 5, 3)
    random.seed(2)
    _order(made, 5, 4)
    assert _order(made, 5, 3) == first
    orders = {
        tuple(example.request for example in _order(made, seed, epoch)) for seed in range(3) for epoch in range(3)
    }
    assert len(orders) == 9


def test_batches_reach_the_size_asked_and_take_so_many_rows_of_a_toolset_together(made: ExampleSet) -> None:
    batches = list(made.epoch(0, 0, 4, 2))
    assert all(4 <= len(batch) <= 5 for batch in batches[:-1])
    runs = [example.tools for batch in made.epoch(0, 0, 1, 2) for example in batch]
    assert len(set(runs)) == 2
    assert all(len(batch) <= 2 and len({example.tools for example in batch}) == 1 for batch in made.epoch(0, 0, 1, 2))


def test_rows_of_a_toolset_share_one_object(made: ExampleSet) -> None:
    assert len({id(example.tools) for example in _order(made, 0, 0)}) == 2


def test_an_example_is_what_rendering_says(made: ExampleSet, tokenizer: Tokenizer) -> None:
    traces = [trace for group in made.groups.values() for trace in group]
    for trace, example in zip(traces, made.rendered(), strict=True):
        assert list(example.tools) == render_tools(tokenizer, trace.tools)
        assert list(example.request) == render_request(tokenizer, trace.request)
        assert parse_answer(tokenizer, example.answer, trace.tools) == list(trace.calls)
        assert len(example.classes) == len(example.answer)


@pytest.mark.parametrize(
    ("limit", "value", "long"),
    [
        ("max_request_tokens", 30, row(9, "please " * 40, (TIMER,))),
        ("max_target_tokens", 40, row(9, "x", (TIMER,), ToolCall("start_timer", {"minutes": 1, "label": "z " * 60}))),
        ("max_source_tokens", 90, row(9, "x", (replace(TIMER, description="word " * 100),))),
    ],
)
def test_a_row_that_is_too_long_is_counted_and_left_out_whole(
    tokenizer: Tokenizer, limit: str, value: int, long
) -> None:
    made = ExampleSet([*rows(), long], tokenizer, tiny_model(**{limit: value}).config)
    assert (len(made), made.too_long) == (9, 1)
    assert sorted(trace.id for traces in made.groups.values() for trace in traces) == [f"row-{n}" for n in range(9)]


def test_no_row_at_all_is_a_user_error_that_counts(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="0 traces given"):
        ExampleSet([], tokenizer, CONFIG)
    with pytest.raises(UserError, match="9 traces given, 9 longer"):
        ExampleSet(rows(), tokenizer, tiny_model(max_request_tokens=1).config)


def test_a_transform_varies_rows_from_epoch_to_epoch_reproducibly(tokenizer: Tokenizer) -> None:
    made = ExampleSet(
        rows(), tokenizer, CONFIG, each(lambda trace, rng: replace(trace, query=f"{trace.query} {rng.random()}"))
    )
    assert _order(made, 0, 0) == _order(made, 0, 0)
    assert not {example.request for example in _order(made, 0, 0)} & {example.request for example in _order(made, 0, 1)}
    assert made.rendered() == ExampleSet(rows(), tokenizer, CONFIG).rendered()


def test_a_transform_may_give_its_rows_another_toolset_which_they_still_share(tokenizer: Tokenizer) -> None:
    def rename(traces, rng):
        tools = tuple(replace(tool, description=f"{tool.description} {rng.random()}") for tool in traces[0].tools)
        return [replace(trace, tools=tools) for trace in traces]

    for batch in ExampleSet(rows(), tokenizer, CONFIG, rename).epoch(0, 0, 9, 9):
        assert len({id(example.tools) for example in batch}) == 2
        assert {example.tools for example in batch}.isdisjoint(ExampleSet(rows(), tokenizer, CONFIG).tools.values())


def test_a_variation_that_is_too_long_gives_way_to_the_row(tokenizer: Tokenizer) -> None:
    made = ExampleSet(rows(), tokenizer, CONFIG, each(lambda trace, _: replace(trace, query="word " * 2000)))
    assert sorted(example.request for example in _order(made, 0, 0)) == sorted(example.request for example in made.rendered())


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_whatever_draws_them(tokenizer: Tokenizer, workers: int) -> None:
    made = ExampleSet(rows(), tokenizer, CONFIG, each(lambda trace, rng: replace(trace, query=f"{trace.query} {rng.random()}")))
    expected = list(made.epoch(3, 1, 2, 2))
    assert list(batches(made, 3, 1, 2, 2, workers=workers)) == expected
    assert list(batches(made, 3, 1, 2, 2, skip=2, workers=workers)) == expected[2:]


def test_several_processes_get_equally_many_batches_and_none_twice(tokenizer: Tokenizer) -> None:
    made = ExampleSet(rows(), tokenizer, CONFIG)
    expected = list(made.epoch(0, 0, 2, 2))
    parts = [list(batches(made, 0, 0, 2, 2, share=(rank, 2))) for rank in range(2)]
    assert len(parts[0]) == len(parts[1]) == len(expected) // 2
    assert [batch for pair in zip(*parts, strict=True) for batch in pair] == expected[: len(expected) // 2 * 2]
