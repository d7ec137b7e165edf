"""The report in a real browser: rows are listed, filtered, compared and read by keyboard, and nothing hostile runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from chromium import ABSENT, PROGRAM, chromium

from needle.evals.report import page as shell
from needle.evals.report.browser import rows_section
from needle.evals.report.files import write_board, write_pair
from needle.evals.report.pack import pack
from needle.evals.report.page import page
from needle.evals.run import evaluate
from needle.evals.suites import Suite, suite_hash
from needle.tools import CallResult, ToolCall
from needle.traces.formats import trace_from_dict

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=ABSENT)

HOSTILE = "</script><script>window.hit=1</script><img src=x onerror='window.hit=1'> {{title}} <!-- \u202eabc 😀"
READY = "document.body.dataset.ready === 'yes'"
ITEMS = "[...document.querySelectorAll('.item')].map(item => item.textContent)"
SEEN = "document.getElementById('detail').innerText"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


def answer(query: str) -> CallResult:
    """Right for small numbers, a wrong level for larger ones; surer where it is right."""
    number = int(query.split()[-1])
    level = number if number < 12 else number + 1
    calls = [] if number % 5 == 4 else [ToolCall("set_light", {"room": "hall", "level": level})]
    return CallResult(
        calls,
        raw=json.dumps([call.to_dict() for call in calls]),
        confidence=1 - number / 40,
        seconds=0.001 * (number + 1),
    )


@pytest.fixture
def run(make_suite, scripted, tmp_path):
    evaluate(scripted(answer, name="mine"), make_suite(), tmp_path / "run")
    return tmp_path / "run" / "report.html"


def count(browser) -> int:
    return int(
        re.match(r"[\d,]+", browser.evaluate("document.getElementById('count').textContent"))[0].replace(",", "")
    )


def test_the_page_is_whole_and_silent(browser, run):
    browser.look()
    browser.open(run, ready=READY)
    assert browser.complaints == [] and len(browser.requests) == 1  # the file itself
    sections = browser.evaluate("[...document.querySelectorAll('section')].map(one => one.id)")
    assert sections == [
        "figures",
        "kinds",
        "decisions",
        "failures",
        "rows",
        "arguments",
        "tools",
        "calls",
        "confidence",
        "speed",
        "about",
    ]
    assert browser.evaluate("[...document.querySelectorAll('nav a')].every(one => document.querySelector(one.hash))")
    assert browser.evaluate("document.querySelectorAll('#confidence polyline').length") >= 3
    assert browser.evaluate("document.querySelectorAll('.told li').length") >= 3


def test_rows_are_filtered_searched_and_sorted(browser, run):
    browser.look()
    browser.open(run, ready=READY)
    results = json.loads((run.parent / "results.json").read_text())
    wrong = results["n"] - round(results["rates"]["correct"]["value"] * results["n"])
    assert count(browser) == wrong and len(browser.evaluate(ITEMS)) == wrong
    browser.click("[data-outcome='']")
    assert count(browser) == 30
    browser.click("[data-outcome='right']")
    assert count(browser) == 30 - wrong
    code, rows = next(iter(results["causes"].items()))
    browser.click(f"button[data-code='{code}']")
    assert count(browser) >= rows and browser.evaluate(f"document.getElementById('code').value === '{code}'")
    browser.press("Escape")
    assert count(browser) == wrong
    browser.press("/")
    browser.write("HALL r27")
    browser.wait("document.querySelectorAll('.item').length === 1")
    assert "dim the hall to 27" in browser.evaluate(ITEMS)[0]
    browser.open(run, "outcome=&tool=send", READY)
    assert count(browser) == 0 and "No row matches" in browser.evaluate(SEEN)
    browser.open(run, "outcome=&sort=slow", READY)
    assert "hall to 29" in browser.evaluate(ITEMS)[0]


def test_the_keyboard_moves_and_the_address_keeps_the_view(browser, run):
    browser.look()
    browser.open(run, ready=READY)
    browser.evaluate("document.getElementById('list').focus()")
    chosen = "document.querySelector('[aria-selected=true]').getAttribute('aria-posinset')"
    first = browser.evaluate(SEEN)
    for key, place in (
        ("ArrowDown", "2"),
        ("j", "3"),
        ("k", "2"),
        ("End", str(count(browser))),
        ("Home", "1"),
        ("ArrowDown", "2"),
    ):
        browser.press(key)
        assert browser.evaluate(chosen) == place, key
    seen = browser.evaluate(SEEN)
    assert seen != first
    active = browser.evaluate(
        "document.getElementById(document.getElementById('list').getAttribute('aria-activedescendant')).ariaSelected"
    )
    assert active == "true"
    browser.press("Enter")
    assert browser.evaluate("document.activeElement.id") == "detail"
    fragment = browser.evaluate("location.hash").removeprefix("#")
    browser.open(run, fragment, READY)
    assert browser.evaluate(SEEN) == seen


def test_a_wrong_argument_is_marked_letter_by_letter(browser, run):
    browser.open(run, "row=r13", READY)
    line = browser.evaluate(
        "[...document.querySelectorAll('.diff tbody tr')].map(row => [...row.children].map(cell => cell.innerText))"
    )
    assert ["room\nenum, copied", '"hall"', "same"] in line
    level = next(cells for cells in line if cells[0].startswith("level"))
    assert level[1] == "13" and level[2].startswith("14") and "\n" in level[2]  # what differs, and why
    assert browser.evaluate("document.querySelector('.diff ins').textContent") == "4"
    assert browser.evaluate("document.querySelector('.diff del').textContent") == "3"


def test_a_row_can_be_taken_into_a_suite_of_ones_own(browser, run):
    browser.open(run, "row=r13", READY)
    browser.evaluate(
        "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (text) => { window.copied = text; } } })"
    )
    browser.click("#detail p button")
    browser.wait("window.copied !== undefined")
    row = trace_from_dict(json.loads(browser.evaluate("window.copied")))
    assert row.id == "r13" and row.calls[0].arguments == {"room": "hall", "level": 13} and len(row.tools) == 2


def test_hostile_rows_stay_text_and_are_shown_whole(browser, make_trace, make_suite, scripted, tmp_path):
    huge = "ß" * 300_000
    rows = [
        make_trace(
            ("set_light", {"room": "hall", "label": HOSTILE}),
            id=HOSTILE,
            query=HOSTILE,
            system=HOSTILE,
            toolset=HOSTILE,
        ),
        make_trace(("set_light", {"room": "hall", "label": huge}), id="huge", query=huge),
        make_trace(("set_light", {"room": "hall"}), id="rtl", query="אפשר להדליק את האור? مرحبا"),
    ]
    suite = Suite(HOSTILE, tuple(rows), hash=suite_hash(rows), total=3, title=HOSTILE)
    evaluate(
        scripted(
            lambda query: (
                HOSTILE if query == HOSTILE else f'[{{"name":"set_light","arguments":{{"label":"{query}"}}}}]'
            ),
            name=HOSTILE,
        ),
        suite,
        tmp_path,
    )
    path = tmp_path / "report.html"
    browser.open(path, "row=" + "%3C%2Fscript", READY)
    assert browser.complaints == [] and browser.evaluate("window.hit === undefined && !document.images.length")
    assert count(browser) == 3
    browser.evaluate("document.getElementById('list').focus()")
    for _ in range(3):
        browser.evaluate("document.querySelectorAll('#detail details').forEach(one => { one.open = true; })")
        assert browser.evaluate(SEEN)
        browser.press("ArrowDown")
    browser.press("Home")
    shown = browser.evaluate("document.querySelector('.request').textContent")
    assert shown == HOSTILE.replace("\u202e", "⟨202E⟩")
    browser.open(path, "row=huge", READY)
    assert browser.evaluate("document.querySelector('.request').textContent.length") < 4000
    browser.click(".request button")
    assert browser.evaluate("document.querySelector('.request').textContent.length") == 300_000


def test_two_runs_are_compared_in_the_browser(browser, make_suite, scripted, tmp_path):
    evaluate(scripted(lambda query: "[]", name="never"), make_suite(), tmp_path / "a")
    evaluate(scripted(answer, name="mine"), make_suite(), tmp_path / "b")
    path = write_pair(tmp_path / "a", tmp_path / "b")
    browser.open(path, ready=READY)
    assert browser.complaints == []
    flipped = count(browser)
    browser.click("[data-outcome='gained']")
    gained = count(browser)
    browser.click("[data-outcome='lost']")
    assert 0 < gained < flipped == gained + count(browser)
    browser.open(path, "row=r13", READY)
    heads = browser.evaluate("[...document.querySelectorAll('.diff thead th')].map(one => one.textContent)")
    assert heads == ["argument", "due", "A", "B"]


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_overflows_and_text_has_contrast_at_any_width_and_theme(browser, run, width, dark):
    browser.look(width, 900, dark)
    browser.open(run, "row=r13", READY)
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.evaluate(CONTRAST) == []
    browser.look()


def test_the_leaderboard_opens_whole(browser, run, tmp_path):
    _, path = write_board([run.parent], tmp_path / "board")
    for width, dark in ((360, False), (1280, True)):
        browser.look(width, 900, dark)
        browser.open(path)
        assert browser.complaints == [] and browser.evaluate("document.querySelectorAll('.ruler .needle').length") >= 4
        assert (
            browser.evaluate("document.documentElement.scrollWidth <= innerWidth") and browser.evaluate(CONTRAST) == []
        )


CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour, under) => {
    canvas.fillStyle = `rgb(${under})`; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (c) => c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    const chain = []; for (let n = node; n; n = n.parentElement) chain.unshift(n);
    return chain.reduce((under, n) => rgb(getComputedStyle(n).backgroundColor, under), [255, 255, 255]);
  };
  const bad = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(one => one.nodeType === 3 && one.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest('svg, option, datalist, script, style, .skip')) continue;
    const under = behind(node), over = rgb(getComputedStyle(node).color, under);
    const [a, b] = [light(under), light(over)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push([node.tagName, node.className, node.textContent.slice(0, 30), ((a + 0.05) / (b + 0.05)).toFixed(2)]);
  }
  return bad.slice(0, 5);
})()"""


