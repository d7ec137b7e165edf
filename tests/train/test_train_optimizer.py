"""Optimisers and schedule: who is updated by which, and the rate over the run."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train_helpers import tiny_model

from needle.errors import UserError
from needle.train.config import TrainConfig
from needle.train.loop import compute_type
from needle.train.optimizer import make_optimizers, rate, set_rate

CONFIG = TrainConfig(steps=100, warmup=0.1, cooldown=0.4, floor=0.05)


def test_muon_has_the_matrices_of_the_layers_and_adam_the_rest() -> None:
    model = tiny_model(ffn_size=32)
    muon, adam = make_optimizers(model, CONFIG)
    assert isinstance(muon, torch.optim.Muon) and isinstance(adam, torch.optim.AdamW)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    by_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    by_adam = {names[id(p)] for group in adam.param_groups for p in group["params"]}
    assert by_muon | by_adam == set(names.values()) and not by_muon & by_adam
    assert by_muon == {name for name in names.values() if name.endswith(".weight") and not name.startswith("embedding")}
    assert "embedding.weight" in by_adam and all(
        name.endswith((".gain", ".gate")) for name in by_adam - {"embedding.weight"}
    )


def test_norms_and_gates_do_not_decay() -> None:
    adam = make_optimizers(tiny_model(), TrainConfig(steps=1, weight_decay=0.1))[1]
    for group in adam.param_groups:
        assert (group["weight_decay"] == 0) == all(p.ndim < 2 for p in group["params"])


def test_the_rate_rises_stays_and_falls_linearly_to_the_floor() -> None:
    assert rate(0.0, CONFIG) == pytest.approx(0.02)
    assert rate(0.05, CONFIG) == pytest.approx(0.5)
    for flat in (0.1, 0.3, 0.599):
        assert rate(flat, CONFIG) == 1.0
    assert rate(0.6, CONFIG) == pytest.approx(1.0)
    assert rate(0.8, CONFIG) == pytest.approx((1 + 0.05) / 2)
    assert rate(1.0, CONFIG) == rate(1.3, CONFIG) == pytest.approx(0.05)


@settings(deadline=None, database=None, derandomize=True)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.4), st.floats(0, 0.6), st.floats(0, 1))
def test_the_rate_stays_between_floor_and_peak_and_never_rises_after_the_warm_up(
    first, second, warmup, cooldown, floor
) -> None:
    config = TrainConfig(steps=1, warmup=warmup, cooldown=cooldown, floor=floor)
    early, late = sorted((first, second))
    for progress in (early, late):
        assert min(floor, 0.02) <= rate(progress, config) <= 1
    if early >= warmup:
        assert rate(late, config) <= rate(early, config) + 1e-9


def test_setting_the_rate_scales_each_group_from_its_peak() -> None:
    optimizers = make_optimizers(tiny_model(), TrainConfig(steps=1, muon_lr=0.02, adam_lr=0.004))
    for share in (0.5, 0.1):
        set_rate(optimizers, share)
        assert [group["lr"] for group in optimizers[0].param_groups] == pytest.approx([0.02 * share])
        assert [group["lr"] for group in optimizers[1].param_groups] == pytest.approx([0.004 * share] * 2)


@pytest.mark.parametrize("bad", [{}, {"steps": 0}, {"steps": -3}, {"minutes": 0.0}, {"minutes": 5, "steps": 5}])
def test_a_run_needs_one_positive_bound(bad: dict) -> None:
    with pytest.raises(UserError, match="--minutes|--steps"):
        TrainConfig(**bad)


@pytest.mark.parametrize("bad", [{"muon_lr": -1.0}, {"adam_lr": math.nan}, {"clip": 0.0}, {"warmup": 2.0}, {"temperature": math.inf}, {"replay": 1.0}, {"workers": -1}])
def test_settings_that_no_run_can_have_are_refused(bad: dict) -> None:
    with pytest.raises(UserError, match=next(iter(bad))):
        TrainConfig(steps=1, **bad)


def test_precision_is_one_of_three() -> None:
    assert compute_type("fp32") == torch.float32 and compute_type("bf16") == torch.bfloat16
    assert compute_type("auto") in (torch.float32, torch.bfloat16)
    with pytest.raises(UserError, match="precision"):
        compute_type("fp8")
