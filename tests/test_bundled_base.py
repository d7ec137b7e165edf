"""The checkpoint that comes with the package: its size, its shape, and that what it writes fits the tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import needle
from needle.models import BUNDLED
from needle.tools import Request
from needle.tools.read import load_toolset
from needle.tools.validate import validate_calls

TOOLSETS = Path(__file__).parents[1] / "data" / "toolsets"


@pytest.fixture(scope="module")
def base():
    return needle.load()


def test_the_bundle_is_one_small_file_of_the_26m_student(base) -> None:
    assert (BUNDLED / "model.safetensors").stat().st_size < 16_000_000
    assert 25_000_000 < base.facts()["parameters"] < 27_000_000
    assert json.loads((BUNDLED / "config.json").read_text())["request_independent_layers"] == 12


def test_every_answer_over_the_ready_toolsets_is_schema_valid(base) -> None:
    requests = ["dim the kitchen to 10", "wake me at 6:45 tomorrow", "hello there", "add two of these and send it to Mia at mia@example.com"]
    toolsets = [tuple(load_toolset(path)) for path in sorted(TOOLSETS.glob("*.json"))]
    rows = [Request(request, tools) for number, tools in enumerate(toolsets) for request in requests[number % 2 :: 2]]
    for row, answer in zip(rows, base.answer(rows), strict=True):
        assert answer.error is None, (row.tools[0].name, row.query, answer.raw)
        assert validate_calls(answer, row.tools) == [], (row.tools[0].name, row.query, answer.raw)


def test_the_same_request_gives_the_same_calls(base) -> None:
    tools = load_toolset(TOOLSETS / "home.json")
    assert base.call("turn off the hall lights", tools) == base.call("turn off the hall lights", tools)
