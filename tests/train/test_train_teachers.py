"""Teachers in the loop: averaged as probabilities, from this project or from Hugging Face, refused in one line where
they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from train_helpers import rows, settings, tiny_model
from transformers import LlamaConfig, LlamaForCausalLM

from needle.distil import teach, train
from needle.errors import UserError
from needle.student.modeling import PRESETS, NeedleConfig, NeedleModel
from needle.student.tokenizer import BOS, SPECIAL_IDS, train_tokenizer
from needle.traces import write_traces
from needle.train.batches import collate
from needle.train.causal_teacher import CausalTeacher
from needle.train.checkpoint import save_checkpoint, save_tokenizer
from needle.train.examples import Example, ExampleSet
from needle.train.students import Students
from needle.train.teachers import Checkpoint, Teachers, digest, load_teacher


@pytest.fixture(scope="module")
def examples(tokenizer: Tokenizer) -> list[Example]:
    return ExampleSet(rows(), tokenizer, tiny_model().config).rendered()


def _llama(folder: Path, tokenizer: Tokenizer, vocabulary: int = 8192) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=vocabulary, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
                         num_attention_heads=2,
                         num_key_value_heads=1, initializer_range=0.3, max_position_embeddings=512)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    save_tokenizer(folder, tokenizer)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    return _llama(tmp_path_factory.mktemp("llama"), tokenizer, 8200)  # some rows of padding, as larger models have


def test_a_causal_teacher_says_of_each_answer_token_what_it_says_after_all_before_it(
    llama: Path, tokenizer: Tokenizer, examples: list[Example]
) -> None:
    teacher = load_teacher(llama, "llama", tokenizer)
    assert isinstance(teacher, CausalTeacher)
    for part in (examples, examples[:1]):
        batch = collate(part, settings().token_weights)
        with torch.no_grad():
            found = teacher.logits(batch, torch.float32)
        assert found.shape == (len(batch.labels_N), 8192)
        for example, logits in zip(batch.examples, found.split(list(batch.lengths)), strict=True):
            prompt = [*example.tools, *example.request, SPECIAL_IDS[BOS]]
            for place in range(len(example.answer)):
                ids = torch.tensor([[*prompt, *example.answer[:place]]])
                with torch.no_grad():
                    alone = teacher.weights(input_ids=ids).logits[0, -1, :8192]
                torch.testing.assert_close(logits[place], alone, rtol=1e-3, atol=1e-3)


def test_a_student_and_a_causal_model_teach_together(
    llama: Path, tokenizer: Tokenizer, examples: list[Example]
) -> None:
    teachers = Teachers([load_teacher(llama, "llama", tokenizer), tiny_model(1, initializer_range=0.1)], [1.0, 3.0])
    batch = collate(examples[:3], settings().token_weights)
    parts = [Teachers([scorer]).targets(batch, torch.float32, 1.0).probabilities for scorer in teachers.scorers]
    torch.testing.assert_close(
        teachers.targets(batch, torch.float32, 1.0).probabilities, 0.25 * parts[0] + 0.75 * parts[1]
    )
    assert Students([tiny_model(0)], settings(), torch.float32, teachers).update(examples[:3], 0.5)["soft_loss"] > 0


def test_a_teacher_with_another_tokenizer_or_without_any_is_refused_in_one_line(
    llama: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    other = _llama(tmp_path / "other", train_tokenizer(["words of another language"] * 3, 300))
    small = _llama(tmp_path / "small", tokenizer, 4096)
    strange = _llama(tmp_path / "strange", tokenizer)
    Tokenizer(models.WordLevel({"hello": 0, "world": 1}, "hello")).save(str(strange / "tokenizer.json"))
    broken = _llama(tmp_path / "broken", tokenizer)
    (broken / "model.safetensors").write_bytes(b"nothing")
    for folder, words in (
        (other, "another tokenizer"),
        (small, "4096 tokens where"),
        (strange, "another tokenizer"),
        (broken, "not a causal language model"),
    ):
        with pytest.raises(UserError, match=words) as error:
            load_teacher(folder, str(folder), tokenizer)
        assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_a_teacher_that_is_not_finite_is_named_and_nothing_is_written_over(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    broken = tiny_model(0)
    with torch.no_grad():
        broken.decoder_norm.gain[0] = torch.nan
    save_checkpoint(tmp_path / "good", tiny_model(1), tokenizer, {})
    save_checkpoint(tmp_path / "broken", broken, tokenizer, {})
    write_traces(tmp_path / "train.jsonl", rows())
    write_traces(tmp_path / "validation.jsonl", rows()[:2])
    teachers = [str(tmp_path / "good"), str(tmp_path / "broken")]
    with pytest.raises(UserError, match=r"step 1: .*broken: this teacher gives values that are not finite"):
        train(
            [tmp_path],
            tmp_path / "run",
            base=str(tmp_path / "good"),
            loss="soft",
            teachers=teachers,
            settings={"steps": 1, "rows": 2, "keep_base": False},
        )
    assert not (tmp_path / "run" / "best").exists()
    with pytest.raises(UserError, match="broken: this teacher"):
        teach([tmp_path], tmp_path / "cache", teachers)
    assert (tmp_path / "cache" / "index.bin").stat().st_size == 0


def test_a_digest_names_the_weights_and_not_the_file(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a", tiny_model(1), tokenizer, {})
    loaded = load_teacher(tmp_path / "a", "a", tokenizer)
    assert isinstance(loaded, Checkpoint) and digest(loaded.weights) == digest(tiny_model(1)) != digest(tiny_model(2))


def test_the_proxy_is_a_teacher_of_100_to_150_million_with_the_students_vocabulary() -> None:
    with torch.device("meta"):
        proxy = NeedleModel(NeedleConfig(**PRESETS["proxy"]))
    assert 100e6 < proxy.parameter_groups()["total"] < 150e6
    assert proxy.config.vocab_size == NeedleConfig().vocab_size and proxy.config.shares_toolsets


def test_a_model_of_the_proxys_proportions_trains_by_the_same_step(examples: list[Example]) -> None:
    thin = {key: value // 16 if "layers" not in key else value for key, value in PRESETS["proxy"].items()}
    model = NeedleModel(NeedleConfig(**{**thin, "num_attention_heads": 2, "num_key_value_heads": 1}))
    before = model.embedding.weight.detach().clone()
    assert Students([model], settings(), torch.float32).update(examples[:2], 0.5)["loss"] > 0
    assert not torch.equal(before, model.embedding.weight)
