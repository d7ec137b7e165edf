"""Co-distillation: students that learn from labels and from each other; running averages; both survive a stop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.storage import load_model
from needle.train.examples import ExampleSet
from needle.train.loop import Trainer
from needle.train.students import Students, apart


def _run(tokenizer: Tokenizer, out: Path, models: list[NeedleModel], resume: bool = False, **changes: object) -> Trainer:
    config = settings(**{"validations": 1, **changes})
    made = Trainer(models, tokenizer, ExampleSet(rows(), tokenizer, models[0].config), config, out, lambda _: {"exact": 0.0})
    if resume:
        made.resume()
    made.run()
    return made


def _flat(model: NeedleModel) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def _examples(tokenizer: Tokenizer) -> list:
    made = ExampleSet(rows(), tokenizer, tiny_model().config)
    return made.rendered()


def test_students_that_hear_only_each_other_come_to_agree(tokenizer: Tokenizer) -> None:
    models = [tiny_model(0, initializer_range=0.1), tiny_model(1, initializer_range=0.1)]
    students, examples = Students(models, settings(peer_warmup=0.0, soft_weight=1.0, warmup=0.0, cooldown=0.0), torch.float32), _examples(tokenizer)
    apart_by = [students.update(examples, 0.5)["peer_loss"] for _ in range(15)]
    assert apart_by[0] > 0.1 and apart_by[-1] < 0.3 * apart_by[0]


def test_at_the_start_of_the_warm_up_peers_do_not_count(tokenizer: Tokenizer) -> None:
    examples = _examples(tokenizer)
    alone, together = tiny_model(0), tiny_model(0)
    Students([alone], settings(), torch.float32).update(examples, 0.0)
    Students([together, tiny_model(1)], settings(peer_warmup=0.5), torch.float32).update(examples, 0.0)
    torch.testing.assert_close(_flat(alone), _flat(together))


def test_every_student_learns_and_the_best_of_all_is_kept(tokenizer: Tokenizer, tmp_path: Path) -> None:
    first, second = tiny_model(0), tiny_model(1)
    before = [_flat(first).clone(), _flat(second).clone()]
    exact = iter([0.3, 0.7])
    made = Trainer(
        [first, second], tokenizer, ExampleSet(rows(), tokenizer, first.config), settings(steps=2, validations=1), tmp_path,
        lambda _: {"exact": next(exact)},
    )  # fmt: skip
    report = made.run()
    assert report.best["exact"] == 0.7
    torch.testing.assert_close(_flat(load_model(tmp_path / "best")), _flat(second))
    assert not torch.equal(before[0], _flat(first)) and not torch.equal(before[1], _flat(second))


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_stopped_run_of_two_ends_like_one_that_ran_through(tokenizer: Tokenizer, tmp_path: Path, average: float | None) -> None:
    changes = {"average_decay": average, "cooldown": 0.0, "warmup": 0.0, "peer_warmup": 0.0}
    whole = _run(tokenizer, tmp_path / "a", [tiny_model(0), tiny_model(1)], steps=4, **changes)
    _run(tokenizer, tmp_path / "b", [tiny_model(0), tiny_model(1)], steps=2, **changes)
    parted = _run(tokenizer, tmp_path / "b", [load_model(tmp_path / "b" / "last"), tiny_model(7)], resume=True, steps=4, **changes)
    for one, other in zip(whole.students.models + whole.students.averages, parted.students.models + parted.students.averages, strict=True):
        assert torch.equal(_flat(one), _flat(other))


def test_a_run_of_one_is_not_continued_as_a_run_of_two(tokenizer: Tokenizer, tmp_path: Path) -> None:
    _run(tokenizer, tmp_path, [tiny_model(0)], steps=1)
    with pytest.raises(UserError, match="has no peer1"):
        _run(tokenizer, tmp_path, [tiny_model(0), tiny_model(1)], resume=True, steps=2)


def test_the_average_is_judged_and_kept(tokenizer: Tokenizer, tmp_path: Path) -> None:
    made = _run(tokenizer, tmp_path, [tiny_model(0)], steps=3, average_decay=0.9)
    kept = _flat(load_model(tmp_path / "best"))
    assert torch.equal(kept, _flat(made.students.averages[0])) and not torch.equal(kept, _flat(made.model))


def test_a_peer_made_from_a_checkpoint_differs_from_it_and_is_the_same_again(tokenizer: Tokenizer) -> None:
    model = tiny_model(0)
    one, again, other = apart(model, 1), apart(model, 1), apart(model, 2)
    assert torch.equal(_flat(one), _flat(again)) and not torch.equal(_flat(one), _flat(other))
    assert 0 < (_flat(one) - _flat(model)).norm() < 0.2 * _flat(model).norm()
