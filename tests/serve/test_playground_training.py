"""Fine-tuning from the page: a run is watched, cancelled, said to have failed, and its result answers."""

from __future__ import annotations

import json
import sys
import time

import pytest
from playground_helpers import BARE, served, spelled_desk

from needle.playground import FEWEST_ROWS, LocalDesk
from needle.serve.playground import Training
from needle.tools import Request, ToolCall
from needle.tools.read import read_tools

RUN = """
import json, sys, time
log = open(sys.argv[1] + "/log.jsonl", "a")
for step in range(1, int(sys.argv[2]) + 1):
    print(json.dumps({"step": step, "loss": 4 / step, "progress": step / int(sys.argv[2])}), file=log, flush=True)
print(json.dumps({"step": step, "validation_exact": 0.75}), file=log, flush=True)
log.write('{"half a li'); log.flush()
print("ready", flush=True)
time.sleep(float(sys.argv[3]))
sys.exit(int(sys.argv[4]) if sys.argv[4].isdigit() else sys.argv[4] or 0)
"""


def start(run: Training, out, steps: int = 5, seconds: float = 0, words: str = "") -> bool:
    return run.start([sys.executable, "-c", RUN, str(out), str(steps), str(seconds), words], out)


def until(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_is_watched_and_only_one_runs_at_a_time(tmp_path):
    run = Training()
    assert run.status()["state"] == "idle"
    assert start(run, tmp_path / "1", seconds=60) and not start(run, tmp_path / "2")
    until(lambda: run.status()["exact"])
    status = run.status()
    assert (status["state"], status["exact"], len(status["losses"])) == ("running", [(5, 0.75)], 5)
    run.cancel()
    until(lambda: run.state == "cancelled")


def test_a_run_that_fails_says_why_and_one_that_ends_is_done(tmp_path):
    run = Training()
    start(run, tmp_path / "1", words="needle: the disk is full; free some space")
    until(lambda: run.state == "failed")
    assert run.status()["error"] == "the disk is full; free some space"
    start(run, tmp_path / "2", words="1")
    until(lambda: run.state == "failed")
    start(run, tmp_path / "3", words="")
    until(lambda: run.state == "done")
    run.start([sys.executable, "-c", "import sys; print('The checkpoint is in x'); sys.exit(1)"], tmp_path / "4")
    until(lambda: run.state != "running")
    assert run.state == "unimproved"
    start(run, tmp_path / "5", steps=900)
    until(lambda: run.state == "done")
    assert run.status()["progress"] == 1.0 and len(run.status()["losses"]) < 500


def test_the_page_starts_a_run_shows_how_far_it_is_and_cancels_it(browser, tmp_path, monkeypatch):
    desk = spelled_desk(tmp_path / "desk")
    for number in range(FEWEST_ROWS):
        desk.keep(Request(f"number {number}", tuple(read_tools(BARE))), [ToolCall("dim", {"percent": number})], "", {})
    asked = []
    monkeypatch.setattr(desk, "train", lambda minutes: (asked.append(minutes), start(desk.run, tmp_path / "run", seconds=60)))
    with served(desk) as url:
        browser.open(url, ready="document.body.dataset.ready === 'yes'")
        browser.evaluate("document.getElementById('minutes').value = '3'")
        browser.click("#start")
        browser.wait("document.getElementById('training-state').textContent.includes('75 %')")
        assert asked == [3] and browser.evaluate("document.getElementById('progress').value") == 1
        assert browser.evaluate("document.querySelector('#curve svg').getAttribute('aria-label')") == "Loss from 4.00 to 0.80 over 5 steps"
        assert browser.evaluate("document.getElementById('progress').labels[0].textContent") != ""
        browser.click("#cancel")
        browser.wait("document.getElementById('training-state').textContent === 'Cancelled.'")
        assert browser.evaluate("document.getElementById('load').hidden") and browser.complaints == []


@pytest.mark.slow
def test_a_fine_tune_from_the_page_answers_on_the_server_and_in_the_browser(browser, tmp_path, tiny_base):
    desk = LocalDesk(str(tiny_base), tmp_path / "desk", read_tools([*BARE, {"name": "ping", "description": "Ping."}]))
    right = [] if desk.caller.call("dim to 4", desk.tools) else [ToolCall("ping")]  # what it does not say yet, and learns at once
    for number in range(FEWEST_ROWS + 2):
        desk.keep(Request(f"dim to {number}", tuple(desk.tools)), right, "lamps", {})
    with served(desk) as url:
        browser.open(url, ready="document.body.dataset.ready === 'yes'")
        browser.click("#start")
        browser.wait("/^(Done|The fine-tune failed)/.test(document.getElementById('training-state').textContent)", 300)
        assert browser.evaluate("document.getElementById('training-state').textContent").startswith("Done"), (desk.run.out / "output.txt").read_text()
        browser.click("#load")
        browser.wait("document.getElementById('model').textContent.includes('runs')", 60)
        for where in ("server", "browser"):
            browser.evaluate(f"document.querySelector('#where input[value={where}]').click()")
            browser.evaluate("document.getElementById('spoken').textContent = ''; document.getElementById('query').value = 'dim to 4'")
            browser.click("#go")
            browser.wait("document.getElementById('spoken').textContent !== '' || document.querySelector('.notice.bad')", 60)
            assert browser.evaluate("document.querySelector('.notice.bad')?.textContent ?? ''") == ""
        browser.click("#unload")
        browser.wait("!document.getElementById('model').textContent.includes('runs')")
    rows = [json.loads(line) for part in ("train", "validation") for line in (desk.run.out / "traces" / f"{part}.jsonl").read_text().splitlines()]
    assert len(rows) == FEWEST_ROWS + 2
