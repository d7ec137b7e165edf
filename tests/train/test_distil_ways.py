"""``needle train`` by every way to distil, from files to a checkpoint, and the mistakes that it names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import rows, tiny_model
from transformers import LlamaConfig, LlamaForCausalLM

from needle.distil import teach, train
from needle.errors import UserError
from needle.traces import write_traces
from needle.traces.preferences import preference_pairs
from needle.traces.write import write_rows
from needle.train.checkpoint import save_checkpoint, save_tokenizer
from needle.train.config import TrainConfig


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """Traces, a start, two teachers of this project and one of another kind, preference pairs."""
    folder = tmp_path_factory.mktemp("ways")
    save_checkpoint(folder / "start", tiny_model(0), tokenizer, {})
    for seed in (1, 2):
        save_checkpoint(folder / f"teacher{seed}", tiny_model(seed, initializer_range=0.1), tokenizer, {})
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=8192, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                 num_attention_heads=1,
                                 num_key_value_heads=1)).save_pretrained(folder / "llama")  # fmt: skip
    save_tokenizer(folder / "llama", tokenizer)
    (folder / "traces").mkdir()
    write_traces(folder / "traces" / "train.jsonl", rows())
    write_traces(folder / "traces" / "validation.jsonl", rows()[:2])
    wrong = [{"name": "start_timer", "arguments": {"minutes": 1}}]
    write_rows(folder / "pairs.jsonl", preference_pairs(replace(trace, meta={"rejected": wrong}) for trace in rows()))
    return folder


def _train(home: Path, out: str, resume: bool = False, steps: int = 1, **changes: object) -> list[dict]:
    settings = {
        "steps": steps,
        "rows": 3,
        "validations": 1,
        "validation_rows": 1,
        "keep_base": False,
        "replay": 0.0,
    } | changes.pop("settings", {})
    files = {name: home / changes.pop(name) for name in ("teacher_cache", "preferences") if name in changes}
    teachers = [str(home / name) for name in changes.pop("teachers", ())]
    train(
        [home / "traces"],
        home / out,
        base=str(home / "start"),
        teachers=teachers,
        settings=settings,
        resume=resume,
        logs=("none",),
        **files,
        **changes,
    )
    return [json.loads(line) for line in (home / out / "log.jsonl").read_text().splitlines()]


def test_a_cache_made_once_teaches_alone_and_beside_preference_pairs_and_the_run_goes_on(home: Path) -> None:
    teachers = [f"{home / 'teacher1'}@3", str(home / "teacher2")]
    assert teach([home / "traces"], home / "cache", teachers, k=16) == 9
    assert teach([home / "traces"], home / "cache", teachers, k=16) == 0
    ways = {"loss": "soft", "teacher_cache": "cache", "preferences": "pairs.jsonl", "settings": {"preference": "dpo"}}
    [first] = _train(home, "cached", **ways)
    assert first["soft_loss"] > 0 and first["loss"] > 0 and first["preference_loss"] == pytest.approx(0.6931, abs=1e-3)
    assert len(_train(home, "cached", resume=True, steps=2, **ways)) == 2


def test_a_causal_model_teaches_on_the_students_own_answers(home: Path) -> None:
    [record] = _train(
        home, "sampled", loss="soft", teachers=["llama", "teacher1"], settings={"on_policy": 1.0, "divergence": 0.5}
    )
    assert record["sampled"] == 1 and record["loss"] == record["soft_loss"] > 0


def test_votes_alone_are_soft_labels(home: Path, tmp_path: Path) -> None:
    votes = {"votes": {"k": 3, "share": 0.6667, "decisions": {"tools": {"start_timer": 0.6667, "": 0.3333}}}}
    traces = [
        replace(trace, meta=votes) if [call.name for call in trace.calls] == ["start_timer"] else trace
        for trace in rows()
    ]
    for name in ("start", "pairs.jsonl"):
        (tmp_path / name).symlink_to(home / name)
    (tmp_path / "traces").mkdir()
    write_traces(tmp_path / "traces" / "train.jsonl", traces)
    write_traces(tmp_path / "traces" / "validation.jsonl", rows()[:2])
    [record] = _train(tmp_path, "voted", loss="soft", settings={"rows": 9, "rows_per_toolset": 9})
    assert record["votes_loss"] > 0 and record["loss"] > 0


def test_any_setting_is_read_from_the_command_line() -> None:
    words = ["divergence=0.5", "preference=dpo", "preference_pairs=4", "average_decay=none", "keep_base=true"]
    assert TrainConfig.read(words) == {
        "divergence": 0.5,
        "preference": "dpo",
        "preference_pairs": 4,
        "average_decay": None,
        "keep_base": True,
    }
    for word, reason in (
        ("temprature=2", "temperature"),
        ("rows", "NAME=VALUE"),
        ("rows=many", "takes a value of type int"),
        ("token_weights=1", "NAME=VALUE"),
    ):
        with pytest.raises(UserError, match=reason):
            TrainConfig.read([word])


@pytest.mark.parametrize(("ways", "words"), [
    ({"loss": "soft"}, "no teacher, no cache of one and no row with votes"),
    ({"loss": "hard", "teachers": ["teacher1"]}, "use hard without a teacher"),
    ({"loss": "hard", "teacher_cache": "nowhere"}, "--teacher-cache with --loss hard"),
    ({"loss": "soft", "teacher_cache": "nowhere"}, "no teacher cache there"),
    ({"loss": "mutual", "teachers": ["llama"]}, "all students are of this project"),
    ({"loss": "mutual", "settings": {"on_policy": 0.5}}, "--on-policy"),
    ({"preferences": "nowhere.jsonl"}, "needle traces preferences"),
    ({"settings": {"preference": "dpo"}}, "--dpo without --preferences"),
    ({"preferences": "pairs.jsonl", "settings": {"preference": "ppo"}}, "simpo or dpo"),
])  # fmt: skip
def test_ways_that_do_not_fit_are_refused_in_one_line_before_anything_is_written(
    home: Path, ways: dict, words: str
) -> None:
    with pytest.raises(UserError, match=words) as error:
        _train(home, "refused", **dict(ways))
    assert "\n" not in str(error.value) and not (home / "refused").exists()
