"""Threads that share the rows of a step change nothing but its time."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model

from needle.errors import UserError
from needle.train.examples import Example, ExampleSet
from needle.train.lanes import effort, lanes_for, shares
from needle.train.students import Students


@pytest.fixture(scope="module")
def examples(tokenizer: Tokenizer) -> list[Example]:
    return ExampleSet(rows(), tokenizer, tiny_model().config).rendered()


def test_rows_on_several_lanes_give_the_step_of_one(examples: list[Example]) -> None:
    for changes in ({}, {"quantize_bits": 4, "quantize_share": 1.0}, {"lora": 2}, {"trained": "decoder"}):
        apart, whole = (Students([tiny_model(1, initializer_range=0.1)], settings(lanes=lanes, **changes), torch.float32) for lanes in (3, 1))
        one, many = whole.update(examples, 0.6), apart.update(examples, 0.6)
        assert one.keys() == many.keys() and all(many[name] == pytest.approx(one[name], rel=1e-5) for name in one), changes
        for (name, mine), other in zip(apart.models[0].named_parameters(), whole.models[0].parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6, msg=f"{name} {changes}")


def test_lanes_share_all_rows_by_effort_and_part_a_toolset_only_when_it_is_large(examples: list[Example]) -> None:
    for count in (1, 2, 3, 5):
        parts = shares(examples * 8, count)
        assert sorted(id(row) for part in parts for row in part) == sorted(id(row) for row in examples * 8)
        assert len(parts) == count
        assert max(map(effort, parts)) < 1.5 * min(map(effort, parts)), count
    assert [row.tools for row in shares(examples, 2)[0]] in ([examples[0].tools] * 6, [examples[-1].tools] * 3)


def test_the_same_seed_gives_the_same_bytes_on_lanes(examples: list[Example]) -> None:
    weights = []
    for _ in range(2):
        students = Students([tiny_model(1)], settings(lanes=3), torch.float32)
        for _ in range(3):
            students.update(examples, 0.5)
        weights.append([parameter.detach().numpy().tobytes() for parameter in students.models[0].parameters()])
    assert weights[0] == weights[1]


def test_a_mistake_on_a_lane_reaches_the_caller(examples: list[Example]) -> None:
    class Broken:
        shares_toolsets = True

        def targets(self, *_: object) -> None:
            raise UserError("this teacher is gone")

    students = Students([tiny_model(1)], settings(lanes=2), torch.float32, Broken())
    with pytest.raises(UserError, match="this teacher is gone"):
        students.update(examples, 0.5)


def test_a_step_over_few_toolsets_has_one_lane(tokenizer: Tokenizer) -> None:
    made = ExampleSet(rows(), tokenizer, tiny_model().config)
    assert made.toolsets_of(9, 6) == 2 and made.toolsets_of(9, 1) == 9
    cpu = torch.device("cpu")
    assert lanes_for(settings(), cpu, 1, 2.0) == lanes_for(settings(), cpu, 2, 100.0) == 1
    assert lanes_for(settings(), cpu, 1, 100.0) == min(4, torch.get_num_threads())
    assert lanes_for(settings(lanes=3), cpu, 1, 2.0) == 3
