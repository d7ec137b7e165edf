"""Training rows share with the bundled suites what ``evals/README.md`` says, and no more."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from pathlib import Path

import pytest

from needle.evals import load_suite
from needle.traces import Trace
from needle.traces.contamination import contamination, normal_words

ROOT = Path(__file__).parents[2]
TOLD = {
    name: (int(requests), int(runs))
    for name, requests, runs in re.findall(
        r"^\| ([\w-]+) \| (\d+) \| (\d+) \| \d+ \|$", (ROOT / "evals" / "README.md").read_text(), re.MULTILINE
    )
}
"""Rows with the same request and with shared runs, by suite, as the page tells."""


@pytest.fixture(scope="module")
def training():
    """Requests of the training part; tools, which come next in every line, are cut off: reading them takes most of the time."""
    with gzip.open(ROOT / "data" / "traces" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line.partition(',"tools":')[0] + "}") for line in lines]
    return [Trace(row["id"], row["query"], (), ()) for row in rows]


def requests_of(name):
    return [Trace(trace.id, trace.query, (), ()) for trace in load_suite(name).traces]


def shared(training, name):
    report = contamination(training, {name: requests_of(name)})
    counts = report.counts()[name]
    return counts["request"], counts["overlap"], [hit for hit in report.hits if hit.sign == "request"]


def test_the_page_tells_of_the_suites(training):
    assert {"needle-unseen", "home-smoke", "bfcl", "seal-tools", "snips"} <= TOLD.keys() and len(training) == 29_862


@pytest.mark.parametrize("name", ["needle-unseen", "home-smoke"])
def test_training_rows_share_with_a_bundled_suite_what_is_told_and_only_short_requests(training, name):
    requests, runs, hits = shared(training, name)
    assert (requests, runs) == TOLD[name]
    assert all(len(hit.detail.split()) <= 11 for hit in hits)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("bfcl_eval") is None, reason="bfcl-eval is not installed")
def test_training_rows_share_no_more_with_the_leaderboard_than_is_told(training):
    requests, runs, _ = shared(training, "bfcl")
    told = TOLD["bfcl"]
    assert requests <= told[0] and runs <= told[1]


def test_a_request_that_is_copied_into_training_is_found(training):
    (stolen,) = [trace for trace in load_suite("home-smoke").traces if trace.id == "home-smoke-02"]
    report = contamination(
        [Trace("thief", stolen.query.upper() + "!", (), ())], {"home-smoke": requests_of("home-smoke")}
    )
    assert report.rows_hit(["request"]) == {"thief"}
    assert not report.rows_hit(["overlap"]) and normal_words(stolen.query)
