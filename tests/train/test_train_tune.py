"""Fine-tunes: settings that follow from the size of the data, an early stop, and a base that is never traded for worse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import settings, tiny_model, trainer

from needle.distil import with_replay
from needle.student.modeling.storage import load_model
from needle.traces.read import read_traces
from needle.train.config import TrainConfig
from needle.train.tune import passes_for, tuned_settings


def test_passes_fall_and_rows_a_step_grow_with_the_data() -> None:
    sizes = [10, 50, 200, 1000, 5000, 20_000, 50_000]
    passes = [passes_for(size) for size in sizes]
    steps = [tuned_settings(size, {})["rows"] for size in sizes]
    assert passes == sorted(passes, reverse=True) and passes[0] == passes[1] == 24 and passes[-1] == 2
    assert steps == sorted(steps) and steps[0] == 16 and steps[-1] == 128


@pytest.mark.parametrize("size", [1, 50, 1000, 50_000])
def test_every_size_gives_a_run_that_is_bounded_and_stops_early(size: int) -> None:
    config = TrainConfig(**tuned_settings(size, {}))
    assert 20 <= config.steps <= 2000 and config.patience == 3 and config.keep_base
    assert config.steps * config.rows >= min(size, 320)


def test_the_plans_are_those_of_the_guide() -> None:
    page = (Path(__file__).parents[2] / "docs" / "fine_tuning.md").read_text()
    told = [[cell.strip().replace(",", "") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert [int(line[0]) for line in told] == [50, 300, 1000, 5000, 50_000]
    for size, rows, passes, steps, validations in told:
        made = tuned_settings(int(size), {})
        assert (made["rows"], made["steps"], made["validations"]) == (int(rows), int(steps), int(validations))
        assert made["steps"] * made["rows"] / int(size) == pytest.approx(float(passes), rel=0.1)
        assert made["replay"] == 0.1 and made["cooldown"] == 0.8


@pytest.mark.parametrize(("scores", "words"), [
    ([(0.5, 1.0), (0.4, 0.9), (0.3, 0.8)], "WORSE THAN THE BASE: held-out exact match was 0.500 at the start and 0.400 at most after it"),
    ([(0.5, 1.0), (0.5, 1.1), (0.2, 0.8)], "NOTHING LEARNT: held-out exact match was 0.500 at the start and 0.500 at most after it"),
    ([(0.5, 1.0), (0.5, 0.9), (0.2, 0.8)], None),
])  # fmt: skip
def test_a_run_that_learnt_nothing_says_so_and_ends_with_one(cli, tiny_base: Path, home_traces: Path, tmp_path: Path, monkeypatch, scores, words) -> None:
    turns = iter(scores)
    monkeypatch.setattr("needle.train.validate.Validator.__call__", lambda *_: dict(zip(("exact", "loss"), next(turns), strict=True)))
    outcome = cli("train", "--traces", home_traces, "--base", tiny_base, "--steps", 2, "--rows", 2, "--set", "validations=2", "--out", tmp_path / "run")
    assert (outcome.code, words in outcome.err if words else "LEARNT" not in outcome.err) == (1 if words else 0, True), outcome.err
    kept, base = (load_model(folder).embedding.weight for folder in (tmp_path / "run" / "best", tiny_base))
    assert torch.equal(kept, base) is bool(words)


def test_what_is_given_stands() -> None:
    made = tuned_settings(1000, {"minutes": 2.0, "rows": 7, "validations": 2})
    assert (made["minutes"], made["rows"], made["validations"]) == (2.0, 7, 2)
    assert "steps" not in made and "patience" not in made


def test_a_base_that_nothing_beats_is_kept(tokenizer: Tokenizer, tmp_path: Path) -> None:
    scores = iter([0.5, 0.4, 0.5, 0.2])  # an equal is no better
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    report = trainer(tokenizer, tmp_path, settings(keep_base=True), lambda _: {"exact": next(scores)}, model).run()
    assert report.best == {"exact": 0.5, "step": 0} and report.steps == 6
    kept = load_model(tmp_path / "best").state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in before.items())
    assert not torch.equal(kept["embedding.weight"], model.embedding.weight)


def test_a_base_that_is_beaten_is_replaced(tokenizer: Tokenizer, tmp_path: Path) -> None:
    scores = iter([0.5, 0.4, 0.6, 0.2])
    report = trainer(tokenizer, tmp_path, settings(keep_base=True), lambda _: {"exact": next(scores)}).run()
    assert report.best["exact"] == 0.6 and report.best["step"] == 4


def test_with_rounding_the_base_is_judged_rounded(tokenizer: Tokenizer, tmp_path: Path) -> None:
    scores = iter([0.5, 0.4, 0.4, 0.4])
    config = settings(keep_base=True, quantize_bits=4, cooldown=0.5)
    assert trainer(tokenizer, tmp_path, config, lambda _: {"exact": next(scores)}).run().best["step"] == 0


def test_a_run_that_no_longer_rises_stops_early(tokenizer: Tokenizer, tmp_path: Path) -> None:
    scores = iter([0.1, 0.3, 0.3, 0.2, 0.9])
    config = settings(steps=5, validations=5, patience=2)
    report = trainer(tokenizer, tmp_path, config, lambda _: {"exact": next(scores)}).run()
    assert report.steps == 4 and report.best["exact"] == 0.3


def test_replayed_rows_are_of_other_toolsets_and_as_many_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("needle.distil.RECORDED", "data/traces/validation.jsonl.gz")  # the train part takes seconds to read
    recorded = read_traces(Path(__file__).parents[2] / "data" / "traces" / "validation.jsonl.gz")[0]
    mine = [trace for trace in recorded if trace.toolset == recorded[0].toolset][:9] * 10
    mixed = with_replay(mine, 0.1, seed=0)
    assert mixed[: len(mine)] == mine and len(mixed) == round(len(mine) / 0.9)
    assert recorded[0].toolset not in {trace.toolset for trace in mixed[len(mine) :]}
    assert with_replay(mine, 0.1, seed=0) == mixed and with_replay(mine, 0.0, seed=0) == mine


def test_a_base_whose_scoring_takes_the_whole_budget_is_trained_for_a_step(tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = settings(steps=None, minutes=1e-9, keep_base=True)
    assert trainer(tokenizer, tmp_path, config, lambda _: {"exact": 0.5}).run().steps == 1
