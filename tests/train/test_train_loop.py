"""The loop: stopped runs go on bit for bit, bad input never becomes "best", the budget is kept, rows are learnt."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model, trainer

from needle.errors import UserError
from needle.student.caller import StudentCaller
from needle.student.modeling import NeedleModel
from needle.student.modeling.engine import TorchEngine
from needle.student.modeling.quantize import dequantize, quantize
from needle.student.modeling.storage import load_model
from needle.student.tokenizer import load_tokenizer
from needle.traces import Trace
from needle.train.checkpoint import save_checkpoint, whole
from needle.train.config import TrainConfig
from needle.train.curves import Curves
from needle.train.examples import ExampleSet
from needle.train.loop import Trainer, TrainReport
from needle.train.optimizer import rate
from needle.train.teachers import Teachers
from needle.train.validate import Validator

WEIGHTS = "model.safetensors"


class Killed(Exception):
    """Stands for a process that ends without a word."""


def _interrupt_at(step: int) -> Callable[[dict], None]:
    """Ctrl-C while ``step`` is being reported."""
    return lambda record: signal.raise_signal(signal.SIGINT) if record["step"] == step else None


def _kill_at(step: int) -> Callable[[dict], None]:
    def report(record: dict) -> None:
        if record["step"] == step:
            raise Killed

    return report


def _vary(trace, rng):
    return replace(trace, query=f"{trace.query} {rng.randrange(10)}")


def _resumed(tokenizer: Tokenizer, out: Path, config) -> Trainer:
    again = trainer(tokenizer, out, config, model=load_model(out / "last"), transform=_vary)
    again.resume()
    return again


@pytest.mark.parametrize(
    "stops",
    [
        [(_interrupt_at(2), KeyboardInterrupt)],
        [(_interrupt_at(3), KeyboardInterrupt)],
        [(_kill_at(3), Killed)],
        [(_interrupt_at(1), KeyboardInterrupt), (_kill_at(5), Killed)],
    ],
    ids=["after-a-validation", "between-validations", "killed", "twice"],
)
def test_stopping_and_resuming_equals_one_run_bit_for_bit(tokenizer: Tokenizer, tmp_path: Path, stops: list) -> None:
    config = settings(steps=6, validations=3)  # validates, and saves, after steps 2, 4 and 6
    records: list[dict] = []
    trainer(tokenizer, tmp_path / "whole", config, transform=_vary).run(records.append)
    run = trainer(tokenizer, tmp_path / "cut", config, transform=_vary)
    for stop, error in stops:
        with pytest.raises(error):
            run.run(stop)
        run = _resumed(tokenizer, tmp_path / "cut", config)
    later: list[dict] = []
    report = run.run(later.append)
    assert report.steps == 6 and report.rows == records[-1]["rows"]
    for name in (WEIGHTS, "optimizer.safetensors"):
        whole, cut = (load_file(tmp_path / folder / "last" / name) for folder in ("whole", "cut"))
        assert whole.keys() == cut.keys() and all(torch.equal(whole[key], cut[key]) for key in whole), name
    same = ("step", "epoch", "rows", "loss", "rate", "norm")
    assert [[r[key] for key in same] for r in later] == [[r[key] for key in same] for r in records[-len(later) :]]


def test_ctrl_c_loses_no_step_and_leaves_the_signal_as_it_was(tokenizer: Tokenizer, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    run = trainer(tokenizer, tmp_path, settings(steps=50, validations=1))
    with pytest.raises(KeyboardInterrupt):
        run.run(_interrupt_at(3))
    assert signal.getsignal(signal.SIGINT) is before
    assert json.loads((tmp_path / "last" / "training_state.json").read_text())["step"] == 3
    assert not (tmp_path / "best").exists()


def test_a_run_that_has_ended_goes_on_where_it_stopped_when_it_is_given_more_steps(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    seen: dict[str, list[str]] = {"first": [], "second": [], "whole": []}

    def note(name: str):
        return lambda trace, rng: (seen[name].append(trace.id), trace)[1]

    config = settings(steps=2, validations=1, rows=3, rows_per_toolset=1)
    trainer(tokenizer, tmp_path / "cut", config, transform=note("first")).run()
    again = trainer(
        tokenizer,
        tmp_path / "cut",
        replace(config, steps=3),
        model=load_model(tmp_path / "cut" / "last"),
        transform=note("second"),
    )
    again.resume()
    records: list[dict] = []
    again.run(records.append)
    whole: list[dict] = []
    trainer(tokenizer, tmp_path / "whole", replace(config, steps=3), transform=note("whole")).run(whole.append)
    assert [record["rows"] for record in records if "rows" in record] == [9]
    assert seen["second"] == seen["whole"][6:9]


def test_resuming_another_configuration_or_nothing_is_a_user_error(tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = settings(steps=1, validations=1)
    with pytest.raises(UserError, match="nothing to resume"):
        trainer(tokenizer, tmp_path, config).resume()
    trainer(tokenizer, tmp_path, config).run()
    with pytest.raises(UserError, match="other settings: rows 4 there and 5 now"):
        trainer(tokenizer, tmp_path, replace(config, rows=5)).resume()
    trainer(tokenizer, tmp_path, replace(config, steps=9)).resume()


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_no_checkpoint(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.decoder[1].cross.branch.v.weight[3, 5] = float("nan")
    with pytest.raises(UserError, match="step 1: the loss is not finite"):
        trainer(tokenizer, tmp_path, settings(), model=model).run()
    assert not (tmp_path / "best").exists() and not (tmp_path / "last").exists()


def test_a_loss_that_stops_being_finite_leaves_the_good_checkpoint(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = tiny_model()

    def poison(record: dict) -> None:
        if record["step"] == 3:
            with torch.no_grad():
                model.embedding.weight.fill_(float("inf"))

    with pytest.raises(UserError, match="step 4: the loss is not finite"):
        trainer(tokenizer, tmp_path, settings(), model=model).run(poison)
    for name in ("best", "last"):
        assert all(bool(weight.isfinite().all()) for weight in load_file(tmp_path / name / WEIGHTS).values())
    assert json.loads((tmp_path / "last" / "training_state.json").read_text())["step"] == 2


def test_best_is_the_checkpoint_with_the_highest_exact_and_the_later_of_equals(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    for name, scores, winner in (
        ("peak", [0.2, 0.9, 0.5], 1),
        ("tie", [0.4, 0.4, 0.1], 1),
        ("rise", [0.0, 0.1, 0.2], 2),
    ):
        seen: list[torch.Tensor] = []

        def validate(model: NeedleModel, seen=seen, scores=scores) -> dict[str, float]:
            assert not model.training
            seen.append(model.embedding.weight.detach().clone())
            return {"exact": scores[len(seen) - 1], "loss": 9.0 - len(seen)}

        report = trainer(tokenizer, tmp_path / name, settings(), validate).run()
        assert isinstance(report, TrainReport) and report.out == tmp_path / name
        assert report.best["exact"] == scores[winner] and report.best["step"] == 2 * (winner + 1) and len(seen) == 3
        assert torch.equal(load_model(tmp_path / name / "best").embedding.weight, seen[winner])
        assert torch.equal(load_model(tmp_path / name / "last").embedding.weight, seen[2])
        state = json.loads((tmp_path / name / "best" / "training_state.json").read_text())
        assert state["scores"] == report.best


def test_the_log_has_a_json_line_for_each_step(tokenizer: Tokenizer, tmp_path: Path) -> None:
    records: list[dict] = []
    trainer(tokenizer, tmp_path, settings(validations=2)).run(records.append)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == records and [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "validation_exact" in line] == [3, 6]
    config = settings(validations=2)
    for number, line in enumerate(lines):
        assert line["progress"] == pytest.approx(number / 6) and line["rate"] == pytest.approx(rate(number / 6, config))
        assert line["loss"] > 0 and line["norm"] > 0 and line["rows_per_second"] > 0


def test_a_checkpoint_is_a_folder_that_transformers_and_the_tokenizer_read(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    trainer(tokenizer, tmp_path, settings(steps=1, validations=1)).run()
    plain = load_model(tmp_path / "best")
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.parameters(), NeedleModel.from_pretrained(tmp_path / "best").parameters(), strict=True)
    )
    assert load_tokenizer(tmp_path / "best").to_str() == tokenizer.to_str()


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch
) -> None:
    model = tiny_model()
    save_checkpoint(tmp_path / "best", model, tokenizer, {"step": 1})
    monkeypatch.setattr(
        "needle.student.modeling.storage.save_file", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(tmp_path / "best", tiny_model(1), tokenizer, {"step": 2})
    assert torch.equal(load_model(tmp_path / "best").embedding.weight, model.embedding.weight)
    assert json.loads((tmp_path / "best" / "training_state.json").read_text()) == {"step": 1}


class Clock:
    """Time that passes only where the test says so (and a millisecond for each look)."""

    now = 1000.0

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now


def _timed_run(
    tokenizer: Tokenizer, out: Path, monkeypatch, minutes: float, validation: float, **changes
) -> tuple[TrainReport, list[dict]]:
    """A run whose rows take 1.25 seconds each and whose validations take ``validation`` seconds."""
    clock, records = Clock(), []
    monkeypatch.setattr("needle.train.loop.time", SimpleNamespace(monotonic=clock.monotonic))

    def row_time(trace, rng):
        clock.now += 1.25
        return trace

    def validate(model: NeedleModel) -> dict[str, float]:
        clock.now += validation
        return {"exact": 0.5}

    config = settings(steps=None, minutes=minutes, **changes)
    return trainer(tokenizer, out, config, validate, transform=row_time).run(records.append), records


def test_minutes_plan_the_schedule_so_that_the_last_validation_ends_in_time(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch
) -> None:
    report, records = _timed_run(tokenizer, tmp_path, monkeypatch, 4.0, 30.0)
    validated = [record["step"] for record in records if "validation_exact" in record]
    assert len(validated) == 2 and validated[-1] == report.steps  # of 3: a second on the way would leave too little to training
    assert 240 - 30 <= report.seconds <= 240 + 15  # to within the rows that a step takes
    rates = [record["rate"] for record in records if "rate" in record]
    assert max(rates) == 1.0 and rates[-1] < 0.3 and rates == sorted(rates[:2]) + sorted(rates[2:], reverse=True)


def test_a_validation_that_was_never_timed_is_not_planned_for_but_the_run_still_ends_and_validates(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch
) -> None:
    report, records = _timed_run(tokenizer, tmp_path, monkeypatch, 0.5, 20.0, validations=1)
    assert report.steps >= 3 and "validation_exact" in records[-1] and report.best["exact"] == 0.5


def test_a_budget_below_one_step_still_takes_one_and_validates_it(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch
) -> None:
    report, _ = _timed_run(tokenizer, tmp_path, monkeypatch, 0.01, 5.0)
    assert report.steps == 1 and (tmp_path / "best").is_dir()


def test_a_student_that_equals_its_teachers_has_nothing_to_learn_from_soft_labels(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    records: list[dict] = []
    for name, teachers in (
        ("same", [tiny_model(), tiny_model()]),
        ("other", [tiny_model(), tiny_model(7, initializer_range=0.2)]),
    ):
        config = settings(steps=1, validations=1, soft_weight=1.0)
        model = tiny_model()
        examples = ExampleSet(rows(), tokenizer, model.config)
        Trainer([model], tokenizer, examples, config, tmp_path / name, lambda _: {"exact": 0.0}, Teachers(teachers)).run(
            records.append
        )
    assert abs(records[0]["soft_loss"]) < 1e-5 and records[0]["norm"] < 1e-4
    assert records[1]["soft_loss"] > 0.1 and records[1]["norm"] > 1e-2


def _is_rounded(weight: torch.Tensor, bits: int) -> bool:
    return torch.equal(dequantize(*quantize(weight, bits)), weight.detach())


def test_rounding_is_on_in_the_cooldown_only_and_what_is_scored_and_kept_is_rounded(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model, on, scored = tiny_model(), [], []

    def validate(judged: NeedleModel) -> dict[str, float]:
        scored.append(all(_is_rounded(p, 4) for p in judged.parameters() if p.ndim == 2))
        return {"exact": 0.1 * len(scored)}

    config = settings(steps=6, validations=6, cooldown=0.5, quantize_bits=4)
    trainer(tokenizer, tmp_path, config, validate, model).run(
        lambda record: on.append((record["progress"], model.embedding_quantize is not None))
    )
    assert [rounding for _, rounding in on] == [progress >= 0.5 for progress, _ in on]
    assert scored == [False, False, True, True, True, True]
    best, last = load_model(tmp_path / "best"), load_model(tmp_path / "last")
    assert all(_is_rounded(p, 4) for p in best.parameters() if p.ndim == 2)
    assert not _is_rounded(last.embedding.weight, 4)


def test_without_rounding_no_weight_is_rounded(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = tiny_model()
    trainer(tokenizer, tmp_path, settings(), model=model).run()
    assert model.embedding_quantize is None and not _is_rounded(load_model(tmp_path / "best").embedding.weight, 4)


def _exact(traces: list[Trace], examples: ExampleSet, tokenizer: Tokenizer, config: TrainConfig) -> Validator:
    return Validator(traces, examples, tokenizer, config.token_weights, torch.float32, lambda trace, answer: list(answer) == list(trace.calls))


def test_a_tiny_model_learns_four_rows_exactly(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, traces = tiny_model(), rows()[:4]
    examples = ExampleSet(traces, tokenizer, model.config)
    config = settings(steps=75, rows=4, rows_per_toolset=4, micro_rows=4, validations=1, adam_lr=0.01)
    validator = _exact(traces, examples, tokenizer, config)
    before = validator(model.eval())
    report = Trainer([model], tokenizer, examples, config, tmp_path, validator).run()
    assert before["exact"] < 1 and report.best["exact"] == report.best["free"] == report.best["tokens"] == 1.0
    assert report.best["loss"] < before["loss"] / 10
    answers = StudentCaller(TorchEngine(load_model(tmp_path / "best")), tokenizer, constrained=False).answer(
        [trace.request for trace in traces]
    )
    assert [list(answer) for answer in answers] == [list(trace.calls) for trace in traces]


def test_free_counts_the_answers_that_greedy_decoding_without_constraints_gives(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model, traces = tiny_model(), rows()
    examples = ExampleSet(traces, tokenizer, model.config)
    config = settings(steps=32, rows=9, rows_per_toolset=9, micro_rows=9, validations=1, adam_lr=0.01)
    validator = _exact(traces, examples, tokenizer, config)
    Trainer([model], tokenizer, examples, config, tmp_path, validator).run()
    model.eval()
    answers = StudentCaller(TorchEngine(model), tokenizer, constrained=False).answer([trace.request for trace in traces])
    right = sum(
        answer.error is None and list(answer) == list(trace.calls)
        for trace, answer in zip(traces, answers, strict=True)
    )
    assert 0 < right < len(traces) and validator(model)["free"] == pytest.approx(right / len(traces))


def test_curves_hold_the_numbers_of_a_step(tmp_path: Path) -> None:
    curves = Curves(tmp_path)
    curves({"step": 3, "loss": 1.5, "validation_exact": 0.25, "note": "words"})
    curves.close()
    content = b"".join(file.read_bytes() for file in (tmp_path / "tensorboard").iterdir())
    assert b"train/loss" in content and b"validation/exact" in content and b"note" not in content


def test_a_rounded_checkpoint_is_kept_before_a_better_one_that_is_not(tokenizer: Tokenizer, tmp_path: Path) -> None:
    scores = iter([0.9, 0.2, 0.1, 0.1])
    config = settings(steps=4, validations=4, cooldown=0.75, quantize_bits=4, quantize_share=0.5)
    report = trainer(tokenizer, tmp_path, config, lambda _: {"exact": next(scores)}, tiny_model()).run()
    assert report.best["exact"] == 0.2
    assert all(_is_rounded(p, 4) for p in load_model(tmp_path / "best").parameters() if p.ndim == 2)


def test_a_process_killed_between_the_two_renames_loses_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", tiny_model(), tokenizer, {"step": 1})
    (tmp_path / "last").rename(tmp_path / "last.old")
    assert (whole(tmp_path / "last") / "model.safetensors").is_file() and not (tmp_path / "last.old").exists()


def test_joint_encoder_layers_train_on_rows_that_share_a_toolset(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = tiny_model(request_independent_layers=0)
    report = trainer(tokenizer, tmp_path, settings(steps=2, rows_per_toolset=4, validations=1), model=model).run()
    assert report.steps == 2
