"""The teacher cache: what it says is what the teacher says, it is never mixed up, and a killed pass goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import row, rows, settings, tiny_model

from needle.errors import UserError
from needle.student.tokenizer import train_tokenizer
from needle.train.batches import Batch, collate
from needle.train.cache import HEADER, INDEX, SHARES, TOKENS, Cache
from needle.train.cached_teachers import CachedTeachers, fill, open_cache, soft_source
from needle.train.examples import Example, ExampleSet
from needle.train.losses import SoftTargets, soft_label_loss
from needle.train.teachers import Teachers

CPU, WEIGHTS = torch.device("cpu"), settings().token_weights


@pytest.fixture(scope="module")
def teachers() -> Teachers:
    return Teachers([tiny_model(5, initializer_range=0.2), tiny_model(6, initializer_range=0.2)], [2.0, 1.0])


@pytest.fixture(scope="module")
def examples(tokenizer: Tokenizer) -> list[Example]:
    return ExampleSet(rows(), tokenizer, tiny_model().config).rendered()


@pytest.fixture(scope="module")
def full(
    tokenizer: Tokenizer, teachers: Teachers, examples: list[Example], tmp_path_factory: pytest.TempPathFactory
) -> Cache:
    cache = open_cache(tmp_path_factory.mktemp("cache"), teachers, tokenizer, 8, False, 1.0)
    assert fill(cache, teachers, examples, CPU, rows=4) == len(examples)
    return Cache.open(cache.folder)


def _batch(examples: list[Example]) -> Batch:
    return collate(examples, WEIGHTS)


def _loss(targets: SoftTargets, batch: Batch, beta: float) -> torch.Tensor:
    student = torch.randn(len(batch.labels_N), 8192, generator=torch.Generator().manual_seed(1))
    return soft_label_loss(student, targets, batch.weights_N, beta=beta)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_loss_against_the_cache_is_the_loss_against_the_live_likeliest_tokens(
    full: Cache, teachers: Teachers, examples: list[Example], beta: float
) -> None:
    batch = _batch(examples[2:7])
    best = teachers.targets(batch, torch.float32, 1.0).probabilities.topk(8)
    live = _loss(SoftTargets(best.values, best.indices), batch, beta)
    torch.testing.assert_close(
        _loss(CachedTeachers(full).targets(batch, torch.float32, 1.0), batch, beta), live, rtol=1e-5, atol=1e-4
    )


def test_all_tokens_kept_are_the_whole_distribution(
    tokenizer: Tokenizer, teachers: Teachers, examples: list[Example], tmp_path: Path
) -> None:
    cache = open_cache(tmp_path, teachers, tokenizer, 8192, False, 1.0)
    fill(cache, teachers, examples[:2], CPU)
    batch = _batch(examples[:2])
    live = teachers.targets(batch, torch.float32, 1.0)
    torch.testing.assert_close(
        _loss(CachedTeachers(cache).targets(batch, torch.float32, 1.0), batch, 0.0),
        _loss(live, batch, 0.0),
        rtol=1e-4,
        atol=1e-3,
    )


def test_draws_are_the_same_again_and_share_the_weight(
    tokenizer: Tokenizer, teachers: Teachers, examples: list[Example], tmp_path: Path
) -> None:
    made = []
    for name, part in (("a", examples), ("b", examples[::-1])):
        cache = open_cache(tmp_path / name, teachers, tokenizer, 12, True, 1.0)
        fill(cache, teachers, part, CPU)
        made.append(CachedTeachers(cache).targets(_batch(examples), torch.float32, 1.0))
    assert torch.equal(made[0].tokens, made[1].tokens) and made[0].drawn
    assert torch.allclose(made[0].probabilities.sum(-1), torch.ones(len(made[0].tokens)))
    assert len(made[0].tokens.unique()) > 12


def test_a_row_that_is_not_there_goes_to_the_teacher_or_is_refused(
    full: Cache, teachers: Teachers, examples: list[Example]
) -> None:
    varied = replace(examples[0], request=(*examples[0].request, 99))
    with pytest.raises(UserError, match="not in the cache"):
        CachedTeachers(full).targets(_batch([varied]), torch.float32, 1.0)
    found = CachedTeachers(full, teachers).targets(_batch([varied]), torch.float32, 1.0)
    best = teachers.targets(_batch([varied]), torch.float32, 1.0).probabilities.topk(8)
    assert torch.equal(found.tokens, best.indices)
    assert CachedTeachers(full).missing([varied, *examples]) == 1


def test_a_killed_pass_goes_on_and_ends_like_one_that_ran_through(
    tokenizer: Tokenizer, teachers: Teachers, examples: list[Example], full: Cache, tmp_path: Path
) -> None:
    cache = open_cache(tmp_path, teachers, tokenizer, 8, False, 1.0)
    fill(cache, teachers, examples[:4], CPU)
    for name, rest in (
        (TOKENS, b"12345"),
        (SHARES, b"half of a row"),
        (INDEX, b"a record cut"),
    ):  # what a kill between writes leaves
        with (tmp_path / name).open("ab") as file:
            file.write(rest)
    again = open_cache(tmp_path, teachers, tokenizer, 8, False, 1.0)
    assert len(again.rows) == 4 and fill(again, teachers, examples, CPU) == len(examples) - 4
    for example in examples:
        for one, other in zip(Cache.open(tmp_path).get(example), full.get(example), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert fill(Cache.open(tmp_path), teachers, examples, CPU) == 0


def test_a_file_that_is_shorter_than_its_index_says_is_named(
    tokenizer: Tokenizer, teachers: Teachers, examples: list[Example], tmp_path: Path
) -> None:
    fill(open_cache(tmp_path, teachers, tokenizer, 8, False, 1.0), teachers, examples[:1], CPU)
    (tmp_path / SHARES).write_bytes(b"")
    with pytest.raises(UserError, match="shorter than its index"):
        Cache.open(tmp_path)


@pytest.mark.parametrize(("change", "words"), [
    ({"k": 9}, "another k"), ({"draws": True}, "another draws"), ({"temperature": 2.0}, "another temperature"),
    ({"seed": 1}, "another teachers"),
])  # fmt: skip
def test_a_cache_is_never_continued_as_another(
    full: Cache, tokenizer: Tokenizer, teachers: Teachers, change: dict, words: str
) -> None:
    before = (full.folder / HEADER).read_bytes()
    others = Teachers([tiny_model(1)]) if "seed" in change else teachers
    with pytest.raises(UserError, match=words):
        open_cache(
            full.folder,
            others,
            tokenizer,
            change.get("k", 8),
            change.get("draws", False),
            change.get("temperature", 1.0),
        )
    assert (full.folder / HEADER).read_bytes() == before


def test_a_run_refuses_a_cache_of_something_else(
    full: Cache, tokenizer: Tokenizer, teachers: Teachers, tmp_path: Path
) -> None:
    made = ExampleSet(rows(), tokenizer, tiny_model().config)
    source = soft_source([], [], full.folder, tokenizer, settings(), made)
    assert isinstance(source, CachedTeachers) and source.live is None
    assert soft_source(teachers.scorers, [2.0, 1.0], full.folder, tokenizer, settings(), made).live is not None
    more = ExampleSet([*rows(), row(9, "one more", rows()[0].tools)], tokenizer, tiny_model().config)
    small = train_tokenizer(["some words of another language"] * 3, vocab_size=300)
    other = Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | {"normalizer": {"type": "Lowercase"}}))
    for words, arguments in {
        "1 of 10 rows are not in the cache": ([], [], full.folder, tokenizer, settings(), more),
        "of 8192 tokens, the student has": ([], [], full.folder, small, settings(), made),
        "another tokenizer": ([], [], full.folder, other, settings(), made),
        "at temperature 1.0, the run has 2.0": ([], [], full.folder, tokenizer, settings(temperature=2.0), made),
        "other teachers": ([tiny_model(1)], [], full.folder, tokenizer, settings(), made),
        "no teacher cache there": ([], [], tmp_path, tokenizer, settings(), made),
        "no teacher, no cache": ([], [], None, tokenizer, settings(), made),
    }.items():
        with pytest.raises(UserError, match=words) as error:
            soft_source(*arguments)
        assert "\n" not in str(error.value)
