"""``train-base``: mix, run in pieces, 4-bit file; what is finished is kept. At nano size, on a few rows."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from needle import base
from needle.distil import read_split
from needle.errors import UserError
from needle.student.modeling.storage import load_model
from needle.traces.read import read_traces
from needle.traces.write import write_traces

ROOT = Path(__file__).parents[1]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    (folder / "traces").mkdir(parents=True)
    rows = read_traces(ROOT / "data" / "traces" / "validation.jsonl.gz")[0]
    write_traces(folder / "traces" / "train.jsonl", rows[:24])
    write_traces(folder / "traces" / "validation.jsonl", rows[-2:])
    settings = {"minutes": 5, "rows": 8, "quantize_bits": 4, "validation_rows": 2, "validations": 1}
    (folder / "base.json").write_text(json.dumps({"preset": "nano", "traces": {"traces": 2}, "mix": "corpora.json", "settings": settings}))
    monkeypatch.setattr(base, "SOURCES", folder)
    return folder


def test_the_base_is_made_in_pieces_by_one_command(sources: Path, tmp_path: Path) -> None:
    built = []

    def build(config: Path, data: Path, out: Path) -> None:
        built.append((config, data))
        (out / "set").mkdir(parents=True, exist_ok=True)
        write_traces(out / "set" / "train.jsonl.gz", read_traces(sources / "traces" / "train.jsonl")[0][:3])

    results = []
    for _ in range(3):
        results.append(base.train_base(tmp_path, tmp_path / "out", changes={"steps": 2}, piece=0.0, build=build))
        if results[-1].export:
            break
    assert [result.export is None for result in results] == [True, False]
    assert [result.trained.steps for result in results] == [1, 2]
    assert built[0] == (sources / "corpora.json", tmp_path)
    assert load_model(results[-1].export).config.hidden_size == 256


def test_outside_the_source_tree_the_recipe_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SOURCES", tmp_path)
    with pytest.raises(UserError, match="clone the repository"):
        base.train_base(None, tmp_path / "out", build=lambda *_: None)


@pytest.mark.parametrize(("uses", "times"), [("", 1.0), ("@2", 2.0), ("@0.5", 0.5), ("@2.5", 2.5)])
def test_a_weighed_source_is_used_so_often(sources: Path, uses: str, times: float) -> None:
    split = read_split([Path(f"{sources / 'traces'}{uses}")])
    assert len(split.train) == 24 * times and len(split.validation) == 2
    assert len({trace.id for trace in split.train}) == 24 * min(times, 1)


def test_the_published_recipe_is_sound() -> None:
    from needle.corpora.build import read_config
    from needle.train.config import TrainConfig

    recipe = base._recipe()
    assert TrainConfig(**recipe["settings"]).quantize_bits == 4
    assert read_config(ROOT / "data" / recipe["mix"]).sets
    assert list(islice((ROOT / "data" / "traces").glob("train.*"), 1))
