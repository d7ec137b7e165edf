"""Model: its account of itself, packing that changes nothing, who sees whom, each part against its plain form."""

from __future__ import annotations

import itertools

import pytest
import torch
from student_helpers import START, TINY, batch_logits, plain_attention, plain_logits, tiny_model, token_rows
from torch import nn

from needle.student.modeling import PRESETS, NeedleConfig, NeedleModel
from needle.student.modeling.batching import pack_source, pack_target
from needle.student.modeling.layers import RMSNorm, rotary_table, rotate

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
TOOLSETS = token_rows(1, 7, 1, 12)
REQUESTS = token_rows(2, 3, 9, 1, 5, 4)
TOOLSET_OF = [0, 2, 0, 1, 2]
ANSWERS = [[START, *row] for row in token_rows(3, 4, 0, 7, 2, 11)]


def test_parameter_groups_sum_to_the_whole(model: NeedleModel) -> None:
    groups = model.parameter_groups()
    assert groups.pop("total") == sum(groups.values()) == sum(p.numel() for p in model.parameters())
    assert groups["embedding"] == 8192 * 64


@pytest.mark.parametrize(
    ("preset", "least", "most"), [("base", 25e6, 27e6), ("nano", 3e6, 5e6), ("proxy", 100e6, 150e6)]
)
def test_presets_have_the_size_they_promise(preset: str, least: float, most: float) -> None:
    with torch.device("meta"):
        total = NeedleModel(NeedleConfig(**PRESETS[preset])).parameter_groups()["total"]
    assert least <= total <= most


def test_flops_count_six_for_each_weight_that_a_token_passes(model: NeedleModel) -> None:
    source, target = model.flops_per_token()
    vectors = sum(p.numel() for layers in (model.encoder, model.decoder) for p in layers.parameters() if p.ndim < 2)
    weights = model.parameter_groups()["total"] - model.parameter_groups()["final norms"]
    assert abs((source + target) / 6 - weights) <= vectors and 0 < source < target


def test_a_saved_model_comes_back_equal(model: NeedleModel, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    back = NeedleModel.from_pretrained(tmp_path).eval()
    assert back.config.to_dict() == {
        **model.config.to_dict(),
        "_name_or_path": back.config.to_dict().get("_name_or_path"),
    } or (back.config.hidden_size == 64 and back.config.num_key_value_heads == 1)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), back.state_dict().values(), strict=True))
    args = (TOOLSETS, REQUESTS, TOOLSET_OF, ANSWERS)
    assert all(torch.equal(a, b) for a, b in zip(batch_logits(model, *args), batch_logits(back, *args), strict=True))


@pytest.mark.parametrize("changes", [{}, {"ffn_size": 48}, {"num_key_value_heads": 2}], ids=["base", "ffn", "no-gqa"])
def test_a_row_in_a_shared_batch_equals_the_plain_model_on_that_row(changes: dict[str, int]) -> None:
    model = tiny_model(3, **changes)
    together = batch_logits(model, TOOLSETS, REQUESTS, TOOLSET_OF, ANSWERS)
    for row, logits in enumerate(together):
        plain = plain_logits(model, TOOLSETS[TOOLSET_OF[row]], REQUESTS[row], ANSWERS[row])
        torch.testing.assert_close(logits, plain, **CLOSE)


@pytest.mark.parametrize("independent", [0, 1])
def test_joint_encoder_layers_equal_the_plain_model(independent: int) -> None:
    model = tiny_model(4, request_independent_layers=independent)
    toolsets = [TOOLSETS[place] for place in TOOLSET_OF]
    for row, logits in enumerate(batch_logits(model, toolsets, REQUESTS, range(5), ANSWERS)):
        torch.testing.assert_close(logits, plain_logits(model, toolsets[row], REQUESTS[row], ANSWERS[row]), **CLOSE)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 2, 0, 3, 1)])
def test_row_order_changes_nothing(model: NeedleModel, order: tuple[int, ...]) -> None:
    whole = batch_logits(model, TOOLSETS, REQUESTS, TOOLSET_OF, ANSWERS)
    cut = batch_logits(
        model,
        TOOLSETS,
        [REQUESTS[i] for i in order],
        [TOOLSET_OF[i] for i in order],
        [ANSWERS[i] for i in order],
    )
    for place, row in enumerate(order):
        torch.testing.assert_close(cut[place], whole[row], **CLOSE)


def test_each_row_depends_on_its_own_request_and_toolset_only(model: NeedleModel) -> None:
    before = batch_logits(model, TOOLSETS, REQUESTS, TOOLSET_OF, ANSWERS)
    requests, toolsets = list(REQUESTS), list(TOOLSETS)
    requests[1], toolsets[1] = token_rows(9, 20)[0], token_rows(8, 30)[0]
    after = batch_logits(model, toolsets, requests, TOOLSET_OF, ANSWERS)
    for row in (0, 2, 4):
        torch.testing.assert_close(after[row], before[row], **CLOSE)
    for row in (1, 3):
        assert not torch.allclose(after[row], before[row], atol=1e-2)


