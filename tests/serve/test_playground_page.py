"""The playground in a real browser, end to end: tools, requests, calls, corrections, by mouse and by keyboard."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playground_helpers import BARE, served, spelled_desk

from needle.traces.read import read_traces

ROOT = Path(__file__).parents[2]
READY = "document.body.dataset.ready === 'yes'"
HOSTILE = "<img src=x onerror='window.hit=1'><script>window.hit=1</script>"


@pytest.fixture
def desk(tmp_path):
    return spelled_desk(tmp_path / "desk")


@pytest.fixture
def page(browser, desk):
    with served(desk) as url:
        browser.open(url, ready=READY)
        yield browser
        browser.open("about:blank")


def text(page, selector: str) -> str:
    return page.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")


def focus(page, selector: str, value: str | None = None) -> None:
    page.evaluate(f"(e => {{ e.focus(); if (e.select) e.select(); }})(document.querySelector({json.dumps(selector)}))")
    if value is not None:
        page.write(value)


def set_tools(page, tools: object) -> None:
    focus(page, "#tools", tools if isinstance(tools, str) else json.dumps(tools, indent=1))
    page.wait("/\\d tools?,|JSON/.test(document.getElementById('tools-state').textContent) && document.getElementById('example').value === ''")


def ask(page, query: str) -> None:
    focus(page, "#query", query)
    page.evaluate("document.getElementById('spoken').textContent = ''")
    page.press("Enter")
    page.wait("document.getElementById('spoken').textContent !== ''")


def test_tools_are_edited_a_request_is_answered_and_its_correction_saved(page, desk):
    set_tools(page, BARE)
    ask(page, 'dim {"room": "hall", "percent": 10}')
    assert "dim" in text(page, "#calls") and "75 %" in text(page, "#confidence")
    assert page.evaluate("document.querySelector('#said mark').firstChild.textContent") == "dim"  # the evidence, 0 to 3
    assert "Confidence 75 percent" in page.evaluate("document.getElementById('spoken').textContent")
    page.click("#correct")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    focus(page, "[data-argument=percent]", "much")
    page.press("Enter")
    page.wait("document.querySelector('#correction .bad').textContent.includes('number')")
    assert not desk.kept.path.exists() and page.evaluate("document.activeElement.dataset.argument") == "percent"
    page.evaluate("document.activeElement.select()")
    page.write("20")
    page.press("Enter")
    page.wait("document.querySelectorAll('#rows li').length === 1")
    (trace,), _ = read_traces(desk.kept.path)
    assert trace.calls[0].arguments == {"room": "hall", "percent": 20} and trace.meta["answer"]["calls"][0]["arguments"]["percent"] == 10
    page.click("#rows button")
    page.wait("document.querySelectorAll('#rows li').length === 0")
    assert page.complaints == [] and {re.match(r"http://[\d.:]+/", url) is not None for url in page.requests} == {True}


def test_broken_tools_are_explained_where_they_are(page):
    set_tools(page, '[\n {"name": "dim",}\n]')
    assert "line 2" in text(page, "#tools-state") and page.evaluate("document.getElementById('tools').ariaInvalid") == "true"
    page.click("#findings button")
    before = page.evaluate("document.getElementById('tools').value.slice(0, document.getElementById('tools').selectionStart)")
    assert before.count("\n") == 1 and page.evaluate("document.activeElement.id") == "tools"
    twins = [{"name": name, "description": "Switch a lamp on.", "parameters": {"type": "object", "properties": {}}} for name in ("a_on", "b_on")]
    set_tools(page, twins)
    page.wait("document.getElementById('findings').textContent.includes('b_on')")


def test_nothing_that_model_tools_or_files_say_is_ever_markup(page, desk):
    hostile = {"name": "dim", "description": HOSTILE, "parameters": {"type": "object", "properties": {HOSTILE: {"type": "string", "description": HOSTILE, "enum": [HOSTILE]}}}}
    set_tools(page, [hostile])
    ask(page, f"dim {json.dumps({HOSTILE: HOSTILE})}")
    page.click("#correct")
    page.click("#correction button.main")
    page.wait("document.querySelectorAll('#rows li').length === 1")
    assert HOSTILE in text(page, "#calls") and HOSTILE in text(page, "#rows") and HOSTILE in page.evaluate("document.getElementById('outline').textContent")
    assert page.evaluate("window.hit === undefined && document.querySelectorAll('main img, main script').length") == 0
    assert page.evaluate("fetch('https://example.com').then(() => 'sent', () => 'blocked')") == "blocked"


def test_spans_count_characters_as_python_does(page):
    found = page.evaluate("""import("/page/spans.js").then(({pieces, spansOf}) => [
      pieces("😀 the hall 🏠", spansOf("", [], [{path: "0.room", start: 6, end: 10, score: 1}])).map(piece => piece.text),
      spansOf("Dim Living Room to 20 or 200", [{name: "dim", arguments: {room: "living_room", level: 20, more: ["or"]}}], []).map(span => [span.path, span.start, span.end]),
      spansOf("abc", [], [{path: "0.a", start: 0, end: 2, score: 1}, {path: "0.b", start: 0, end: 2, score: 1}, {path: "0.c", start: 1, end: 3, score: 1}]).map(span => span.paths)])""")
    assert found == [["😀 the ", "hall", " 🏠"], [["0.room", 4, 15], ["0.level", 19, 21], ["0.more.0", 22, 24]], [["0.a", "0.b"]]]


def test_everything_has_a_name_and_is_reached_by_the_keyboard(page):
    ask(page, 'set_lights {"room": "hall"}')
    page.click("#correct")
    nameless = page.evaluate("""[...document.querySelectorAll('button, input, select, textarea, progress:not([hidden])')]
        .filter(e => e.offsetParent && !(e.labels && e.labels.length) && !e.textContent.trim() && !e.ariaLabel).map(e => e.id || e.outerHTML)""")
    assert nameless == []
    count, seen = page.evaluate("[...document.querySelectorAll('button, input, select, textarea, summary, a')].filter(e => e.checkVisibility() && !e.disabled).length"), set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(count + 5):
        page.press("Tab")
        seen.add(page.evaluate("(e => [...document.querySelectorAll('*')].indexOf(e))(document.activeElement)"))
    assert len(seen) >= count - 1  # of two radio buttons one is a stop
    page.press("Escape")


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_and_a_narrow_screen_needs_no_sideways_scrolling(page, dark):
    page.look(390, 844, dark)
    ask(page, 'set_lights {"room": "hall", "brightness": 10}')
    page.click("#correct")
    wide = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.sr, .skip') && e.getBoundingClientRect().right > 390).map(e => e.outerHTML.slice(0, 120))"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, page.evaluate(wide)
    low = page.evaluate((Path(__file__).parent / "contrast.js").read_text())
    page.look()
    assert low == []


def test_the_colours_are_those_of_the_reports():
    def tokens(path: str) -> dict[str, str]:
        return dict(re.findall(r"(--[\w-]+): (light-dark\([^;]+\));", (ROOT / path).read_text()))

    report = tokens("needle/evals/report/style.css")
    assert report and report.items() <= tokens("needle/serve/playground/page/style.css").items()
