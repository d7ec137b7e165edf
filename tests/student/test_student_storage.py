"""Integer weights: the rounding rule, stored files that repeat the trained forward pass exactly, damaged folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from student_helpers import START, batch_logits, tiny_model, token_rows
from torch import Tensor

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.quantize import dequantize, fake_quantize, quantize, rounded_copy, set_quantization
from needle.student.modeling.storage import load_model, pack_nibbles, save_quantized, unpack_nibbles

ARGS = (token_rows(1, 7, 4), token_rows(2, 3, 9), [0, 1], [[START, *row] for row in token_rows(3, 4, 6)])


def matrix(seed: int, scale: float, rows: int = 6, columns: int = 96) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * scale


@given(st.integers(0, 10**6), st.sampled_from([1e-9, 1e-4, 0.02, 1.0, 300.0]), st.sampled_from([4, 8]))
def test_rounding_twice_is_rounding_once(seed: int, scale: float, bits: int) -> None:
    integers, scales = quantize(matrix(seed, scale), bits)
    again, same = quantize(dequantize(integers, scales), bits)
    assert torch.equal(integers, again)
    assert torch.equal(dequantize(integers, scales), dequantize(again, same))


@given(st.integers(0, 10**6), st.sampled_from([1e-9, 0.02, 1.0, 300.0]), st.sampled_from([4, 8]))
def test_the_error_is_at_most_half_a_step(seed: int, scale: float, bits: int) -> None:
    weight = matrix(seed, scale)
    integers, scales = quantize(weight, bits)
    top = 2 ** (bits - 1) - 1
    assert integers.dtype == torch.int8 and int(integers.abs().max()) <= top
    assert scales.dtype == torch.float16 and scales.shape == (6, 3) and bool((scales > 0).all())
    step = scales.float().repeat_interleave(32, dim=1)
    assert bool(((dequantize(integers, scales) - weight).abs() <= step * 0.5001).all())


def test_zeros_stay_zero_and_the_largest_weight_of_a_group_is_kept() -> None:
    weight = torch.zeros(1, 64)
    weight[0, 40] = -3.0
    integers, scales = quantize(weight, 4)
    assert integers[0, 40] == -7 and int(integers.abs().sum()) == 7
    assert dequantize(integers, scales)[0, 40].item() == pytest.approx(-3.0, rel=1e-3)


@given(st.integers(0, 10**6))
def test_nibbles_come_back(seed: int) -> None:
    integers = torch.randint(-8, 8, (5, 64), generator=torch.Generator().manual_seed(seed)).to(torch.int8)
    packed = pack_nibbles(integers)
    assert packed.dtype == torch.uint8 and packed.shape == (5, 32)
    assert torch.equal(unpack_nibbles(packed), integers)
    assert int(packed[0, 0] & 15) - 8 == integers[0, 0] and int(packed[0, 0] >> 4) - 8 == integers[0, 1]


def test_the_fake_rounded_weight_is_exactly_the_stored_one_with_a_straight_gradient() -> None:
    for bits in (4, 8):
        weight = matrix(5, 0.02, 64, 256).requires_grad_()
        rounded = fake_quantize(weight, bits)
        assert torch.equal(rounded, dequantize(*quantize(weight, bits)))
        rounded.mul(torch.arange(256.0)).sum().backward()
        assert torch.equal(weight.grad, torch.arange(256.0).expand(64, 256))


@pytest.mark.parametrize("bits", [4, 8])
def test_the_stored_model_is_the_fake_quantised_forward_bit_for_bit(tmp_path, bits: int) -> None:
    model = tiny_model(9, ffn_size=64)
    exact = batch_logits(model, *ARGS)
    set_quantization(model, bits)
    trained = batch_logits(model, *ARGS)
    twin = rounded_copy(model, bits)
    save_quantized(model, tmp_path, bits)
    for other in (twin, load_model(tmp_path)):
        assert all(torch.equal(a, b) for a, b in zip(trained, batch_logits(other, *ARGS), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(trained, exact, strict=True))
    set_quantization(model, None)
    assert all(torch.equal(a, b) for a, b in zip(exact, batch_logits(model, *ARGS), strict=True))


def test_a_model_that_was_stored_once_is_stored_the_same_again(tmp_path) -> None:
    save_quantized(tiny_model(9), tmp_path / "a", 4)
    save_quantized(load_model(tmp_path / "a"), tmp_path / "b", 4)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in "ab")
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_four_bits_take_little_more_than_half_a_byte_a_weight(tmp_path, model: NeedleModel) -> None:
    save_quantized(model, tmp_path, 4)
    assert (tmp_path / "model.safetensors").stat().st_size < 0.6 * model.parameter_groups()["total"]


def test_a_plain_checkpoint_loads_equal(tmp_path, model: NeedleModel) -> None:
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    assert not loaded.training
    assert all(torch.equal(a, b) for a, b in zip(batch_logits(model, *ARGS), batch_logits(loaded, *ARGS), strict=True))


def _cut(folder) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def _change(folder, change) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt", "needle_bits": "4"})


def _config(folder, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


DAMAGES = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "weights cut short": _cut,
    "weights of noise": lambda folder: (folder / "model.safetensors").write_bytes(b"not weights"),
    "empty weights": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "broken config": lambda folder: (folder / "config.json").write_text("{ not json"),
    "another model": lambda folder: _config(folder, model_type="bert"),
    "another shape": lambda folder: _config(folder, hidden_size=96),
    "fewer layers": lambda folder: _config(folder, num_encoder_layers=1),
    "more layers": lambda folder: _config(folder, num_decoder_layers=3),
    "a matrix missing": lambda folder: _change(folder, lambda t: t.pop("embedding.weight.integers")),
    "a scale missing": lambda folder: _change(folder, lambda t: t.pop("embedding.weight.scale")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_a_user_error(tmp_path, model: NeedleModel, damage: str) -> None:
    save_quantized(model, tmp_path, 4)
    DAMAGES[damage](tmp_path)
    with pytest.raises(UserError) as error:
        load_model(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_stored_model_may_be_read_by_others(tmp_path: Path) -> None:
    save_quantized(tiny_model(), tmp_path / "model", 4)
    assert (tmp_path / "model" / "model.safetensors").stat().st_mode & 0o044 == 0o044
