"""The loss equals torch's, weighs tokens apart, and adds up however a step is cut."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_mask
from train_helpers import rows, settings, tiny_model

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.compiled import _any_length
from needle.student.rendering import STRUCTURE, VALUE
from needle.student.tokenizer import BOS, SPECIAL_IDS
from needle.train.batches import Shape, collate, micro_batches
from needle.train.config import TrainConfig
from needle.train.examples import Example, ExampleSet
from needle.train.losses import hard_label_loss
from needle.train.speed import compiled_graphs
from needle.train.students import Students

WEIGHTS = TrainConfig(steps=1).token_weights


def _drawn(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(17, 50, generator=generator) * 4
    return logits, torch.randint(0, 50, (17,), generator=generator), torch.rand(17, generator=generator)


@pytest.fixture(scope="module")
def examples(tokenizer: Tokenizer) -> list[Example]:
    made = ExampleSet(rows(), tokenizer, tiny_model().config)
    return made.rendered()


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_weighted_cross_entropy_plus_squared_log_partition(seed: int) -> None:
    logits, labels, weights = _drawn(seed)
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(hard_label_loss(logits, labels, weights), (cross_entropy * weights).sum())
    expected = ((cross_entropy + 0.01 * logits.logsumexp(-1) ** 2) * weights).sum()
    torch.testing.assert_close(hard_label_loss(logits, labels, weights, 0.01), expected)
    torch.testing.assert_close(
        hard_label_loss(logits, labels, torch.ones(17)), F.cross_entropy(logits, labels, reduction="sum")
    )


def test_the_loss_is_computed_in_fp32() -> None:
    logits, labels, weights = _drawn(0)
    loss = hard_label_loss(logits.bfloat16(), labels, weights)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, hard_label_loss(logits.bfloat16().float(), labels, weights))


def test_a_token_of_weight_zero_teaches_nothing() -> None:
    logits, labels, weights = _drawn(1)
    weights[3:9] = 0
    logits.requires_grad_()
    hard_label_loss(logits, labels, weights, 0.01).backward()
    assert float(logits.grad[3:9].abs().max()) == 0 and bool((logits.grad[9:].abs().sum(-1) > 0).all())


def test_labels_are_the_next_tokens_and_weights_those_of_their_class(examples: list[Example]) -> None:
    batch = collate(examples, WEIGHTS)
    assert batch.rows == len(examples) and sum(batch.lengths) == len(batch.labels_N) == len(batch.weights_N) == len(
        batch.target.ids_N
    )
    found = []
    parts = zip(
        *(part.split(list(batch.lengths)) for part in (batch.target.ids_N, batch.labels_N, batch.weights_N)),
        strict=True,
    )
    for inputs, labels, weights in parts:
        assert inputs.tolist() == [SPECIAL_IDS[BOS], *labels[:-1].tolist()]
        found.append((tuple(labels.tolist()), tuple(weights.tolist())))
    expected = [(one.answer, tuple(torch.tensor([WEIGHTS[kind] for kind in one.classes]).tolist())) for one in examples]
    assert sorted(found) == sorted(expected)


def test_a_batch_reads_each_toolset_once(examples: list[Example]) -> None:
    batch = collate(examples, WEIGHTS)
    tools = {example.tools for example in examples}
    assert len(tools) == 2
    assert len(batch.source.ids_N) == sum(map(len, tools)) + sum(len(example.request) for example in examples)


@pytest.mark.parametrize("size", [1, 2, 4, 9, 50])
def test_micro_batches_hold_every_row_once_and_no_more_than_asked(examples: list[Example], size: int) -> None:
    batches = list(micro_batches(examples, size, WEIGHTS))
    assert all(batch.rows <= size for batch in batches) and sum(batch.rows for batch in batches) == len(examples)
    labels = sorted(tuple(part.tolist()) for batch in batches for part in batch.labels_N.split(list(batch.lengths)))
    assert labels == sorted(example.answer for example in examples)


def _gradients(
    model: NeedleModel, examples: list[Example], size: int, multiple: int, weights: dict[int, float]
) -> tuple[float, Tensor]:
    model.zero_grad(set_to_none=True)
    total, loss_sum = sum(weights[kind] for example in examples for kind in example.classes), 0.0
    for batch in micro_batches(examples, size, weights, shape=Shape(multiple, multiple)):
        logits = model.logits(model(batch.source, batch.target))
        loss = hard_label_loss(logits, batch.labels_N, batch.weights_N, 1e-4) / total
        loss.backward()
        loss_sum += loss.item()
    return loss_sum, torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize(("size", "multiple"), [(1, 1), (2, 7), (4, 64), (50, 256)])
def test_gradients_of_ragged_micro_batches_sum_to_those_of_the_whole(
    examples: list[Example], size: int, multiple: int
) -> None:
    model = tiny_model(1, initializer_range=0.1)
    loss, whole = _gradients(model, examples, 50, 1, WEIGHTS)
    loss_cut, cut = _gradients(model, examples, size, multiple, WEIGHTS)
    assert loss_cut == pytest.approx(loss, abs=1e-5)
    assert float(whole.abs().max()) > 1e-3
    assert float((cut - whole).abs().max()) <= 1e-6 * max(1.0, float(whole.abs().max()))


def _reference_kernel(query: Tensor, key: Tensor, value: Tensor, block_mask: BlockMask, enable_gqa: bool) -> Tensor:
    """What the accelerator's kernel computes: only listed blocks, in them what the mask allows, zeros where nothing is."""
    sizes = query.shape[2], key.shape[2]
    seen = create_mask(block_mask.mask_mod, 1, 1, *sizes, device="cpu")
    seen = seen & block_mask.to_dense().bool().repeat_interleave(128, -2).repeat_interleave(128, -1)
    out = F.scaled_dot_product_attention(query, key, value, seen | ~seen.any(-1, keepdim=True), enable_gqa=enable_gqa)
    return out * seen.any(-1, keepdim=True)


