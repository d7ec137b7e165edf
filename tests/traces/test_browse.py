"""What a run made can be read, filtered, shown, turned into pairs and given on."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from needle.cli import app
from needle.errors import UserError
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace, read_traces, write_traces
from needle.traces.browse import describe, entries, reason_counts, select
from needle.traces.page import page
from needle.traces.preferences import planned_pairs, preference_pairs
from needle.traces.push import push_traces

TOOLS = (ToolSpec("ring", "Ring someone.", {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]}),)


def row(number: int, who: str = "Ann", **more) -> Trace:
    query = f"ring {who} <now> {number}"
    meta = {"spans": {"0.who": [5, 5 + len(who)]}} | more.pop("meta", {})
    return Trace(f"r{number}", query, TOOLS, (ToolCall("ring", {"who": who}),), "single", "phone", meta=meta, **more)


REFUSED = [
    {"id": "q1", "query": "ring nobody", "calls": [{"name": "ring", "arguments": {"who": "Bob"}}], "kind": "single",
     "toolset": "phone", "domain": "phone", "reasons": ["ungrounded"], "details": ["0.who: 'Bob'"]},
    {"id": "q2", "query": "don't ring", "calls": [{"name": "ring", "arguments": {"who": "x"}}], "kind": "negated",
     "toolset": "phone", "domain": "phone", "reasons": ["expected_no_call"], "details": ["label calls ring"]},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    rejected = [{"name": "ring", "arguments": {"who": "Bob"}}]
    rows = [row(1), row(2, meta={"rejected": rejected, "repaired": ["ungrounded"]}), row(3, meta={"rejected": [], "votes": {"k": 3, "share": 0.6667}})]
    write_traces(tmp_path / "train.jsonl", rows)
    write_traces(tmp_path / "test.jsonl", [row(4, "Eve")])
    (tmp_path / "quarantine.jsonl").write_text("".join(json.dumps(item) + "\n" for item in REFUSED))
    (tmp_path / "README.md").write_text("---\nlicense: other\n---\n# Card\n")
    return tmp_path


def cli(*arguments):
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return outcome


def test_rows_are_found_by_kind_reason_part_words_and_id(folder):
    def ids(**conditions):
        return [entry.row["id"] for entry in select(entries(folder), **conditions)]

    assert ids() == ["r1", "r2", "r3", "r4", "q1", "q2"] and ids(kind="negated") == ["q2"] and ids(reason="unground") == ["q1"]
    assert ids(part="test") == ["r4"] and ids(text="eve") == ["r4"] and ids(id="q1") == ["q1"] and ids(kind="single", text="bob") == ["q1"]
    assert [(code, count) for code, count, _ in reason_counts(entries(folder))] == [("ungrounded", 1), ("expected_no_call", 1)]
    assert [entry.row["id"] for entry in entries(folder / "quarantine.jsonl")] == ["q1", "q2"]


def test_a_row_is_described_with_what_says_its_values_and_why_it_was_refused(folder):
    found = {entry.row["id"]: entry for entry in entries(folder)}
    assert "0.who: 'Ann'" in describe(found["r1"], full=True) and "repaired ungrounded" in describe(found["r2"])
    assert "refused  ungrounded: 0.who: 'Bob'" in describe(found["q1"])


def test_the_page_stands_alone_escapes_what_people_wrote_and_marks_values(folder):
    text = page(list(entries(folder)), "a <b> & c", {"wanted": {"single": 4}, "asked": {"single": 5}, "accepted": {"single": 4}})
    assert "<mark>Ann</mark> &lt;now&gt; 1" in text and "a &lt;b&gt; &amp; c" in text and "80%" in text
    assert not re.search(r"(src|href)=|@import|url\(", text) and text.count("class=row ") == 6
    assert "data-reason='ungrounded'" in text and "label calls ring" in text


def test_pairs_hold_the_right_calls_the_rejected_ones_and_the_reason(folder):
    pairs = list(preference_pairs(read_traces(folder)[0]))
    assert [(pair["id"], pair["reason"]) for pair in pairs] == [("r2", "ungrounded"), ("r3", "outvoted")]
    assert json.loads(pairs[0]["chosen"][0]["tool_calls"][0]["function"]["arguments"]) == {"who": "Ann"}
    assert json.loads(pairs[0]["rejected"][0]["tool_calls"][0]["function"]["arguments"]) == {"who": "Bob"}
    assert pairs[1]["rejected"] == [{"role": "assistant", "content": ""}] and pairs[0]["prompt"][-1]["role"] == "user"
    weak = list(planned_pairs(entries(folder), {"phone": row(1)}))
    assert [pair["id"] for pair in weak] == ["q2"] and weak[0]["chosen"][0]["content"] == "" and weak[0]["reason"] == "expected_no_call"


def test_the_verbs_say_where_things_are(folder, tmp_path):
    outcome = cli("traces", "quarantine", folder)
    assert outcome.exit_code == 0 and "ungrounded" in outcome.output and "2 refused rows" in outcome.output
    assert "ring nobody" in cli("traces", "quarantine", folder, "--reason", "ungrounded").output
    assert "2 rows shown, 1 more fit" in cli("traces", "show", folder, "--kind", "single", "--limit", 2, "--text", "ann").output
    assert "no row" in cli("traces", "show", folder, "--kind", "nothing").output
    out = tmp_path / "pairs.jsonl"
    assert f"3 pairs are in {out}" in cli("traces", "preferences", folder, "--out", out, "--planned").output
    assert len(out.read_text().splitlines()) == 3
    assert str(folder / "report.html") in cli("traces", "report", folder).output.replace("\n", "")
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_without_rejected_labels_there_are_no_pairs_and_it_is_said(tmp_path):
    write_traces(tmp_path / "train.jsonl", [row(1)])
    outcome = cli("traces", "preferences", tmp_path, "--out", tmp_path / "x.jsonl")
    assert isinstance(outcome.exception, UserError) and "--votes" in str(outcome.exception) and not (tmp_path / "x.jsonl").exists()


def test_a_folder_is_pushed_whole_with_its_card(folder, monkeypatch):
    import datasets
    import huggingface_hub

    sent = {}
    monkeypatch.setattr(datasets.DatasetDict, "push_to_hub", lambda self, repo, private: sent.update({"data": self, "repo": repo, "private": private}))
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_file", lambda self, **given: sent.update(given))
    assert push_traces(folder, "me/rows") == "https://huggingface.co/datasets/me/rows"
    assert {part: len(rows) for part, rows in sent["data"].items()} == {"train": 3, "test": 1} and sent["private"]
    assert json.loads(sent["data"]["train"][0]["calls"]) == [{"name": "ring", "arguments": {"who": "Ann"}}]
    assert sent["data"]["train"].column_names == sent["data"]["test"].column_names and sent["path_in_repo"] == "README.md"


def test_parts_of_which_one_lacks_a_column_are_pushed_with_the_same_features(folder, monkeypatch):
    import datasets
    import huggingface_hub

    write_traces(folder / "train.jsonl", [row(1, system="It is Monday."), row(2)])
    sent = {}
    monkeypatch.setattr(datasets.DatasetDict, "push_to_hub", lambda self, repo, private: sent.update(self))
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_file", lambda self, **given: None)
    push_traces(folder, "me/rows")
    assert sent["train"].features == sent["test"].features and sent["train"]["system"][0] == "It is Monday."


def test_refused_rows_are_shown_where_none_was_accepted(folder):
    for part in ("train", "test"):
        (folder / f"{part}.jsonl").write_text("")
    assert [entry.row["id"] for entry in entries(folder)] == ["q1", "q2"]
    shown = cli("traces", "quarantine", folder)
    assert shown.exit_code == 0 and "2 refused rows" in shown.output


def test_what_hinders_a_push_is_said_in_one_line(folder, monkeypatch):
    import datasets

    with pytest.raises(UserError, match="OWNER/NAME"):
        push_traces(folder, "rows")
    for error, words in [(ConnectionError("resolve"), "network"), (PermissionError("authentication needed"), "hf auth login")]:

        def fail(self, repo, private, error=error):
            raise error

        monkeypatch.setattr(datasets.DatasetDict, "push_to_hub", fail)
        with pytest.raises(UserError, match=words) as caught:
            push_traces(folder, "me/rows")
        assert "\n" not in str(caught.value)
    (folder / "README.md").unlink()
    with pytest.raises(UserError, match="traces card"):
        push_traces(folder, "me/rows")


def test_offline_mode_is_named(folder, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE|cannot be reached"):
        push_traces(folder, "me/rows")
