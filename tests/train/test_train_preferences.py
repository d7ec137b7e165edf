"""Preference pairs: both losses are their formulas, and the right answer gains on the wrong one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.storage import load_model
from needle.traces.preferences import preference_pairs
from needle.traces.write import write_rows
from needle.train.batches import collate
from needle.train.examples import Example, ExampleSet
from needle.train.loop import Trainer
from needle.train.losses import dpo_loss, simpo_loss
from needle.train.preferences import KEPT, Pair, Preferences, log_probabilities, read_pairs, reference_margins
from needle.train.students import Students


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wrong = [{"name": "start_timer", "arguments": {"minutes": 7, "label": "a much longer wrong answer"}}]
    traces = [replace(trace, meta={"rejected": [] if trace.calls else wrong}) for trace in rows()]
    traces[5] = replace(traces[5], meta={"rejected": wrong})
    return write_rows(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", preference_pairs(traces))


@pytest.fixture(scope="module")
def pairs(file: Path, tokenizer: Tokenizer) -> list[Pair]:
    return read_pairs(file, tokenizer, tiny_model().config)


def test_pairs_are_read_as_the_trainer_renders_their_rows(pairs: list[Pair], tokenizer: Tokenizer) -> None:
    chosen = {(e.tools, e.request, e.answer) for e in ExampleSet(rows(), tokenizer, tiny_model().config).rendered()}
    assert len(pairs) == 9 and {(p.chosen.tools, p.chosen.request, p.chosen.answer) for p in pairs} == chosen
    assert all(p.chosen.request == p.rejected.request and p.chosen.answer != p.rejected.answer for p in pairs)


def test_both_losses_equal_their_formulas_in_fp64() -> None:
    chosen, rejected, reference = (-10 * torch.rand(3, 50, generator=torch.Generator().manual_seed(0))).unbind()
    lengths = torch.randint(1, 30, (2, 50), generator=torch.Generator().manual_seed(1)).unbind()
    c, r, m = (x.double().tolist() for x in (chosen, rejected, reference))
    sigmoid = lambda x: 1 / (1 + math.exp(-x))
    dpo = [-math.log(sigmoid(0.3 * ((a - b) - d))) for a, b, d in zip(c, r, m, strict=True)]
    simpo = [
        -math.log(sigmoid(2.0 * a / n - 2.0 * b / k - 0.7))
        for a, b, n, k in zip(c, r, lengths[0].tolist(), lengths[1].tolist(), strict=True)
    ]
    torch.testing.assert_close(
        dpo_loss(chosen, rejected, reference, 0.3).double(),
        torch.tensor(dpo, dtype=torch.float64),
        rtol=1e-4,
        atol=1e-6,
    )
    torch.testing.assert_close(
        simpo_loss(chosen, rejected, lengths, 2.0, 0.7).double(),
        torch.tensor(simpo, dtype=torch.float64),
        rtol=1e-4,
        atol=1e-6,
    )
    at_start = dpo_loss(chosen, rejected, chosen - rejected, 0.3)
    torch.testing.assert_close(at_start, torch.full((50,), math.log(2)))


def test_log_probabilities_are_those_of_each_answer_alone(pairs: list[Pair]) -> None:
    model = tiny_model(0, initializer_range=0.1)
    found = log_probabilities(model, pairs, torch.float32)

    def alone(example: Example) -> torch.Tensor:
        batch = collate([example], dict.fromkeys(range(5), 1.0))
        logits = model.logits(model(batch.source, batch.target)).log_softmax(-1)
        return logits[range(len(example.answer)), list(example.answer)].sum()

    expected = [torch.stack([alone(getattr(pair, side)) for pair in pairs]) for side in ("chosen", "rejected")]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["simpo", "dpo"])
def test_the_right_answers_gain_on_the_wrong_ones(pairs: list[Pair], tokenizer: Tokenizer, name: str) -> None:
    model = tiny_model(0, initializer_range=0.1)
    config = settings(preference=name, preference_weight=1.0, warmup=0.0, muon_lr=0.01)
    before = reference_margins(model, pairs, torch.float32)
    students = Students([model], config, torch.float32, preferences=Preferences(pairs, config, before))
    # the labels are rows over other requests: what is gained on the pairs comes from the pairs
    examples = ExampleSet(rows()[6:7], tokenizer, model.config).rendered()
    parts = [students.update(examples, 0.3) for _ in range(8)]
    after = reference_margins(model, pairs, torch.float32)
    assert (
        parts[-1]["preference_loss"] < 0.8 * parts[0]["preference_loss"]
        and parts[-1]["preference_right"] >= parts[0]["preference_right"]
    )
    assert sum(new > old for new, old in zip(after, before, strict=True)) >= 7 and sum(after) > sum(before)


def _run(
    tokenizer: Tokenizer, out: Path, pairs: list[Pair], steps: int, model: NeedleModel, resume: bool = False
) -> torch.Tensor:
    config = settings(
        steps=steps, rows=3, validations=1, warmup=0.0, cooldown=0.0, preference="dpo", preference_pairs=2
    )
    begun = Preferences.begin(pairs, config, model, out, resume, torch.float32)
    trainer = Trainer(
        [model],
        tokenizer,
        ExampleSet(rows(), tokenizer, model.config),
        config,
        out,
        lambda _: {"exact": 0.0},
        preferences=begun,
    )
    if resume:
        trainer.resume()
    trainer.run()
    return torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])


def test_a_stopped_run_keeps_the_reference_it_began_with(
    pairs: list[Pair], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    whole = _run(tokenizer, tmp_path / "a", pairs, 4, tiny_model(0))
    _run(tokenizer, tmp_path / "b", pairs, 2, tiny_model(0))
    kept = (tmp_path / "b" / KEPT).read_bytes()
    with pytest.raises(UserError, match="other preference pairs"):
        _run(tokenizer, tmp_path / "b", pairs[1:], 4, tiny_model(0), resume=True)
    assert torch.equal(
        whole, _run(tokenizer, tmp_path / "b", pairs, 4, load_model(tmp_path / "b" / "last"), resume=True)
    )
    assert (tmp_path / "b" / KEPT).read_bytes() == kept


@pytest.mark.parametrize(("content", "words"), [
    ("", "no pair to learn from"), ("{ broken\n", "pairs.jsonl:1: not a preference pair"),
    ('{"prompt": []}\n', "not a preference pair"),
    (json.dumps({"prompt": [{"role": "user", "content": "hi"}], "chosen": [{"role": "assistant", "content": ""}],
                 "rejected": [{"role": "assistant", "content": ""}], "tools": []}), "no pair to learn from"),
])  # fmt: skip
def test_a_file_without_usable_pairs_is_named(tokenizer: Tokenizer, tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "pairs.jsonl").write_text(content)
    with pytest.raises(UserError, match=words) as error:
        read_pairs(tmp_path / "pairs.jsonl", tokenizer, tiny_model().config)
    assert "\n" not in str(error.value)