def test_the_accelerators_step_in_passes_of_one_shape_equals_the_plain_one(examples: list[Example], monkeypatch) -> None:
    plain = Students([tiny_model(1, initializer_range=0.1)], settings(micro_rows=50), torch.float32).update(examples, 0.1)
    monkeypatch.setattr("needle.student.modeling.flex._kernel", lambda _: _reference_kernel)
    monkeypatch.setattr("needle.train.passes.uses_flex", lambda *_: True)
    monkeypatch.setattr("needle.train.passes.FLEX_STEP", 128)
    students = Students([tiny_model(1, initializer_range=0.1, max_source_tokens=128)], settings(micro_rows=2), torch.float32)
    found = students.update(examples, 0.1)
    shape = students.shape
    assert shape.fixed and shape.flex and shape.source % 128 == shape.target % 128 == 0
    batches = list(micro_batches(examples, 4, WEIGHTS, shape=shape))
    assert {(len(batch.source.ids_N), len(batch.target.ids_N)) for batch in batches} == {(shape.source, shape.target)}
    assert 0 < found["padding_share"] < 1 and found["norm"] == pytest.approx(plain["norm"], rel=1e-5)
    assert found["loss"] == pytest.approx(plain["loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"quantize_bits": 4, "quantize_share": 1.0}, {"lora": 4}], ids=["plain", "rounded", "lora"])
def test_compiled_gradients_equal_the_plain_ones_and_later_steps_compile_nothing(examples: list[Example], how: dict) -> None:
    found, before = [], compiled_graphs()
    for compile_ in ("off", "on"):
        students = Students([tiny_model(1, initializer_range=0.1)], settings(compile=compile_, clip=1e9, **how), torch.float32)
        model = students.models[0]
        hold = [p.detach().clone() for p in model.parameters()]
        students.optimizers, kept = [], students.optimizers
        parts = students.update(examples, 0.1)  # without optimisers: the gradients stay
        found.append((parts["loss"], torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])))
        assert all(torch.equal(a, b) for a, b in zip(hold, model.parameters(), strict=True))
        model.zero_grad(set_to_none=True)
        students.optimizers = kept
    graphs = compiled_graphs()
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-6)
    assert float((found[0][1] - found[1][1]).abs().max()) <= 1e-5 * float(found[0][1].abs().max())
    for size in (7, 4, 9):
        students.update(examples[:size], 0.2)
    assert 4 <= graphs - before <= 6 and compiled_graphs() == graphs


def test_where_compiling_fails_layers_go_on_without_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(region: object, **_: object) -> object:
        def call(*_: object) -> None:
            raise torch._dynamo.exc.TorchDynamoException("no compiler\nand much more")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    double = _any_length(lambda _, x: 2 * x, True, None)
    with pytest.warns(UserWarning, match="no compiler"):
        assert double(None, torch.ones(2)).tolist() == [2, 2]
    assert double(None, torch.ones(3)).tolist() == [2, 2, 2]
    with pytest.raises(UserError, match="no compiler.*use compile off"):
        _any_length(lambda _, x: x, False, None)(None, torch.ones(2))


def test_with_structure_masked_only_the_other_tokens_count(examples: list[Example]) -> None:
    model = tiny_model(1)
    masked = {kind: 0.0 if kind == STRUCTURE else 1.0 for kind in range(VALUE + 1)}
    loss, _ = _gradients(model, examples, 50, 1, masked)
    plain = 0.0
    for example in examples:
        batch = collate([example], WEIGHTS)
        logits = model.logits(model(batch.source, batch.target))
        telling = torch.tensor([kind != STRUCTURE for kind in example.classes])
        entropy = F.cross_entropy(logits, batch.labels_N, reduction="none") + 1e-4 * logits.logsumexp(-1) ** 2
        plain += entropy[telling].sum().item()
    count = sum(kind != STRUCTURE for example in examples for kind in example.classes)
    assert loss == pytest.approx(plain / count, rel=1e-4)
