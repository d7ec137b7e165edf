"""Causal students end to end on tiny random models: trained, taught, continued, evaluated, and kept as they were when
nothing is better."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hf_helpers import TRACES
from safetensors.torch import load_file, save_file

from needle.distil_hf import train_causal
from needle.errors import UserError
from needle.hf.load import load_causal
from needle.hf.rows import Renderer
from needle.hf.trainer import CausalScorer, Teaching, answer_logits, collate, loss_of
from needle.traces import write_traces
from needle.train.losses import SoftTargets, hard_label_loss, soft_label_loss
from needle.train.teachers import Teachers

BEST = Path("best") / "model.safetensors"


@pytest.fixture(scope="module")
def traces(tmp_path_factory) -> Path:
    """Sixteen rows to train on and two held out, two turns of history left out to keep them short."""
    folder = tmp_path_factory.mktemp("chat")
    made = [replace(trace, id=f"{trace.id}-{n}", query=f"{trace.query}, {n}") for n in range(6) for trace in TRACES[:3]]
    write_traces(folder / "train.jsonl", made[:16])
    write_traces(folder / "validation.jsonl", made[16:])
    return folder


@pytest.fixture
def batch(tiny_causal):
    """``batch(folder)``: a model, its rows and one batch of all of them."""

    def make(folder: Path):
        student = load_causal(f"hf:{folder}", exact=True)
        rows = Renderer(student.tokenizer, student.context, student.ends).rows(TRACES)
        return student, rows, collate(rows, range(len(rows)), student.tokenizer.pad_token_id)

    return make


def test_the_losses_are_those_of_the_answers_one_by_one(tiny_causal, batch) -> None:
    student, rows, together = batch(tiny_causal("qwen"))
    teacher = load_causal(f"hf:{tiny_causal('qwen', seed=5)}", exact=True)
    teaching = Teaching(
        Teachers([CausalScorer(teacher.model, "teacher", 259)]), temperature=2.0, divergence=0.3, weight=0.25
    )
    found = loss_of(student.model.eval(), together, rows, teaching, 259)
    hard = soft = 0.0
    for row in rows:  # by the plain forward pass, shifted by hand
        logits, said = (
            model(torch.tensor([row.ids])).logits[0, len(row.prompt) - 1 : -1]
            for model in (student.model, teacher.model.eval())
        )
        ones = torch.ones(len(row.answer))
        hard += hard_label_loss(logits, torch.tensor(row.answer), ones)
        soft += soft_label_loss(logits, SoftTargets((said / 2).softmax(-1)), ones, 2.0, 0.3)
    assert found["hard_loss"][0] == 0.75 and found["soft_loss"][0] == 0.25
    assert found["hard_loss"][1].item() == pytest.approx(hard.item(), rel=1e-5) and found["soft_loss"][
        1
    ].item() == pytest.approx(soft.item(), rel=1e-4)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_even_from_a_padded_vocabulary(tiny_causal, batch) -> None:
    student, rows, together = batch(tiny_causal("llama"))
    wide = load_causal(f"hf:{tiny_causal('llama', columns=272)}", exact=True)
    with torch.no_grad():
        narrow = student.model.state_dict()
        for name, weight in wide.model.state_dict().items():
            weight[: narrow[name].shape[0]].copy_(narrow[name])
    loss = loss_of(
        student.model, together, rows, Teaching(Teachers([CausalScorer(wide.model, "wide", 259)]), weight=1.0), 259
    )
    loss["soft_loss"][1].backward()
    assert (
        abs(loss["soft_loss"][1].item()) < 1e-3
        and max(weight.grad.abs().max() for weight in student.model.parameters()) < 1e-3
    )


@pytest.fixture
def unanswered(monkeypatch) -> None:
    """Held-out rows are not answered, which takes long and is not what the test is about."""
    monkeypatch.setattr("needle.distil_hf._judge", lambda *_: lambda student: 0.0)


def test_accumulated_steps_are_those_of_one_batch(tiny_causal, traces: Path, tmp_path: Path, unanswered) -> None:
    weights = []
    for micro in (6, 4):  # 3 + 3 rows, of other lengths: passes of 4 do not make a step of 6
        settings = {"steps": 2, "rows": 6, "micro_rows": micro, "validations": 1, "rate": 1e-3}
        train_causal([traces], tmp_path / str(micro), f"hf:{tiny_causal('qwen')}", settings=settings)
        weights.append(load_file(tmp_path / str(micro) / BEST))
    base = load_file(tiny_causal("qwen") / "model.safetensors")
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in base)
    assert not any(torch.equal(base[name], weights[0][name]) for name in base)


@pytest.mark.parametrize("family", [pytest.param("llama", marks=pytest.mark.slow), "gemma"])
def test_the_command_learns_rows_and_evaluation_reads_the_result(
    cli, tiny_causal, traces: Path, tmp_path: Path, family: str
) -> None:
    out = tmp_path / "run"
    outcome = cli(
        "train",
        "--base",
        f"hf:{tiny_causal(family)}",
        "--traces",
        traces,
        "--out",
        out,
        "--steps",
        3,
        "--rows",
        4,
        "--lora",
        4,
    )
    assert outcome.code == 0 and str(out / "best") in outcome.last, outcome.err
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert (
        [line["step"] for line in log if "loss" in line] == [1, 2, 3]
        and log[0]["step"] == 0
        and "validation_exact" in log[-1]
    )
    base, tuned = load_file(tiny_causal(family) / "model.safetensors"), load_file(out / BEST)
    moved = {name for name in base if not torch.equal(base[name], tuned[name])}
    assert base.keys() == tuned.keys() and moved and all(name.endswith("_proj.weight") for name in moved), (
        "adapters alone have learnt"
    )
    scored = cli(
        "eval",
        "--model",
        f"hf:{out / 'best'}",
        "--suite",
        traces / "validation.jsonl",
        "--limit",
        1,
        "--out",
        tmp_path / "eval",
    )
    assert scored.code == 0, scored.err
    assert (tmp_path / "eval" / "results.json").is_file()
    assert (
        "a run is there already"
        in cli("train", "--base", f"hf:{tiny_causal(family)}", "--traces", traces, "--out", out, "--steps", 3).complaint
    )


def test_a_killed_run_goes_on_bit_for_bit(tiny_causal, traces: Path, tmp_path: Path, unanswered) -> None:
    settings = {"steps": 3, "rows": 4, "validations": 3, "lora": 4, "rate": 1e-3}
    base, teacher = f"hf:{tiny_causal('qwen')}", f"hf:{tiny_causal('qwen', seed=5)}"

    def run(out: Path, **options) -> None:
        train_causal([traces], out, base, loss="soft", teachers=[teacher], settings=settings, **options)

    run(tmp_path / "whole")
    pid = os.fork()
    if pid == 0:
        run(
            tmp_path / "cut",
            report=lambda record: (
                os.kill(os.getpid(), signal.SIGKILL)
                if record.get("step") == 2 and "loss" in record and record["progress"] > 0.5
                else None
            ),
        )
        os._exit(1)  # never reached
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    with pytest.raises(UserError, match="rows 4 there and 5 now"):
        train_causal(
            [traces],
            tmp_path / "cut",
            base,
            loss="soft",
            teachers=[teacher],
            settings={**settings, "rows": 5},
            resume=True,
        )
    with pytest.raises(UserError, match="loss soft there and hard now"):
        train_causal([traces], tmp_path / "cut", base, settings=settings, resume=True)
    run(tmp_path / "cut", resume=True)
    first, second = (load_file(tmp_path / name / BEST) for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("lora", [0, 4])
def test_a_start_that_nothing_beats_is_kept_bit_for_bit_and_said(
    cli, tiny_causal, traces: Path, tmp_path: Path, lora: int, unanswered, monkeypatch
) -> None:
    monkeypatch.setattr("needle.hf.tune.held_out_loss", lambda *_: float(next(losses)))
    losses = iter([1, 2, 3, 4, 5])
    options = ["--lora", lora] if lora else []
    outcome = cli(
        "train",
        "--base",
        f"hf:{tiny_causal('qwen')}",
        "--traces",
        traces,
        "--out",
        tmp_path / "run",
        "--steps",
        2,
        "--rows",
        2,
        *options,
    )
    assert outcome.code == 1 and "NOTHING LEARNT" in outcome.err
    kept, base = load_file(tmp_path / "run" / BEST), load_file(tiny_causal("qwen") / "model.safetensors")
    assert kept.keys() == base.keys() and all(torch.equal(kept[name], base[name]) for name in base)


def test_what_does_not_fit_is_told_in_one_line_and_nothing_is_written(
    cli, tiny_causal, traces: Path, tmp_path: Path
) -> None:
    base, out = f"hf:{tiny_causal('qwen')}", tmp_path / "run"
    plain = ["train", "--base", base, "--traces", traces, "--out", out, "--steps", 1]
    other = f"hf:{tiny_causal('qwen', columns=260, more=('<more>',))}"
    assert "another tokenizer" in cli(*plain, "--loss", "soft", "--teacher", other).complaint
    assert (
        "quantize_bits" in cli(*plain, "--bits", 4).complaint
        and "--loss mutual" in cli(*plain, "--loss", "mutual").complaint
    )
    assert "use hard without a teacher" in cli(*plain, "--teacher", base).complaint
    assert "URL#model" in cli(*plain, "--loss", "soft", "--teacher", "http://localhost:1/v1").complaint
    assert (
        "no such folder"
        in cli("train", "--base", f"hf:{tmp_path / 'nowhere'}", "--traces", traces, "--out", out).complaint
    )
    short = f"hf:{tiny_causal('qwen', max_position_embeddings=64)}"
    assert (
        "longer than the context of 64 tokens"
        in cli("train", "--base", short, "--traces", traces, "--out", out).complaint
    )
    assert "no run to continue" in cli(*plain, "--resume").complaint
    assert not out.exists()


def test_answer_logits_predict_the_answers(tiny_causal, batch) -> None:
    student, rows, together = batch(tiny_causal("gemma"))
    logits, targets = answer_logits(student.model, together)
    assert targets.tolist() == [token for row in rows for token in row.answer] and logits.shape == (len(targets), 259)


def test_a_run_whose_teacher_fails_before_anything_was_learnt_leaves_the_folder_free(
    tiny_causal, traces: Path, tmp_path: Path, unanswered
) -> None:
    broken = shutil.copytree(tiny_causal("qwen", seed=5), tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    save_file({name: weight * float("nan") for name, weight in weights.items()}, broken / "model.safetensors", {"format": "pt"})
    base, settings = f"hf:{tiny_causal('qwen')}", {"steps": 1, "rows": 4, "validations": 1}
    with pytest.raises(UserError, match="finite"):
        train_causal([traces], tmp_path / "run", base, loss="soft", teachers=[f"hf:{broken}"], settings=settings)
    assert train_causal([traces], tmp_path / "run", base, settings=settings).steps == 1
