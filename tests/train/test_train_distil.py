"""``needle train``'s glue: which rows are trained on, which are held out, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from train_helpers import LIGHT, TIMER, row

from needle.corpora.vary import STAYING, Augment, AugmentConfig
from needle.distil import is_right, read_split, train
from needle.errors import UserError
from needle.tools import CallResult, ToolCall
from needle.traces import Trace, write_traces


def _many(toolset: str, count: int) -> list[Trace]:
    tool = replace(TIMER, name=f"timer_{toolset}")
    words = ("eggs", "pasta", "tea", "laundry", "nap", "bread", "rice", "walk", "oven", "bath", "beans", "call")
    made = [
        row(n, f"{'start' if n % 2 else 'set'} {n + 2} minutes, {words[n % 12]} {words[(5 * n + 1) % 12]}", (tool,),
            ToolCall(tool.name, {"minutes": n + 2})) for n in range(count)
    ]  # fmt: skip
    return [replace(trace, id=f"{toolset}-{trace.id}", toolset=toolset) for trace in made]


def test_a_folder_gives_its_train_and_validation_files_and_never_its_test_file(tmp_path: Path) -> None:
    write_traces(tmp_path / "train.jsonl", _many("a", 5))
    write_traces(tmp_path / "validation.jsonl", _many("b", 3))
    (tmp_path / "test.jsonl").write_text("this line would be a problem if anybody read it\n")
    split = read_split([tmp_path])
    assert {trace.toolset for trace in split.train} == {"a"} and len(split.train) == 5
    assert {trace.toolset for trace in split.validation} == {"b"} and len(split.validation) == 3
    assert split.problems == []


def test_a_folder_without_validation_holds_out_rows_of_its_training_file(tmp_path: Path) -> None:
    rows = [trace for toolset in "abcdef" for trace in _many(toolset, 3)]
    write_traces(tmp_path / "train.jsonl", rows)
    write_traces(tmp_path / "test.jsonl", _many("z", 3))
    split = read_split([tmp_path])
    assert sorted(trace.id for trace in split.train + split.validation) == sorted(trace.id for trace in rows)
    assert split.validation and not {t.toolset for t in split.train} & {t.toolset for t in split.validation}


def test_a_loose_file_is_cut_by_toolset_reproducibly(tmp_path: Path) -> None:
    rows = [trace for toolset in "abcdefghij" for trace in _many(toolset, 2)]
    write_traces(tmp_path / "mine.jsonl", rows)
    split, again = read_split([tmp_path / "mine.jsonl"], 4), read_split([tmp_path / "mine.jsonl"], 4)
    assert split == again and len(split.train) + len(split.validation) == 20
    assert not {t.toolset for t in split.train} & {t.toolset for t in split.validation}


def test_a_loose_file_of_one_toolset_is_cut_by_wording(tmp_path: Path) -> None:
    write_traces(tmp_path / "mine.jsonl", _many("a", 30))
    split = read_split([tmp_path / "mine.jsonl"])
    assert len(split.train) + len(split.validation) == 30 and 1 <= len(split.validation) <= 10
    assert not {trace.id for trace in split.train} & {trace.id for trace in split.validation}


def test_several_paths_are_pooled(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    write_traces(tmp_path / "one" / "train.jsonl", _many("a", 4))
    write_traces(tmp_path / "one" / "validation.jsonl", _many("b", 2))
    write_traces(tmp_path / "two.jsonl", [trace for toolset in "cdefgh" for trace in _many(toolset, 2)])
    split = read_split([tmp_path / "one", tmp_path / "two.jsonl"])
    assert len(split.train) + len(split.validation) == 18
    assert "a" in {t.toolset for t in split.train} and "b" in {t.toolset for t in split.validation}


def test_bad_rows_are_reported_with_their_line_and_the_good_ones_used(tmp_path: Path) -> None:
    write_traces(tmp_path / "train.jsonl", _many("a", 3))
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write("{ broken\n")
    write_traces(tmp_path / "validation.jsonl", _many("b", 2))
    split = read_split([tmp_path])
    assert len(split.train) == 3 and len(split.problems) == 1
    assert "train.jsonl" in split.problems[0] and "4" in split.problems[0]


@pytest.mark.parametrize("content", [None, "", "{ broken\n", "one row"])
def test_a_missing_empty_broken_or_single_row_file_is_a_user_error(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "mine.jsonl"
    if content == "one row":
        write_traces(file, _many("a", 1))
    elif content is not None:
        file.write_text(content)
    with pytest.raises(UserError) as error:
        read_split([file])
    assert "\n" not in str(error.value)


def test_an_answer_is_right_when_it_is_well_formed_and_equals_the_gold_calls_in_order() -> None:
    calls = [ToolCall("set_light", {"room": "hall"}), ToolCall("start_timer", {"minutes": 5})]
    gold = row(0, "hall light, timer 5", (LIGHT, TIMER), *calls)
    assert is_right(gold, CallResult(calls))
    assert not is_right(gold, CallResult(calls[::-1]))
    assert not is_right(gold, CallResult(calls[:1]))
    assert not is_right(gold, CallResult(calls, error="truncated: the answer does not end"))
    assert is_right(row(1, "hello", (LIGHT,)), CallResult())


def test_an_unknown_preset_or_a_folder_with_a_run_in_it_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no preset 'huge'"):
        train([tmp_path], tmp_path / "run", base="none", preset="huge", settings={"steps": 1})
    (tmp_path / "run" / "last").mkdir(parents=True)
    with pytest.raises(UserError, match="--resume"):
        train([tmp_path], tmp_path / "run", base="none", preset="nano", settings={"steps": 1})
    rows = write_traces(tmp_path / "mine.jsonl", _many("a", 30))
    with pytest.raises(UserError, match="no checkpoint there"):
        train([rows], tmp_path / "other", base=str(tmp_path / "nowhere"), settings={"steps": 1})


def test_of_one_toolset_only_the_rows_vary_whatever_is_replayed_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[AugmentConfig] = []

    class Seen(Augment):
        def __init__(self, traces: list[Trace], config: AugmentConfig = AugmentConfig()) -> None:
            drawn.append(config)
            super().__init__(traces, config)

    monkeypatch.setattr("needle.distil.MANY_TOOLSETS", 3)
    monkeypatch.setattr("needle.distil.RECORDED", "data/traces/validation.jsonl.gz")
    monkeypatch.setattr("needle.corpora.vary.Augment", Seen)
    write_traces(tmp_path / "train.jsonl", _many("a", 6))
    write_traces(tmp_path / "validation.jsonl", _many("a", 1))
    settings = {"steps": 1, "rows": 2, "replay": 0.8, "validations": 1}
    assert train([tmp_path], tmp_path / "run", base="none", preset="nano", settings=settings).steps == 1
    assert drawn == [STAYING]
