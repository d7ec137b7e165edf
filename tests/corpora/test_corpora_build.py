"""A mix built from small original files: checked rows, the same bytes again, kept when finished, nothing that a suite knows."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from needle.corpora.build import build, copied, read_config
from needle.corpora.catalogue import SETS
from needle.errors import UserError
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace, check_trace, read_traces
from needle.traces.contamination import Knowledge, contamination

ROOMS = ("kitchen", "bedroom", "hall", "office", "garage", "study")
COLOURS = ("red", "blue", "pink", "green", "white")
FOODS = ("pizza", "ramen", "tacos", "green curry", "lo mein")


def _entity(text: str, label: str, value: str) -> dict[str, object]:
    return {"entity": label, "value": value, "start": text.index(value), "end": text.index(value) + len(value) - 1}


def _hwu(folder: Path, rows: int = 900) -> Path:
    rng = random.Random(5)
    lines = []
    for number in range(rows):
        room, colour, food, hour = rng.choice(ROOMS), rng.choice(COLOURS), rng.choice(FOODS), rng.choice(("five am", "7:30 pm", "ten thirty"))
        text, intent, entities = rng.choice((
            (f"make the {room} lights {colour} number {number}", "iot_hue_lightchange", (("house_place", room), ("color_type", colour))),
            (f"order {food} for me number {number}", "takeaway_order", (("food_type", food),)),
            (f"wake me up at {hour} number {number}", "alarm_set", (("time", hour),)),
            (f"what is twenty plus {number}", "qa_maths", ()),
            (f"that is wonderful number {number}", "general_praise", ()),
            (f"dim the light number {number}", "iot_hue_lightdim", ()),
        ))  # fmt: skip
        lines.append({"split": "test" if number % 10 == 0 else "train", "text": text, "intent": intent, "entities": [_entity(text, *pair) for pair in entities]})
    (folder / "hwu64").mkdir(parents=True)
    (folder / "hwu64" / "hwu64.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return _hwu(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "mix.json"
    path.write_text(json.dumps({"seed": 3, "mix": {"rows": [8, 16], "tools": [2, 4]}, "sets": {"hwu64": {"uses": 2}}}))
    return read_config(path)


@pytest.fixture(scope="module")
def built(data, config, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    (report,) = build(config, data, out)
    return out, report


@pytest.fixture(scope="module")
def rows(built):
    return read_traces(built[0] / "hwu64")[0]


def test_every_row_is_read_back_fits_its_tools_and_copies_its_text(built, rows):
    assert len(rows) == sum(built[1].rows.values()) > 500
    assert not [trace.id for trace in rows if check_trace(trace) or not copied(trace)]


def test_rows_share_toolsets_and_every_kind_is_there(built, rows):
    assert {"single", "parallel", "irrelevant", "chat"} <= {trace.kind for trace in rows}
    assert built[1].toolsets < len(rows) / 6
    for trace in rows:
        assert (trace.kind in ("single", "parallel")) == bool(trace.calls)
        assert trace.meta["source"] == "hwu64" and trace.meta["row"]


def test_one_toolset_has_one_list_of_tools_and_validation_has_toolsets_of_its_own(built):
    parts = {part: read_traces(built[0] / "hwu64" / f"{part}.jsonl.gz")[0] for part in ("train", "validation")}
    tools = {}
    for trace in parts["train"] + parts["validation"]:
        assert tools.setdefault(trace.toolset, trace.tools) == trace.tools
    assert not {trace.toolset for trace in parts["train"]} & {trace.toolset for trace in parts["validation"]}
    assert not {trace.query.lower() for trace in parts["train"]} & {trace.query.lower() for trace in parts["validation"]}


def test_the_held_out_fold_is_in_no_row(data, rows):
    held = [row["text"] for row in map(json.loads, (data / "hwu64" / "hwu64.jsonl").read_text().splitlines()) if row["split"] == "test"]
    assert len(held) == 90 and not [trace.id for trace in rows if any(trace.query.lower().rstrip("?.").endswith(text) for text in held)]


def test_names_and_descriptions_of_a_function_vary_from_toolset_to_toolset(rows):
    names = {tool.name for trace in rows for tool in trace.tools}
    assert len([name for name in names if "alarm" in name.lower() or "wake" in name.lower()]) > 3
    assert any("_" in name for name in names) and any(name != name.lower() for name in names)


def test_the_same_config_gives_the_same_bytes_on_two_processes(data, config, built, tmp_path):
    list(build(config, data, tmp_path, workers=2))
    for part in ("train", "validation"):
        assert (tmp_path / "hwu64" / f"{part}.jsonl.gz").read_bytes() == (built[0] / "hwu64" / f"{part}.jsonl.gz").read_bytes()


def test_a_finished_set_is_kept_and_an_unfinished_or_changed_one_made_again(data, config, tmp_path):
    first = next(iter(build(config, data, tmp_path)))
    train = tmp_path / "hwu64" / "train.jsonl.gz"
    stamp = train.stat().st_mtime_ns
    again = next(iter(build(config, data, tmp_path)))
    assert again.kept and not first.kept and train.stat().st_mtime_ns == stamp and again.rows == first.rows
    (tmp_path / "hwu64" / "manifest.json").unlink()
    assert not next(iter(build(config, data, tmp_path))).kept
    assert not next(iter(build(replace(config, seed=4), data, tmp_path))).kept


def test_rows_that_a_suite_knows_are_dropped_and_the_report_is_clean(data, config, rows, tmp_path):
    stolen = [trace for trace in rows if trace.kind == "single"][:40]
    suite = [replace(trace, id=f"s{number}", query=f"  {trace.query.upper()}!! ") for number, trace in enumerate(stolen)]
    report = next(iter(build(config, data, tmp_path, Knowledge({"suite": suite}))))
    assert sum(count for reason, count in report.dropped.items() if reason.startswith("known to suite")) >= 30
    left = read_traces(tmp_path / "hwu64")[0]
    counts = contamination(left, {"suite": suite}).counts()["suite"]
    assert counts == {"request": 0, "overlap": 0, "tool": 0} and len(left) > 100


def test_the_files_of_the_mix_say_where_the_rows_come_from(built):
    text = (built[0] / "ATTRIBUTION.md").read_text()
    assert "CC-BY-4.0" in text and "arXiv 1903.05566" in text
    assert json.loads((built[0] / "corpora.json").read_text())["sets"]["hwu64"]["read"] == 810


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("{", "not readable"),
        ('{"sets": {}}', "sets"),
        ('{"sets": {"nothing": {}}}', "no data set is called 'nothing'"),
        ('{"sets": {"hwu64": {"usses": 2}}}', "'usses' is no setting"),
        ('{"sets": {"hwu64": {}}, "sed": 1}', "'sed' is no setting"),
    ],
)
def test_a_wrong_config_is_one_clear_line(tmp_path, raw, words):
    path = tmp_path / "mix.json"
    path.write_text(raw)
    with pytest.raises(UserError, match=words):
        read_config(path)


def test_a_missing_folder_is_named(config, tmp_path):
    with pytest.raises(UserError, match="no folder hwu64 under"):
        list(build(config, tmp_path, tmp_path / "out"))


def test_the_published_mix_has_only_sets_that_people_wrote():
    mix = read_config(Path(__file__).parents[2] / "data" / "corpora.json")
    assert not mix.by_models and not [name for name in mix.sets if SETS[name].by_models]


def test_a_value_that_is_not_said_is_found():
    tool = ToolSpec("say", "", {"type": "object", "properties": {"text": {"type": "string"}, "many": {"type": "array", "items": {"type": "string"}}}})
    trace = Trace("1", "Say  Hello there", (tool,), (ToolCall("say", {"text": "hello there"}),))
    assert copied(trace)
    assert not copied(replace(trace, calls=(ToolCall("say", {"text": "goodbye"}),)))
    assert not copied(replace(trace, calls=(ToolCall("say", {"many": ["hello", "bye"]}),)))


def test_sets_by_models_are_used_only_when_asked_for(tmp_path):
    path = tmp_path / "mix.json"
    path.write_text('{"sets": {"metatool": {}}}')
    with pytest.raises(UserError, match="written by vendors' models"):
        list(build(read_config(path), tmp_path, tmp_path / "out"))
    folder = tmp_path / "metatool" / "dataset"
    (folder / "data").mkdir(parents=True)
    names = {f"Plugin{n}": f"about {topic} {topic}s" for n, topic in enumerate(("horse", "opera", "violin", "river"))}
    (folder / "plugin_des.json").write_text(json.dumps(names))
    (folder / "big_tool_des.json").write_text("{}")
    (folder / "data" / "all_clean_data.csv").write_text("Query,Tool\n" + "".join(f"question {n} on it,Plugin{n % 4}\n" for n in range(80)))
    (folder / "data" / "multi_tool_query_golden.json").write_text("[]")
    path.write_text('{"by_models": true, "mix": {"rows": [4, 8]}, "sets": {"metatool": {}}}')
    assert sum(next(iter(build(read_config(path), tmp_path, tmp_path / "out"))).rows.values()) > 30