@pytest.mark.parametrize(("independent", "depends"), [(2, False), (1, True), (0, True)])
def test_tool_encodings_depend_on_the_request_only_through_joint_layers(independent: int, depends: bool) -> None:
    model = tiny_model(5, request_independent_layers=independent)
    with torch.no_grad():
        states = [model.encode(pack_source(TOOLSETS[:1], [request], [0]))[:7] for request in REQUESTS[:2]]
    assert torch.allclose(*states, atol=1e-5) is not depends


def test_joint_layers_refuse_batches_that_share_a_toolset() -> None:
    with pytest.raises(AssertionError, match="one request a toolset"):
        tiny_model(5, request_independent_layers=0).encode(pack_source(TOOLSETS[:1], REQUESTS[:2], [0, 0]))


def test_the_decoder_does_not_see_later_tokens(model: NeedleModel) -> None:
    answer = [START, *token_rows(6, 9)[0]]
    changed = [*answer[:5], *token_rows(7, 5)[0]]
    one, other = (batch_logits(model, TOOLSETS[:1], REQUESTS[:1], [0], [ids])[0] for ids in (answer, changed))
    torch.testing.assert_close(one[:5], other[:5], **CLOSE)
    assert not torch.allclose(one[5:], other[5:], atol=1e-2)


def test_attention_of_padded_blocks_equals_softmax_over_real_keys(model: NeedleModel) -> None:
    attention, states = model.decoder[0].cross.branch, torch.randn(27, 64, generator=torch.Generator().manual_seed(0))
    source = pack_source(token_rows(1, 6, 2), token_rows(2, 5, 8, 6), [0, 1, 0])
    target = pack_target(token_rows(3, 3, 1, 4), source)
    queries = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        heads = attention.attend(attention.queries(queries), attention.keys_values(states), target.source)
        tools, requests = (range(0, 6), range(6, 8), range(0, 6)), (range(8, 13), range(13, 21), range(21, 27))
        for row, own in enumerate((slice(0, 3), slice(3, 4), slice(4, 8))):
            memory = states[[*tools[row], *requests[row]]]
            plain = plain_attention(
                attention,
                model.config,
                queries[own],
                memory,
                torch.ones(len(queries[own]), len(memory), dtype=torch.bool),
            )
            torch.testing.assert_close(attention.o(heads)[own], plain, **CLOSE)


def test_grouped_heads_equal_repeated_heads() -> None:
    grouped = tiny_model(8)
    full = NeedleModel(NeedleConfig(**{**TINY, "num_key_value_heads": 2})).eval()
    weights = {
        name: torch.cat((weight, weight)) if name.endswith((".k.weight", ".v.weight")) else weight
        for name, weight in grouped.state_dict().items()
    }
    full.load_state_dict(weights)
    args = (TOOLSETS, REQUESTS, TOOLSET_OF, ANSWERS)
    for one, other in zip(batch_logits(grouped, *args), batch_logits(full, *args), strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


def test_rms_norm_equals_its_formula_and_keeps_the_type() -> None:
    norm = RMSNorm(16, 1e-6)
    nn.init.normal_(norm.gain)
    x = torch.randn(5, 16)
    torch.testing.assert_close(norm(x), x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * (1 + norm.gain))
    assert norm(x.bfloat16()).dtype == torch.bfloat16


def test_rotated_products_depend_on_the_distance_only() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 1, 32, generator=generator)
    products = {}
    for first, second in itertools.product((0, 3, 50, 53), repeat=2):
        a, b = (
            rotate(x, rotary_table(torch.tensor([place]), 32, 10_000.0)) for x, place in ((query, first), (key, second))
        )
        products[first, second] = (a * b).sum().item()
    assert products[0, 3] == pytest.approx(products[50, 53], abs=1e-4)
    assert products[3, 0] == pytest.approx(products[53, 50], abs=1e-4)
    assert products[0, 3] != pytest.approx(products[3, 0], abs=1e-2)
    assert products[0, 0] == pytest.approx((query * key).sum().item(), abs=1e-5)


def test_the_untrained_base_starts_close_to_uniform() -> None:
    torch.manual_seed(0)
    fresh = NeedleModel(NeedleConfig(**TINY)).eval()
    logits = batch_logits(fresh, TOOLSETS, REQUESTS, TOOLSET_OF, ANSWERS)
    assert all(row.logsumexp(-1).sub(torch.log(torch.tensor(8192.0))).abs().max() < 1 for row in logits)
    assert all(not p.any() for name, p in fresh.named_parameters() if name.endswith(("gain", "gate")))
