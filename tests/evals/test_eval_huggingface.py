"""Hugging Face models: a real (tiny, random) model and tokenizer through save, load, chat template, generate and parser."""

from __future__ import annotations

import pytest

from needle.errors import UserError
from needle.evals.adapters import open_adapter
from needle.evals.adapters.huggingface import PLAIN, TEMPLATE, HuggingFaceCaller
from needle.evals.run import evaluate

WITH_TOOLS = (
    "{% for t in tools or [] %}<tool>{{ t.function.name }} {{ t.function.parameters | tojson }}</tool>{% endfor %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}<assistant>"
)
WITHOUT_TOOLS = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}<assistant>"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """``saved(template)``: a folder with a random Llama of 2 layers and a byte tokenizer with this chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({one: place for place, one in enumerate(["<pad>", "<end>", *alphabet])}, []))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    config = LlamaConfig(vocab_size=258, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                         max_position_embeddings=2048, eos_token_id=1, pad_token_id=0, bos_token_id=None)  # fmt: skip
    model = LlamaForCausalLM(config)

    def make(template: str | None):
        folder = tmp_path_factory.mktemp("model")
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", pad_token="<pad>")
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        return folder

    return make


def test_a_model_is_asked_through_its_template_and_answers_do_not_depend_on_the_batch(saved, make_suite, tmp_path):
    caller = HuggingFaceCaller.from_pretrained(str(saved(WITH_TOOLS)), max_new_tokens=12)
    suite = make_suite(6)
    prompt = caller.show_prompt(suite.traces[0].request)
    assert prompt.startswith('<tool>set_light {"type": "object"') and prompt.endswith(
        "<user>dim the hall to 0<end><assistant>"
    )
    assert caller.settings["prompt"] == TEMPLATE and caller.facts()["parameters"] == sum(
        p.numel() for p in caller.model.parameters()
    )
    requests = [trace.request for trace in suite.traces]
    requests[2] = suite.traces[2].request.__class__(suite.traces[2].query * 5, requests[2].tools, "It is Monday.")
    together = caller.answer(requests)
    alone = [caller.answer([request])[0] for request in requests]
    assert [one.raw for one in together] == [one.raw for one in alone] and all(one.raw for one in together)
    assert all(one.usage["completion_tokens"] <= 12 and one.usage["prompt_tokens"] > 100 for one in together)
    results = evaluate(caller, suite, tmp_path / "run")
    assert results.summary["reading"]["parsers"] == {"auto": 6} and results.summary["model"]["parameters"] > 10_000
    assert results.summary["provenance"]["settings"]["decoding"] == "greedy" and results.complete


def test_words_that_the_token_limit_cut_off_are_no_decision_against_calling(saved, make_suite, tmp_path, monkeypatch):
    caller, suite = HuggingFaceCaller.from_pretrained(str(saved(WITH_TOOLS)), max_new_tokens=12), make_suite(6)
    words = caller.tokenizer("I am sorry, but", add_special_tokens=False)["input_ids"]
    for ending, told in (([], "truncated"), ([caller.tokenizer.eos_token_id], None)):
        written = [[*words, *ending]] * 6
        monkeypatch.setattr("needle.evals.adapters.huggingface._generate", lambda *_, written=written, **__: written)
        answers = caller.answer([trace.request for trace in suite.traces])
        assert all((one.error or "").partition(":")[0] == (told or "") and not one for one in answers)
        assert {one.raw for one in answers} == {"I am sorry, but"}
        results = evaluate(caller, suite, tmp_path / str(told))
        assert evaluate(caller, suite, tmp_path / str(told)).summary["causes"] == results.summary["causes"]
        assert results.summary["decisions"]["matrix"] if not told else results.summary["causes"] == {"truncated": 6}


def test_small_batches_give_the_same_answers(saved, make_suite):
    folder = str(saved(WITH_TOOLS))
    requests = [trace.request for trace in make_suite(5).traces]
    wide, narrow = (
        HuggingFaceCaller.from_pretrained(folder, max_new_tokens=8, batch_tokens=tokens) for tokens in (10**6, 1)
    )
    assert [one.raw for one in wide.answer(requests)] == [one.raw for one in narrow.answer(requests)]


def test_a_template_without_tools_is_asked_in_plain_words(saved, make_trace):
    request = make_trace(system="It is Monday.").request
    for template in (WITHOUT_TOOLS, None):
        caller = HuggingFaceCaller.from_pretrained(str(saved(template)), max_new_tokens=4)
        prompt = caller.show_prompt(request)
        assert (
            caller.settings["prompt"] == PLAIN
            and "set_light" in prompt
            and "It is Monday." in prompt
            and request.query in prompt
        )
        assert caller.answer([request])[0].raw


def test_a_prompt_that_does_not_fit_is_an_error_of_the_model(saved, make_trace):
    caller = HuggingFaceCaller.from_pretrained(str(saved(WITH_TOOLS)), max_new_tokens=4)
    (result,) = caller.answer([make_trace(query="word " * 1000).request])
    assert result.error.startswith("too_long") and not result.infra_error


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be loaded"):
        open_adapter(f"hf:{tmp_path}")
