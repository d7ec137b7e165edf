"""``needle average``: the mean of weights, by the shares that are given; what cannot be averaged is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from needle.average import average
from needle.errors import UserError
from needle.student.modeling import PRESETS, NeedleConfig, NeedleModel
from needle.student.modeling.storage import load_model, save_quantized
from needle.student.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three tiny models of one shape, the last in 8 bits."""
    folders = [tmp_path_factory.mktemp("checkpoints") / str(number) for number in range(3)]
    for seed, folder in enumerate(folders):
        torch.manual_seed(seed)
        save_quantized(NeedleModel(NeedleConfig(**PRESETS["nano"])), folder, 8 if seed == 2 else 32)
        load_tokenizer().save(str(folder / "tokenizer.json"))
    return folders


@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.0], [0.2, 0.2, 0.6]])
def test_each_weight_is_the_mean_by_shares(checkpoints: list[Path], tmp_path: Path, weights: list[float] | None) -> None:
    mean = load_model(average([str(one) for one in checkpoints], tmp_path / "out", weights)).state_dict()
    shares = weights or [1.0, 1.0, 1.0]
    parts = [load_model(one).state_dict() for one in checkpoints]
    for key, value in mean.items():
        torch.testing.assert_close(value, sum(share * part[key] for share, part in zip(shares, parts, strict=True)) / sum(shares))


def test_the_average_answers_and_is_told(checkpoints: list[Path], tmp_path: Path, cli) -> None:
    result = cli("average", str(checkpoints[0]), str(checkpoints[1]), "--out", str(tmp_path / "out"), "--weight", "1", "--weight", "2")
    assert result.code == 0 and str(tmp_path / "out") in result.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}


def test_what_cannot_be_averaged_is_refused_and_nothing_is_written(checkpoints: list[Path], tmp_path: Path) -> None:
    first, second, out = str(checkpoints[0]), str(checkpoints[1]), tmp_path / "out"
    other, words = tmp_path / "other", tmp_path / "words"
    save_quantized(NeedleModel(NeedleConfig(**{**PRESETS["nano"], "num_decoder_layers": 1})), other, 32)
    load_tokenizer().save(str(other / "tokenizer.json"))
    shutil.copytree(first, words)
    told = json.loads((words / "tokenizer.json").read_text())
    told["added_tokens"][0]["lstrip"] = True
    (words / "tokenizer.json").write_text(json.dumps(told))
    for given, weights, said in (
        ([first], None, "two or more"), ([first, second], [1.0], "one of 0 or more to each of the 2"), ([first, second], [0.0, 0.0], "not all 0"),
        ([first, second], [-1.0, 2.0], "0 or more"), ([first, str(other)], None, "one shape"), ([first, str(words)], None, "one tokenizer"),
        ([first, str(tmp_path / "none")], None, "none"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            average(given, out, weights)
        assert not out.exists()
    out.mkdir()
    with pytest.raises(UserError, match="another --out"):
        average([first, second], out)
