"""Training's packed layout gives the logits and gradients of decoding's padded one, and rows never see each other."""

from __future__ import annotations

import copy

import pytest
import torch
from student_helpers import START, tiny_model, token_rows
from torch import Tensor
from torch.nn import functional as F

from needle.student.modeling import NeedleModel
from needle.student.modeling.batching import pack_source, pack_target
from needle.student.modeling.norm import RowsNorm
from needle.student.modeling.packing import pack
from needle.student.modeling.segments import SEGMENT_TOKENS, runs

TOOLSETS = token_rows(1, 30, 70, 5)
REQUESTS = token_rows(2, 9, 60, 62, 14, 3, 20, 1)
TOOLSET_OF = [0, 0, 0, 0, 1, 2, 2]
ANSWERS = [[START, *ids] for ids in token_rows(3, 4, 1, 30, 6, 17, 2, 8)]


@pytest.fixture(scope="module")
def model() -> NeedleModel:
    return tiny_model(0, num_attention_heads=4, num_key_value_heads=2)


def _outcome(model: NeedleModel, source: object, target: object) -> tuple[Tensor, Tensor]:
    model.zero_grad()
    logits = model.logits(model(source, target))
    logits.square().mean().backward()
    return logits.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("multiple", [1, 64])
def test_packed_rows_have_the_logits_and_gradients_of_padded_ones(model: NeedleModel, multiple: int) -> None:
    source = pack_source(TOOLSETS, REQUESTS, TOOLSET_OF)
    plain = _outcome(model, source, pack_target(ANSWERS, source))
    source, target = pack(TOOLSETS, REQUESTS, TOOLSET_OF, ANSWERS, (multiple, multiple))
    assert len(source.ids_N) % multiple == 0 and len(target.ids_N) % multiple == 0
    for one, other in zip(_outcome(model, source, target), plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_joint_layers_have_the_same_logits_and_gradients_packed() -> None:
    model = tiny_model(4, request_independent_layers=1)
    toolsets = [TOOLSETS[place] for place in TOOLSET_OF]
    source = pack_source(toolsets, REQUESTS, range(7))
    plain = _outcome(model, source, pack_target(ANSWERS, source))
    packed = _outcome(model, *pack(toolsets, REQUESTS, range(7), ANSWERS, joint=True))
    for one, other in zip(packed, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_one_masked_attention_call_has_the_states_of_the_segments(model: NeedleModel) -> None:
    still = copy.deepcopy(model).requires_grad_(False)  # PyTorch's own kernel has no backward pass on a CPU
    pieces, whole = (still(*pack(TOOLSETS, REQUESTS, TOOLSET_OF, ANSWERS, (128, 256), flex=flex)) for flex in (False, True))
    torch.testing.assert_close(whole, pieces, atol=1e-5, rtol=1e-5)


def test_a_row_never_sees_another_one(model: NeedleModel) -> None:
    def states(requests: list[list[int]], answers: list[list[int]]) -> list[Tensor]:
        with torch.no_grad():
            return list(model(*pack(TOOLSETS, requests, TOOLSET_OF, answers, (32, 32))).split([len(ids) for ids in answers]))

    requests, answers = list(REQUESTS), list(ANSWERS)
    requests[1], answers[3] = token_rows(9, 44)[0], [START, *token_rows(8, 11)[0]]
    for row, (before, after) in enumerate(zip(states(REQUESTS, ANSWERS), states(requests, answers), strict=True)):
        assert (before.shape == after.shape and torch.allclose(before, after, atol=1e-5)) is (row not in (1, 3))


def test_segments_hold_each_row_once_and_only_rows_of_one_toolset() -> None:
    spans = runs(TOOLSET_OF, [len(ids) for ids in REQUESTS], [len(ids) for ids in ANSWERS])
    assert [row for first, end in spans for row in range(first, end)] == list(range(7))
    for first, end in spans:
        assert len(set(TOOLSET_OF[first:end])) == 1
        assert end - first == 1 or sum(len(ids) for ids in REQUESTS[first:end]) <= SEGMENT_TOKENS
    assert (0, 2) in spans  # 9 and 60 tokens share one, the 62 of the next row would be too many


@pytest.mark.parametrize("shape", [(700, 512), (9, 3, 64)])
def test_the_norm_worked_in_parts_has_the_values_and_gradients_of_the_whole(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, out = (torch.randn(shape, generator=generator) for _ in range(2))
    found = []
    for norm in (RowsNorm.apply, lambda x, gain, eps: F.rms_norm(x, x.shape[-1:], 1 + gain, eps)):
        mine, gain = x.clone().requires_grad_(), torch.randn(shape[-1], generator=torch.Generator().manual_seed(1)).requires_grad_()
        norm(mine, gain, 1e-6).backward(out)
        found.append((norm(mine, gain, 1e-6).detach(), mine.grad, gain.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
