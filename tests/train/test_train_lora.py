"""Adapters: nothing at the start, only they learn, and merging gives an ordinary student with the same outputs to the
last bit."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model, trainer

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.quantize import rounded_copy, set_quantization
from needle.student.modeling.storage import load_model
from needle.train.batches import collate
from needle.train.examples import ExampleSet
from needle.train.lora import LowRank, add_adapters, merged


def _states(model: NeedleModel, tokenizer: Tokenizer) -> torch.Tensor:
    batch = collate(ExampleSet(rows(), tokenizer, model.config).rendered(), settings().token_weights)
    with torch.no_grad():
        return model(batch.source, batch.target)


def _stirred(model: NeedleModel) -> NeedleModel:
    """Adapters that are no longer nothing."""
    torch.manual_seed(3)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LowRank):
                module.up.normal_(std=0.3)
    return model


def test_an_adapter_begins_as_nothing_and_merges_to_the_same_outputs(tokenizer: Tokenizer) -> None:
    model = tiny_model()
    base = copy.deepcopy(model)
    add_adapters(model, 4, 8.0, seed=0)
    assert torch.equal(_states(model, tokenizer), _states(base, tokenizer))
    adapted = _states(_stirred(model), tokenizer)
    plain = merged(model)
    assert plain.state_dict().keys() == base.state_dict().keys() and type(plain.encoder[0].attention.branch.q) is type(
        base.encoder[0].attention.branch.q
    )
    assert torch.equal(_states(plain, tokenizer), adapted) and not torch.allclose(adapted, _states(base, tokenizer))
    assert torch.equal(_states(model, tokenizer), adapted), "the adapted model itself is left as it is"
    assert merged(base) is base


def test_a_rounded_adapted_model_is_the_rounded_merged_one(tokenizer: Tokenizer) -> None:
    model = tiny_model()
    add_adapters(model, 4, 8.0, seed=0)
    shipped = _states(rounded_copy(merged(_stirred(model)), 4), tokenizer)
    set_quantization(model, 4)
    assert torch.allclose(_states(model, tokenizer), shipped, atol=1e-6)
    set_quantization(model, None)
    assert not torch.allclose(_states(model, tokenizer), shipped, atol=1e-3)


def test_the_scale_is_alpha_over_the_rank_or_its_root() -> None:
    scales = []
    for root in (False, True):
        model = tiny_model()
        add_adapters(model, 4, 8.0, seed=0, root=root)
        scales.append({module.scale for module in model.modules() if isinstance(module, LowRank)})
    assert scales == [{2.0}, {4.0}]


@pytest.mark.parametrize("rank", [32, 64])
def test_a_rank_that_saves_nothing_is_refused(rank: int) -> None:
    with pytest.raises(UserError, match="rank from 1 to 31"):
        add_adapters(tiny_model(), rank, 8.0, seed=0)


def test_only_adapters_learn_and_the_kept_checkpoint_is_ordinary(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    run = trainer(tokenizer, tmp_path, settings(steps=3, validations=3, lora=4), lambda _: {"exact": 0.5}, model)
    run.run()
    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert learning and all(name.endswith((".up", ".down")) for name in learning)
    assert {id(p) for o in run.students.optimizers for g in o.param_groups for p in g["params"]} == {
        id(weight) for weight in model.parameters() if weight.requires_grad
    }
    frozen = {
        name.replace("parametrizations.weight.original", "weight"): w
        for name, w in model.state_dict().items()
        if name not in learning
    }
    assert frozen.keys() == before.keys() and all(torch.equal(frozen[name], before[name]) for name in before)
    best = load_model(tmp_path / "best")
    assert torch.equal(_states(best, tokenizer), _states(model, tokenizer))
    moved = {name for name, weight in best.state_dict().items() if not torch.equal(weight, before[name])}
    assert moved == {name for name in before if before[name].ndim == 2 and name != "embedding.weight"}


def test_the_decoder_alone_learns_where_that_is_asked(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    trainer(tokenizer, tmp_path, settings(steps=2, validations=1, trained="decoder"), model=model).run()
    moved = {
        name
        for name, weight in load_model(tmp_path / "last").state_dict().items()
        if not torch.equal(weight, before[name])
    }
    assert moved == {name for name in before if name.startswith("decoder.")}
    with pytest.raises(UserError, match="without --lora"):
        settings(trained="decoder", lora=4)
