"""What a run leaves to look at: report, card, samples, curves; made from its files, whole after a crash, harmless
whatever the rows say."""

from __future__ import annotations

import json
import sqlite3
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest
from train_helpers import settings

from needle.errors import UserError
from needle.runs import render_run, write_run_report
from needle.train.card import model_card
from needle.train.curves import open_curves
from needle.train.facts import data_facts, file_hash
from needle.train.history import History, open_lines, read_facts, read_history, read_samples

HOSTILE = "<script>alert(1)</script> | `x` & <img src=x>"


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps from the tiny base over hostile rows."""
    from train_helpers import rows

    from needle.distil import train
    from needle.traces import write_traces

    folder = tmp_path_factory.mktemp("watched")
    made = [
        trace.__class__(
            **{
                **vars(trace),
                "query": f"{trace.query} {HOSTILE}",
                "meta": {"model": "teacher-9", "licence": "cc-by-4.0"},
            }
        )
        for trace in rows()
    ]
    write_traces(folder / "data" / "train.jsonl", made)
    write_traces(folder / "data" / "validation.jsonl", made[:4])
    (folder / "data" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Rows\n")
    plan = {"steps": 3, "rows": 4, "validations": 3, "precision": "fp32", "keep_base": True, "replay": 0.0}
    train([folder / "data"], folder / "run", base=str(tiny_base), settings=plan)
    return folder / "run"


class _Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_a_line_a_step_tells_loss_rates_norms_and_validations(run: Path) -> None:
    history = read_history(run)
    assert [record["step"] for record in history.steps] == [1, 2, 3] and [
        record["step"] for record in history.validations
    ] == [0, 1, 2, 3]
    for record in history.steps:
        assert {
            "loss",
            "lr_muon",
            "lr_adamw",
            "norm",
            "tokens_per_second",
            "validation_exact",
            "weight_norm",
        } <= record.keys()
        assert record["lr_adamw"] == pytest.approx(record["rate"] * 2e-3 * 0.25) and record["weight_norm"] > 1


def test_the_report_shows_the_figures_of_the_log_and_is_made_anew_from_the_files(
    cli, run: Path, tmp_path: Path
) -> None:
    page, history = _Text((run / "report.html").read_text()), read_history(run)
    best = history.best
    assert f"Held-out exact match {100 * best['validation_exact']:.1f} % at step {best['step']}" in page.text
    for record in history.validations:
        assert f"{record['validation_loss']:.3f}" in page.text
    assert (
        page.tags.count("polyline") >= 7
        and "Gradient norm" in page.text
        and f"last: {history.steps[-1]['norm']:.3g}" in page.text
    )
    outcome = cli("report", run, "--out", tmp_path / "again.html")
    assert outcome.code == 0 and outcome.last == f"The report is in {tmp_path / 'again.html'}"
    assert (tmp_path / "again.html").read_bytes() == (run / "report.html").read_bytes()


def test_rows_stay_text_and_right_and_wrong_answers_are_marked(run: Path) -> None:
    text = (run / "report.html").read_text()
    page = _Text(text)
    assert (
        page.tags.count("script") == 1
        and "img" not in page.tags
        and HOSTILE in page.text
        and "http" not in text.split("<body>")[1]
    )
    samples = {
        1: [
            {"request": "a", "gold": [], "predicted": [], "right": True},
            {"request": "b", "gold": [{"name": "f", "arguments": {"x": 1}}], "predicted": [], "right": False},
        ]
    }
    shown = _Text(render_run("r", History([]), {}, samples))
    assert (
        "1 of 2 right" in shown.text
        and shown.words.count("✓") == shown.words.count("✗") == 1
        and "f(x=1)" in shown.text
    )


def test_the_same_rows_are_answered_at_each_validation(run: Path) -> None:
    samples = read_samples(run)
    assert list(samples) == [0, 1, 2, 3] and {len(rows) for rows in samples.values()} == {4}
    assert len({tuple(row["id"] for row in rows) for rows in samples.values()}) == 1
    assert all(
        HOSTILE in row["request"] and {"gold", "predicted", "right"} <= row.keys()
        for rows in samples.values()
        for row in rows
    )


def test_a_line_that_a_killed_run_left_half_written_costs_that_line_only(run: Path, tmp_path: Path) -> None:
    whole = (run / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(whole + '{"step": 4, "loss": 1.')
    assert read_history(tmp_path).records == read_history(run).records and write_run_report(tmp_path).is_file()
    with open_lines(tmp_path / "log.jsonl") as log:
        log.write('{"step": 4, "loss": 1.5}\n')
    assert read_history(tmp_path).steps[-1]["loss"] == 1.5


def test_a_step_that_is_taken_again_replaces_what_came_after_it(tmp_path: Path) -> None:
    lines = (
        [{"step": n, "loss": float(n)} for n in (1, 2, 3, 4)]
        + [{"step": 3, "loss": 30.0}]
        + [{"step": 3, "validation_exact": 0.5}]
    )
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [(record["step"], record["loss"]) for record in read_history(tmp_path).steps] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]
    assert read_history(tmp_path).validations[-1]["loss"] == 30.0


def test_the_card_names_data_hashes_parents_settings_results_and_licences(run: Path, tiny_base: Path) -> None:
    card = (run / "best" / "README.md").read_text()
    data = run.parent / "data"
    assert (
        card.startswith("---\nlicense: apache-2.0\n")
        and f"started from {tiny_base.parent.name}/tiny" in card
        and str(tiny_base) not in card
        and file_hash(tiny_base / "model.safetensors") in card
    )
    for file in ("train.jsonl", "validation.jsonl"):
        assert file_hash(data / file) in card
    assert (
        "9 rows were trained on, with 0 more replayed against forgetting (2 toolsets in all)" in card
        and "9 training rows written or labelled by teacher-9" in card
        and "9 rows state cc-by-4.0" in card
    )
    assert (
        "| rows | 4 |" in card
        and f"{100 * read_history(run).best['validation_exact']:.1f} %" in card
        and f"3 steps, {read_history(run).steps[-1]['rows']} examples" in card
    )
    assert read_facts(run)["settings"]["steps"] == 3


def test_a_card_says_what_is_missing_and_what_was_not_learnt() -> None:
    facts = {
        "data": [{"file": "mine.jsonl", "part": "all", "rows": 3, "sha256": "0" * 64, "uses": 1.0}],
        "settings": settings().to_dict(),
    }
    start, later = ({"step": n, "validation_exact": x} for n, x in ((0, 0.5), (4, 0.25)))
    card = model_card("mine", facts, History([start, later | {"loss": 1.0}], kept=0))
    assert "license: other" in card and "No licence is stated for mine.jsonl" in card and "Nothing was learnt" in card


def test_the_test_file_of_a_folder_is_not_among_the_data(run: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / f"{part}.jsonl").write_text('{"id": 1}\n\n')
    assert [(entry["part"], entry["rows"], entry["uses"]) for entry in data_facts([(tmp_path, 2.0)])] == [
        ("train", 1, 2.0)
    ]


def test_trackio_writes_to_the_run_folder_and_to_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("trackio") is None:
        pytest.skip("trackio is not installed")
    for name in [name for name in sys.modules if name.split(".")[0] == "trackio"]:  # others import it on the way, and it settles its folder then
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/space")
    monkeypatch.setenv("TRACKIO_SERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was opened"))
    [sink] = open_curves(tmp_path, ["trackio"], {"rows": 4})
    for step in (1, 2):
        sink({"step": step, "loss": 3.0 / step, "validation_exact": 0.5, "samples": []})
    sink.close()
    with sqlite3.connect(tmp_path / "trackio" / "needle.db") as found:
        kept = [json.loads(row[0]) for row in found.execute("select metrics from metrics order by step")]
    assert [row["train/loss"] for row in kept] == [3.0, 1.5] and kept[0]["validation/exact"] == 0.5


def test_an_unknown_log_is_refused_and_none_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tensorboard and trackio"):
        open_curves(tmp_path, ["wandb"], {})
    assert open_curves(tmp_path, ["none"], {}) == [] and not list(tmp_path.iterdir())
