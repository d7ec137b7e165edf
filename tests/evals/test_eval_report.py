"""The report: complete, self-contained, unmoved by hostile rows. What needs a browser is in test_eval_browser.py."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from needle.errors import UserError
from needle.evals.report import pack as packing
from needle.evals.report.files import write_pair, write_report
from needle.evals.report.markup import Html, join, section, table, tag
from needle.evals.run import evaluate
from needle.evals.suites import suite_hash

HOSTILE = "</script><script>alert('{{data}}')</script><img src=x onerror=alert(1)> & {{title}} <!-- \u202e\u0000 😀"


class Elements(HTMLParser):
    """Counts elements and collects attributes and the text of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script" and len(self.scripts) == self.tags.count("script"):
            self.scripts[-1] += data


def page_of(suite, caller, folder):
    evaluate(caller, suite, folder)
    return parsed_page(folder / "report.html")


def parsed_page(path):
    text = path.read_text(encoding="utf-8")
    parsed = Elements()
    parsed.feed(text)
    return text, parsed


def embedded(parsed):
    return packing.decode(parsed.scripts[0])


def hostile_suite(make_suite, make_trace):
    trace = make_trace(
        ("set_light", {"room": "hall", "label": HOSTILE}),
        id=HOSTILE,
        query=HOSTILE,
        kind=HOSTILE,
        toolset=HOSTILE,
        system=HOSTILE,
    )
    made = replace(make_suite(3), name=HOSTILE, title=HOSTILE, source=HOSTILE, problems=(HOSTILE,), unusable=1)
    return replace(made, traces=(trace,), hash=suite_hash([trace]))


def test_hostile_requests_names_and_outputs_stay_text(make_suite, make_trace, scripted, tmp_path):
    text, parsed = page_of(
        hostile_suite(make_suite, make_trace), scripted(lambda query: HOSTILE, name=HOSTILE), tmp_path
    )
    assert parsed.tags.count("script") == 2 and "img" not in parsed.tags
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert "<script>alert" not in text and "<img" not in text
    row = embedded(parsed)["rows"][0]
    assert row["query"] == row["answers"][0]["raw"] == HOSTILE == row["system"]


def test_nothing_is_loaded_from_elsewhere_and_only_the_script_of_the_page_may_run(make_suite, scripted, tmp_path):
    text, parsed = page_of(make_suite(), scripted(lambda query: "[]"), tmp_path)
    assert not [
        value for name, value in parsed.attributes if name in ("src", "href") and not (value or "").startswith("#")
    ]
    assert not re.search(r"https?://|@import|url\(", text)
    policy = next(value for name, value in parsed.attributes if name == "content" and "default-src" in (value or ""))
    assert "default-src 'none'" in policy and "unsafe" not in policy and policy.count("sha256-") == 2
    assert not [name for name, _ in parsed.attributes if name == "style"]


def test_every_row_is_in_the_browser_failures_first_with_toolsets_stored_once(make_suite, scripted, tmp_path):
    _, parsed = page_of(make_suite(), scripted(lambda query: "[]"), tmp_path)
    data = embedded(parsed)
    assert len(data["rows"]) == data["total"] == 30 and len(data["toolsets"]) == 1 and len(data["tools"]) == 2
    outcomes = [row["answers"][0]["correct"] for row in data["rows"]]
    assert outcomes == sorted(outcomes) and outcomes.count(True) == 10
    assert {row["answers"][0]["cause"] for row in data["rows"] if not row["answers"][0]["correct"]} == {"under_call"}


def test_a_report_too_large_for_a_browser_keeps_the_failures(make_suite, scripted, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "ROW_LIMIT", 5)
    _, parsed = page_of(make_suite(), scripted(lambda query: "[]"), tmp_path)
    data = embedded(parsed)
    assert (
        len(data["rows"]) == 5 and data["total"] == 30 and not any(row["answers"][0]["correct"] for row in data["rows"])
    )


def test_the_page_shows_the_figures_of_results_json_and_the_same_run_gives_the_same_bytes(
    make_suite, scripted, tmp_path
):
    text, parsed = page_of(make_suite(), scripted(lambda query: "[]", name="mine"), tmp_path)
    summary = json.loads((tmp_path / "results.json").read_text())
    for name in ("well_formed", "schema_valid", "correct"):
        assert f"{100 * summary['rates'][name]['value']:.1f}" in text
    assert "mine on tiny" in text and "floor: lexical" in text and not re.search(r"\{\{\w+\}\}", text)
    assert parsed.tags.count("table") >= 5
    again = write_report(tmp_path, tmp_path / "again.html")
    assert again.read_text() == text


def test_outcomes_of_arguments_come_with_the_rows(make_suite, scripted, tmp_path):
    reply = '[{"name":"set_light","arguments":{"room":"hall","level":7,"on":true,"label":"x"}}]'
    _, parsed = page_of(make_suite(3), scripted(lambda query: reply), tmp_path)
    pairs = [row["answers"][0].get("pairs") for row in embedded(parsed)["rows"] if row["gold"]]
    expected = {"level": "wrong_value", "on": "default_equivalent", "label": "extra"}
    assert pairs == [[[0, 0, expected]], [[0, 0, expected]]]


def test_what_results_do_not_hold_leaves_its_section_out_and_breaks_nothing(make_suite, scripted, tmp_path):
    evaluate(scripted(lambda query: "[]"), make_suite(), tmp_path)
    path = tmp_path / "results.json"
    summary = json.loads(path.read_text())
    needed = {"scorer_version", "caller", "suite", "rates", "n", "complete", "infra_errors"}
    path.write_text(json.dumps({key: value for key, value in summary.items() if key in needed}))
    text, _ = parsed_page(write_report(tmp_path))
    assert 'id="figures"' in text and 'id="rows"' in text
    assert not any(
        f'id="{key}"' in text for key in ("decisions", "failures", "arguments", "confidence", "kinds", "bfcl")
    )


