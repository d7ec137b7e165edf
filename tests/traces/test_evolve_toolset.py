"""A toolset in another dress takes its traces along, and the old names come back."""

from __future__ import annotations

import json

import pytest

from needle.errors import UserError
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import validate_calls
from needle.traces.evolve import restore
from needle.traces.evolve_toolset import TOOLSET_OPS, carry_over, evolve_toolset
from needle.traces.trace import Trace

TOOLS = (
    ToolSpec("set_lights", "Set the lights.", {"type": "object", "properties": {
        "room": {"type": "string", "description": "where"}, "level": {"type": "integer", "description": "how bright"}}, "required": ["room"]}),
    ToolSpec("send_message", "Send a message.", {"type": "object", "properties": {"text": {"type": "string", "description": "words"}}}),
)  # fmt: skip
ROWS = [Trace(f"r{number}", "dim the hall to 9", TOOLS, (ToolCall("set_lights", {"room": "hall", "level": number}),)) for number in range(5)]


@pytest.mark.parametrize("op", TOOLSET_OPS)
def test_every_row_goes_along_in_the_same_way(op):
    evolved = evolve_toolset(TOOLS, (op,), seed=3)
    assert evolved == evolve_toolset(TOOLS, (op,), seed=3) and json.dumps(evolved.lineage)
    rows = [carry_over(row, evolved) for row in ROWS]
    assert all(row and row.tools == evolved.tools and validate_calls(row.calls, row.tools) == [] for row in rows)
    assert len({row.calls[0].name for row in rows}) == 1 and len({row.id for row in rows}) == 5
    assert [restore(row).calls for row in rows] == [row.calls for row in ROWS]


def test_a_row_that_offers_a_part_of_the_toolset_still_offers_that_part():
    evolved = evolve_toolset(TOOLS, ("mask_names",), seed=1)
    row = carry_over(Trace("r", "hi", TOOLS[1:], ()), evolved)
    assert len(row.tools) == 1 and row.tools[0].description == "Send a message."
    assert carry_over(Trace("r", "hi", (ToolSpec("other"),), ()), evolved) is None


@pytest.mark.parametrize("ops", [(), ("withhold_gold",), ("fly",)])
def test_operations_that_are_none_for_a_toolset_are_refused(ops):
    with pytest.raises(UserError, match="mask_names"):
        evolve_toolset(TOOLS, ops, 0)
