"""The report: complete, self-contained, and unmoved by hostile rows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from needle.evals import report
from needle.evals.run import evaluate
from needle.evals.suites import suite_hash

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "</script><script>alert('{{data}}')</script><img src=x onerror=alert(1)> & {{title}} <!--"


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
    text = (folder / "report.html").read_text(encoding="utf-8")
    parsed = Elements()
    parsed.feed(text)
    return text, parsed


def embedded(parsed):
    return json.loads(parsed.scripts[0])


def test_hostile_requests_names_and_outputs_stay_text(make_suite, make_trace, scripted, tmp_path):
    hostile = make_trace(
        ("set_light", {"room": "hall", "label": HOSTILE}),
        id=HOSTILE,
        query=HOSTILE,
        kind=HOSTILE,
        toolset=HOSTILE,
        system=HOSTILE,
    )
    suite = replace(
        make_suite(3),
        name=HOSTILE,
        title=HOSTILE,
        source=HOSTILE,
        traces=(hostile,),
        hash=suite_hash([hostile]),
        problems=(HOSTILE,),
        unusable=1,
    )
    text, parsed = page_of(suite, scripted(lambda query: HOSTILE, name=HOSTILE), tmp_path)
    assert parsed.tags.count("script") == 2 and "img" not in parsed.tags
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    assert "<script>alert" not in text and "<img" not in text
    assert embedded(parsed)["rows"][0]["query"] == embedded(parsed)["rows"][0]["raw"] == HOSTILE


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_real_browser_lists_the_rows_and_runs_nothing_hostile(make_suite, make_trace, scripted, tmp_path):
    rows = (
        make_trace(("set_light", {"room": "hall", "label": HOSTILE}), id=HOSTILE, query=HOSTILE),
        *make_suite(6).traces,
    )
    evaluate(scripted(lambda query: HOSTILE, name=HOSTILE), replace(make_suite(6), traces=rows), tmp_path)
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    page = (tmp_path / "report.html").as_uri()
    drawn = subprocess.run([BROWSER, *options, page], capture_output=True, text=True, timeout=120).stdout
    parsed = Elements()
    parsed.feed(drawn)
    assert parsed.attributes.count(("class", "row")) == 7  # drawn by the script, so the script ran to its end
    assert "img" not in parsed.tags and parsed.tags.count("script") == 2
    assert "7 rows" in drawn


def test_nothing_is_loaded_from_elsewhere(make_suite, scripted, tmp_path):
    text, parsed = page_of(make_suite(), scripted(lambda query: "[]"), tmp_path)
    assert not [value for name, value in parsed.attributes if name in ("src", "href")]
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text


def test_every_row_is_in_the_browser_failures_first_with_toolsets_stored_once(make_suite, scripted, tmp_path):
    _, parsed = page_of(make_suite(), scripted(lambda query: "[]"), tmp_path)
    data = embedded(parsed)
    assert len(data["rows"]) == data["total"] == 30 and len(data["tools"]) == 1
    outcomes = [row["correct"] for row in data["rows"]]
    assert outcomes == sorted(outcomes) and outcomes.count(True) == 10
    assert {row["cause"] for row in data["rows"]} == {"under_call", None}


def test_a_report_too_large_for_a_browser_keeps_the_failures(make_suite, scripted, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROW_LIMIT", 5)
    _, parsed = page_of(make_suite(), scripted(lambda query: "[]"), tmp_path)
    data = embedded(parsed)
    assert len(data["rows"]) == 5 and data["total"] == 30 and not any(row["correct"] for row in data["rows"])


def test_the_page_shows_the_figures_of_results_json(make_suite, scripted, tmp_path):
    text, parsed = page_of(make_suite(), scripted(lambda query: "[]", name="mine"), tmp_path)
    summary = json.loads((tmp_path / "results.json").read_text())
    for name in ("well_formed", "schema_valid", "correct"):
        assert f"{100 * summary['rates'][name]['value']:.1f}" in text
    assert "mine on tiny" in text and "floor: lexical" in text and not re.search(r"\{\{\w+\}\}", text)
    assert parsed.tags.count("table") >= 6