def test_every_part_of_results_json_has_its_place(make_suite, scripted, tmp_path):
    evaluate(scripted(lambda query: "[]"), make_suite(), tmp_path)
    path = tmp_path / "results.json"
    summary = json.loads(path.read_text())
    summary["decisions"]["matrix"] = {"call": {"call": 1, "cannot": 2}, "ask": {"ask": 3, "malformed": 4}}
    summary["by_tool"] = {"<b>": {"rows": 4, "correct": 0.25, "arguments": 0.5, "codes": {"wrong_value": 3}}}
    summary["model"] |= {"parameters": 26_200_000, "bytes": 14_900_000, "settings": {"beams": 4}}
    summary["keywords"] = {"maximum": 7}
    summary["command"] = "needle eval --model x --suite tiny"
    path.write_text(json.dumps(summary))
    text, _ = parsed_page(write_report(tmp_path))
    expected = (
        "a question is due",
        "asked back",
        "declined",
        "malformed",
        "copied",
        "&lt;b&gt;",
        "26.2 M",
        "14.9 MB",
        "beams 4",
    )
    for words in (*expected, "maximum", "needle eval --model x", summary["suite"]["hash"]):
        assert words in text, words


def test_other_readings_and_decodings_of_the_same_rows_stand_beside(make_suite, scripted, tmp_path):
    fenced = '```json\n[{"name":"set_light","arguments":{"room":"hall","level":0}}]\n```'
    evaluate(scripted(lambda query: fenced, name="a"), make_suite(), tmp_path, free=scripted(lambda query: "[]", name="b"))
    text, parsed = parsed_page(tmp_path / "report.html")
    assert "Read forgivingly" in text and "30 of 30 outputs could not be read" in text
    assert "Decoded another way: free" in text and "WARNING" in text
    answer = embedded(parsed)["rows"][0]["answers"][0]
    assert answer["repaired"]["calls"] and answer["free"]["raw"] == "[]" and answer["error"]


def test_disturbances_and_swapped_words_are_shown_where_a_suite_has_them(make_suite, scripted, tmp_path):
    evaluate(scripted(lambda query: "[]"), make_suite(), tmp_path)
    path = tmp_path / "results.json"
    summary = json.loads(path.read_text())
    assert 'id="robustness"' not in (tmp_path / "report.html").read_text()
    rate = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 40}
    cost = {
        "n": 40,
        "plain": 0.5,
        "disturbed": 0.3,
        "delta": -0.2,
        "low": -0.3,
        "high": -0.1,
        "p_value": 0.01,
        "lost": 9,
        "gained": 1,
    }
    summary["robustness"] = {
        "plain": rate,
        "variants": {"typos": cost | {"same_answer": True}, "dropped value": cost | {"same_answer": False}},
    }
    pair = {"first": "<i>", "second": "b", "n": 20, "difference": 0.1, "low": -0.1, "high": 0.3, "p_value": 0.4}
    groups = {"<i>": rate, "b": rate}
    summary["bias"] = {
        "names": {"groups": groups, "pairs": [pair], "sets": 20, "flips": 3, "flipped": [{"set": "s", "wrong": ["r1"]}]}
    }
    path.write_text(json.dumps(summary))
    text, parsed = parsed_page(write_report(tmp_path))
    assert "i" not in parsed.tags and "another task" in text and "b against &lt;i&gt;" in text
    assert '<b class="down">−20.0</b>' in text and "−30.0 to −10.0" in text  # the interval leaves out zero
    assert "<b>+10.0</b>" in text and "3 of 20 requests" in text and 'data-row="r1"' in text


def test_two_runs_stand_side_by_side_flipped_rows_first(make_suite, scripted, tmp_path):
    right = scripted(
        lambda query: f'[{{"name":"set_light","arguments":{{"room":"hall","level":{query.split()[-1]}}}}}]',
        name="calls",
    )
    evaluate(scripted(lambda query: "[]", name="never"), make_suite(), tmp_path / "a")
    evaluate(right, make_suite(), tmp_path / "b")
    text, parsed = parsed_page(write_pair(tmp_path / "a", tmp_path / "b"))
    data = embedded(parsed)
    assert data["runs"] == ["never", "calls"] and len(data["rows"]) == 30
    assert all(row["answers"][0]["correct"] != row["answers"][1]["correct"] for row in data["rows"])
    assert "+33.3 points" in text and "20 gained and 10 lost" in text and (tmp_path / "b" / "compare.html").is_file()


def test_runs_over_different_rows_are_not_put_side_by_side(make_suite, scripted, tmp_path):
    evaluate(scripted(lambda query: "[]"), make_suite(), tmp_path / "a")
    evaluate(scripted(lambda query: "[]"), make_suite(6), tmp_path / "b")
    with pytest.raises(UserError, match="different suites"):
        write_pair(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b" / "compare.html").exists()


def test_markup_escapes_all_that_is_not_markup():
    assert (
        tag("td", "<b>", title='"x"', class_="a", hidden=True, lang=None)
        == '<td title="&quot;x&quot;" class="a" hidden>&lt;b&gt;</td>'
    )
    assert join(["<", Html("<br>"), None, 3]) == "&lt;<br>3"
    assert section("k", "T", Html("")) == "" and table("c", ["a"], []) == ""


def test_packed_rows_come_back_and_cannot_end_a_script():
    data = {"text": HOSTILE + "\ud800", "numbers": [1, 2.5, None]}
    line = packing.encode(data)
    assert packing.decode(line) == data and re.fullmatch(r"[A-Za-z0-9+/=]+", line) and line == packing.encode(data)
