"""Rows of a causal student: the prompt that evaluation asks, the answer that evaluation reads, and a mask between the
two."""

from __future__ import annotations

import pytest
from hf_helpers import FAMILIES, HERMES, TRACES

from needle.distil import is_right
from needle.errors import UserError
from needle.evals.adapters.huggingface import HuggingFaceCaller
from needle.evals.adapters.text import Output
from needle.hf.rows import MASKED, Renderer
from needle.hf.trainer import collate


class _Shape:
    """Stands for a model where only its configuration is asked."""

    dtype = "float32"


@pytest.mark.parametrize("family", ["llama", "qwen", "gemma"])
def test_what_is_trained_is_what_evaluation_asks_and_reads(tiny_tokenizer, family: str) -> None:
    tokenizer = tiny_tokenizer(FAMILIES[family])
    renderer, caller = Renderer(tokenizer, 4096, [1]), HuggingFaceCaller(_Shape(), tokenizer, name=family)
    for trace in TRACES:
        row = renderer.row(trace)
        assert tokenizer.decode(row.prompt) == caller.show_prompt(trace.request)
        assert row.answer[-1] == tokenizer.eos_token_id and row.answer.count(tokenizer.eos_token_id) == 1
        written = tokenizer.decode(row.answer[:-1])
        assert is_right(trace, caller.read(Output(text=written), trace.tools)), written


def test_the_template_writes_the_calls_where_it_can(tiny_tokenizer) -> None:
    ways = {family: Renderer(tiny_tokenizer(template), 4096, [1]) for family, template in FAMILIES.items()}
    assert {family: (way.style, way.as_tool_calls) for family, way in ways.items()} == {
        "llama": ("chat template", False), "qwen": ("chat template", True), "gemma": ("plain words", False),
    }  # fmt: skip
    answer = ways["qwen"].tokenizer.decode(ways["qwen"].row(TRACES[1]).answer)
    assert answer.count("<tool_call>") == 2 and "café" in answer


def test_only_the_answer_has_labels_and_padding_has_none(tiny_tokenizer) -> None:
    tokenizer = tiny_tokenizer(HERMES)
    rows = Renderer(tokenizer, 4096, [1]).rows(TRACES)
    batch = collate(rows, range(len(rows)), tokenizer.pad_token_id)
    for row, ids, mask, labels in zip(rows, batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        trained = labels != MASKED
        assert tokenizer.decode(ids[trained]) == tokenizer.decode(row.answer) and "<|start|>" not in tokenizer.decode(
            ids[trained]
        )
        assert (
            trained.sum() == len(row.answer)
            and int(trained.nonzero()[0]) == len(row.prompt)
            and mask.sum() == len(row.ids)
        )
        assert (ids[trained] == labels[trained]).all()


def test_rows_longer_than_the_context_are_left_out_whole_and_counted(tiny_tokenizer) -> None:
    tokenizer = tiny_tokenizer(HERMES)
    lengths = sorted(len(row.ids) for row in Renderer(tokenizer, 4096, [1]).rows(TRACES))
    renderer = Renderer(tokenizer, lengths[-2], [1])
    assert [len(row.ids) for row in renderer.rows(TRACES)] and renderer.too_long == 1
    with pytest.raises(UserError, match="4 traces given, 4 longer than the context of 9 tokens"):
        Renderer(tokenizer, 9, [1]).rows(TRACES)