def test_controls_have_names_and_headings_are_in_order(browser, run):
    browser.open(run, "row=r13", READY)
    nameless = "[...document.querySelectorAll('button, input, select, [role=listbox], [role=region]')].filter(one => !(one.ariaLabel || one.textContent.trim())).length"
    assert browser.evaluate(nameless) == 0
    levels = browser.evaluate("[...document.querySelectorAll('h1, h2')].map(one => one.tagName)")
    assert levels[0] == "H1" and levels.count("H1") == 1
    assert browser.evaluate("document.documentElement.lang") == "en"


@pytest.mark.slow
def test_five_thousand_rows_are_drawn_lazily_and_fast(browser, make_suite, scripted, tmp_path):
    evaluate(scripted(answer, name="mine"), make_suite(), tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    many = [row | {"id": f"{row['id']}-{n}"} for n in range(167) for row in rows][:5000]
    path = Path(tmp_path / "many.html")
    path.write_text(page("many", "", shell.Html(""), [rows_section()], data=pack(["mine"], [many])), encoding="utf-8")
    assert path.stat().st_size < 1_000_000
    browser.look()
    browser.open(path, "outcome=", READY)
    assert count(browser) == 5000 and browser.evaluate("document.querySelectorAll('.item').length") < 60
    spent = (
        "(() => { const t = performance.now(); state.text = 'hall to 2'; refresh(); return performance.now() - t; })()"
    )
    assert browser.evaluate(spent) < 1000  # milliseconds for the first search, on a machine that may be busy
    browser.evaluate("document.getElementById('list').scrollTop = 1e6")
    browser.wait("document.querySelector('.item:last-child').getAttribute('aria-posinset') === String(found.length)")
